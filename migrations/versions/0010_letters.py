"""The outbox: a row for every letter, written in the transaction of the change that it tells of."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "notifications",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("booking_id", sa.Integer, sa.ForeignKey("bookings.id", ondelete="CASCADE"), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False, unique=True),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("due_at", instant, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease", sa.Text),
        sa.Column("leased_until", instant),
        sa.Column("sent_at", instant),
        sa.Column("last_error", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", instant, nullable=False),
        sa.UniqueConstraint("booking_id", "revision", "kind", "recipient"),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed', 'cancelled')", name="state"),
        sa.CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_has_its_time"),
    )
    pending = sa.text("state = 'pending'")
    op.create_index(
        "ix_notifications_due_at", "notifications", ["due_at"], postgresql_where=pending, sqlite_where=pending
    )


def downgrade():
    op.drop_table("notifications")

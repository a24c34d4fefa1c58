"""What a booking needs to be moved, undone and retried safely; and minutes for large wheels."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")

COLUMNS = ("wheel_inches", "wheel_minutes", "late_minutes", "version", "request_hash")


def upgrade():
    # The checks stand at the columns: so SQLite adds and drops them without rebuilding the table.
    late = sa.CheckConstraint("late_minutes BETWEEN 1 AND 120", name="late_minutes")
    wheel = sa.CheckConstraint("wheel_inches BETWEEN 8 AND 40", name="wheel_inches")
    op.add_column("bookings", sa.Column("wheel_inches", sa.Integer, wheel))
    op.add_column("bookings", sa.Column("wheel_minutes", sa.Integer, nullable=False, server_default="0"))
    op.add_column("bookings", sa.Column("late_minutes", sa.Integer, late))
    op.add_column("bookings", sa.Column("version", sa.Integer, nullable=False, server_default="1"))
    op.add_column("bookings", sa.Column("request_hash", sa.Text))
    op.create_table(
        "wheel_surcharges",
        sa.Column(
            "service_point_id",
            sa.Integer,
            sa.ForeignKey("service_points.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("from_inches", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.CheckConstraint("from_inches BETWEEN 8 AND 40", name="from_inches"),
        sa.CheckConstraint("minutes BETWEEN 0 AND 240", name="minutes"),
    )
    op.create_table(
        "attempts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at", instant, nullable=False),
    )
    op.create_index("ix_attempts_kind_subject_at", "attempts", ["kind", "subject", "at"])
    op.create_index("ix_notifications_recipient_created_at", "notifications", ["recipient", "created_at"])


def downgrade():
    op.drop_index("ix_notifications_recipient_created_at", "notifications")
    op.drop_table("attempts")
    op.drop_table("wheel_surcharges")
    for column in reversed(COLUMNS):
        op.drop_column("bookings", column)

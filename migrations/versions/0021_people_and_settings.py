"""People are invited and seen, settings have a revision, and what visitors do is counted by the hour."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.add_column("users", sa.Column("last_seen_at", instant))
    op.add_column("service_points", sa.Column("settings_revision", sa.Integer, nullable=False, server_default="1"))
    op.create_table(
        "invitations",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE")),
        sa.Column("token_hash", sa.Text, nullable=False, unique=True),
        sa.Column("invited_by_id", sa.Integer, sa.ForeignKey("users.id", ondelete="RESTRICT")),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("expires_at", instant, nullable=False),
        sa.CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),
        sa.CheckConstraint("(role = 'admin') = (service_point_id IS NULL)", name="admins_have_no_station"),
    )
    op.create_index("ix_invitations_service_point_id", "invitations", ["service_point_id"])
    op.create_table(
        "usage_counts",
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE"), primary_key=True
        ),
        sa.Column("hour", instant, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
    )


def downgrade():
    op.drop_table("usage_counts")
    op.drop_table("invitations")
    op.drop_column("service_points", "settings_revision")
    op.drop_column("users", "last_seen_at")

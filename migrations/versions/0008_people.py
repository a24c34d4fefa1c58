"""People of the stations, what they may do and where, and their signed-in browsers."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "users",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("email", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("locale", sa.Text, nullable=False, server_default="ru"),
        sa.Column("active", sa.Boolean, nullable=False, server_default="1"),
        sa.Column("created_at", instant, nullable=False),
    )
    op.create_table(
        "user_roles",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE")),
        sa.Column("role", sa.Text, nullable=False),
        sa.UniqueConstraint("user_id", "service_point_id"),
        sa.CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),
        sa.CheckConstraint("(role = 'admin') = (service_point_id IS NULL)", name="admins_have_no_station"),
    )
    op.create_table(
        "user_sessions",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("last_seen_at", instant, nullable=False),
    )
    op.create_index("ix_user_sessions_user_id", "user_sessions", ["user_id"])
    op.create_table(
        "login_attempts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at", instant, nullable=False),
    )
    op.create_index("ix_login_attempts_subject_at", "login_attempts", ["subject", "at"])


def downgrade():
    op.drop_table("login_attempts")
    op.drop_table("user_sessions")
    op.drop_table("user_roles")
    op.drop_table("users")

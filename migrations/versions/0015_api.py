"""Tokens of programs, and the sites on which a station's customers may be."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token_hash", sa.Text, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
        sa.Column("service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE")),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("revoked_at", instant),
        sa.CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),
    )
    op.create_index("ix_api_tokens_service_point_id", "api_tokens", ["service_point_id"])
    op.add_column("service_points", sa.Column("web_origins", sa.JSON, nullable=False, server_default="[]"))


def downgrade():
    op.drop_column("service_points", "web_origins")
    op.drop_table("api_tokens")

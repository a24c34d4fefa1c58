"""Calendars that follow a station or a post."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "calendar_feeds",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("token_hash", sa.Text, nullable=False, unique=True),
        sa.Column("service_point_id", sa.Integer, nullable=False),
        sa.Column("service_post_id", sa.Integer),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("revoked_at", instant),
        sa.ForeignKeyConstraint(["service_point_id"], ["service_points.id"], ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_calendar_feeds_service_point_id", "calendar_feeds", ["service_point_id"])


def downgrade():
    op.drop_table("calendar_feeds")

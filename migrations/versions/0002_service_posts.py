"""Expand: a row for every post, so that each can have a slot length of its own.

The old code goes on reading `service_points.post_count`. Going down loses what the old shape cannot say: names,
descriptions, and slot lengths that differ within a station.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.create_table(
        "service_posts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="RESTRICT"), nullable=False
        ),
        sa.Column("post_number", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False, server_default=""),
        sa.Column("description", sa.Text, nullable=False, server_default=""),
        sa.Column("slot_duration", sa.Integer, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False, server_default="1"),
        sa.UniqueConstraint("service_point_id", "post_number"),
        sa.UniqueConstraint("id", "service_point_id"),
        sa.CheckConstraint("slot_duration BETWEEN 5 AND 480", name="slot_duration"),
        sa.CheckConstraint("post_number BETWEEN 1 AND 999", name="post_number"),
    )


def downgrade():
    op.drop_table("service_posts")

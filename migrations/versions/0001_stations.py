"""Stations, as the old system had them: a number of posts, and one slot length for all of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade():
    op.create_table(
        "service_points",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("slug", sa.Text, nullable=False, unique=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("city", sa.Text, nullable=False, server_default=""),
        sa.Column("address", sa.Text, nullable=False, server_default=""),
        sa.Column("phone", sa.Text, nullable=False, server_default=""),
        sa.Column("email", sa.Text),
        sa.Column("time_zone", sa.Text, nullable=False, server_default="Europe/Kyiv"),
        sa.Column("active", sa.Boolean, nullable=False, server_default="1"),
        sa.Column("post_count", sa.Integer),
        sa.Column("default_slot_duration", sa.Integer),
    )


def downgrade():
    op.drop_table("service_points")

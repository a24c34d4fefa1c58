"""What has come from the old system, row by row."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "imported_rows",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("old_id", sa.Text, nullable=False),
        sa.Column("new_id", sa.Integer),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        sa.Column("service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE")),
        sa.Column("data", sa.JSON, nullable=False, server_default="{}"),
        sa.Column("settled_at", instant),
        sa.UniqueConstraint("kind", "old_id"),
        sa.CheckConstraint("state IN ('written', 'clash', 'unplaced')", name="state"),
        sa.CheckConstraint("(state = 'written') = (new_id IS NOT NULL)", name="written_has_become_something"),
    )
    op.create_index("ix_imported_rows_service_point_id", "imported_rows", ["service_point_id"])


def downgrade():
    op.drop_table("imported_rows")

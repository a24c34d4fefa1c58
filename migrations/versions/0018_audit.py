"""The audit trail: who has changed what at a station, from what to what."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", instant, nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="RESTRICT")),
        sa.Column("service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE")),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("thing_id", sa.Text, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
    )
    op.create_index("ix_audit_entries_service_point_id_id", "audit_entries", ["service_point_id", "id"])
    op.create_index("ix_audit_entries_kind_thing_id", "audit_entries", ["kind", "thing_id"])


def downgrade():
    op.drop_table("audit_entries")

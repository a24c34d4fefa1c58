"""Webhooks: addresses that a station tells about its bookings, and what each is still to be told.

And what requests with a key of their own were answered.
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")
WAITS = sa.text("state = 'pending'")


def upgrade():
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.JSON, nullable=False),
        sa.Column("seed", sa.Text, nullable=False, unique=True),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("failing_since", instant),
        sa.Column("switched_off_at", instant),
        sa.Column("created_at", instant, nullable=False),
    )
    op.create_index("ix_webhook_endpoints_service_point_id", "webhook_endpoints", ["service_point_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column(
            "webhook_endpoint_id", sa.Integer, sa.ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("message_id", sa.Text, nullable=False, unique=True),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="pending"),
        sa.Column("due_at", instant, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("lease", sa.Text),
        sa.Column("leased_until", instant),
        sa.Column("sent_at", instant),
        sa.Column("last_status", sa.Integer),
        sa.Column("last_error", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", instant, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed', 'cancelled')", name="state"),
        sa.CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_has_its_time"),
    )
    op.create_index(
        "ix_webhook_deliveries_due_at",
        "webhook_deliveries",
        ["due_at"],
        postgresql_where=WAITS,
        sqlite_where=WAITS,
    )
    op.create_index("ix_webhook_deliveries_webhook_endpoint_id", "webhook_deliveries", ["webhook_endpoint_id"])
    op.create_index("ix_webhook_deliveries_created_at", "webhook_deliveries", ["created_at"])
    op.create_table(
        "answered_requests",
        sa.Column("name_hash", sa.Text, primary_key=True),
        sa.Column("request_hash", sa.Text, nullable=False),
        sa.Column("answer", sa.JSON, nullable=False),
        sa.Column("at", instant, nullable=False),
    )
    op.create_index("ix_answered_requests_at", "answered_requests", ["at"])


def downgrade():
    op.drop_table("answered_requests")
    op.drop_table("webhook_deliveries")
    op.drop_table("webhook_endpoints")

"""Bookings. One that lives owns a reservation and has its post and time, by a foreign key over all four."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")

LIVE = "('pending', 'confirmed', 'arrived', 'in_progress')"
STATUSES = (
    "('pending', 'confirmed', 'arrived', 'in_progress', 'completed',"
    " 'cancelled_by_customer', 'cancelled_by_station', 'no_show')"
)


def upgrade():
    op.create_table(
        "bookings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("number", sa.Text, nullable=False, unique=True),
        sa.Column(
            "service_point_id", sa.Integer, sa.ForeignKey("service_points.id", ondelete="RESTRICT"), nullable=False
        ),
        sa.Column("reservation_id", sa.Integer, unique=True),
        sa.Column("service_post_id", sa.Integer, nullable=False),
        sa.Column("starts_at", instant, nullable=False),
        sa.Column("ends_at", instant, nullable=False),
        sa.Column("car_type_id", sa.Integer, sa.ForeignKey("car_types.id", ondelete="RESTRICT"), nullable=False),
        sa.Column("plate", sa.Text, nullable=False, server_default=""),
        sa.Column("customer_name", sa.Text, nullable=False),
        sa.Column("customer_phone", sa.Text, nullable=False),
        sa.Column("customer_email", sa.Text),
        sa.Column("notes", sa.Text, nullable=False, server_default=""),
        sa.Column("total_duration", sa.Integer, nullable=False),
        sa.Column("total_price", sa.Integer, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("locale", sa.Text, nullable=False),
        sa.Column("consent_at", instant),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("arrived_at", instant),
        sa.Column("started_at", instant),
        sa.Column("completed_at", instant),
        sa.Column("cancel_reason", sa.Text, nullable=False, server_default=""),
        sa.Column("revision", sa.Integer, nullable=False, server_default="1"),
        sa.ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["reservation_id", "service_post_id", "starts_at", "ends_at"],
            ["reservations.id", "reservations.service_post_id", "reservations.starts_at", "reservations.ends_at"],
            onupdate="CASCADE",
            ondelete="RESTRICT",
        ),
        sa.CheckConstraint(f"status IN {STATUSES}", name="status"),
        sa.CheckConstraint(f"(status IN {LIVE}) = (reservation_id IS NOT NULL)", name="live_owns_its_time"),
        sa.CheckConstraint("source IN ('online', 'staff', 'walk_in', 'api')", name="source"),
        sa.CheckConstraint("starts_at < ends_at", name="forwards"),
        sa.CheckConstraint("total_duration > 0", name="total_duration"),
    )
    op.create_index("ix_bookings_service_point_id_starts_at", "bookings", ["service_point_id", "starts_at"])
    op.create_index("ix_bookings_customer_phone", "bookings", ["customer_phone"])
    op.create_table(
        "booking_services",
        sa.Column("booking_id", sa.Integer, sa.ForeignKey("bookings.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("service_id", sa.Integer, sa.ForeignKey("services.id", ondelete="RESTRICT"), nullable=False),
        sa.Column("names", sa.JSON, nullable=False),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.Column("price", sa.Integer, nullable=False),
    )
    op.create_table(
        "booking_links",
        sa.Column("token_hash", sa.Text, primary_key=True),
        sa.Column("booking_id", sa.Integer, sa.ForeignKey("bookings.id", ondelete="CASCADE"), nullable=False),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("revoked_at", instant),
    )
    op.create_index("ix_booking_links_booking_id", "booking_links", ["booking_id"])
    op.create_table(
        "booking_events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("booking_id", sa.Integer, sa.ForeignKey("bookings.id", ondelete="CASCADE"), nullable=False),
        sa.Column("at", instant, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id", ondelete="RESTRICT")),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("before", sa.JSON, nullable=False),
        sa.Column("after", sa.JSON, nullable=False),
        sa.CheckConstraint("actor IN ('customer', 'user', 'system')", name="actor"),
    )
    op.create_index("ix_booking_events_booking_id", "booking_events", ["booking_id"])


def downgrade():
    op.drop_table("booking_events")
    op.drop_table("booking_links")
    op.drop_table("booking_services")
    op.drop_table("bookings")

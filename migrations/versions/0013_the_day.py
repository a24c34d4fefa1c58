"""The day at the station: a lane for those who wait, screens that ask whether anything is new, tablets of posts."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")


def upgrade():
    op.add_column("bookings", sa.Column("expected_end_at", instant))
    op.create_table(
        "waiting_visits",
        sa.Column("id", sa.Integer, primary_key=True),
        reference("service_point_id", "service_points.id", "CASCADE"),
        sa.Column("nonce_hash", sa.Text, nullable=False),
        reference("car_type_id", "car_types.id", "RESTRICT"),
        sa.Column("service_ids", sa.JSON, nullable=False),
        sa.Column("minutes", sa.Integer, nullable=False),
        sa.Column("plate", sa.Text, nullable=False, server_default=""),
        sa.Column("customer_phone", sa.Text, nullable=False, server_default=""),
        sa.Column("arrived_at", instant, nullable=False),
        sa.Column("left_at", instant),
        sa.Column("booking_id", sa.Integer, sa.ForeignKey("bookings.id", ondelete="CASCADE")),
        sa.UniqueConstraint("nonce_hash"),
        sa.CheckConstraint("minutes > 0", name="minutes"),
        sa.CheckConstraint("booking_id IS NULL OR left_at IS NOT NULL", name="placed_has_left_the_lane"),
    )
    op.create_index(
        "ix_waiting_visits_service_point_id_arrived_at", "waiting_visits", ["service_point_id", "arrived_at"]
    )
    op.create_table(
        "board_revisions",
        reference("service_point_id", "service_points.id", "CASCADE", primary_key=True),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_table(
        "bay_devices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("service_point_id", sa.Integer, nullable=False),
        sa.Column("service_post_id", sa.Integer, nullable=False),
        sa.Column("code_hash", sa.Text),
        sa.Column("code_expires_at", instant),
        sa.Column("token_hash", sa.Text),
        sa.Column("created_at", instant, nullable=False),
        sa.Column("paired_at", instant),
        sa.Column("last_seen_at", instant),
        sa.Column("revoked_at", instant),
        sa.ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("code_hash"),
        sa.UniqueConstraint("token_hash"),
        sa.CheckConstraint("(code_hash IS NULL) = (code_expires_at IS NULL)", name="codes_expire"),
    )
    op.create_index("ix_bay_devices_service_point_id", "bay_devices", ["service_point_id"])


def downgrade():
    op.drop_table("bay_devices")
    op.drop_table("board_revisions")
    op.drop_table("waiting_visits")
    op.drop_column("bookings", "expected_end_at")


def reference(column, target, on_delete, primary_key=False):
    return sa.Column(
        column,
        sa.Integer,
        sa.ForeignKey(target, ondelete=on_delete),
        nullable=False,
        primary_key=primary_key,
        autoincrement=False,
    )

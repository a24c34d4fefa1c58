"""Reminders, and letters that are about no booking: a station's day, the health of the installation.

The station says which of them it wants, a customer says that they will come or that reminders are enough.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

instant = sa.DateTime(timezone=True).with_variant(sa.Integer, "sqlite")
OF_NO_BOOKING = sa.text("booking_id IS NULL")


def upgrade():
    for name in ("send_reminders", "send_thanks", "send_summary"):
        op.add_column("service_points", sa.Column(name, sa.Boolean, nullable=False, server_default="1"))
    op.add_column("service_points", sa.Column("review_url", sa.Text, nullable=False, server_default=""))
    op.add_column("bookings", sa.Column("coming_revision", sa.Integer))
    op.create_table(
        "letter_stops",
        sa.Column(
            "service_point_id",
            sa.Integer,
            sa.ForeignKey("service_points.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("email", sa.Text, primary_key=True),
        sa.Column("created_at", instant, nullable=False),
    )
    with op.batch_alter_table("notifications") as notifications:
        notifications.alter_column("booking_id", existing_type=sa.Integer, nullable=True)
        notifications.add_column(
            sa.Column(
                "service_point_id",
                sa.Integer,
                sa.ForeignKey(
                    "service_points.id",
                    ondelete="CASCADE",
                    name="fk_notifications_service_point_id",
                ),
            )
        )
        notifications.add_column(sa.Column("topic", sa.Text, nullable=False, server_default=""))
        notifications.add_column(sa.Column("facts", sa.JSON))
    op.execute(
        "UPDATE notifications SET service_point_id ="
        " (SELECT service_point_id FROM bookings WHERE bookings.id = notifications.booking_id)"
    )
    op.create_index("ix_notifications_service_point_id_due_at", "notifications", ["service_point_id", "due_at"])
    op.create_index(
        "ix_notifications_topic",
        "notifications",
        ["kind", "topic", "recipient"],
        unique=True,
        postgresql_where=OF_NO_BOOKING,
        sqlite_where=OF_NO_BOOKING,
    )


def downgrade():
    op.execute("DELETE FROM notifications WHERE booking_id IS NULL")
    op.drop_index("ix_notifications_topic", "notifications")
    op.drop_index("ix_notifications_service_point_id_due_at", "notifications")
    with op.batch_alter_table("notifications") as notifications:
        for name in ("facts", "topic", "service_point_id"):
            notifications.drop_column(name)
        notifications.alter_column("booking_id", existing_type=sa.Integer, nullable=False)
    op.drop_table("letter_stops")
    op.drop_column("bookings", "coming_revision")
    for name in ("review_url", "send_summary", "send_thanks", "send_reminders"):
        op.drop_column("service_points", name)

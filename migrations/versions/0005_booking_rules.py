"""Each station's rules for booking, its money and language, and how far its offers have been generated."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade():
    for column in (
        sa.Column("country", sa.Text, nullable=False, server_default="UA"),
        sa.Column("currency", sa.Text, nullable=False, server_default="UAH"),
        sa.Column("locale", sa.Text, nullable=False, server_default="ru"),
        within("hold_minutes", 5, 30, default=15),
        within("lead_minutes", 0, 10080, default=30),
        within("horizon_days", 1, 366, default=60),
        within("cancel_cutoff_minutes", 0, 10080, default=120),
        sa.Column("auto_confirm", sa.Boolean, nullable=False, server_default="1"),
        within("max_open_bookings_per_contact", 1, 100, default=3, check="max_open_bookings"),
        sa.Column("slots_until", sa.Date),
    ):
        op.add_column("service_points", column)


def downgrade():
    for column in (
        "slots_until",
        "max_open_bookings_per_contact",
        "auto_confirm",
        "cancel_cutoff_minutes",
        "horizon_days",
        "lead_minutes",
        "hold_minutes",
        "locale",
        "currency",
        "country",
    ):
        op.drop_column("service_points", column)


def within(column, least, most, default, check=None):
    """The check stands at the column: so SQLite adds and drops it without rebuilding the table."""
    bounds = sa.CheckConstraint(f"{column} BETWEEN {least} AND {most}", name=check or column)
    return sa.Column(column, sa.Integer, bounds, nullable=False, server_default=str(default))

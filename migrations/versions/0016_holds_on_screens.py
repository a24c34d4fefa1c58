"""The few holds of a station, for its screens: they ask for them every few seconds."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade():
    few = sa.text("expires_at IS NOT NULL")
    op.create_index(
        "ix_reservations_held",
        "reservations",
        ["service_point_id", "expires_at"],
        postgresql_where=few,
        sqlite_where=few,
    )


def downgrade():
    op.drop_index("ix_reservations_held", table_name="reservations")

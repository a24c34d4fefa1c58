"""Posts in an order of the station's own, and a slot length that begins on a day to come."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade():
    op.add_column("service_posts", sa.Column("position", sa.Integer, nullable=False, server_default="0"))
    # The checks stand at the columns: so SQLite adds and drops them without rebuilding the table.
    length = sa.CheckConstraint("next_slot_duration BETWEEN 5 AND 480", name="next_slot_duration")
    op.add_column("service_posts", sa.Column("next_slot_duration", sa.Integer, length))
    both = sa.CheckConstraint("(next_from IS NULL) = (next_slot_duration IS NULL)", name="next_length_has_its_day")
    op.add_column("service_posts", sa.Column("next_from", sa.Date, both))


def downgrade():
    for column in ("next_from", "next_slot_duration", "position"):
        op.drop_column("service_posts", column)

"""What stands in the way of a visit, as the bay reports it."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

PROBLEMS = "('', 'another_post', 'no_part', 'customer_refused', 'breakdown')"


def upgrade():
    known = sa.CheckConstraint(f"problem IN {PROBLEMS}", name="problem")
    op.add_column("bookings", sa.Column("problem", sa.Text, known, nullable=False, server_default=""))


def downgrade():
    op.drop_column("bookings", "problem")

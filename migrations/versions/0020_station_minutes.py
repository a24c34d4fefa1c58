"""A station's own minutes of a service on a type of car, beside its price."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade():
    with op.batch_alter_table("service_prices") as prices:
        prices.add_column(sa.Column("minutes", sa.Integer))
        prices.create_check_constraint("minutes", "minutes BETWEEN 5 AND 480")


def downgrade():
    with op.batch_alter_table("service_prices") as prices:
        prices.drop_constraint("minutes", type_="check")
        prices.drop_column("minutes")

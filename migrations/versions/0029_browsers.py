"""By what people know their sessions apart."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade():
    op.add_column("user_sessions", sa.Column("browser", sa.Text, nullable=False, server_default=""))


def downgrade():
    op.drop_column("user_sessions", "browser")

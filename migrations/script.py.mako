"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = "${up_revision}"
down_revision = "${down_revision}"

# The policy (delete this when the migration keeps it):
# - The old code runs while this does, and may have to run after it again. So a change comes in steps, a release each:
#   expand, backfill, contract. What drops, renames or forbids something stands in a file named …_contract.
# - Lock briefly: a lock that does not come in 2 s fails the migration, and it is run again later. On PostgreSQL add a
#   constraint to a big table NOT VALID and validate it in the next migration.
# - Move data in batches, through sa.table stubs: the models describe the newest schema, not this one. A migration that
#   moves data has a test with data both ways, on both databases, and does the right thing when it is run again.
# - op.add_column and op.drop_column before batch_alter_table: a batch rebuilds the table in SQLite, and that drops its
#   triggers. env.py refuses to end without them.
# - downgrade() works. Where it must lose something, the docstring says what.


def upgrade():
    ${upgrades if upgrades else "pass"}


def downgrade():
    ${downgrades if downgrades else "pass"}

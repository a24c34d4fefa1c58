"""Runs migrations on the app's own engine, one process at a time.

Each migration is one transaction, on SQLite too: it is kept whole, or it has not happened. Before it is kept, what a
migration can break without a word is looked at: rows that refer to nothing, and the guard against overlaps.
"""

import sqlite3
import time

from alembic import context
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from tirefit.database import WRITE, UtcDateTime, db, writers_queue
from tirefit.models.audit import SQLITE_JOURNAL_GUARD
from tirefit.models.schedule import OVERLAP_GUARD, SQLITE_GUARD, overlap_guard_is_there

PATIENCE = 600  # seconds that another process's migration may take before this one gives up

script = ScriptDirectory.from_config(context.config)


def run_migrations():
    if context.is_offline_mode():
        raise CommandError("Migrations move data, and so need the database: there is no --sql here.")
    until = time.monotonic() + PATIENCE
    with writers_queue(db.engine, until), db.engine.connect().execution_options(**WRITE) as connection:
        connection.detach()  # closed for good at the end, and with it what is set on it here
        if connection.dialect.name == "sqlite":
            prepare_sqlite(connection)
        else:
            prepare_postgresql(connection)
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            transaction_per_migration=True,
            transactional_ddl=True,  # SQLite can, and our BEGIN lets it
            on_version_apply=lambda ctx, heads, **_: require_whole(ctx.connection, heads),
            process_revision_directives=number_the_revision,
            render_as_batch=True,
            render_item=render_item,
        )
        with context.begin_transaction():
            context.run_migrations()
        require_whole(connection, context.get_context().get_current_heads())


def prepare_sqlite(connection):
    """Rebuilding a table drops the old one, and with foreign keys on that deletes its children. Off, until the end.

    SQLite ignores this pragma inside a transaction, so it is set on the connection itself before there is one.
    """
    if sqlite3.sqlite_version_info < (3, 35):
        raise CommandError(f"SQLite is {sqlite3.sqlite_version}; TireFit needs 3.35 or newer (DROP COLUMN).")
    connection.connection.dbapi_connection.execute("PRAGMA foreign_keys = OFF")


def prepare_postgresql(connection):
    """Wait for another process's migration, but not in a queue for a table: all its readers would wait behind us."""
    connection.exec_driver_sql("SET statement_timeout = 0")
    connection.exec_driver_sql(f"SET lock_timeout = '{PATIENCE}s'")
    connection.exec_driver_sql("SELECT pg_advisory_lock(hashtext('tirefit.migrations'))")
    connection.exec_driver_sql("SET lock_timeout = '2s'")
    connection.commit()


def require_whole(connection, heads):
    """Raise, and so undo the migration, if it left rows that refer to nothing or a newest schema without its guard."""
    if connection.dialect.name == "sqlite":
        orphans = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if orphans:
            pairs = sorted({f"{child} → {parent}" for child, _, parent, _ in orphans})
            raise CommandError(f"{len(orphans)} rows refer to nothing ({', '.join(pairs)}).")
    if not heads or set(heads) != set(script.get_heads()):
        return
    if connection.dialect.name == "sqlite":
        found = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = dict(found.all())
        meant = SQLITE_GUARD | SQLITE_JOURNAL_GUARD
        wrong = sorted(name for name in {*triggers, *meant} if triggers.get(name) != meant.get(name))
    else:
        wrong = [] if overlap_guard_is_there(connection) else [OVERLAP_GUARD]
    if wrong:
        raise CommandError(
            f"Not as the models define it: {', '.join(wrong)}. Without its guard the schema allows double bookings."
            " (Rebuilding a table in SQLite drops its triggers; the migration that does so makes them again.)"
        )


def number_the_revision(ctx, revision, directives):
    """0007 follows 0006: the folder reads as the history."""
    directives[0].rev_id = f"{int(script.get_current_head() or 0) + 1:04}"


def render_item(kind, item, autogen_context):
    """Migrations say what a column is in the database; our own types may change, they may not."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return 'sa.DateTime(timezone=True).with_variant(sa.Integer(), "sqlite")'
    return False


run_migrations()

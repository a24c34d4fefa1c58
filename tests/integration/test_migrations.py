"""The schema's history: every step up and down, with data in the tables, on both databases."""

import ast
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from flask import current_app
from sqlalchemy import event, insert, text
from sqlalchemy.exc import OperationalError

from tests.factories import kyiv
from tests.history import (
    VERSIONS,
    alembic_config,
    down,
    fresh_schema,
    posts,
    previous,
    read,
    revisions,
    schema,
    up,
    version,
    write,
    writing,
)
from tirefit.config import ROOT
from tirefit.database import db
from tirefit.models import OVERLAP_GUARD, Reservation

ON_SQLITE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

# --- the history as a whole


def test_each_step_down_restores_the_schema_that_the_step_up_found(old, empty_database):
    assert schema() == {}
    before = {}
    for revision in revisions():
        before[revision] = schema()
        up(revision)
    newest = schema()
    assert newest == fresh_schema(empty_database(old))

    for revision in reversed(revisions()):
        down(previous(revision))
        assert schema() == before[revision], revision

    up("head")
    assert schema() == newest


def test_the_models_ask_for_nothing_that_the_migrations_do_not_make(old):
    up("head")
    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), db.metadata) == []


def test_the_comparison_of_schemas_sees_what_could_be_forgotten(old):
    """The control of the tests above: each of these would be a silent loss."""
    up("head")
    whole = schema()
    losses = [
        "ALTER TABLE service_posts ADD COLUMN forgotten INTEGER",
        "DROP INDEX ix_bookings_customer_phone",
        "DROP INDEX ix_reservations_expires_at",
    ]
    losses += (
        [f"DROP TRIGGER {OVERLAP_GUARD}_insert", f"DROP TRIGGER {OVERLAP_GUARD}_update"]
        if old == "sqlite"
        else [
            f"ALTER TABLE reservations DROP CONSTRAINT {OVERLAP_GUARD}",
            "ALTER TABLE bookings DROP CONSTRAINT ck_bookings_live_owns_its_time",
            "ALTER TABLE service_posts ALTER COLUMN active DROP DEFAULT",
        ]
    )
    seen = [whole]
    for loss in losses:
        write(loss)
        seen.append(schema())
    assert all(earlier != later for earlier, later in itertools.pairwise(seen))


def test_there_is_one_newest_migration_and_its_file_is_the_last():
    script = ScriptDirectory(str(ROOT / "migrations"))
    names = sorted(path.stem for path in VERSIONS.glob("*.py"))
    assert script.get_heads() == [names[-1][:4]]
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]


@pytest.mark.parametrize("path", sorted(VERSIONS.glob("*.py")), ids=lambda path: path.stem)
def test_a_migration_keeps_the_policy(path):
    """No models, which describe another schema; nothing taken away from running code outside a contract."""
    tree = ast.parse(path.read_text())
    imported = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert not [name for name in imported if name.startswith("tirefit")]

    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert {"upgrade", "downgrade"} <= set(functions)
    upwards = " ".join(ast.dump(node) for name, node in functions.items() if name != "downgrade")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and {"nullable": True}.items() <= constants_of(node).items():
            upwards = upwards.replace(ast.dump(node), "")  # what may be empty from now on takes nothing away
    assert not asks_old_code_for_more(functions["upgrade"])
    takes_away = re.search(r"attr='(drop_\w+|alter_column|rename_table)'|DROP |RENAME ", upwards)
    assert bool(takes_away) == path.stem.endswith("_contract")


def asks_old_code_for_more(upgrade: ast.FunctionDef) -> list[str]:
    """Columns, added to a table that is there, that the release before knows nothing of and would have to fill."""
    added = [call for call in calls_in(upgrade) if name_of(call) == "add_column"]
    columns = [part for call in added for part in calls_in(call) if name_of(part) == "Column"]
    filled = [{word.arg for word in column.keywords} & {"server_default"} for column in columns]
    return [
        ast.unparse(column)
        for column, default in zip(columns, filled, strict=True)
        if constants_of(column).get("nullable") is False and not default
    ]


def calls_in(tree: ast.AST) -> list[ast.Call]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def test_a_column_that_old_code_would_have_to_fill_is_seen():
    wrong = "def upgrade():\n    op.add_column('t', sa.Column('c', sa.Integer, nullable=False))"
    right = wrong.replace("nullable=False", "nullable=False, server_default='1'")
    assert asks_old_code_for_more(ast.parse(wrong).body[0]) and not asks_old_code_for_more(ast.parse(right).body[0])


def name_of(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else ""


def constants_of(call: ast.Call) -> dict[str | None, object]:
    return {word.arg: word.value.value for word in call.keywords if isinstance(word.value, ast.Constant)}


def test_two_processes_may_migrate_the_same_database_at_once(old):
    other = dedent(
        """\
        import flask_migrate
        from tirefit import create_app
        with create_app().app_context():
            input("ready")
            flask_migrate.upgrade()
        """
    )
    environment = os.environ | {
        "DATABASE_URL": current_app.config["DATABASE_URL"],
        "TIREFIT_INSTANCE_PATH": current_app.config["INSTANCE_PATH"],
    }
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", other], cwd=ROOT, env=environment, text=True, **pipes) as process:
        assert process.stdout.read(5) == "ready", process.stderr.read()
        with slowly_after_the_first(lambda: print(file=process.stdin, flush=True)):
            up("head")
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 0, complaints
    assert version() == revisions()[-1]


@contextmanager
def slowly_after_the_first(start_the_other: Callable[[], None]) -> Iterator[None]:
    """Let the other process begin while our first migration ends, and leave it time to slip in before the next ones."""

    def wait(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if statement.startswith("INSERT INTO alembic_version"):
            start_the_other()
        if statement.startswith(("UPDATE alembic_version", "PRAGMA query_only")):
            time.sleep(0.05)

    event.listen(db.engine, "before_cursor_execute", wait)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", wait)


# --- what env.py promises for migrations yet to be written


@pytest.fixture
def next_migration(old: str, tmp_path: Path) -> Callable[[str], Config]:
    """Put a station with a reservation into today's schema, and write one more migration on top of it."""
    up("head")
    write("INSERT INTO service_points (slug, name) VALUES ('zimnyaya-5', 'Зимняя, 5')")
    write("INSERT INTO service_posts (service_point_id, post_number, slot_duration) VALUES (1, 1, 30)")
    write("INSERT INTO schedule_templates (service_point_id, name) VALUES (1, 'Неделя')")
    with writing() as connection:
        connection.execute(
            insert(Reservation).values(
                service_point_id=1,
                service_post_id=1,
                starts_at=kyiv("09:00"),
                ends_at=kyiv("10:00"),
                kind="walk_in",
                created_at=kyiv("08:00"),
            )
        )

    def put_on_top(upgrade: str) -> Config:
        head = revisions()[-1]
        text_of_it = dedent(
            """\
            import sqlalchemy as sa
            from alembic import op
            revision, down_revision = "next", {head!r}
            def upgrade():
            {body}
            def downgrade():
                pass
            """
        ).format(head=head, body="".join(f"    {line}\n" for line in dedent(upgrade).strip().splitlines()))
        (tmp_path / "next.py").write_text(text_of_it)
        config = alembic_config()
        config.set_main_option("version_locations", os.pathsep.join([str(VERSIONS), str(tmp_path)]))
        return config

    return put_on_top


def test_rebuilding_a_table_keeps_its_children_and_the_guard(next_migration):
    config = next_migration(
        """
        with op.batch_alter_table("service_points", recreate="always" if %s else "auto") as batch:
            batch.alter_column("city", new_column_name="town")
        """
        % (db.engine.dialect.name == "sqlite")
    )
    kept = schema()
    rows = [read(f"SELECT * FROM {table}") for table in ("service_posts", "schedule_templates", "reservations")]
    alembic.command.upgrade(config, "head")

    after = [read(f"SELECT * FROM {table}") for table in ("service_posts", "schedule_templates", "reservations")]
    assert after == rows
    assert [len(table) for table in after] == [1, 1, 1]
    assert schema()["reservations"] == kept["reservations"]


def test_a_migration_that_loses_the_guard_is_undone(next_migration):
    if db.engine.dialect.name == "sqlite":
        loses = (
            'with op.batch_alter_table("reservations", recreate="always") as batch:\n    batch.drop_column("reason")'
        )
    else:
        loses = f'op.drop_constraint("{OVERLAP_GUARD}", "reservations")'
    before = schema()
    with pytest.raises(CommandError, match=f"{OVERLAP_GUARD}.*double bookings"):
        alembic.command.upgrade(next_migration(loses), "head")
    assert (version(), schema()) == (revisions()[-1], before)


def test_a_guard_lost_outside_migrations_is_told_at_the_next_run(old):
    up("head")
    write(
        f"DROP TRIGGER {OVERLAP_GUARD}_update"
        if old == "sqlite"
        else f"ALTER TABLE reservations DROP CONSTRAINT {OVERLAP_GUARD}"
    )
    with pytest.raises(CommandError, match=OVERLAP_GUARD):
        up("head")


@ON_SQLITE
def test_a_migration_that_leaves_rows_that_refer_to_nothing_is_undone(next_migration):
    """While a migration runs, SQLite does not enforce foreign keys; PostgreSQL does, and needs no such look."""
    with pytest.raises(CommandError, match=r"rows refer to nothing.*reservations → service_posts"):
        alembic.command.upgrade(next_migration("op.execute('DELETE FROM service_posts')"), "head")
    assert len(read("SELECT * FROM service_posts")) == 1


def test_a_migration_that_fails_half_way_leaves_nothing(next_migration):
    config = next_migration(
        """
        op.create_table("half", sa.Column("id", sa.Integer, primary_key=True))
        op.add_column("service_posts", sa.Column("half", sa.Text))
        op.execute("UPDATE service_posts SET slot_duration = 45")
        op.execute("DELETE FROM schedule_templates")
        raise ZeroDivisionError
        """
    )
    before = schema(), posts()
    with pytest.raises(ZeroDivisionError):
        alembic.command.upgrade(config, "head")
    assert (schema(), posts(), version()) == (*before, revisions()[-1])
    assert len(read("SELECT * FROM schedule_templates")) == 1


@ON_SQLITE
def test_a_migration_on_a_full_disk_leaves_nothing_and_is_made_when_there_is_room(next_migration):
    config = next_migration(
        """
        op.create_table("copies", sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
        op.execute("UPDATE service_posts SET slot_duration = 45")
        op.execute("INSERT INTO copies (text) SELECT hex(zeroblob(100000)) FROM service_posts")
        """
    )
    before = schema(), posts()
    is_full = [True]

    def no_more_room(connection, record):
        if is_full:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    event.listen(db.engine, "connect", no_more_room)
    db.engine.dispose()
    with pytest.raises(OperationalError, match="disk is full"):
        alembic.command.upgrade(config, "head")
    assert (schema(), posts(), version()) == (*before, revisions()[-1])

    is_full.clear()
    db.engine.dispose()
    alembic.command.upgrade(config, "head")
    assert read("SELECT length(text) FROM copies") == [(200000,)]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_migration_does_not_wait_long_for_a_table_in_use(old):
    """Whoever waits for a whole table makes all others wait behind it. On SQLite readers are in nobody's way."""
    up("0003")
    with db.engine.connect() as reader:
        reader.execute(text("SELECT * FROM service_points"))
        with pytest.raises(OperationalError, match="lock timeout"):
            up("0004")
    assert version() == "0003"
    up("0004")


def test_foreign_keys_hold_again_after_a_migration(old):
    up("head")
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        write("INSERT INTO service_posts (service_point_id, post_number, slot_duration) VALUES (7, 1, 30)")


@ON_SQLITE
@pytest.mark.parametrize("by_itself", [False, True], ids=["by hand", "from the models"])
def test_a_new_migration_is_numbered_and_carries_the_policy(old, tmp_path, by_itself):
    up("head")
    config = alembic_config()
    config.set_main_option("version_locations", os.pathsep.join([str(VERSIONS), str(tmp_path)]))
    made = alembic.command.revision(config, "What for", autogenerate=by_itself, version_path=str(tmp_path))
    number = f"{len(revisions()) + 1:04}"
    assert Path(made.path).name == f"{number}_what_for.py"
    source = Path(made.path).read_text()
    assert "expand, backfill, contract" in source
    assert ast.unparse(ast.parse(source)).count("pass") == 2  # the models and the schema agree: nothing to do


def test_without_the_database_there_is_no_migration(old):
    with pytest.raises(CommandError, match="--sql"):
        alembic.command.upgrade(alembic_config(), "head", sql=True)

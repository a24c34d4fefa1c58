"""Going up and down the schema's history, and looking at what the database then is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from flask import current_app
from sqlalchemy import Connection, Engine, create_engine, inspect, text

from tirefit import create_app
from tirefit.config import ROOT
from tirefit.database import WRITE, db, engine_options

VERSIONS = ROOT / "migrations" / "versions"


@contextmanager
def app_on(url: str, instance: Path) -> Iterator[None]:
    app = create_app(TESTING=True, DATABASE_URL=url, INSTANCE_PATH=str(instance))
    with app.app_context():
        try:
            yield
        finally:
            db.session.remove()
            db.engine.dispose()


@contextmanager
def engine_on(url: str, **options: Any) -> Iterator[Engine]:
    """An engine of the test's own. It leaves no connection behind, whatever happens: one that is still open when it is
    forgotten is a warning in some later test.
    """
    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def alembic_config() -> Config:
    return current_app.extensions["migrate"].migrate.get_config()


def up(revision: str) -> None:
    alembic.command.upgrade(alembic_config(), revision)


def down(revision: str) -> None:
    alembic.command.downgrade(alembic_config(), revision)


def revisions() -> list[str]:
    return sorted(path.name[:4] for path in VERSIONS.glob("*.py"))


def previous(revision: str) -> str:
    return "base" if revision == "0001" else f"{int(revision) - 1:04}"


def version() -> str:
    return read("SELECT version_num FROM alembic_version")[0][0]


@contextmanager
def writing() -> Iterator[Connection]:
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        yield connection


def write(sql: str) -> None:
    with writing() as connection:
        connection.execute(text(sql))


def read(sql: str) -> list[tuple[Any, ...]]:
    with db.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(sql))]


def posts() -> list[tuple[Any, ...]]:
    return read(
        "SELECT id, service_point_id, post_number, name, description, slot_duration, active"
        " FROM service_posts ORDER BY id"
    )


def fresh_schema(url: str) -> dict[str, Any]:
    options = engine_options(url) | {"execution_options": WRITE}
    with engine_on(url, **options) as engine, engine.begin() as connection:
        db.metadata.create_all(connection)
        return schema_of(connection)


def schema() -> dict[str, Any]:
    with db.engine.connect() as connection:
        return schema_of(connection)


def schema_of(connection: Connection) -> dict[str, Any]:
    """table → its parts by name, as the database itself tells them. The order of columns is no part of it."""
    inspector = inspect(connection)
    tables = [name for name in inspector.get_table_names() if name != "alembic_version"]
    describe = sqlite_table if connection.dialect.name == "sqlite" else postgresql_table
    return {name: describe(connection, name) for name in tables}


def sqlite_table(connection: Connection, table: str) -> dict[str, Any]:
    inspector = inspect(connection)
    kind, _, without_rowid, strict = connection.exec_driver_sql(f"PRAGMA table_list('{table}')").one()[2:]
    return {
        "kind": (kind, without_rowid, strict),
        "columns": {row[1]: row[2:] for row in connection.exec_driver_sql(f"PRAGMA table_xinfo('{table}')")},
        "primary key": inspector.get_pk_constraint(table),
        "unique": {each["name"]: each["column_names"] for each in inspector.get_unique_constraints(table)},
        "checks": {each["name"]: each["sqltext"] for each in inspector.get_check_constraints(table)},
        "foreign keys": {each["name"]: each for each in inspector.get_foreign_keys(table)},
        "indexes and triggers": {
            name: " ".join(sql.split())
            for name, sql in connection.exec_driver_sql(
                "SELECT name, sql FROM sqlite_master WHERE tbl_name = ? AND type <> 'table' AND sql IS NOT NULL",
                (table,),
            )
        },
    }


def postgresql_table(connection: Connection, table: str) -> dict[str, Any]:
    def named(sql: str) -> dict[str, Any]:
        return {row[0]: tuple(row[1:]) for row in connection.execute(text(sql), {"table": table})}

    return {
        "columns": named(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull, attidentity,"
            " pg_get_expr(adbin, adrelid) FROM pg_attribute"
            " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
            " WHERE attrelid = to_regclass(:table) AND attnum > 0 AND NOT attisdropped"
        ),
        "constraints": named(
            "SELECT conname, contype, convalidated, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conrelid = to_regclass(:table)"
        ),
        "indexes": named("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :table"),
        "triggers": named(
            "SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger"
            " WHERE tgrelid = to_regclass(:table) AND NOT tgisinternal"
        ),
    }

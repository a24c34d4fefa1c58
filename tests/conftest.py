"""The stage: real databases, a real Valkey, a real mail server, and a clock that stands at Monday nine o'clock.

A test that asks for `app` (or anything made of it) runs twice, on SQLite and on PostgreSQL; any other test runs once.
The cast stands in factories.py, the servers in services.py.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask_migrate
import psycopg
import pytest
import time_machine
from flask import Flask
from flask.testing import FlaskClient
from redis import Redis
from sqlalchemy import Engine, event, make_url
from sqlalchemy.orm import close_all_sessions
from werkzeug.test import TestResponse

from tests import factories, pages
from tests.factories import MONDAY, kyiv
from tests.services import MailServer, Services, chromium
from tirefit import create_app
from tirefit.database import WRITE, db
from tirefit.models import ServicePoint, User

DIALECTS = ("sqlite", "postgresql")

# For a walk over every route, which asks the web layer and no database in particular.
ON_ONE_DATABASE = pytest.mark.parametrize("database", ["sqlite"])
# `make trials` asks for long forms; `make test` for short ones.
TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))

BROWSER_TESTS = Path(__file__).parent / "e2e"

services_key = pytest.StashKey[Services]()


# --- servers: one of each for a run. With -n, the process in charge starts them and tells the others where they are.


def pytest_configure(config: pytest.Config) -> None:
    if not chromium() and os.environ.get("TIREFIT_REQUIRE_BROWSER"):
        raise pytest.UsageError(
            "the browser tests are asked for, and there is no Chromium (scripts/install-system chromium)"
        )
    started_elsewhere = getattr(config, "workerinput", {}).get("services")
    config.stash[services_key] = Services(started_elsewhere)
    config.add_cleanup(config.stash[services_key].close)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    node.workerinput["services"] = node.config.stash[services_key].start_all()


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    return True if collection_path.is_relative_to(BROWSER_TESTS) and not chromium() else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not chromium():
        terminalreporter.write_line("The browser tests did not run: no Chromium here. `make e2e` installs one.")


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Services:
    return pytestconfig.stash[services_key]


@pytest.fixture(scope="session")
def redis_url(services: Services, worker_id: str) -> str:
    """A Valkey database that no other process of this run uses."""
    return f"{services.redis}?db={int(worker_id.removeprefix('gw')) + 1 if worker_id != 'master' else 0}"


@pytest.fixture(scope="session")
def mail_server() -> Iterator[MailServer]:
    server = MailServer()
    yield server
    server.close()


@pytest.fixture
def smtp(mail_server: MailServer) -> MailServer:
    """What has been received: `smtp.messages`. Empty when the test begins."""
    mail_server.forget()
    return mail_server


# --- databases: migrated once for each process, copied where a test wants one of its own


@pytest.fixture(scope="session")
def empty_database(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """`empty_database("sqlite")` is the URL of a new database without a single table."""

    def create(dialect: str, template: str = "template0") -> str:
        name = f"tirefit_{uuid.uuid4().hex[:12]}"
        if dialect == "sqlite":
            return f"sqlite:///{tmp_path_factory.mktemp('database')}/{name}.db"
        administration = services.postgresql.format("postgres").replace("+psycopg", "")
        with psycopg.connect(administration, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return services.postgresql.format(name)

    return create


@pytest.fixture(scope="session")
def new_database(empty_database: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """`new_database("sqlite")` is the URL of a database of its own with today's schema, for tests with processes."""
    migrated: dict[str, str] = {}

    def create(dialect: str) -> str:
        if dialect not in migrated:
            url = empty_database(dialect)
            migrate(url, tmp_path_factory.mktemp("instance"))
            migrated[dialect] = url
        if dialect == "sqlite":
            url = empty_database(dialect)
            shutil.copy(make_url(migrated[dialect]).database, make_url(url).database)
            return url
        return empty_database(dialect, template=make_url(migrated[dialect]).database)

    return create


@pytest.fixture(params=DIALECTS)
def database(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def apps(
    new_database: Callable[[str], str],
    mail_server: MailServer,
    redis_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], Flask]]:
    """One app for each dialect, made when the first test asks for it."""
    made: dict[str, Flask] = {}

    def get(dialect: str) -> Flask:
        if dialect not in made:
            made[dialect] = create_app(
                TESTING=True,
                INSTANCE_PATH=str(tmp_path_factory.mktemp("instance")),
                DATABASE_URL=new_database(dialect),
                REDIS_URL=redis_url,
                BASE_URL="https://tirefit.test",
                MAIL_SERVER=mail_server.host,
                MAIL_PORT=mail_server.port,
                WTF_CSRF_ENABLED=False,
            )
            made[dialect].test_client_class = Browser
        return made[dialect]

    yield get
    for app in made.values():
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(database: str, apps: Callable[[str], Flask], at: object, redis_url: str) -> Iterator[Flask]:
    """The program on an empty database, with its context pushed: domain functions can be called as they are."""
    app = apps(database)
    with app.app_context():
        yield app
        empty_all_tables()
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A browser without JavaScript that complains about pages which are not well made (pages.py)."""
    return app.test_client()


@pytest.fixture
def station(app: Flask) -> ServicePoint:
    """«Зимняя, 5»: posts of 30, 40 and 30 minutes, open Monday to Saturday from nine to six."""
    return factories.station()


@pytest.fixture
def olga(station: ServicePoint) -> User:
    return factories.user("Ольга", "olga@example.com", "manager", station)


@pytest.fixture
def ivan(station: ServicePoint) -> User:
    return factories.user("Иван", "ivan@example.com", "staff", station)


@pytest.fixture
def stranger(station: ServicePoint) -> User:
    """Чужой, who manages «Летняя, 7» and has nothing to do with «Зимняя, 5»."""
    other = factories.station(slug="letnyaya-7", name="Летняя, 7", posts=(45,))
    return factories.user("Чужой", "chuzhoy@example.com", "manager", other)


class Browser(FlaskClient):
    """Looks at every page it fetches. After each request the test sees the database as it now is."""

    looks = True  # False: where many see the same pages, and looking at them takes longer than making them

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        try:
            response = super().open(*args, **kwargs)
        finally:
            db.session.rollback()
        if self.looks:
            pages.examine(response)
        return response


@pytest.fixture(autouse=True)
def at() -> Iterator[Callable[[str | datetime], datetime]]:
    """The clock stands at Monday nine o'clock. `at("10:30")`, `at("2026-11-03 10:30")` or `at(instant)` sets it."""
    with time_machine.travel(MONDAY.astimezone(UTC), tick=False) as clock:

        def set_clock(moment: str | datetime) -> datetime:
            if isinstance(moment, str):
                moment = kyiv(moment)
            clock.move_to(moment.astimezone(UTC), tick=False)
            return moment.astimezone(UTC)

        yield set_clock


def empty_all_tables() -> None:
    """Every test begins with nothing, and counts from one. (On PostgreSQL a tenth of what TRUNCATE takes.)"""
    close_all_sessions()
    tables = list(reversed(db.metadata.sorted_tables))
    statements = [f"DELETE FROM {table.name}" for table in tables]
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            counted = [f"pg_get_serial_sequence('{table.name}', 'id')" for table in tables if "id" in table.columns]
            restart = ", ".join(f"setval({sequence}, 1, false)" for sequence in counted)
            connection.exec_driver_sql("; ".join([*statements, f"SELECT {restart}"]))
        else:
            for statement in statements:
                connection.exec_driver_sql(statement)


def migrate(url: str, instance: Path) -> None:
    app = create_app(DATABASE_URL=url, INSTANCE_PATH=str(instance))
    with app.app_context():
        try:
            flask_migrate.upgrade()
        finally:
            db.engine.dispose()


@event.listens_for(Engine, "connect")
def _be_quick(connection: Any, record: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous = OFF")  # the data lives as long as the test run

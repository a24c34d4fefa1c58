"""The database, and the one way to change it: a command.

Outside a command every transaction is read-only, on both databases: a write that forgot its command fails at once.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cache, lru_cache, wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import DateTime, Dialect, Engine, Integer, MetaData, Text, TypeDecorator, event, text
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, registry
from sqlalchemy.types import TypeEngine

from tirefit import config
from tirefit.errors import Busy

try:
    import fcntl
except ImportError:  # Windows: writers wait in SQLite's own, less fair, way
    fcntl = None  # type: ignore[assignment]

P = ParamSpec("P")
R = TypeVar("R")

ATTEMPTS = 8
# Connection lost, no room, shutting down, cancelled by the timeout, read-only, disks, files; a lock that did not come
# for a reader (a command tries again); and, last, how a standby refuses to begin a transaction that writes: from a
# server that leads we ask for no feature it has not.
POSTGRESQL_IS_AWAY = ("08", "53", "57", "25006", "58", "55P03", "0A000")
SQLITE_IS_AWAY = ("disk is full", "disk I/O error", "readonly database", "unable to open", "is locked")
WRITE: Mapping[str, Any] = {"writes": True, "postgresql_readonly": False}
READ: Mapping[str, Any] = {"writes": False, "postgresql_readonly": True}


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: aware and in UTC on the Python side; timestamptz on PostgreSQL, whole seconds on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Integer() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"an instant needs a time zone: {value!r}")
        return int(value.timestamp()) if dialect.name == "sqlite" else value.astimezone(UTC)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """What `process_result_value` would do, for each of the many values of a question with one call instead of
        three.
        """
        if dialect.name == "sqlite":
            return _instant
        return lambda moment: None if moment is None else moment.astimezone(UTC)


@lru_cache(maxsize=20_000)  # every five minutes of 62 days: the posts' slots begin and end at the same few instants
def _instant(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# Named constraints: a migration can drop what another one made, and an error can be told by its name.
NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    registry = registry(
        metadata=MetaData(naming_convention=NAMES), type_annotation_map={datetime: UtcDateTime, str: Text}
    )


db = SQLAlchemy(model_class=Base, session_options={"expire_on_commit": False})


def engine_options(database_url: str) -> dict[str, Any]:
    """How the engine is made: reading is the default, waiting is bounded."""
    if make_url(database_url).get_backend_name() == "sqlite":
        return {"execution_options": READ}
    timeouts = "-c lock_timeout=5000 -c statement_timeout=10000 -c timezone=UTC"
    return {
        "execution_options": READ,
        "pool_pre_ping": True,
        "pool_timeout": 10,
        "connect_args": {"options": timeouts, "connect_timeout": 5, "prepare_threshold": None},
    }


def command(func: Callable[P, R]) -> Callable[P, R]:
    """Make `func` one transaction: all that it did is kept, or nothing is.

    A command does not call a command; what two commands share is a private function. It may run again from the start
    after a deadlock, a serialization failure or a lock that did not come: it must do nothing outside the database but
    `on_commit`. Raises Busy when the lock does not come in time.
    """

    @wraps(func)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        info = db.session().info
        if "command" in info:
            raise RuntimeError(f"{func.__name__} called inside {info['command']}")
        for attempt in range(1, ATTEMPTS + 1):
            db.session.rollback()  # whatever the reader saw before is read again, under the lock
            info.update(command=func.__name__, before_commit=[], on_commit=[])
            try:
                with writers_queue(db.engine):
                    db.session.connection(execution_options=dict(WRITE))
                    result = func(*args, **kwargs)
                    if keep := info.get("keep_result"):
                        keep(result)
                    for hook in info["before_commit"]:
                        hook()
                    db.session.commit()
            except DBAPIError as error:
                db.session.rollback()
                if not _worth_another_try(error):
                    raise
                if attempt == ATTEMPTS:
                    raise Busy() from error
                time.sleep(random.uniform(0.5, 1) * 0.005 * 2**attempt)
                continue
            except BaseException:
                db.session.rollback()
                raise
            finally:
                info.pop("command", None)
                info.pop("before_commit", None)
                hooks = info.pop("on_commit", [])
            for hook in hooks:
                hook()
            return result
        raise AssertionError("unreachable: the last attempt returns or raises")

    return run


def apart() -> AbstractContextManager[Any]:
    """Inside a command: what is refused in here leaves the rest of the command whole.

    On PostgreSQL that takes a savepoint; SQLite undoes the one statement that it refuses by itself.
    """
    return db.session.begin_nested() if db.engine.dialect.name == "postgresql" else nullcontext()


def one_at_a_time(subject: str) -> None:
    """Inside a command: let commands about the same subject wait for each other, before any of them has looked.

    A double tap then finds what the first one did. SQLite has one writer anyway.
    """
    if db.engine.dialect.name == "postgresql":
        db.session.execute(LOCK, {"subject": subject})


LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:subject, 0))")


def before_commit(hook: Callable[[], None]) -> None:
    """Run `hook` as the last thing of the current command, in its transaction. Asked for twice, it still runs once."""
    hooks = db.session().info["before_commit"]
    if hook not in hooks:
        hooks.append(hook)


@contextmanager
def kept_with_result(keep: Callable[[Any], None]) -> Iterator[None]:
    """Let the command that is called in this block write down its result, in its own transaction: both or neither."""
    info = db.session().info
    info["keep_result"] = keep
    try:
        yield
    finally:
        del info["keep_result"]


def on_commit(hook: Callable[[], None]) -> None:
    """Run `hook` after the current command has been committed, and only then. Asked for twice, it still runs once."""
    hooks = db.session().info["on_commit"]
    if hook not in hooks:
        hooks.append(hook)


def lost_to(error: DBAPIError, constraint: str) -> bool:
    """Was it this constraint, by its name, that refused? Every other database error stays an error."""
    diagnostics = getattr(error.orig, "diag", None)
    if diagnostics is not None:
        return bool(diagnostics.constraint_name == constraint)
    return constraint in str(error.orig)


def is_out_of_reach(error: Exception) -> bool:
    """Is the database away, full, closed for writing or too slow? Then nothing is wrong with what was asked of it, and
    it may work again in a while.
    """
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    if isinstance(state, str):
        return state.startswith(POSTGRESQL_IS_AWAY)
    words = str(error.orig)
    from_psycopg = type(error.orig).__module__.startswith("psycopg")
    return (
        error.connection_invalidated
        or (from_psycopg and isinstance(error, OperationalError))
        or any(said in words for said in SQLITE_IS_AWAY)
    )


def schema_state(connection: Connection) -> Literal["ok", "behind", "ahead"]:
    """Is the schema the one this code was written for? `ahead`: a newer release has migrated it, in a way that this one
    can live with (docs/decisions/0002-migrations.md). `behind`: run `flask db upgrade`.
    """
    newest, known = _migrations()
    found = set(MigrationContext.configure(connection).get_current_heads())
    if found == newest:
        return "ok"
    return "ahead" if found - known else "behind"


@cache
def _migrations() -> tuple[frozenset[str], frozenset[str]]:
    """The newest ones, and all."""
    script = ScriptDirectory(str(config.ROOT / "migrations"))
    return frozenset(script.get_heads()), frozenset(step.revision for step in script.walk_revisions())


def _worth_another_try(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    return state in {"40001", "40P01", "55P03"} or "database is locked" in str(error.orig)


@contextmanager
def writers_queue(engine: Engine) -> Iterator[None]:
    """On SQLite, let writers of all processes come in the order of their arrival.

    SQLite's busy handler sleeps and looks again, and so starves some writers for seconds; flock(2) wakes the next one.
    This is about fairness only: BEGIN IMMEDIATE and the triggers keep the data right without it.
    """
    path = _database_file(engine.url)
    if path is None or fcntl is None:
        yield
        return
    with open(f"{path}-queue", "ab") as queue:
        fcntl.flock(queue, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(queue, fcntl.LOCK_UN)


def _database_file(url: URL) -> Path | None:
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        return Path(url.database)
    return None


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, record: Any) -> None:
    """Every SQLite connection: durable, referentially whole, patient, and with BEGIN left to us."""
    if not type(connection).__module__.startswith("sqlite3"):
        return
    connection.isolation_level = None  # sqlite3 would begin by itself, deferred, and only before a write
    for pragma in ("busy_timeout = 10000", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


@event.listens_for(Engine, "begin")
def _begin_sqlite(connection: Connection) -> None:
    """A reader begins deferred and cannot write; a writer takes the lock at once instead of upgrading to it later.

    (An upgrade does not wait: 283 of 2,000 deferred writers failed with "database is locked" when measured.)
    """
    if connection.dialect.name != "sqlite":
        return
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

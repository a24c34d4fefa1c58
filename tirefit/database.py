"""The database, and the one way to change it: a command.

Outside a command every transaction is read-only, on both databases: a write that forgot its command fails at once.
"""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from functools import cache, lru_cache, wraps
from typing import IO, Any, Literal, ParamSpec, TypeVar

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
# Seconds that a command waits for its locks, all its tries together, before it says that it is Busy: while a person
# waits for the answer; for those who have time, and hold a lease of 90 seconds; and for what is worth no waiting.
PATIENCE, PATIENCE_OF_JOBS, NO_PATIENCE = 5.0, 30.0, 0.25
A_LOCK = 5  # seconds that PostgreSQL waits for each lock, when nothing else is said
SQLITE_WAITS = 10_000  # milliseconds, of a reader, and of a writer who is no command
MOST_IN_VAIN = 10  # turns in the writers' queue that a process has given up: then it is Busy at once
# Connection lost, no room, shutting down, cancelled by the timeout, read-only, stood still in a transaction, disks,
# files; a lock that did not come for a reader (a command tries again); and, last, how a standby refuses to begin a
# transaction that writes: from a server that leads we ask for no feature it has not.
POSTGRESQL_IS_AWAY = ("08", "53", "57", "25006", "25P03", "58", "55P03", "0A000")
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
    """How the engine is made: reading is the default, waiting is bounded, an error names nobody (hide_parameters)."""
    if make_url(database_url).get_backend_name() == "sqlite":
        return {"execution_options": READ, "hide_parameters": True}
    timeouts = f"-c lock_timeout={A_LOCK}s -c statement_timeout=10s -c idle_in_transaction_session_timeout=5min"
    return {
        "execution_options": READ,
        "hide_parameters": True,
        "pool_pre_ping": True,
        "pool_timeout": 10,
        "connect_args": {"options": f"{timeouts} -c timezone=UTC", "connect_timeout": 5, "prepare_threshold": None},
    }


def command(func: Callable[P, R]) -> Callable[P, R]:
    """Make `func` one transaction: all that it did is kept, or nothing is.

    A command does not call a command; what two commands share is a private function. It may run again from the start
    after a deadlock, a serialization failure or a lock that did not come: it must do nothing outside the database but
    `on_commit`. Raises Busy when its locks do not come in time, however often it has tried.
    """

    @wraps(func)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        info = db.session().info
        if "command" in info:
            raise RuntimeError(f"{func.__name__} called inside {info['command']}")
        deadline = time.monotonic() + info.get("patience", PATIENCE_OF_JOBS)
        for attempt in range(1, ATTEMPTS + 1):
            db.session.rollback()  # whatever the reader saw before is read again, under the lock
            info.update(command=func.__name__, before_commit=[], on_commit=[])
            try:
                with writers_queue(db.engine, deadline):
                    db.session.connection(execution_options={**WRITE, "deadline": deadline})
                    _wait_only_until(deadline)
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
                if attempt == ATTEMPTS or time.monotonic() >= deadline:
                    raise Busy() from error
                time.sleep(random.uniform(0.5, 1) * 0.005 * 2**attempt)  # noqa: S311 (so that two do not wait alike)
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


def somebody_waits() -> None:
    """From now on a person waits for what the commands of this session do: they give up sooner."""
    db.session().info["patience"] = PATIENCE


@contextmanager
def worth_no_waiting() -> Iterator[None]:
    """A note that is written beside a page, by the command that is called in this block: where it would have to wait,
    it is not written.
    """
    info = db.session().info
    before = info.get("patience", PATIENCE_OF_JOBS)
    info["patience"] = NO_PATIENCE
    try:
        with suppress(Busy):
            yield
    finally:
        info["patience"] = before


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


def let_go(_error: BaseException | None) -> None:
    """What a request has read is given back. Where the database has died since, the answer, which is made, goes out."""
    try:
        db.session.remove()
    except DBAPIError:
        db.session().invalidate()


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
def writers_queue(engine: Engine, deadline: float) -> Iterator[None]:
    """On SQLite, let writers of all processes come in the order of their arrival. Raises Busy when ours has not come
    by `deadline` (of the monotonic clock): somebody may have been stopped in the middle of writing.

    SQLite's busy handler sleeps and looks again, and so starves some writers for seconds; flock(2) wakes the next one.
    This is about fairness only: BEGIN IMMEDIATE and the triggers keep the data right without it.
    """
    queue = _queue_of(engine.url)
    if queue is None:
        yield
        return
    _take_turn(queue, deadline)
    try:
        yield
    finally:
        fcntl.flock(queue, fcntl.LOCK_UN)
        queue.close()


def _take_turn(queue: IO[bytes], deadline: float) -> None:
    """flock(2) knows no time limit: a thread waits in it, and this one for the thread."""
    try:
        fcntl.flock(queue, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    except BlockingIOError:
        if len(_in_vain) >= MOST_IN_VAIN:
            queue.close()
            raise Busy() from None
    turn: Future[None] = Future()
    threading.Thread(target=_wait_for, args=(turn, queue), name="writers' queue", daemon=True).start()
    try:
        turn.result(max(0.0, deadline - time.monotonic()))
    except TimeoutError:
        _in_vain.add(turn)
        if turn.cancel():
            raise Busy() from None
        _in_vain.discard(turn)  # it came at the last moment


def _wait_for(turn: "Future[None]", queue: IO[bytes]) -> None:
    fcntl.flock(queue, fcntl.LOCK_EX)
    if turn.set_running_or_notify_cancel():
        turn.set_result(None)
    else:
        _in_vain.discard(turn)
        queue.close()  # the next one's turn


_in_vain = set[Future[None]]()  # turns that nobody of this process waits for any more


def _queue_of(url: URL) -> IO[bytes] | None:
    """None: writers need none, or in that folder no file can be made, and the database will say the same."""
    if fcntl is None or url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    try:
        return open(f"{url.database}-queue", "ab")
    except OSError:
        return None


def _wait_only_until(deadline: float) -> None:
    """On PostgreSQL: who has less time than the engine's settings give waits no longer than that for any lock."""
    left = deadline - time.monotonic()
    if db.engine.dialect.name == "postgresql" and round(left, 1) < A_LOCK:
        db.session.execute(text(f"SET LOCAL lock_timeout = {max(1, round(left * 1000))}"))  # 0 would be for ever


@event.listens_for(Engine, "connect")
def _prepare_sqlite(connection: Any, record: Any) -> None:
    """Every SQLite connection: durable, referentially whole, patient, and with BEGIN left to us."""
    if not type(connection).__module__.startswith("sqlite3"):
        return
    connection.isolation_level = None  # sqlite3 would begin by itself, deferred, and only before a write
    for pragma in (f"busy_timeout = {SQLITE_WAITS}", "journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


@event.listens_for(Engine, "begin")
def _begin_sqlite(connection: Connection) -> None:
    """A reader begins deferred and cannot write; a writer takes the lock at once instead of upgrading to it later.

    (An upgrade does not wait: 283 of 2,000 deferred writers failed with "database is locked" when measured.)
    """
    if connection.dialect.name != "sqlite":
        return
    options = connection.get_execution_options()
    writes, deadline = options.get("writes", False), options.get("deadline")
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    if deadline is None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        return
    sqlite: Any = connection.connection.dbapi_connection
    sqlite.execute(f"PRAGMA busy_timeout = {max(0, round((deadline - time.monotonic()) * 1000))}")
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    finally:
        sqlite.execute(f"PRAGMA busy_timeout = {SQLITE_WAITS}")

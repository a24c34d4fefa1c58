"""A command changes the database whole or not at all; everything else only reads."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta, timezone
from sqlite3 import OperationalError as SqliteError

import pytest
from psycopg.errors import DeadlockDetected, LockNotAvailable, SerializationFailure
from sqlalchemy import event, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, StatementError
from werkzeug.test import TestResponse

from tests.conftest import TRIALS
from tests.customer import post_hold, times_url
from tests.factories import MONDAY
from tirefit.config import ROOT
from tirefit.database import (
    A_LOCK,
    PATIENCE,
    WRITE,
    _in_vain,
    command,
    db,
    is_out_of_reach,
    on_commit,
    worth_no_waiting,
    writers_queue,
)
from tirefit.errors import Busy
from tirefit.jobs import runner
from tirefit.models import CarType, LoginAttempt, ServicePost

TEN = "2026-11-04T10:00+02:00"
READ_ONLY = "readonly database|read-only transaction"


# --- reading


def test_who_forgot_the_command_cannot_write(app):
    for attempt in write_a_row, add_and_flush, write_past_the_session, create_a_table:
        with pytest.raises(DBAPIError, match=READ_ONLY):
            attempt()
        db.session.rollback()
    assert rows() == 0


def test_after_a_command_its_connection_only_reads_again(app):
    command(write_a_row)()
    with pytest.raises(ZeroDivisionError):
        command(write_and_fail)()
    assert db.engine.pool.checkedout() == 0
    with pytest.raises(DBAPIError, match=READ_ONLY):
        write_a_row()
    db.session.rollback()
    assert rows() == 1


def test_a_reader_does_not_wait_for_a_writer(app):
    with db.engine.connect().execution_options(**WRITE) as writer:
        writer.execute(insert(LoginAttempt).values(subject="Анна", at=MONDAY))
        assert rows() == 0  # at once, and as it was before
        writer.commit()
        db.session.rollback()
        assert rows() == 1


def test_every_sqlite_connection_is_durable_whole_and_patient(tmp_path):
    """In a process of its own: the tests' own connections are hasty (conftest.py)."""
    look = f"""
import json
from sqlalchemy import create_engine
from tirefit.database import READ, WRITE, engine_options
url = "sqlite:///{tmp_path}/tirefit.db"
engine = create_engine(url, **engine_options(url))
pragmas = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "query_only")
connections = [engine.connect().execution_options(**mode) for mode in (READ, WRITE, READ)]
def look(connection):
    with connection.begin():
        return [connection.exec_driver_sql("PRAGMA " + name).scalar() for name in pragmas]
seen = [look(connections[0]), look(connections[1]), look(connections[2])]
for connection in connections:
    connection.close()
again = [engine.connect() for _ in connections]  # from the pool
print(json.dumps([seen, [look(connection) for connection in again]]))
"""
    done = subprocess.run([sys.executable, "-c", look], cwd=ROOT, capture_output=True, text=True, check=True)
    first, again = json.loads(done.stdout)
    reading, writing = ["wal", 2, 1, 10000, 1], ["wal", 2, 1, 10000, 0]
    assert first == [reading, writing, reading]
    assert again == [reading] * 3


# --- a command


def test_a_writer_takes_the_lock_before_it_looks(app, database):
    """On SQLite. A writer that looks first and locks later fails when another has written in between."""
    with statements() as seen:
        command(write_a_row)()
        rows()
    begins = [statement for statement in seen if statement.startswith("BEGIN")]
    assert begins == (["BEGIN IMMEDIATE", "BEGIN"] if database == "sqlite" else [])


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_command_reads_what_is_committed_and_waits_only_so_long(app):
    def settings() -> list[str]:
        timeouts = "lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"
        names = "transaction_isolation", "transaction_read_only", *timeouts, "TimeZone"
        return [db.session.scalar(text(f"SHOW {name}")) for name in names]

    assert settings() == ["read committed", "on", "5s", "10s", "5min", "UTC"]
    assert command(settings)() == ["read committed", "off", "5s", "10s", "5min", "UTC"]


def test_a_command_that_fails_leaves_nothing(app):
    with pytest.raises(ZeroDivisionError):
        command(write_and_fail)()
    assert rows() == 0


def test_what_follows_a_commit_finds_it_committed(app):
    found = []

    def write_and_tell() -> None:
        on_commit(lambda: found.append(rows()))
        write_a_row()
        assert found == []

    command(write_and_tell)()
    assert found == [1]


def test_nothing_follows_a_command_that_failed(app):
    found = []

    def tell_and_fail() -> None:
        on_commit(lambda: found.append("told"))
        write_and_fail()

    with pytest.raises(ZeroDivisionError):
        command(tell_and_fail)()
    command(write_a_row)()
    assert found == []


def test_a_command_does_not_call_a_command(app):
    inner = command(write_a_row)

    def outer() -> None:
        write_a_row()
        inner()

    with pytest.raises(RuntimeError, match="write_a_row called inside outer"):
        command(outer)()
    assert rows() == 0
    inner()
    assert rows() == 1


@pytest.mark.parametrize(
    "lost",
    [
        pytest.param(DeadlockDetected("deadlock detected"), id="deadlock"),
        pytest.param(SerializationFailure("could not serialize access"), id="serialization"),
        pytest.param(LockNotAvailable("canceling statement due to lock timeout"), id="lock timeout"),
        pytest.param(SqliteError("database is locked"), id="locked"),
    ],
)
def test_a_lost_lock_is_tried_for_again_from_the_start(app, lost):
    told = []
    change = command(losing(lost, times=3, told=told))
    assert change() == "fourth"
    assert (rows(), told) == (1, ["fourth"])


def test_a_lock_that_never_comes_is_a_problem_in_words(app):
    told = []
    with pytest.raises(Busy):
        command(losing(SqliteError("database is locked"), times=1000, told=told))()
    assert (rows(), told) == (0, [])


def test_all_tries_together_take_no_longer_than_the_patience(app, monkeypatch):
    monkeypatch.setattr("tirefit.database.PATIENCE_OF_JOBS", 0.5)
    tries = []

    def lose_after_a_while() -> None:
        tries.append("again")
        time.sleep(0.3)
        raise OperationalError("UPDATE", {}, SqliteError("database is locked"))

    with pytest.raises(Busy):
        command(lose_after_a_while)()
    assert len(tries) == 2


def test_who_is_locked_out_hears_so_in_seconds_and_books_when_the_lock_is_gone(app, station, client, patience):
    """Some program has locked what a hold needs and does nothing: the whole of an SQLite, or the posts."""
    with db.engine.connect().execution_options(**WRITE) as other, other.begin():
        other.execute(select(ServicePost.id).with_for_update())
        with patience():
            assert is_busy(post_hold(client, TEN))
        assert client.get(times_url()).status_code == 200
    assert post_hold(client, TEN).status_code == 303


@pytest.mark.parametrize("database", ["sqlite"])
def test_a_writer_that_is_stopped_stops_nobody_for_longer_than_that(app, station, client, patience):
    command = [sys.executable, "-c", STOPPED_WRITER, f"{db.engine.url.database}-queue"]
    with_us = runner.die_with(os.getpid(), signal.SIGKILL)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=with_us) as stopped:
        try:
            assert stopped.stdout.readline() == "it is my turn\n"
            with patience():
                assert is_busy(post_hold(client, TEN))
            assert client.get(times_url()).status_code == 200
        finally:
            stopped.kill()
    assert post_hold(client, TEN).status_code == 303
    until(lambda: not _in_vain)


STOPPED_WRITER = """
import fcntl, os, signal, sys
with open(sys.argv[1], "ab") as queue:
    fcntl.flock(queue, fcntl.LOCK_EX)
    print("it is my turn", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.mark.parametrize("database", ["sqlite"])
def test_where_many_have_waited_in_vain_the_next_do_not_wait(app, monkeypatch):
    """Else a writer that hangs for an hour would leave a thread for each who has asked."""
    monkeypatch.setattr("tirefit.database.MOST_IN_VAIN", 2)
    now = time.monotonic()
    with writers_queue(db.engine, now):
        for deadline in (now, now, now + 3600):
            with pytest.raises(Busy), writers_queue(db.engine, deadline):
                pass
        assert len(_in_vain) == 2
    until(lambda: not _in_vain)
    command(write_a_row)()
    assert rows() == 1


def test_a_note_beside_a_page_is_not_waited_for(app):
    with db.engine.connect().execution_options(**WRITE) as other, other.begin():
        if other.dialect.name == "postgresql":  # an SQLite is locked as a whole
            other.execute(text("LOCK TABLE login_attempts IN SHARE MODE"))
        started = time.monotonic()
        with worth_no_waiting():
            command(write_a_row)()
        assert time.monotonic() - started < A_LOCK / 2
    assert rows() == 0
    with worth_no_waiting():
        command(write_a_row)()
    assert rows() == 1


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_transaction_in_which_nothing_happens_is_ended_and_gives_its_locks_back(app):
    """By the server, after five minutes: its process has been stopped, or its machine is gone."""
    db.session.execute(text("SET LOCAL idle_in_transaction_session_timeout = '20ms'"))
    time.sleep(0.3)
    with pytest.raises(DBAPIError) as ended:
        rows()
    assert is_out_of_reach(ended.value)
    db.session.rollback()
    assert rows() == 0


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_question_that_takes_too_long_is_a_page_in_words(app, station, client, monkeypatch):
    """Longer than ten seconds, as they are set; in the short form, than a tenth of one."""

    def think(*_: object) -> None:
        if not TRIALS:
            db.session.execute(text("SET LOCAL statement_timeout = '100ms'"))
        db.session.execute(text("SELECT pg_sleep(60)"))

    monkeypatch.setattr("tirefit.web.public._find_station", think)
    answer = client.get("/s/zimnyaya-5")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "Сейчас не получается" in answer.text


def test_no_other_error_is_tried_again(app):
    attempts = []

    def break_a_rule() -> None:
        attempts.append("once")
        db.session.execute(insert(LoginAttempt).values(subject=None, at=MONDAY))

    with pytest.raises(IntegrityError):
        command(break_a_rule)()
    assert attempts == ["once"]


def test_commands_of_many_threads_wait_for_each_other(app):
    """Each looks, and writes what follows from it: none of them overwrites another's."""

    def create() -> None:
        db.session.execute(insert(CarType).values(code="car", names={}, position=0))

    @command
    def count_up() -> None:
        car = db.session.scalars(select(CarType).with_for_update()).one()
        car.position += 1

    def many_times(_: int) -> None:
        with app.app_context():
            for _ in range(15):
                count_up()

    command(create)()
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(many_times, range(6)))
    assert db.session.scalar(select(CarType.position)) == 90


# --- an instant


def test_an_instant_comes_back_as_it_was_in_utc(app):
    almaty = timezone(timedelta(hours=5))
    moments = [
        datetime(2026, 11, 2, 9, 0, 1, tzinfo=UTC),
        datetime(2026, 11, 2, 3, 30, tzinfo=almaty),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC),
    ]

    def write() -> None:
        for number, moment in enumerate(moments):
            db.session.execute(insert(LoginAttempt).values(id=number + 1, subject="Анна", at=moment))

    command(write)()
    found = db.session.scalars(select(LoginAttempt.at).order_by(LoginAttempt.id)).all()
    assert found == moments
    assert {moment.utcoffset() for moment in found} == {timedelta(0)}
    earliest = select(LoginAttempt.id).where(LoginAttempt.at < moments[0]).order_by(LoginAttempt.at)
    assert db.session.scalars(earliest).all() == [3, 2]  # compared as instants, too


def test_an_instant_without_a_zone_is_refused(app):
    with pytest.raises(StatementError, match="needs a time zone"):
        db.session.scalar(select(func.count()).where(LoginAttempt.at > datetime(2026, 11, 2, 9, 0)))  # noqa: DTZ001


# --- what the tests above do to the database, and how long it takes


@pytest.fixture
def patience(monkeypatch) -> Callable[[], AbstractContextManager[None]]:
    """`with patience():` takes as long as a person waits for a lock, and not much longer."""
    seconds = PATIENCE if TRIALS else 0.5
    monkeypatch.setattr("tirefit.database.PATIENCE", seconds)

    @contextmanager
    def takes() -> Iterator[None]:
        started = time.monotonic()
        yield
        took = time.monotonic() - started
        if TRIALS:
            print(f"\nlocked out, and told so after {took:.2f} s")
        assert seconds - 0.1 < took < seconds + (1 if TRIALS else 10)  # in `make test` three others use the machine

    return takes


def is_busy(answer: TestResponse) -> bool:
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert "Ничего не пропало" in answer.text
    return True


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def rows() -> int:
    return db.session.scalar(select(func.count()).select_from(LoginAttempt))


def write_a_row() -> None:
    db.session.execute(insert(LoginAttempt).values(subject="Анна", at=MONDAY))


def add_and_flush() -> None:
    db.session.add(LoginAttempt(subject="Анна", at=MONDAY))
    db.session.flush()


def write_past_the_session() -> None:
    with db.engine.begin() as connection:
        connection.execute(insert(LoginAttempt).values(subject="Анна", at=MONDAY))


def create_a_table() -> None:
    db.session.execute(text("CREATE TABLE forgotten (id INTEGER)"))


def write_and_fail() -> None:
    write_a_row()
    raise ZeroDivisionError


def losing(lost: Exception, times: int, told: list[str]) -> Callable[[], str]:
    """A change that loses its lock after it has written, that many times."""
    attempts = iter(["first", "second", "third", "fourth", *["later"] * times])

    def change() -> str:
        attempt = next(attempts)
        write_a_row()
        on_commit(lambda: told.append(attempt))
        if attempt != "fourth" or times > 3:
            raise OperationalError("UPDATE", {}, lost)
        return attempt

    return change


@contextmanager
def statements() -> Iterator[list[str]]:
    seen: list[str] = []

    def keep(connection: object, cursor: object, statement: str, *rest: object) -> None:
        seen.append(statement)

    event.listen(db.engine, "before_cursor_execute", keep)
    try:
        yield seen
    finally:
        event.remove(db.engine, "before_cursor_execute", keep)

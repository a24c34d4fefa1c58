"""Copies of a database that everybody goes on writing to: each ends, is of one moment, and nobody waits for it. And
PostgreSQL's way back to any second, step by step as docs/backup.md has it.

A copy is of one moment when no half of a transaction is in it: each visit that is ahead has its time, each time its
visit, each booking its letter and its trace.
"""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url, select, text

from tests import factories
from tests.conftest import migrate
from tests.history import app_on, engine_on, read, write
from tests.races.conftest import TRIALS
from tests.services import PostgreSQL, _account, postgresql_programs
from tirefit import backup
from tirefit.config import ROOT
from tirefit.database import db
from tirefit.errors import SlotTaken
from tirefit.models import ScheduleSlot, ServicePoint, ServicePost

MEGABYTES = 200 if TRIALS else 30  # beside the bookings
PATIENCE = 10.0  # seconds, for what takes less than one
FOR_TRIALS = pytest.mark.skipif(not TRIALS, reason="starts and fills servers of its own: make trials")

# Somebody else's process: books the times of two days and gives all of them back, until its input ends.
OTHERS = """
import json, sys, threading, time
from app import app
from tests.factories import Customer, booking
from tirefit.booking.steps import cancel_booking
from tirefit.database import db
from tirefit.models import ScheduleSlot, ServicePoint
from sqlalchemy import select

enough, waits = threading.Event(), []
threading.Thread(target=lambda: (sys.stdin.read(), enough.set()), daemon=True).start()

def timed(command, *arguments, **more):
    begun = time.monotonic()
    done = command(*arguments, **more)
    waits.append(time.monotonic() - begun)
    return done

with app.app_context():
    point = db.session.scalars(select(ServicePoint)).one()
    times = sorted(set(db.session.scalars(select(ScheduleSlot.starts_at))))[-8:]
    while not enough.is_set():
        made = []
        for n, at in enumerate(times):
            who = Customer("Анна", f"+3806712345{n:02}", "anna@example.com")
            made.append(timed(booking, point, at, who, ("Ремонт прокола",)).id)
            if len(waits) == 1:
                print("writing", flush=True)
        for each in made:
            timed(cancel_booking, each, actor="user")
print(json.dumps({"written": len(waits), "longest": max(waits)}))
"""

HALVES = {
    "a visit without its time": """SELECT count(*) FROM bookings b WHERE status = 'confirmed'
        AND NOT EXISTS (SELECT 1 FROM reservations r WHERE r.id = b.reservation_id AND r.kind = 'booking')""",
    "a time without its visit": """SELECT count(*) FROM reservations r
        WHERE NOT EXISTS (SELECT 1 FROM bookings b WHERE b.reservation_id = r.id AND b.status = 'confirmed')""",
    "a booking without its letter": """SELECT count(*) FROM bookings b
        WHERE NOT EXISTS (SELECT 1 FROM notifications n WHERE n.booking_id = b.id)""",
    "a booking without its trace": """SELECT count(*) FROM bookings b
        WHERE NOT EXISTS (SELECT 1 FROM booking_events e WHERE e.booking_id = b.id)""",
}
AGREED = "SELECT number, status, starts_at FROM bookings ORDER BY number"
BOOKINGS = "SELECT count(*) FROM bookings"
BULK = """WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {rows})
INSERT INTO audit_entries (at, event, kind, thing_id, label, before, after)
SELECT {long_ago}, 'bulk', 'bulk', n, {kilobyte}, 'null', 'null' FROM numbers"""
AS_WRITTEN = {
    "sqlite": {"long_ago": "0", "kilobyte": "hex(randomblob(500))"},
    "postgresql": {"long_ago": "'epoch'", "kilobyte": "repeat(md5(n::text), 32)"},
}


@dataclass
class Others:
    """How those who went on writing have fared: known when they have ended."""

    written: int = 0
    longest: float = 0.0


@contextmanager
def others_writing(url: str, folder: Path) -> Iterator[Others]:
    others = Others()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    process = subprocess.Popen(
        [sys.executable, "-c", OTHERS],
        cwd=ROOT,
        env=clean | {"DATABASE_URL": url, "TIREFIT_INSTANCE_PATH": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout and process.stdout.readline() == "writing\n"
            yield others
            told, _ = process.communicate(timeout=60)
            assert process.returncode == 0
            others.written, others.longest = (json.loads(told)[name] for name in ("written", "longest"))
        finally:
            process.kill()


def fill(url: str, folder: Path, megabytes: int = MEGABYTES) -> None:
    """A station, and as many bytes as years would bring."""
    with app_on(url, folder):
        factories.station(horizon_days=2)
        write(BULK.format(rows=megabytes * 1000, **AS_WRITTEN[make_url(url).get_backend_name()]))


def halves_in(url: str) -> list[str]:
    with engine_on(url) as engine, engine.connect() as copy:
        assert copy.scalar(text(BOOKINGS))
        return [half for half, question in HALVES.items() if copy.scalar(text(question))]


def bookings_in(url: str) -> int:
    with engine_on(url) as engine, engine.connect() as connection:
        return connection.scalar(text(BOOKINGS)) or 0


def test_a_copy_of_sqlite_ends_and_is_of_one_moment_while_others_write(new_database, tmp_path):
    url, copy = make_url(new_database("sqlite")), tmp_path / "copy.db"
    fill(str(url), tmp_path)
    with others_writing(str(url), tmp_path) as others:
        assert begun_again(Path(url.database)) == 5  # the control: so it goes with a copy that is made in steps

        before, begun = bookings_in(str(url)), time.monotonic()
        backup.backup(url, copy)
        took, after = time.monotonic() - begun, bookings_in(str(url))

    assert copy.stat().st_size > MEGABYTES * 1e6
    assert halves_in(f"sqlite:///{copy}") == []
    assert before <= bookings_in(f"sqlite:///{copy}") <= after
    assert before < after  # they did go on
    tell("backup", "sqlite", took, others)
    assert took < PATIENCE and others.longest < PATIENCE


@FOR_TRIALS
def test_a_dump_of_postgresql_is_of_one_moment_while_others_write(new_database, empty_database, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{postgresql_programs()}:{os.environ['PATH']}")
    url, copy, restored = new_database("postgresql"), tmp_path / "copy.dump", empty_database("postgresql")
    fill(url, tmp_path)
    with others_writing(url, tmp_path) as others:
        before, begun = bookings_in(url), time.monotonic()
        backup.backup(make_url(url), copy)
        took, after = time.monotonic() - begun, bookings_in(url)

    where = restored.replace("+psycopg", "")
    subprocess.run(["pg_restore", "--no-owner", "--exit-on-error", f"--dbname={where}", str(copy)], check=True)
    assert halves_in(restored) == []
    assert before <= bookings_in(restored) <= after
    assert before < after
    tell("pg_dump", "postgresql", took, others)
    assert took < PATIENCE and others.longest < PATIENCE


@FOR_TRIALS
def test_postgresql_goes_back_to_just_before_all_bookings_were_deleted(tmp_path):
    """docs/backup.md, "To any second", step by step; the settings are read from there."""
    with ExitStack() as end:
        archive = place(end)
        give_to_postgresql(archive)
        archiving, recovering = (each.replace("/archive", str(archive)) for each in settings_of_the_runbook())

        old = PostgreSQL(place(end), durable=True)
        add_to_settings(old, archiving)
        url = start(old, end)
        with psycopg.connect(url.format("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CREATE DATABASE tirefit")
        url = url.format("tirefit")
        migrate(url, tmp_path)
        fill(url, tmp_path, 20)
        with others_writing(url, tmp_path) as others:
            where = [f"--host={old.data}", "--username=tirefit", f"--pgdata={archive}/base"]
            how = ["--format=tar", "--gzip", "--checkpoint=fast"]
            subprocess.run([postgresql_programs() / "pg_basebackup", *where, *how], check=True)
        with app_on(url, tmp_path):
            for at in sorted(set(db.session.scalars(select(ScheduleSlot.starts_at))))[-8:]:
                visit = factories.booking(point(), at, services=("Ремонт прокола",))
            post = db.session.get_one(ServicePost, visit.service_post_id).post_number
            agreed, ((moment,),) = read(AGREED), read("SELECT clock_timestamp()")
            write("DELETE FROM bookings")
            assert read(AGREED) == []
        old.stop()

        begun = time.monotonic()
        new = PostgreSQL(place(end), durable=True)
        for path in new.data.iterdir():
            path.unlink() if path.is_file() else shutil.rmtree(path)
        shutil.unpack_archive(archive / "base" / "base.tar.gz", new.data)
        add_to_settings(new, re.sub("'2026-[^']+'", f"'{moment.isoformat()}'", recovering))
        (new.data / "recovery.signal").touch()
        give_to_postgresql(new.data)
        url = start(new, end).format("tirefit")
        wait_for(url, "SELECT pg_get_wal_replay_pause_state() = 'paused'")
        with app_on(url, tmp_path):
            assert read(AGREED) == agreed  # looked at before it is decided
            read("SELECT pg_wal_replay_resume()")
        wait_for(url, "SELECT NOT pg_is_in_recovery()")
        took = time.monotonic() - begun

        assert halves_in(url) == []
        with app_on(url, tmp_path):
            assert read(AGREED) == agreed
            with pytest.raises(SlotTaken):
                factories.booking(point(), at, services=("Ремонт прокола",), post_number=post)
        figures = {"bookings": len(agreed), "seconds": round(took, 1), "longest write ms": round(others.longest * 1000)}
        print("\n" + json.dumps({"trial": "back to any second", "database": "postgresql"} | figures))


def settings_of_the_runbook() -> list[str]:
    """What docs/backup.md has for `postgresql.conf`: of the server that archives, and of the one that goes back."""
    about = (ROOT / "docs" / "backup.md").read_text().partition("### To any second")[2]
    return [textwrap.dedent(block) for block in about.split("```")[1::2]]


def add_to_settings(server: PostgreSQL, lines: str) -> None:
    with (server.data / "postgresql.conf").open("a") as settings:
        settings.write(lines)


def place(end: ExitStack) -> Path:
    folder = tempfile.mkdtemp(prefix="tirefit-copies-")  # short: a socket's path has at most 107 bytes
    end.callback(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def give_to_postgresql(folder: Path) -> None:
    """Its account's, as it demands; that is another one than ours where the tests run as root."""
    account = _account()
    for path in [folder, *folder.rglob("*")] if account else ():
        os.chown(path, account["user"], account["group"])


def start(server: PostgreSQL, end: ExitStack) -> str:
    server.start()
    end.callback(server.stop)
    server.wait_until_it_answers()
    return server.url


def wait_for(url: str, question: str) -> None:
    with engine_on(url, isolation_level="AUTOCOMMIT") as engine, engine.connect() as connection:
        deadline = time.monotonic() + 30
        while not connection.scalar(text(question)):
            assert time.monotonic() < deadline, question
            time.sleep(0.05)


def point() -> ServicePoint:
    return db.session.scalars(select(ServicePoint)).one()


def begun_again(database: Path, most: int = 5, patience: float = 30) -> int:
    """How often, at most, a copy in steps of eight megabytes has begun again, because somebody wrote in between."""
    times, last, deadline = 0, 0, time.monotonic() + patience
    wal = database.with_name(f"{database.name}-wal")

    class Enough(Exception):
        pass

    def look(status: int, remaining: int, total: int) -> None:
        nonlocal times, last
        times, last = times + (remaining >= last > 0), remaining
        before = wal.stat().st_mtime_ns
        while wal.stat().st_mtime_ns == before and time.monotonic() < deadline:
            time.sleep(0.001)  # or, on a slow machine, nobody has come to write in between
        if times == most or time.monotonic() > deadline:
            raise Enough

    with (
        contextlib.suppress(Enough),
        contextlib.closing(sqlite3.connect(database)) as original,
        contextlib.closing(sqlite3.connect(database.with_name("in-steps.db"))) as copy,
    ):
        original.backup(copy, pages=2000, progress=look)
    return times


def tell(what: str, database: str, took: float, others: Others) -> None:
    if TRIALS:
        line = {"trial": what, "database": database, "MB": MEGABYTES, "seconds": round(took, 2)}
        print("\n" + json.dumps(line | {"written": others.written, "longest write ms": round(others.longest * 1000)}))

"""Copies of the whole database, and the way back. docs/backup.md is the runbook.

A copy of a running SQLite is asked for from SQLite itself: the file alone lacks what is still in its write-ahead log.
PostgreSQL is copied by its own pg_dump. A copy counts only after it has been looked into.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

from tirefit import clock
from tirefit.booking.privacy import FORGOTTEN
from tirefit.models.schedule import OVERLAP_GUARD, SQLITE_GUARD

ERASURES = f"""SELECT DISTINCT number FROM bookings JOIN booking_events ON booking_id = bookings.id
WHERE event = '{FORGOTTEN}'"""  # noqa: S608 (a word of ours)
KEPT = 14  # copies made by themselves, the newest ones


class NoBackup(Exception):
    """It could not be made or put back. The text says why, and what to do."""


def backup(url: URL, target: Path) -> None:
    """Copy the database to `target`, while it is used. Nobody waits, and the copy is of one moment.

    Raises NoBackup when it cannot be made, or is not whole; then there is no `target`.
    """
    if target.exists():
        raise NoBackup(f"{target} exists already; name another file.")
    if url.get_backend_name() == "sqlite" and not _file_of(url).exists():
        raise NoBackup(
            f"there is no database at {_file_of(url)}: is TIREFIT_INSTANCE_PATH that of the running TireFit?"
        )
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        draft.touch(mode=0o600)  # people and their phones are in it
        if url.get_backend_name() == "sqlite":
            _copy(_file_of(url), draft)
            examine(draft)
        else:
            _run_for_postgresql(url, "pg_dump", "--format=custom", f"--file={draft}")
            _run_for_postgresql(url, "pg_restore", "--list", str(draft))
        draft.replace(target)
    except (OSError, sqlite3.Error) as error:
        raise NoBackup(f"{target} could not be written: {error}") from None
    finally:
        draft.unlink(missing_ok=True)


def backup_by_itself(url: URL, folder: Path, why: str) -> Path:
    """A copy before something that could go wrong; → where. Of these copies, the newest fourteen are kept."""
    target = folder / f"{clock.now():%Y%m%d-%H%M%S}-{why}{suffix_of(url)}"
    backup(url, target)
    for old in sorted(folder.glob(f"*{suffix_of(url)}"))[:-KEPT]:
        old.unlink()
    return target


def restore(url: URL, source: Path) -> Path | None:
    """Put an SQLite copy in the place of the database; → where the database that was there lies now, if there was one.

    Nobody may use the database meanwhile. The copy is examined first; a PostgreSQL is restored into a new database
    with pg_restore. Raises NoBackup, and then nothing has been changed.
    """
    if url.get_backend_name() != "sqlite":
        raise NoBackup("a PostgreSQL is restored into a new database with pg_restore: see docs/backup.md.")
    if not source.is_file():
        raise NoBackup(f"there is no file {source}.")
    database = _file_of(url)
    draft = database.with_name(f".{database.name}.{os.getpid()}")
    try:
        examine(source)
        _copy(source, draft)
        before = None
        if database.exists():
            before = database.with_name(f"{database.stem}-before-restore-{clock.now():%Y%m%d-%H%M%S}{database.suffix}")
            _put_aside(database, before)
        draft.replace(database)
        for left in ("-wal", "-shm"):  # of the database that was there
            database.with_name(database.name + left).unlink(missing_ok=True)
    except (OSError, sqlite3.Error) as error:
        raise NoBackup(f"{source} could not be put back: {error}") from None
    finally:
        draft.unlink(missing_ok=True)
    return before


def erasures_in(source: str) -> set[str]:
    """The numbers of bookings whose customers have been forgotten, from the database as it was before a copy was put
    back (an SQLite file, or the URL of a PostgreSQL), or from a file of the log, which names them too.

    Raises NoBackup when it cannot be read.
    """
    try:
        if source.startswith("postgres"):
            with psycopg.connect(source.replace("+psycopg", "", 1), connect_timeout=5) as connection:
                return {number for (number,) in connection.execute(ERASURES)}
        with Path(source).open("rb") as file:
            begins = file.read(4096)
        if begins.startswith(b"SQLite format 3\0"):
            reading = f"{Path(source).resolve().as_uri()}?mode=ro"
            with contextlib.closing(sqlite3.connect(reading, uri=True)) as database:
                if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'booking_events'").fetchone():
                    return set()  # of before there were any bookings
                return {number for (number,) in database.execute(ERASURES)}
        if b"\0" in begins:
            raise NoBackup(f"{source} is neither a database that can be read nor a log.")
        return set(re.findall(r"booking (\w+) forgotten", Path(source).read_text(errors="replace")))
    except (OSError, sqlite3.Error, psycopg.Error) as error:
        raise NoBackup(f"what was forgotten cannot be read from {source}: {error}") from None


def examine(file: Path) -> None:
    """Is this a whole copy of a TireFit database? Raises NoBackup when it is not, in words."""
    try:
        with contextlib.closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as copy:
            faults = [row[0] for row in copy.execute("PRAGMA integrity_check(3)")]
            tables = {row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            triggers = {row[0] for row in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
    except sqlite3.DatabaseError as error:
        raise NoBackup(f"{file} is no SQLite database, or a torn one: {error}") from None
    if faults != ["ok"]:
        raise NoBackup(f"{file} is damaged: {'; '.join(faults)}")
    if "alembic_version" not in tables:
        raise NoBackup(f"{file} is not a TireFit database.")
    if "reservations" in tables and not set(SQLITE_GUARD) <= triggers:
        raise NoBackup(f"{file} lacks {OVERLAP_GUARD}, which keeps a time from being sold twice.")


def suffix_of(url: URL) -> str:
    """How a copy of such a database is called at its end."""
    return ".db" if url.get_backend_name() == "sqlite" else ".dump"


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    target.touch(mode=0o600)  # names and phones
    reading = f"{source.resolve().as_uri()}?mode=ro"
    with (
        contextlib.closing(sqlite3.connect(reading, uri=True, timeout=10)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        # In one step: writers go on meanwhile, in the write-ahead log. A copy in several steps would begin again
        # whenever somebody has written between two of them.
        original.backup(copy, pages=-1)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, with nothing beside it


def _put_aside(database: Path, target: Path) -> None:
    """Keep what was there: as a copy, or byte by byte where SQLite cannot read it any more."""
    try:
        _copy(database, target)
    except sqlite3.DatabaseError:
        for end in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy(f"{database}{end}", f"{target}{end}")


def _file_of(url: URL) -> Path:
    if not url.database or url.database == ":memory:":
        raise NoBackup("this database is not in a file.")
    return Path(url.database)


def _run_for_postgresql(url: URL, program: str, *arguments: str) -> None:
    found = shutil.which(program)
    if not found:
        raise NoBackup(f"{program} is not installed here (Debian: apt-get install postgresql-client).")
    where = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    to_database = [f"--dbname={where}"] if program == "pg_dump" else []
    password = {"PGPASSWORD": url.password} if url.password else {}
    done = subprocess.run(
        [found, *to_database, *arguments], env=os.environ | password, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NoBackup(f"{program}: {' '.join(done.stderr.split()) or 'ended without a word'}")

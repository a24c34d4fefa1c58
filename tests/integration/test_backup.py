"""Copies of the database and the way back: whole while people book, examined, and practised here from end to end."""

import contextlib
import logging
import os
import shutil
import sqlite3
import subprocess
import threading
from pathlib import Path

import pytest
from flask import current_app
from sqlalchemy import make_url, select

from tests import factories
from tests.factories import booking
from tests.history import app_on, previous, revisions, up, version
from tests.integration.test_privacy import CANARY, PLATE, everywhere, found_in
from tests.services import postgresql_programs
from tirefit import backup
from tirefit.booking import privacy
from tirefit.booking.steps import cancel_booking
from tirefit.database import db
from tirefit.errors import SlotTaken
from tirefit.jobs import runner
from tirefit.models import LIVE, Booking

LIVE_BOOKINGS = "SELECT number FROM bookings WHERE status = 'confirmed' ORDER BY number"


@pytest.fixture
def instance(new_database, tmp_path):
    """An installation on SQLite with a station, as `flask` commands see it."""
    database = tmp_path / "tirefit.db"
    shutil.copy(make_url(new_database("sqlite")).database, database)
    with app_on(f"sqlite:///{database}", tmp_path):
        factories.station()
        yield tmp_path


def flask(*arguments):
    return current_app.test_cli_runner().invoke(args=arguments)


def rows(file, question=LIVE_BOOKINGS):
    with contextlib.closing(sqlite3.connect(file)) as copy:
        return [row[0] for row in copy.execute(question)]


def close():
    """Nobody uses the database: TireFit is stopped."""
    db.session.remove()
    db.engine.dispose()


def station():
    return db.session.scalars(select(factories.ServicePoint)).one()


def test_a_copy_holds_all_that_was_agreed_before_it_while_people_go_on_booking(instance):
    times = [f"{hour:02}:{minute:02}" for hour in range(9, 17) for minute in (0, 30)]
    agreed, enough, app = [], threading.Event(), current_app._get_current_object()

    def people():
        with app.app_context():
            for time in times:
                agreed.append(booking(station(), time).number)
                if len(agreed) == 4:
                    enough.set()
            db.session.remove()

    going_on = threading.Thread(target=people)
    going_on.start()
    assert enough.wait(30)
    before, answer = list(agreed), flask("backup", str(instance / "copy.db"))
    going_on.join()

    assert answer.exit_code == 0, answer.output
    assert "examined and whole" in answer.output
    assert set(before) <= set(rows(instance / "copy.db")) <= set(agreed)
    assert len(rows(instance / "tirefit.db")) == len(times)
    assert oct((instance / "copy.db").stat().st_mode & 0o777) == "0o600"  # names and phones


def test_the_file_alone_would_not_be_a_copy(instance):
    booking(station(), "10:00")
    shutil.copy(instance / "tirefit.db", instance / "copied.db")

    assert rows(instance / "copied.db") == []  # still in the write-ahead log: this is why SQLite is asked


def test_restored_it_is_the_day_that_was_saved_and_sells_nothing_twice(instance):
    made = booking(station(), "10:00", post_number=1)
    number = made.number
    assert flask("backup", str(instance / "copy.db")).exit_code == 0
    cancel_booking(made.id, actor="user")
    lost = booking(station(), "12:00").number
    close()

    answer = flask("restore", str(instance / "copy.db"))

    assert answer.exit_code == 0, answer.output
    live = db.session.scalars(select(Booking.number).where(Booking.status.in_(LIVE))).all()
    assert live == [number]
    with pytest.raises(SlotTaken):
        booking(station(), "10:00", post_number=1)
    (kept,) = instance.glob("tirefit-before-restore-*.db")
    assert rows(kept) == [lost]


def test_whoever_was_forgotten_after_the_copy_stays_forgotten(instance, at, caplog):
    caplog.set_level(logging.INFO, "tirefit.security")
    visit = booking(station(), "10:00", CANARY, plate=PLATE, notes="щебечет")
    assert flask("backup", str(instance / "copy.db")).exit_code == 0
    at("18:00")
    privacy.forget(visit.id, actor="customer")
    close()

    answer = flask("restore", str(instance / "copy.db"))

    assert answer.exit_code == 0, answer.output
    assert "Forgotten again, as before: 1 booking." in answer.output
    assert found_in(everywhere()) == []

    # And where the database that knew of it is lost: the log knows, too.
    (instance / "log").write_text("\n".join(f'{{"message": "{line}"}}' for line in caplog.messages))
    close()
    (instance / "tirefit.db").unlink()
    assert flask("restore", str(instance / "copy.db")).exit_code == 0
    assert found_in(everywhere()) != []
    assert "Forgotten again, as before: 1 booking." in flask("reapply-erasures", str(instance / "log")).output
    assert found_in(everywhere()) == []


def test_a_database_that_is_damaged_is_put_aside_as_it_is(instance):
    made = booking(station(), "10:00")
    assert flask("backup", str(instance / "copy.db")).exit_code == 0
    close()
    with (instance / "tirefit.db").open("r+b") as file:
        file.write(bytes(4096))  # as a disk does it
    damaged = (instance / "tirefit.db").read_bytes()

    answer = flask("restore", str(instance / "copy.db"))

    assert "Restored from" in answer.output
    assert answer.exit_code == 1 and "Customers who asked to be forgotten since that copy may be back" in answer.output
    assert db.session.scalars(select(Booking.number)).all() == [made.number]
    (kept,) = instance.glob("tirefit-before-restore-*.db")
    assert kept.read_bytes() == damaged


@pytest.mark.parametrize("harm", ["torn", "overwritten", "another", "no guard", "text", "missing"])
def test_what_is_no_whole_copy_is_not_put_back(instance, harm):
    made, copy = booking(station(), "10:00"), instance / "copy.db"
    assert flask("backup", str(copy)).exit_code == 0
    if harm == "torn":
        os.truncate(copy, copy.stat().st_size // 2)
    elif harm == "overwritten":
        with copy.open("r+b") as file:
            file.seek(copy.stat().st_size // 2)
            file.write(os.urandom(64 * 1024))
    elif harm == "another":
        copy.unlink()
        with contextlib.closing(sqlite3.connect(copy)) as other:
            other.execute("CREATE TABLE songs (name TEXT)")
    elif harm == "no guard":
        with contextlib.closing(sqlite3.connect(copy)) as other:
            for name in backup.SQLITE_GUARD:
                other.execute(f"DROP TRIGGER {name}")
    elif harm == "text":
        copy.write_text("nothing of the kind " * 1000)
    else:
        copy.unlink()

    answer = flask("restore", str(copy))

    assert answer.exit_code == 1
    assert answer.output.startswith("Error: ") and answer.output.count("\n") == 1
    db.session.rollback()
    assert db.session.scalars(select(Booking.number)).all() == [made.number]
    assert not list(instance.glob("*before-restore*"))


def test_nothing_is_put_back_under_a_running_tirefit(instance):
    assert flask("backup", str(instance / "copy.db")).exit_code == 0
    with runner.only_one(instance, "http://127.0.0.1:5000"):
        answer = flask("restore", str(instance / "copy.db"))

    assert answer.exit_code == 1
    assert "stop TireFit first; it runs here: http://127.0.0.1:5000" in answer.output


def test_a_copy_never_takes_the_place_of_another_file(instance):
    (instance / "copy.db").write_text("something dear")

    answer = flask("backup", str(instance / "copy.db"))

    assert answer.exit_code == 1 and "exists already" in answer.output
    assert (instance / "copy.db").read_text() == "something dear"


def test_copies_made_by_themselves_do_not_fill_the_disk(instance, at):
    for minute in range(20):
        at(f"10:{minute:02}")
        assert flask("backup").exit_code == 0

    kept = sorted(path.name for path in (instance / "backups").iterdir())
    assert (len(kept), kept[-1]) == (backup.KEPT, "20261102-081900-asked-for.db")


def test_an_older_database_is_saved_before_it_is_migrated(empty_database, tmp_path):
    older = previous(revisions()[-1])
    with app_on(empty_database("sqlite"), tmp_path):
        up(older)
        database = Path(make_url(current_app.config["DATABASE_URL"]).database)
        prepare()
        (saved,) = (tmp_path / "backups").glob("*-before-migration.db")
        assert rows(saved, "SELECT version_num FROM alembic_version") == [older]
        assert rows(database, "SELECT version_num FROM alembic_version") == [revisions()[-1]]
        prepare()  # nothing to migrate, nothing to save
        assert list((tmp_path / "backups").iterdir()) == [saved]

        db.session.remove()
        db.engine.dispose()
        assert flask("restore", str(saved)).exit_code == 0
        assert version() == revisions()[-1]  # an old copy is brought up to this version


def prepare():
    from tirefit.cli.running import _prepare_database

    _prepare_database()
    db.session.remove()


def test_postgresql_is_saved_and_restored_with_its_own_programs(new_database, empty_database, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{postgresql_programs()}:{os.environ['PATH']}")
    with app_on(new_database("postgresql"), tmp_path):
        made = booking(factories.station(), "10:00", post_number=1).number
        to_forget = booking(station(), "12:00", CANARY)
        number = to_forget.number
        answer = flask("backup", str(tmp_path / "tirefit.dump"))
        assert answer.exit_code == 0, answer.output
        refused = flask("restore", str(tmp_path / "tirefit.dump"))
        assert refused.exit_code == 1 and "pg_restore" in refused.output
        cancel_booking(to_forget.id, actor="customer")
        privacy.forget(to_forget.id, actor="customer")
        old = current_app.config["DATABASE_URL"].replace("+psycopg", "")

    new = empty_database("postgresql")
    where = new.replace("+psycopg", "")
    subprocess.run(["pg_restore", "--no-owner", f"--dbname={where}", str(tmp_path / "tirefit.dump")], check=True)
    with app_on(new, tmp_path):
        assert set(db.session.scalars(select(Booking.number))) == {made, number}
        with pytest.raises(SlotTaken):
            booking(station(), "10:00", post_number=1)

        ahead = flask("reapply-erasures", old)  # cancelled after the copy: in it, it is still ahead
        assert ahead.exit_code == 1 and f"still ahead in this copy: {number}" in ahead.output
        cancel_booking(db.session.scalars(select(Booking.id).where(Booking.number == number)).one(), actor="user")
        assert flask("reapply-erasures", old).exit_code == 0
        assert found_in(everywhere()) == []


def test_without_pg_dump_it_says_what_is_missing(new_database, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with app_on(new_database("postgresql"), tmp_path):
        answer = flask("backup", str(tmp_path / "tirefit.dump"))

    assert answer.exit_code == 1
    assert "pg_dump is not installed here" in answer.output

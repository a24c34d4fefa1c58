"""The database goes away, fills up or comes back: people get words and a phone number, programs get a code, nobody a
stack trace; what was agreed stays; and nothing has to be started again.
"""

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import flask_migrate
import psycopg
import pytest
from flask import Flask
from sqlalchemy import event, make_url, select, text
from sqlalchemy.exc import DBAPIError

from tests import factories
from tests.customer import CONTACTS
from tests.factories import booking, car_type, kyiv, service
from tests.services import Services, _account
from tirefit import create_app, paper
from tirefit.booking.commands import Customer
from tirefit.database import WRITE, db, is_out_of_reach
from tirefit.jobs import runner
from tirefit.models import Booking, ServicePoint
from tirefit.schedule.availability import days
from tirefit.schedule.reservations import new_token

SECRETS = re.compile(r"Traceback|sqlalchemy|psycopg|OperationalError|sqlite", re.IGNORECASE)


@contextmanager
def in_production(url: str, instance: Path) -> Iterator[Flask]:
    """The program as it runs outside: faults of ours are shown as pages, not raised at the test."""
    app = create_app(DATABASE_URL=url, INSTANCE_PATH=str(instance), WTF_CSRF_ENABLED=False)
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


def open_a_station() -> str:
    """→ the address of its free times"""
    factories.station()
    paper.save_copies()
    return f"/s/zimnyaya-5?svc={service().id}&car={car_type().id}"


def is_a_page_with_a_phone(answer):
    assert (answer.status_code, answer.headers.get("Retry-After")) == (503, "30"), answer.text
    assert "Сейчас не получается" in answer.text
    assert 'href="tel:+380442000505"' in answer.text
    assert not SECRETS.search(answer.text)
    return True


def is_a_problem(answer):
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.json["code"] == "out_of_reach"
    assert not SECRETS.search(answer.text)
    return True


def is_a_log_of_few_words(caplog):
    assert "database out of reach" in caplog.text
    assert "Traceback" not in caplog.text
    return True


@pytest.fixture
def own_postgresql():
    """A server that only this test uses, and its folder."""
    services = Services()
    url = services.postgresql.format("postgres")
    yield url, Path(re.search("host=(.+)", url)[1])
    services.close()


@contextmanager
def gone(folder):
    """A server that cuts everybody off and lets nobody in."""
    socket, hidden = folder / ".s.PGSQL.5432", folder / "hidden"
    with psycopg.connect(f"host={folder} user=tirefit dbname=template1", autocommit=True) as administrator:
        socket.rename(hidden)
        administrator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'postgres'")
    yield
    hidden.rename(socket)


def test_an_answer_that_is_made_goes_out_though_the_database_dies_before_it_has(new_database, tmp_path):
    with in_production(new_database("postgresql"), tmp_path) as app:
        with app.app_context():
            times = open_a_station()

        @app.after_request
        def and_now_it_dies(answer):
            server = db.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
            session = db.session.scalar(text("SELECT pg_backend_pid()"))
            with psycopg.connect(server) as other:
                other.execute("SELECT pg_terminate_backend(%s)", [session])
            return answer

        anna = app.test_client()
        assert [anna.get(times).status_code for _ in range(2)] == [200, 200]


def test_postgresql_goes_away_and_comes_back(own_postgresql, tmp_path, caplog):
    url, folder = own_postgresql
    with in_production(url, tmp_path) as app:
        with app.app_context():
            flask_migrate.upgrade()
            times = open_a_station()
            agreed = booking(db.session.get_one(ServicePoint, 1), "10:00").number
        anna = app.test_client()
        assert anna.get(times).status_code == 200

        with gone(folder):
            assert is_a_page_with_a_phone(anna.get(times))
            assert is_a_page_with_a_phone(anna.post(f"/h/{new_token()}?s=zimnyaya-5", data=CONTACTS))
            assert is_a_page_with_a_phone(anna.get("/"))
            assert is_a_problem(anna.get("/api/v1/service_points"))
            assert anna.get("/health/live").status_code == 200
            ready = anna.get("/health/ready")
            assert (ready.status_code, ready.json["database"]) == (503, "unreachable")
            assert is_a_log_of_few_words(caplog)

        assert anna.get(times).status_code == 200
        assert anna.get("/health/ready").status_code == 200
        with app.app_context():
            assert db.session.scalars(select(Booking.number)).all() == [agreed]


def test_a_standby_shows_what_there_is_and_refuses_what_is_new_until_it_leads(own_postgresql, tmp_path, caplog):
    """Postgres that may only be read: after a failover in the wrong direction, say."""
    url, folder = own_postgresql
    with in_production(url, tmp_path) as app:
        with app.app_context():
            flask_migrate.upgrade()
            times = open_a_station()
            wish = {"s": "zimnyaya-5", "svc": service().id, "car": car_type().id}
            sent = CONTACTS | wish | {"at": kyiv("2026-11-04 10:00").isoformat()}
        anna = app.test_client()

        with started_again(folder, as_standby=True):
            assert anna.get(times).status_code == 200
            assert is_a_page_with_a_phone(anna.post(f"/h/{new_token()}", data=sent))
            assert is_a_log_of_few_words(caplog)
            assert anna.get(times).status_code == 200
        with started_again(folder, as_standby=False):
            assert anna.post(f"/h/{new_token()}", data=sent).status_code == 303


@contextmanager
def started_again(folder: Path, *, as_standby: bool) -> Iterator[None]:
    """The same server, stopped as it is and started as one that only follows (or as one that leads again)."""
    command = (folder / "postmaster.opts").read_text().strip()
    if (folder / "postmaster.pid").exists():
        os.kill(int((folder / "postmaster.pid").read_text().splitlines()[0]), signal.SIGINT)
        until(lambda: not (folder / "postmaster.pid").exists())
    (folder / "standby.signal").touch() if as_standby else (folder / "standby.signal").unlink(missing_ok=True)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder}
    server = subprocess.Popen(
        shlex.split(command), preexec_fn=runner.die_with(os.getpid(), signal.SIGINT), **quiet, **_account()
    )
    until(lambda: psycopg.connect(f"host={folder} user=tirefit dbname=postgres").close() is None)
    yield
    server.send_signal(signal.SIGINT)
    server.wait(20)


def until(holds) -> None:
    deadline = time.monotonic() + 20
    while True:
        with suppress(psycopg.OperationalError):
            if holds():
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_full_disk_refuses_what_is_new_and_shows_what_there_is(new_database, tmp_path, caplog):
    with in_production(new_database("sqlite"), tmp_path) as app:
        with app.app_context():
            times = open_a_station()
            wish = {"s": "zimnyaya-5", "svc": service().id, "car": car_type().id}
            sent = CONTACTS | wish | {"at": kyiv("2026-11-04 10:00").isoformat()}
            db.engine.dispose()
            is_full, agreed = [True], []

            @event.listens_for(db.engine, "connect")
            def no_more_pages(connection, record):
                if is_full:
                    (pages,) = connection.execute("PRAGMA page_count").fetchone()
                    connection.execute(f"PRAGMA max_page_count = {pages}")

            point = db.session.get_one(ServicePoint, 1)
            with pytest.raises(DBAPIError) as full:  # the last pages have room for some
                book_all_day(point, agreed)
            assert is_out_of_reach(full.value)
        anna = app.test_client()

        assert anna.get(times).status_code == 200
        assert is_a_page_with_a_phone(anna.post(f"/h/{new_token()}", data=sent))
        assert is_a_log_of_few_words(caplog)

        is_full.clear()
        with app.app_context():
            db.engine.dispose()  # a limit of the test's own connections; a disk needs none of this
        assert anna.post(f"/h/{new_token()}", data=sent).status_code == 303
        with app.app_context():
            assert db.session.scalars(select(Booking.number).order_by(Booking.id)).all()[:-1] == agreed


def test_a_file_that_may_only_be_read_shows_what_there_is_and_refuses_what_is_new(new_database, tmp_path, caplog):
    url = new_database("sqlite")
    with in_production(url, tmp_path) as app, app.app_context():
        times = open_a_station()
        wish = {"s": "zimnyaya-5", "svc": service().id, "car": car_type().id}
        sent = CONTACTS | wish | {"at": kyiv("2026-11-04 10:00").isoformat()}
    reading = f"sqlite:///file:{make_url(url).database}?mode=ro&uri=true"
    with in_production(reading, tmp_path) as app:
        anna = app.test_client()
        assert anna.get(times).status_code == 200
        assert is_a_page_with_a_phone(anna.post(f"/h/{new_token()}", data=sent))
        assert is_a_log_of_few_words(caplog)
        assert anna.get(times).status_code == 200
    with in_production(url, tmp_path) as app:
        assert app.test_client().post(f"/h/{new_token()}", data=sent).status_code == 303


def book_all_day(point: ServicePoint, agreed: list[str]) -> None:
    for n, free in enumerate(days(point, kyiv("09:00").date(), 1, 30)[0].times):
        agreed.append(booking(point, free.starts_at, Customer("Анна", f"+3806712{n:05}", None)).number)


@pytest.mark.parametrize("database", ["postgresql"])
def test_a_reader_whose_lock_does_not_come_is_told_to_come_back(app, station):
    """A migration that keeps a table for long, say."""
    with db.engine.connect().execution_options(**WRITE) as migration, migration.begin():
        migration.execute(text("LOCK TABLE reservations IN ACCESS EXCLUSIVE MODE"))
        db.session.execute(text("SET LOCAL lock_timeout = '50ms'"))
        with pytest.raises(DBAPIError) as waited:
            db.session.execute(text("SELECT count(*) FROM reservations"))
        db.session.rollback()
    assert is_out_of_reach(waited.value)

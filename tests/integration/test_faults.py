"""The database goes away, fills up or comes back: people get words and a phone number, programs get a code, nobody a
stack trace; what was agreed stays; and nothing has to be started again.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import flask_migrate
import psycopg
import pytest
from flask import Flask
from sqlalchemy import event, select
from sqlalchemy.exc import DBAPIError

from tests import factories
from tests.customer import CONTACTS
from tests.factories import booking, car_type, kyiv, service
from tests.services import Services
from tirefit import create_app, paper
from tirefit.booking.commands import Customer
from tirefit.database import db, is_out_of_reach
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
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
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


def book_all_day(point: ServicePoint, agreed: list[str]) -> None:
    for n, time in enumerate(days(point, kyiv("09:00").date(), 1, 30)[0].times):
        agreed.append(booking(point, time.starts_at, Customer("Анна", f"+3806712{n:05}", None)).number)

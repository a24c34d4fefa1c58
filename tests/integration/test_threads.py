"""Where no queue can run, a thread of the web process does the jobs."""

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from tests import factories
from tests.factories import ANNA, kyiv
from tests.services import MailServer
from tirefit import create_app
from tirefit.database import db
from tirefit.jobs import runner
from tirefit.models import Reservation, ServicePoint
from tirefit.schedule import reservations


@pytest.fixture
def alone(
    database: str, new_database: Callable[[str], str], smtp: MailServer, at: object, tmp_path: Path
) -> Iterator[Flask]:
    """The program without a queue."""
    mail = {"MAIL_SERVER": smtp.host, "MAIL_PORT": smtp.port}
    app = create_app(DATABASE_URL=new_database(database), REDIS_URL=None, INSTANCE_PATH=str(tmp_path), **mail)
    with app.app_context():
        yield app
        db.session.remove()
        db.engine.dispose()


def test_a_letter_leaves_at_once_without_waiting_for_the_next_round(alone, smtp, monkeypatch):
    monkeypatch.setattr(runner, "A_ROUND", 600)  # only the bell can wake the thread in time
    stop = runner.run_in_threads(alone)
    try:
        factories.booking(factories.station(email=None), "10:00")
        until(lambda: smtp.envelopes)
    finally:
        stop()
    assert [recipients for _, recipients in smtp.envelopes] == [[ANNA.email]]


def test_holds_that_are_over_are_removed(alone, at: Callable[[str], datetime]):
    point = factories.station()
    reservations.reserve_slot_temporarily(point.id, kyiv("10:00"), 40, reservations.new_token())
    at("11:00")
    stop = runner.run_in_threads(alone)
    try:
        until(lambda: count_of_reservations() == 0)
    finally:
        stop()


def test_days_that_should_be_open_are_opened_at_the_start(alone, at: Callable[[str], datetime]):
    point = factories.station()
    at("2026-11-06 09:00")
    stop = runner.run_in_threads(alone)
    try:
        until(lambda: last_day_of(point) == kyiv("2026-11-16 09:00").date())
    finally:
        stop()


def test_a_job_that_fails_does_not_stop_the_others(alone, smtp, monkeypatch, caplog):
    def fail() -> None:
        raise RuntimeError("the schedule cannot be made")

    monkeypatch.setattr(runner.tasks, "cleanup_expired_reservations", fail)
    factories.booking(factories.station(email=None), "10:00")
    stop = runner.run_in_threads(alone)
    try:
        until(lambda: smtp.envelopes and "cleanup_expired_reservations failed" in caplog.text)
    finally:
        stop()


def last_day_of(point: ServicePoint) -> date | None:
    db.session.rollback()
    return db.session.scalar(select(ServicePoint.slots_until).where(ServicePoint.id == point.id))


def count_of_reservations() -> int:
    db.session.rollback()
    return db.session.query(Reservation).count()


def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)

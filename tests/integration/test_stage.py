"""The stage itself: what every other test relies on."""

import smtplib

import pytest
import redis
import sqlalchemy as sa

from tests import factories
from tests.factories import kyiv
from tirefit import clock
from tirefit.database import db
from tirefit.models import Booking, Notification, overlap_guard_is_there
from tirefit.schedule.availability import available_at_time


def test_the_clock_stands_at_monday_nine_oclock_until_a_test_moves_it(at):
    assert clock.now() == kyiv("09:00")
    assert at("2026-11-03 10:30") == clock.now() == kyiv("2026-11-03 10:30")


def test_each_dialect_is_the_real_one_with_its_guard(app, database):
    assert db.engine.dialect.name == database
    assert overlap_guard_is_there(db.session.connection())


def test_a_booking_takes_one_of_the_three_posts(station):
    assert len(available_at_time(station, kyiv("09:00"), 30)) == 3
    booked = factories.booking(station, "09:00")
    assert booked.ends_at == kyiv("09:40")
    assert [run.post_number for run in available_at_time(station, kyiv("09:00"), 30)] == [1, 3]


def test_no_row_is_left_from_the_test_before(app):
    for model in (Booking, Notification):
        assert db.session.scalar(sa.select(sa.func.count()).select_from(model)) == 0


def test_the_queue_is_real_and_empty(redis_url):
    with redis.Redis.from_url(redis_url) as connection:
        assert connection.ping()
        assert connection.dbsize() == 0


def test_the_mail_server_keeps_what_it_is_given_and_refuses_when_told(smtp):
    smtp.refuse_next.append("451 come back later")
    with smtplib.SMTP(smtp.host, smtp.port, timeout=5) as sender:
        with pytest.raises(smtplib.SMTPDataError, match="come back later"):
            sender.sendmail("a@example.com", ["b@example.com"], "Subject: one\n\n")
        sender.sendmail("a@example.com", ["b@example.com"], "Subject: two\n\n")
    assert [letter["subject"] for letter in smtp.messages] == ["two"]

"""A station's lists cost the same few statements however long its history is: with TIREFIT_TRIALS=1 fifty thousand."""

import os
from datetime import date, timedelta

import pytest

from tests.factories import MONDAY, kyiv, sign_in
from tests.integration.test_desk import a_season
from tirefit.database import WRITE, command, db
from tirefit.models import ScheduleRun
from tirefit.schedule import changes

BOOKINGS = 50_000 if os.environ.get("TIREFIT_TRIALS") else 300
MOST = 6
HERE = "/manage/zimnyaya-5"
LISTS = {
    "bookings": f"{HERE}/bookings",
    "bookings, the last page": f"{HERE}/bookings?page=99999",
    "a search": f"{HERE}/bookings?q=aa0042",
    "a search that finds all": f"{HERE}/bookings?q=клиент&status=completed",
    "a search that finds nothing": f"{HERE}/bookings?q=клиент&status=pending&post=1&from=2026-11-02",
    "the calendar": f"{HERE}/exceptions",
    "changes of the schedule": f"{HERE}/history",
    "letters": f"{HERE}/notifications",
    "letters that failed": f"{HERE}/notifications?state=failed",
    "the journal": f"{HERE}/audit",
    "the journal of bookings": f"{HERE}/audit?kind=booking",
    "reports": f"{HERE}/reports",
    "posts": "/manage/posts?s=zimnyaya-5",
    "weeks and days off": "/manage/templates?s=zimnyaya-5",
    "holidays": "/manage/templates/holidays?s=zimnyaya-5",
}


@pytest.fixture
def old_station(station, olga):
    a_season(station, BOOKINGS)
    changes.save_exceptions(station.id, date(2026, 11, 9), date(2027, 1, 15), [(600, 900)], post_ids=[])
    changes.save_template(station.id, [(0, 540, 600)], name="Своя", post_id=station.posts[0].id)
    change_often(station.id, olga.id)
    write_about_all()
    return station


@command
def change_often(point_id, user_id):
    about = {"service_point_id": point_id, "user_id": user_id, "kind": "exception", "finished_at": MONDAY}
    for n in range(200):
        day = (date(2025, 1, 1) + timedelta(days=n)).isoformat()
        subject = {"post_id": None, "days": [day]}
        db.session.add(ScheduleRun(subject=subject, before={day: None}, after={}, created_at=kyiv("10:00"), **about))


def write_about_all():
    """A letter and two events of each booking, as the tables have them."""
    letters = """INSERT INTO notifications (booking_id, service_point_id, recipient, kind, topic, locale, revision,
        message_id, due_at, state, attempts, last_error, sent_at, created_at)
      SELECT id, service_point_id, 'k@example.com', 'booking_created', '', 'ru', 1, 'm' || id, starts_at,
        CASE WHEN mod(id, 3) = 0 THEN 'failed' ELSE 'sent' END, 1, '',
        CASE WHEN mod(id, 3) = 0 THEN NULL ELSE starts_at END, starts_at FROM bookings"""
    events = """INSERT INTO booking_events (booking_id, at, actor, event, before, after)
      SELECT id, starts_at, 'customer', 'created', '{}', '{}' FROM bookings"""
    db.session.rollback()
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        connection.exec_driver_sql(letters)
        connection.exec_driver_sql(events)
        connection.exec_driver_sql("ANALYZE")


def test_every_list_is_read_with_six_statements(client, old_station, olga, statements):
    sign_in(client, olga)
    sent = {}
    for name, address in LISTS.items():
        db.session.remove()
        with statements() as seen:
            assert client.get(address).status_code == 200, name
        sent[name] = len(seen)

    assert max(sent.values()) <= MOST, sent
    assert sent["bookings"] > 2, "the counter counts"

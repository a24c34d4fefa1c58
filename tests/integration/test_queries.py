"""The hot questions stay cheap: few statements at any size, and each of them by its index on both databases."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, text

from tests import factories
from tests.factories import booking, kyiv
from tirefit.database import WRITE, db
from tirefit.models.schedule import OVERLAP_GUARD, SQLITE_GUARD
from tirefit.schedule.availability import days, nearest
from tirefit.schedule.cities import Asked, nearest_of, stations_of
from tirefit.schedule.reasons import by_posts
from tirefit.schedule.reservations import (
    cleanup_expired_reservations,
    find_hold,
    reserve_slot_temporarily,
)
from tirefit.schedule.slots import regenerate_post_schedule

DAY = kyiv("2026-11-03 09:00").date()


@pytest.mark.parametrize("count", [1, 14, 62, 1000])
def test_an_overview_takes_three_statements_however_long(app, statements, count):
    station = factories.station(horizon_days=60)

    with statements() as seen:
        found = days(station, DAY, count, 30)

    assert len(seen) == 3
    assert len(found) == min(count, 62)


def test_nor_does_it_grow_with_posts_or_with_stations(app, statements):
    for n in range(3):
        factories.station(slug=f"letnyaya-{n}", name=f"Летняя, {n}")
    station = factories.station(posts=[30, 40] * 6)

    with statements() as seen:
        days(station, DAY, 7, 30)
        by_posts(station, DAY, 30)

    assert len(seen) == 6


@pytest.mark.parametrize("count", [1, 62])
def test_nor_with_a_season_of_bookings_on_twenty_posts(app, statements, at, count):
    station = factories.station(posts=[10, 30, 40, 15] * 5, horizon_days=61)
    for n in range(40):
        hold(station, f"2026-11-{(3, 10, 17, 24)[n % 4] + n % 3:02} {9 + n % 8:02}:00", str(n))

    with statements() as seen:
        found = days(station, DAY, count, 30)

    assert len(seen) == 3
    assert all(day.times for day in found if day.date.weekday() != 6 and day.date <= DAY + timedelta(days=60))


def test_the_soonest_time_takes_three_statements_when_there_is_one_tomorrow(app, station, statements):
    with statements() as seen:
        assert nearest(station, 30)

    assert len(seen) == 3


# --- indexes


@dataclass(frozen=True)
class Hot:
    """A statement that is sent all day long: how to have it sent, how to know it, and which index must answer it."""

    ask: Callable[[Any], object]
    begins: str
    mentions: str
    index: str
    on_sqlite: str = ""  # where SQLite calls the index of a constraint by a name of its own


def hold(station, moment="2026-11-03 10:00", token="t", **who):
    return reserve_slot_temporarily(station.id, kyiv(moment), 30, token, **who)


# What each index is for stands beside it, in tirefit/models/.
OFFER = {"index": "pk_schedule_slots", "on_sqlite": "PRIMARY KEY"}
A_DAYS_RESERVATIONS = "ix_reservations_service_point_id_starts_at"
HOT = {
    "the offer of a station's day": Hot(
        lambda s: days(s, DAY, 1, 30), "SELECT schedule_slots", "schedule_slots", **OFFER
    ),
    "the offer of two months": Hot(lambda s: days(s, DAY, 62, 30), "SELECT schedule_slots", "schedule_slots", **OFFER),
    "the offer of the soonest time": Hot(lambda s: nearest(s, 30), "SELECT schedule_slots", "schedule_slots", **OFFER),
    "the reservations of a station's day": Hot(
        lambda s: days(s, DAY, 1, 30), "SELECT reservations", "reservations", A_DAYS_RESERVATIONS
    ),
    "the reservations of two months": Hot(
        lambda s: days(s, DAY, 62, 30), "SELECT reservations", "reservations", A_DAYS_RESERVATIONS
    ),
    "the reservations round the soonest time": Hot(
        lambda s: nearest(s, 30), "SELECT reservations", "reservations", A_DAYS_RESERVATIONS
    ),
    "a station's posts": Hot(
        lambda s: days(s, DAY, 1, 30),
        "SELECT service_posts",
        "service_posts",
        "uq_service_posts_service_point_id_post_number",
        "sqlite_autoindex_service_posts_1",
    ),
    "is it still offered, after a hold": Hot(
        hold, "SELECT schedule_slots", "schedule_slots.service_post_id = ", **OFFER
    ),
    "the hold of a token": Hot(
        lambda s: find_hold("t"),
        "SELECT reservations",
        "token_hash =",
        "uq_reservations_token_hash",
        "sqlite_autoindex_reservations_2",
    ),
    "the other holds of a browser": Hot(
        lambda s: hold(s, holder="firefox"), "SELECT reservations.id", "holder =", "ix_reservations_holder"
    ),
    "the holds of a network": Hot(
        lambda s: hold(s, origin="10.0.0.0"), "SELECT reservations.expires_at", "origin =", "ix_reservations_origin"
    ),
    "expired holds in the way of one": Hot(
        lambda s: hold(s, post_number=1), "DELETE", "expires_at <=", "ix_reservations_service_post_id_starts_at"
    ),
    "expired holds to tidy away": Hot(
        lambda s: cleanup_expired_reservations(),
        "SELECT reservations.id",
        "expires_at <=",
        "ix_reservations_expires_at",
    ),
    "the offer of a post that is cut anew": Hot(
        lambda s: regenerate_post_schedule(s.posts[0].id), "SELECT schedule_slots", "service_post_id IN", **OFFER
    ),
    "what is reserved on a post that is cut anew": Hot(
        lambda s: regenerate_post_schedule(s.posts[0].id),
        "SELECT reservations.id",
        "service_post_id IN",
        "ix_reservations_service_post_id_starts_at",
    ),
    "the offer of a city": Hot(
        lambda s: nearest_of([Asked(point, 30) for point in stations_of(s.city)]),
        "SELECT schedule_slots",
        "service_point_id IN",
        **OFFER,
    ),
    "the reservations of a city": Hot(
        lambda s: nearest_of([Asked(point, 30) for point in stations_of(s.city)]),
        "SELECT reservations.id",
        "service_point_id IN",
        A_DAYS_RESERVATIONS,
    ),
    "the open bookings of a phone": Hot(
        lambda s: booking(s, "2026-11-05 10:00"), "SELECT count(bookings.id)", "phone =", "ix_bookings_customer_phone"
    ),
    "the letters promised to an address": Hot(
        lambda s: booking(s, "2026-11-05 10:00"),
        "SELECT count(*)",
        "recipient =",
        "ix_notifications_recipient_created_at",
    ),
}


@pytest.mark.parametrize("name", HOT)
def test_a_hot_statement_is_answered_by_its_index(app, at, name):
    """Asked with many stations in the tables, so that reading all of them would be the worse plan; and with an expired
    hold in the way.
    """
    hot = HOT[name]
    station = factories.station(horizon_days=30)
    for n in range(6):
        factories.station(slug=f"letnyaya-{n}", name=f"Летняя, {n}", horizon_days=8)
    for n in range(10):
        hold(station, f"2026-11-04 {9 + n // 2:02}:{n % 2 * 30:02}", f"others {n}")
    hold(station, token="expired", post_number=1)
    at("2026-11-03 09:30")
    know_the_tables()

    plan = plan_of(hot, station)

    index = hot.on_sqlite or hot.index if app_dialect() == "sqlite" else hot.index
    assert index in plan, plan
    assert "Seq Scan" not in plan, plan
    assert not any(f"SCAN {table}" in plan for table in db.metadata.tables), plan


def test_the_guard_looks_for_overlaps_by_its_index(app, station):
    """What the exclusion constraint, and the triggers, ask at each insert."""
    hold(station)
    if app_dialect() == "sqlite":
        (trigger,) = (sql for name, sql in SQLITE_GUARD.items() if name.endswith("insert"))
        asked = trigger.partition("WHEN (")[2].partition(") >")[0]
        plan = explain(asked.replace("NEW.service_post_id", "1").replace("NEW.ends_at", "1793700000"), ())
        assert "SEARCH r USING INDEX ix_reservations_service_post_id_starts_at" in plan
        assert "service_post_id=? AND starts_at<?" in plan and "TEMP B-TREE" not in plan
    else:
        plan = explain(
            "SELECT 1 FROM reservations WHERE service_post_id = 1"
            " AND tstzrange(starts_at, ends_at, '[)') && tstzrange('2026-11-03', '2026-11-04', '[)')",
            None,
        )
        assert OVERLAP_GUARD in plan and "Index Cond" in plan, plan


def app_dialect() -> str:
    return db.engine.dialect.name


def plan_of(hot: Hot, station) -> str:
    """The plan of the statement as it was really sent, with its own values."""
    sent = []

    def note(connection, cursor, statement, values, context, many) -> None:
        if statement.startswith(hot.begins) and hot.mentions in statement:
            sent.append((statement, values))

    event.listen(db.engine, "before_cursor_execute", note)
    try:
        hot.ask(station)
    finally:
        event.remove(db.engine, "before_cursor_execute", note)
    assert sent, "it was not asked at all"
    db.session.rollback()
    return explain(*sent[-1])


# At night, when nobody of a test has booked.
A_CROWD = """INSERT INTO reservations
    (service_point_id, service_post_id, starts_at, ends_at, kind, holder, origin, expires_at, created_at)
SELECT post.service_point_id, post.id, hour, hour + interval '30 minutes', 'hold', post.id || ' ' || hour, hour::text,
    hour, hour
FROM service_posts post, generate_series(timestamptz '2026-01-01 00:00Z', '2027-09-01 00:00Z', '2 days') hour"""


def know_the_tables() -> None:
    """PostgreSQL plans by what it has counted: let it count thousands of rows, and not what an earlier test left."""
    if app_dialect() == "postgresql":
        db.session.rollback()
        with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
            connection.exec_driver_sql(A_CROWD)
            connection.exec_driver_sql("ANALYZE")


def explain(statement: str, values: Any) -> str:
    connection = db.session.connection()
    if app_dialect() == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
        return "\n".join(row[-1] for row in rows)
    connection.execute(text("SET LOCAL enable_seqscan = off"))  # the tables of a test are small enough to read whole
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values))

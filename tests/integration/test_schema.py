"""What the schema itself refuses, whatever the code does. Rows are written here past the domain, as a bug would."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.factories import kyiv
from tirefit.database import WRITE, db, lost_to
from tirefit.models import (
    LIVE,
    OVERLAP_GUARD,
    STATUSES,
    Booking,
    CarType,
    Reservation,
    ScheduleException,
    ScheduleSlot,
    ServicePoint,
    ServicePost,
    overlap_guard_is_there,
)

LEFT, RIGHT, ELSEWHERE = 1, 2, 3  # two posts of «Зимняя, 5», and one of another station


@pytest.fixture
def stations(app) -> Iterator[Connection]:
    """A transaction that is thrown away, with two stations and their three posts in it."""
    with db.engine.connect().execution_options(**WRITE) as connection:
        for number, slug in enumerate(("zimnyaya-5", "letnyaya-7"), start=1):
            connection.execute(insert(ServicePoint).values(id=number, slug=slug, name=slug))
        for post, station, number in (LEFT, 1, 1), (RIGHT, 1, 2), (ELSEWHERE, 2, 1):
            connection.execute(
                insert(ServicePost).values(id=post, service_point_id=station, post_number=number, slot_duration=30)
            )
        connection.execute(insert(CarType).values(id=1, code="car", names={"ru": "Легковая"}))
        yield connection
        connection.rollback()


# --- two reservations of a post never overlap


OVERLAPPING = pytest.mark.parametrize(
    ("starts", "ends"),
    [
        pytest.param("10:00", "11:00", id="the same time"),
        pytest.param("09:00", "10:01", id="reaches into it"),
        pytest.param("10:59", "12:00", id="begins in it"),
        pytest.param("10:15", "10:45", id="lies within it"),
        pytest.param("09:00", "12:00", id="covers it"),
        pytest.param("10:00", "10:01", id="begins with it"),
        pytest.param("10:59", "11:00", id="ends with it"),
    ],
)


@OVERLAPPING
def test_an_overlap_is_refused_by_the_guards_name(stations, starts, ends):
    reserve(stations, LEFT, "10:00", "11:00")
    assert lost_to(refused(stations, reservation(LEFT, starts, ends)), OVERLAP_GUARD)


@OVERLAPPING
def test_an_overlap_is_refused_when_a_reservation_is_moved_there(stations, starts, ends):
    reserve(stations, LEFT, "10:00", "11:00")
    moved = reserve(stations, LEFT, "14:00", "15:00")
    there = update(Reservation).where(Reservation.id == moved)
    error = refused(stations, there.values(starts_at=kyiv(starts), ends_at=kyiv(ends)))
    assert lost_to(error, OVERLAP_GUARD)


@OVERLAPPING
def test_an_overlap_is_refused_when_a_reservation_is_moved_to_the_other_post(stations, starts, ends):
    reserve(stations, LEFT, "10:00", "11:00")
    moved = reserve(stations, RIGHT, starts, ends)
    there = update(Reservation).where(Reservation.id == moved)
    assert lost_to(refused(stations, there.values(service_post_id=LEFT)), OVERLAP_GUARD)


@OVERLAPPING
def test_the_same_time_of_another_post_is_no_overlap(stations, starts, ends):
    reserve(stations, LEFT, "10:00", "11:00")
    reserve(stations, RIGHT, starts, ends)
    reserve(stations, ELSEWHERE, starts, ends)
    assert len(reservations(stations)) == 3


@OVERLAPPING
def test_an_overlap_happens_once_the_guard_is_gone(stations, starts, ends):
    """The control: nothing but the guard refuses it."""
    drop_guard(stations)
    reserve(stations, LEFT, "10:00", "11:00")
    reserve(stations, LEFT, starts, ends)
    assert len(reservations(stations)) == 2


def test_reservations_may_touch(stations):
    reserve(stations, LEFT, "10:00", "11:00")
    reserve(stations, LEFT, "11:00", "11:40")
    reserve(stations, LEFT, "09:30", "10:00")
    assert len(reservations(stations)) == 3


def test_a_long_reservation_before_a_short_one_is_seen(stations):
    """The guard looks at the last one that starts before the new end: it must be the one that reaches furthest."""
    reserve(stations, LEFT, "09:00", "09:10")
    reserve(stations, LEFT, "09:10", "17:00")
    reserve(stations, LEFT, "17:00", "17:10")
    for starts, ends in ("16:59", "17:00"), ("09:05", "09:10"), ("17:09", "18:00"), ("08:00", "18:00"):
        assert lost_to(refused(stations, reservation(LEFT, starts, ends)), OVERLAP_GUARD)
    reserve(stations, LEFT, "17:10", "18:00")


def test_a_reservation_may_be_moved_over_its_own_time(stations):
    moved = reserve(stations, LEFT, "10:00", "11:00")
    for starts, ends in ("10:30", "11:30"), ("10:00", "12:00"), ("10:30", "11:00"):
        where = update(Reservation).where(Reservation.id == moved)
        stations.execute(where.values(starts_at=kyiv(starts), ends_at=kyiv(ends)))
    assert reservations(stations) == [(LEFT, kyiv("10:30"), kyiv("11:00"))]


@pytest.mark.parametrize("grows", [{"starts_at": kyiv("09:59")}, {"ends_at": kyiv("11:01")}], ids=["back", "forth"])
def test_a_reservation_does_not_grow_into_its_neighbour(stations, grows):
    reserve(stations, LEFT, "09:00", "10:00")
    middle = reserve(stations, LEFT, "10:00", "11:00")
    reserve(stations, LEFT, "11:00", "12:00")
    error = refused(stations, update(Reservation).where(Reservation.id == middle).values(**grows))
    assert lost_to(error, OVERLAP_GUARD)


def test_an_expired_hold_is_guarded_too(stations):
    """The guard reads no clock: whoever wants the time of an expired hold deletes it first."""
    held = reserve(stations, LEFT, "10:00", "11:00", kind="hold", expires_at=kyiv("08:00"))
    assert lost_to(refused(stations, reservation(LEFT, "10:00", "11:00")), OVERLAP_GUARD)
    stations.execute(delete(Reservation).where(Reservation.id == held))
    reserve(stations, LEFT, "10:00", "11:00")


def test_several_rows_of_one_statement_are_guarded_from_each_other(stations):
    rows = [reservation_values(LEFT, "10:00", "11:00"), reservation_values(LEFT, "10:30", "11:30")]
    assert lost_to(refused(stations, insert(Reservation).values(rows)), OVERLAP_GUARD)
    assert reservations(stations) == []


def test_other_refusals_do_not_look_like_a_taken_slot(stations):
    taken = reserve(stations, LEFT, "10:00", "11:00", token_hash="a")
    others = {
        "no kind": reservation(RIGHT, "10:00", "11:00", kind=None),
        "an unknown kind": reservation(RIGHT, "10:00", "11:00", kind="lunch"),
        "no such post": reservation(99, "10:00", "11:00", service_point_id=1),
        "backwards": reservation(RIGHT, "11:00", "10:00"),
        "the same token": reservation(RIGHT, "10:00", "11:00", token_hash="a"),
        "the same id": reservation(RIGHT, "10:00", "11:00", id=taken),
    }
    errors = {why: refused(stations, statement) for why, statement in others.items()}
    assert [why for why, error in errors.items() if lost_to(error, OVERLAP_GUARD)] == []


# --- is the guard there? A rebuilt table has lost its triggers


def test_the_guard_is_missed_when_it_is_gone(stations):
    assert overlap_guard_is_there(stations)
    drop_guard(stations)
    assert not overlap_guard_is_there(stations)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("trigger", [f"{OVERLAP_GUARD}_insert", f"{OVERLAP_GUARD}_update"])
def test_half_a_guard_is_no_guard(stations, trigger):
    stations.execute(text(f"DROP TRIGGER {trigger}"))
    assert not overlap_guard_is_there(stations)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_rebuilding_the_table_loses_the_guard(stations):
    """Why migrations are checked for it: Alembic's batch mode copies rows, indexes and constraints, not triggers."""
    batch = Operations(MigrationContext.configure(stations)).batch_alter_table("reservations", recreate="always")
    with batch as table:
        table.drop_column("reason")
    assert not overlap_guard_is_there(stations)


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_plain_constraint_of_that_name_is_no_guard(stations):
    drop_guard(stations)
    stations.execute(text(f"ALTER TABLE reservations ADD CONSTRAINT {OVERLAP_GUARD} CHECK (starts_at < ends_at)"))
    assert not overlap_guard_is_there(stations)


# --- a booking and its time


def test_a_booking_has_the_time_and_post_of_its_reservation(stations):
    owned = reserve(stations, LEFT, "10:00", "11:00")
    for lie in (
        {"starts_at": kyiv("10:30")},
        {"ends_at": kyiv("12:00")},
        {"service_post_id": RIGHT},
        {"service_post_id": ELSEWHERE, "service_point_id": 2},
    ):
        refused(stations, booking(owned, "10:00", "11:00", **lie), by="foreign key")
    stations.execute(booking(owned, "10:00", "11:00"))


def test_a_booking_moves_with_its_reservation(stations):
    owned = reserve(stations, LEFT, "10:00", "11:00")
    stations.execute(booking(owned, "10:00", "11:00"))
    where = update(Reservation).where(Reservation.id == owned)
    stations.execute(where.values(service_post_id=RIGHT, starts_at=kyiv("14:00"), ends_at=kyiv("14:40")))
    moved = stations.execute(select(Booking.service_post_id, Booking.starts_at, Booking.ends_at)).all()
    assert moved == [(RIGHT, kyiv("14:00"), kyiv("14:40"))]


def test_the_time_of_a_live_booking_cannot_be_freed(stations):
    owned = reserve(stations, LEFT, "10:00", "11:00")
    stations.execute(booking(owned, "10:00", "11:00"))
    free = delete(Reservation).where(Reservation.id == owned)
    refused(stations, free, by="foreign key")
    refused(stations, update(Booking).values(reservation_id=None), by="ck_bookings_live_owns_its_time")

    stations.execute(update(Booking).values(status="cancelled_by_customer", reservation_id=None))
    stations.execute(free)


@pytest.mark.parametrize("status", STATUSES)
def test_a_booking_owns_a_reservation_while_it_lives(stations, status):
    owned = reserve(stations, LEFT, "10:00", "11:00")
    with_time, without = booking(owned, "10:00", "11:00", status), booking(None, "10:00", "11:00", status)
    right, wrong = (with_time, without) if status in LIVE else (without, with_time)
    refused(stations, wrong, by="ck_bookings_live_owns_its_time")
    stations.execute(right)


def test_two_bookings_do_not_share_a_reservation(stations):
    owned = reserve(stations, LEFT, "10:00", "11:00")
    stations.execute(booking(owned, "10:00", "11:00"))
    refused(stations, booking(owned, "10:00", "11:00", number="К-2"), by="unique")


# --- other rules of the tables


def test_no_row_mixes_two_stations(stations):
    owned = reserve(stations, LEFT, "10:00", "11:00")
    for statement in (
        reservation(RIGHT, "10:00", "11:00", service_point_id=2),
        booking(owned, "10:00", "11:00", service_point_id=2),
        insert(ScheduleSlot).values(
            service_point_id=2, service_post_id=LEFT, starts_at=kyiv("10:00"), ends_at=kyiv("10:30")
        ),
        insert(ScheduleException).values(service_point_id=2, service_post_id=LEFT, day=kyiv("10:00").date()),
    ):
        refused(stations, statement, by="foreign key")


def test_a_day_is_closed_once(stations):
    of_the_station = insert(ScheduleException).values(service_point_id=1, day=kyiv("10:00").date())
    stations.execute(of_the_station)
    refused(stations, of_the_station, by="unique")
    stations.execute(of_the_station.values(service_post_id=LEFT))
    refused(stations, of_the_station.values(service_post_id=LEFT), by="unique")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"kind": "hold"}, id="a hold that never expires"),
        pytest.param({"expires_at": kyiv("10:00")}, id="a walk-in that expires"),
        pytest.param({"ends_at": kyiv("2026-11-03 10:01")}, id="longer than a day"),
        pytest.param({"ends_at": kyiv("10:00")}, id="of no length"),
    ],
)
def test_no_such_reservation(stations, values):
    refused(stations, reservation(LEFT, "10:00", "11:00", **values), by="ck_reservations")
    reserve(stations, LEFT, "10:00", "2026-11-03 10:00")


@pytest.mark.parametrize(
    "values", [{"post_number": 0}, {"post_number": 1000}, {"slot_duration": 4}, {"slot_duration": 481}]
)
def test_no_such_post(stations, values):
    usual = {"id": 7, "service_point_id": 1, "post_number": 7, "slot_duration": 30}
    refused(stations, insert(ServicePost).values(**usual | values), by=f"ck_service_posts_{next(iter(values))}")
    stations.execute(insert(ServicePost).values(**usual))
    refused(stations, insert(ServicePost).values(**usual | {"id": 8}), by="unique")  # the number is taken


def test_a_post_with_reservations_cannot_be_deleted(stations):
    reserve(stations, LEFT, "10:00", "11:00")
    refused(stations, delete(ServicePost).where(ServicePost.id == LEFT), by="foreign key")
    stations.execute(delete(ServicePost).where(ServicePost.id == RIGHT))


# --- how the tests above write past the domain


def reservation(post: int, starts: str, ends: str, **values: Any):
    return insert(Reservation).values(**reservation_values(post, starts, ends) | values)


def reservation_values(post: int, starts: str, ends: str) -> dict[str, Any]:
    return {
        "service_point_id": 2 if post == ELSEWHERE else 1,
        "service_post_id": post,
        "starts_at": kyiv(starts),
        "ends_at": kyiv(ends),
        "kind": "walk_in",
        "created_at": kyiv("08:00"),
    }


def reserve(connection: Connection, post: int, starts: str, ends: str, **values: Any) -> int:
    return connection.execute(reservation(post, starts, ends, **values)).inserted_primary_key[0]


def reservations(connection: Connection) -> list[tuple[int, datetime, datetime]]:
    columns = select(Reservation.service_post_id, Reservation.starts_at, Reservation.ends_at)
    return list(connection.execute(columns.order_by(Reservation.id)))


def booking(reservation_id: int | None, starts: str, ends: str, status: str = "confirmed", **values: Any):
    usual = {
        "number": "К-1",
        "service_point_id": 1,
        "reservation_id": reservation_id,
        "service_post_id": LEFT,
        "starts_at": kyiv(starts),
        "ends_at": kyiv(ends),
        "car_type_id": 1,
        "customer_name": "Анна",
        "customer_phone": "+380671234567",
        "total_duration": 60,
        "total_price": 120000,
        "currency": "UAH",
        "status": status,
        "source": "online",
        "locale": "ru",
        "created_at": kyiv("08:00"),
    }
    return insert(Booking).values(**usual | values)


def refused(connection: Connection, statement: Any, by: str = "") -> DBAPIError:
    """The database refuses it, and what was done before it stands."""
    with pytest.raises(IntegrityError) as caught, connection.begin_nested():
        connection.execute(statement)
    assert by.casefold() in str(caught.value.orig).casefold()
    return caught.value


def drop_guard(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.execute(text(f"DROP TRIGGER {OVERLAP_GUARD}_insert"))
        connection.execute(text(f"DROP TRIGGER {OVERLAP_GUARD}_update"))
    else:
        connection.execute(text(f"ALTER TABLE reservations DROP CONSTRAINT {OVERLAP_GUARD}"))

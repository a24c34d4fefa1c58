"""Bookings: right minutes and price, the states and who may do what, letters written with the change or not at all."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import func, select

from tests import factories
from tests.factories import ANNA, BORIS, booking, car_type, kyiv, service
from tirefit.booking import states
from tirefit.booking.commands import create_booking, set_plate
from tirefit.booking.durations import calculate_booking_duration
from tirefit.booking.links import find_by_token
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import db
from tirefit.errors import (
    InThePast,
    LimitReached,
    SlotTaken,
    TooLateToChange,
    UnknownCarType,
    UnknownService,
    WrongTransition,
)
from tirefit.models import STATUSES, Booking, BookingEvent, CarType, Notification, Reservation, ServicePointService
from tirefit.notifications import outbox
from tirefit.schedule.availability import available_at_time
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily


def count(model):
    return db.session.scalar(select(func.count()).select_from(model))


def test_the_visit_takes_the_minutes_and_costs_the_price_of_its_services(station):
    ids = [service("Сезонная переобувка").id, service("Ремонт прокола").id]

    on_a_car = calculate_booking_duration(ids, car_type("car").id, station)
    on_an_suv = calculate_booking_duration(ids, car_type("suv").id, station)

    assert (on_a_car.total_minutes, on_a_car.total_price) == (60, 155000)
    assert (on_an_suv.total_minutes, on_an_suv.total_price) == (
        80,
        232500,
    )  # a puncture has minutes of its own


def test_minutes_by_factor_are_rounded_up_to_five(station):
    wide = CarType(id=10**6, code="wide", names={}, duration_factor=127)

    assert service("Балансировка").duration_for_car_type(wide) == 40  # 38.1


def test_a_service_named_twice_counts_once(station):
    id = service("Балансировка").id

    assert calculate_booking_duration([id, id], car_type().id, station).total_minutes == 30


def test_what_the_station_does_not_offer_is_refused(station):
    with pytest.raises(UnknownService):
        calculate_booking_duration([], car_type().id, station)
    with pytest.raises(UnknownService):
        calculate_booking_duration([10**9], car_type().id, station)
    with pytest.raises(UnknownCarType):
        calculate_booking_duration([service().id], 10**9, station)
    assert count(ServicePointService) == 3


def test_a_booking_keeps_what_was_agreed(station):
    made = booking(station, "10:00", services=["Сезонная переобувка", "Балансировка"], car="suv", plate="АА 1234 ВС")

    assert (made.total_duration, made.total_price, made.currency) == (105, 285000, "UAH")
    assert [(line.minutes, line.price) for line in made.lines] == [(60, 180000), (45, 105000)]
    assert (made.status, made.source, made.plate) == ("confirmed", "online", "АА 1234 ВС")
    assert len(made.number) == 6
    assert [event.event for event in made.events] == ["created"]


def test_the_same_form_sent_twice_is_one_booking(station):
    token = new_token()

    first, second = booking(station, "10:00", token=token), booking(station, "10:00", token=token)

    assert first.id == second.id
    assert (count(Booking), count(Reservation)) == (1, 1)


def test_without_a_hold_a_time_is_taken_as_if_chosen_now(station):
    for _ in range(3):
        booking(station, "09:00", BORIS, services=["Ремонт прокола"])

    with pytest.raises(SlotTaken):
        booking(station, "09:00")
    assert count(Booking) == 3


def test_one_phone_keeps_as_many_bookings_as_the_station_allows(app):
    point = factories.station(max_open_bookings_per_contact=2)
    booking(point, "10:00"), booking(point, "12:00")

    with pytest.raises(LimitReached):
        booking(point, "14:00")
    booking(point, "14:00", BORIS)


def test_of_one_phone_in_several_browsers_at_once_only_so_many_are_booked(app):
    """Each browser holds a time; the phone is known only when it is typed, and then all that is its is counted."""
    point = factories.station(max_open_bookings_per_contact=2)
    holds = [
        reserve_slot_temporarily(point.id, kyiv(f"{hour}:00"), 40, new_token(), holder=f"browser {hour}")
        for hour in range(10, 16)
    ]
    ready, answers = Barrier(len(holds), timeout=30), []

    def book(held):
        with app.app_context():
            ready.wait()
            try:
                answers.append(booking(point, held.starts_at, token=held.token).status)
            except LimitReached:
                answers.append("refused")

    threads = [Thread(target=book, args=[held]) for held in holds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == ["confirmed"] * 2 + ["refused"] * 4


def test_a_time_held_for_a_phone_at_its_limit_can_still_be_booked_for_another(app, at):
    point = factories.station(max_open_bookings_per_contact=1)
    booking(point, "10:00")
    held = reserve_slot_temporarily(point.id, kyiv("12:00"), 40, new_token())
    with pytest.raises(LimitReached):
        booking(point, "12:00", token=held.token)

    assert booking(point, "12:00", BORIS, token=held.token).reservation_id == held.reservation_id
    at("11:00")  # Анна's visit is over
    assert booking(point, "14:00").status == "confirmed"


def test_a_time_that_is_held_is_booked_until_the_moment_it_begins(station, at):
    at("09:50")
    now = new_token()
    for token in (now, new_token()):
        late = reserve_slot_temporarily(station.id, kyiv("10:00"), 40, token).token
    at(kyiv("10:00"))

    assert booking(station, "10:00", token=now).status == "confirmed"

    at(kyiv("10:00") + timedelta(seconds=1))
    with pytest.raises(InThePast):
        booking(station, "10:00", BORIS, token=late)


def test_where_the_station_wants_to_agree_first_a_booking_waits(app):
    point = factories.station(auto_confirm=False)

    assert booking(point, "10:00").status == "pending"


def test_letters_are_written_with_the_booking_or_not_at_all(station, monkeypatch):
    def power_cut(*args):
        raise RuntimeError("power cut")

    monkeypatch.setattr(outbox, "write_booking_created", power_cut)
    with pytest.raises(RuntimeError):
        booking(station, "10:00")
    assert (count(Booking), count(Reservation), count(Notification)) == (0, 0, 0)

    monkeypatch.undo()
    booking(station, "10:00")
    kinds = db.session.execute(select(Notification.kind, Notification.recipient).order_by(Notification.kind)).all()
    assert kinds == [("booking_created", ANNA.email), ("new_booking", station.email)]


def test_cancelling_frees_the_time_at_once_and_twice_is_once(station):
    made = booking(station, "15:00")
    before = len(available_at_time(station, kyiv("15:00"), 40))

    assert cancel_booking(made.id, actor="customer").status == "cancelled_by_customer"
    revision = cancel_booking(made.id, actor="customer").revision

    assert len(available_at_time(station, kyiv("15:00"), 40)) == before + 1
    assert revision == 2
    assert count(Reservation) == 0


def test_shortly_before_the_start_the_customer_must_phone_and_staff_still_may(station, at):
    made = booking(station, "15:00")
    at("13:01")

    with pytest.raises(TooLateToChange):
        cancel_booking(made.id, actor="customer")
    assert cancel_booking(made.id, actor="user").status == "cancelled_by_station"


def test_the_day_of_a_booking_leaves_its_real_times_and_its_history(station, ivan, at):
    made = booking(station, "10:00")
    for time, event in (("09:55", "arrive"), ("10:02", "start"), ("10:35", "complete")):
        at(time)
        transition_booking(made.id, event, user_id=ivan.id)
        transition_booking(made.id, event, user_id=ivan.id)  # the same tap, sent twice

    done = db.session.get(Booking, made.id)
    assert (done.arrived_at, done.started_at, done.completed_at) == (kyiv("09:55"), kyiv("10:02"), kyiv("10:35"))
    history = db.session.execute(select(BookingEvent.event, BookingEvent.user_id).order_by(BookingEvent.id)).all()
    assert history == [("created", None), ("arrive", ivan.id), ("start", ivan.id), ("complete", ivan.id)]
    assert done.reservation_id is None


def test_every_transition_that_is_not_in_the_table_is_refused(station):
    """The whole matrix: each state, each event, each actor."""
    allowed = {
        (source, event): transition.target
        for event, transition in states.TRANSITIONS.items()
        for source in transition.sources
    }
    for status in STATUSES:
        for event, transition in states.TRANSITIONS.items():
            for actor in ("customer", "user", "system"):
                if actor in transition.actors and status == transition.target:
                    assert states.target_of(event, status, actor) is None
                elif actor in transition.actors and (status, event) in allowed:
                    assert states.target_of(event, status, actor) == allowed[status, event]
                else:
                    with pytest.raises(WrongTransition):
                        states.target_of(event, status, actor)


def test_a_refused_transition_changes_no_row(station):
    made = booking(station, "10:00")
    before = db.session.execute(select(Booking.__table__)).all()

    for event in ("complete", "cancel_by_station", "explode"):
        with pytest.raises(WrongTransition):
            transition_booking(made.id, event)
    assert db.session.execute(select(Booking.__table__)).all() == before
    assert count(BookingEvent) == 1


def test_a_no_show_gives_the_time_back(station, at):
    made = booking(station, "10:00")
    at("10:20")

    assert transition_booking(made.id, "no_show").reservation_id is None


def test_the_plate_is_kept_as_typed_and_noted_once(station):
    made = booking(station, "10:00")

    set_plate(made.id, "аа 1234 вс"), set_plate(made.id, "аа 1234 вс")

    assert db.session.get(Booking, made.id).plate == "аа 1234 вс"
    assert count(BookingEvent) == 2


def test_a_link_opens_its_booking_and_no_other(station):
    token = new_token()
    made = booking(station, "10:00", token=token)

    assert find_by_token(token).id == made.id
    flips = [token[:n] + ("A" if c != "A" else "B") + token[n + 1 :] for n, c in enumerate(token)]
    assert [find_by_token(flip) for flip in flips] == [None] * len(flips)


def test_a_booking_through_another_door_is_confirmed_and_says_so(app):
    point = factories.station(auto_confirm=False)
    made = create_booking(
        point.id,
        [service().id],
        car_type().id,
        ANNA,
        token=new_token(),
        starts_at=kyiv("10:00"),
        source="staff",
    )

    assert (made.status, made.source, made.consent_at) == ("confirmed", "staff", None)

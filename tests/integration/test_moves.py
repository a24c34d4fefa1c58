"""Bookings that change: moved in every way, cancelled and restored, taken back, late; and requests sent twice."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests import factories
from tests.factories import BORIS, booking, car_type, kyiv, service, sign_in
from tirefit import doctor
from tirefit.booking.commands import create_booking, reschedule_booking, visit_after
from tirefit.booking.durations import calculate_booking_duration
from tirefit.booking.history import place_before
from tirefit.booking.links import find_by_token, renew_link, send_link, send_lost_links
from tirefit.booking.placement import check_availability, find_optimal_slot
from tirefit.booking.states import AS_BEFORE, BY_HAND, CUSTOMER, TRANSITIONS, USER
from tirefit.booking.steps import (
    UNDO_WITHIN,
    can_undo,
    cancel_booking,
    cancelled_at,
    confirm_coming,
    may_move,
    may_restore,
    report_late,
    restore_booking,
    tell_delay,
    transition_booking,
    undo_transition,
)
from tirefit.database import command, db
from tirefit.errors import (
    BookingChanged,
    InThePast,
    KeyReused,
    LateMinutesOutOfRange,
    PostCannotTakeIt,
    SlotNotOffered,
    SlotTaken,
    TooLateToChange,
    TooManyAttempts,
    UndoExpired,
    WrongTransition,
)
from tirefit.models import (
    LIVE,
    STATUSES,
    Booking,
    BookingEvent,
    Notification,
    PostCarType,
    Reservation,
    WheelSurcharge,
)
from tirefit.notifications.outbox import claim, mark_sent
from tirefit.schedule.availability import available_at_time, days
from tirefit.schedule.blocks import block_time
from tirefit.schedule.changes import update_post
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily


@pytest.fixture
def station(app):
    """Its customers may change their minds until the last minute."""
    return factories.station(cancel_cutoff_minutes=0)


def now_of(made):
    """The booking as the database has it, and its reservation."""
    db.session.rollback()
    found = db.session.get_one(Booking, made.id, populate_existing=True)
    return found, db.session.scalar(select(Reservation).where(Reservation.id == found.reservation_id))


def kinds(made, state="pending"):
    rows = db.session.scalars(
        select(Notification.kind).where(Notification.booking_id == made.id, Notification.state == state)
    )
    return sorted(rows)


def events(made):
    found = select(BookingEvent.event).where(BookingEvent.booking_id == made.id)
    return list(db.session.scalars(found.order_by(BookingEvent.id)))


def deliver_everything():
    while letter := claim():
        mark_sent(letter.id, letter.lease)


@command
def set_status(made, status):
    found = db.session.get_one(Booking, made.id)
    reservation = found.reservation_id
    found.status = status
    if status not in LIVE:
        found.reservation_id = None
        db.session.flush()
        db.session.execute(Reservation.__table__.delete().where(Reservation.id == reservation))


# --- moving


def test_a_move_wins_the_new_time_and_frees_the_old_one(station):
    made = booking(station, "10:00")

    reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("2026-11-03 14:00"))

    found, time = now_of(made)
    assert (found.starts_at, time.starts_at) == (kyiv("2026-11-03 14:00"),) * 2
    assert (found.service_post_id, found.ends_at) == (time.service_post_id, time.ends_at)
    assert len(available_at_time(station, kyiv("10:00"), 30)) == 2  # posts 1 and 3, as if nothing had been
    assert events(made) == ["created", "rescheduled"]


def test_a_move_may_overlap_its_own_old_time(station):
    made = booking(station, "10:00", services=["Балансировка", "Ремонт прокола"], post_number=1)  # 10:00–11:00

    reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("10:30"), post_number=1)

    assert now_of(made)[0].ends_at == kyiv("11:30")


def test_a_move_onto_somebody_changes_nothing(station):
    made = booking(station, "10:00", post_number=1)
    for number in (1, 3):
        booking(station, "14:00", BORIS, post_number=number)
    before = now_of(made)[0].starts_at

    with pytest.raises(SlotTaken):
        reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("14:00"))

    found, time = now_of(made)
    assert found.starts_at == time.starts_at == before
    assert (found.version, found.revision, events(made)) == (1, 1, ["created"])


def test_a_move_takes_over_the_time_of_an_expired_hold(station, at):
    made = booking(station, "10:00")
    for _ in range(2):
        reserve_slot_temporarily(station.id, kyiv("14:00"), 40, new_token())
    at(kyiv("09:30"))

    reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("14:00"))

    assert now_of(made)[0].starts_at == kyiv("14:00")


def test_the_station_moves_between_posts_without_a_letter(station, ivan):
    made = booking(station, "10:00", post_number=1)

    reschedule_booking(made.id, actor=USER, user_id=ivan.id, post_number=3)

    found, _ = now_of(made)
    assert (found.post.post_number, found.starts_at, found.revision, found.version) == (3, kyiv("10:00"), 1, 2)
    assert kinds(made) == ["booking_created", "new_booking"]
    assert events(made) == ["created", "adjusted"]


def test_the_station_may_use_time_that_is_not_offered(station, ivan):
    made = booking(station, "10:00", post_number=1)

    reschedule_booking(made.id, actor=USER, user_id=ivan.id, starts_at=kyiv("19:10"), post_number=2)

    found, _ = now_of(made)
    assert (found.starts_at, found.ends_at) == (kyiv("19:10"), kyiv("19:50"))
    assert kinds(made) == ["booking_rescheduled"]


@pytest.mark.parametrize(
    ("to", "letters"), [("10:09", ["booking_created", "new_booking"]), ("10:10", ["booking_rescheduled"])]
)
def test_the_station_tells_the_customer_of_ten_minutes_and_of_none_less(station, ivan, to, letters):
    made = booking(station, "10:00", post_number=1)

    reschedule_booking(made.id, actor=USER, user_id=ivan.id, starts_at=kyiv(to), post_number=1)

    assert now_of(made)[0].starts_at == kyiv(to)
    assert kinds(made) == letters


def test_a_customer_gets_only_what_is_offered(station):
    made = booking(station, "10:00")

    with pytest.raises(SlotNotOffered):
        reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("19:00"))


def test_the_station_may_move_a_customer_silently(station, ivan):
    made = booking(station, "10:00", post_number=1)

    reschedule_booking(made.id, actor=USER, user_id=ivan.id, starts_at=kyiv("15:00"), tell_customer=False)

    assert kinds(made) == ["booking_created", "new_booking"]
    assert now_of(made)[0].revision == 1


def test_another_post_at_the_same_time_is_no_news_even_if_the_customer_is_to_be_told(station, ivan):
    made = booking(station, "10:00", post_number=1)

    reschedule_booking(made.id, actor=USER, user_id=ivan.id, starts_at=kyiv("10:00"), post_number=3, tell_customer=True)

    moved, _ = now_of(made)
    assert (moved.post.post_number, moved.revision) == (3, 1)
    assert kinds(made) == ["booking_created", "new_booking"]


def test_a_move_in_time_keeps_what_was_agreed(station):
    made = booking(station, "10:00")
    _raise_prices(station)

    reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("14:00"))

    assert now_of(made)[0].total_price == 120000


@command
def _raise_prices(station):
    db.session.execute(factories.ServicePrice.__table__.update().values(amount=999900))


@pytest.mark.parametrize("post_number", [1, 3])  # equal ones, of which the first would be chosen for a new booking
def test_other_services_and_another_car_are_agreed_anew(station, post_number):
    made = booking(station, "10:00", post_number=post_number)
    ids = [service("Сезонная переобувка").id, service("Балансировка").id]

    reschedule_booking(made.id, actor=CUSTOMER, service_ids=ids, car_type_id=car_type("suv").id)

    found, _ = now_of(made)
    assert (found.total_duration, found.total_price) == (105, 285000)
    assert [(line.minutes, line.price) for line in found.lines] == [(60, 180000), (45, 105000)]
    assert (found.starts_at, found.post.post_number) == (kyiv("10:00"), post_number)  # where it was
    assert found.ends_at == kyiv("12:00")


def test_more_work_goes_where_it_fits(station):
    made = booking(station, "10:00", post_number=1)
    booking(station, "11:00", BORIS, post_number=1)
    ids = [service("Сезонная переобувка").id, service("Балансировка").id]

    reschedule_booking(made.id, actor=CUSTOMER, service_ids=ids)

    found, _ = now_of(made)
    assert (found.starts_at, found.post.post_number) == (kyiv("10:00"), 3)


def test_work_that_fits_nowhere_changes_nothing(station):
    made = booking(station, "17:00", post_number=1)
    ids = [service("Сезонная переобувка").id, service("Балансировка").id]

    with pytest.raises(Exception) as refusal:
        reschedule_booking(made.id, actor=CUSTOMER, service_ids=ids)

    assert refusal.value.code == "services_do_not_fit"
    assert [line.minutes for line in now_of(made)[0].lines] == [40]


def test_a_post_that_cannot_take_the_car_is_not_moved_to(station):
    made = booking(station, "10:00", car="suv")
    _only_cars(station)

    with pytest.raises(PostCannotTakeIt):
        reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("14:00"))


@command
def _only_cars(station):
    for post in station.posts:
        db.session.add(PostCarType(service_post_id=post.id, car_type_id=car_type("car").id))


def test_moving_to_where_it_is_is_the_same_tap_twice(station):
    made = booking(station, "10:00")

    for _ in range(2):
        reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("14:00"))

    assert (now_of(made)[0].version, events(made)) == (2, ["created", "rescheduled"])


def test_inside_the_cut_off_the_customer_cannot_move_but_the_station_can(app, at, ivan):
    made = booking(factories.station("strict", cancel_cutoff_minutes=120), "11:30")
    at(kyiv("10:00"))

    with pytest.raises(TooLateToChange):
        reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("14:00"))
    reschedule_booking(made.id, actor=USER, user_id=ivan.id, starts_at=kyiv("14:00"))

    assert now_of(made)[0].starts_at == kyiv("14:00")


def test_a_move_tells_the_customer_and_the_station_once(station):
    made = booking(station, "10:00")
    deliver_everything()

    reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("14:00"))

    assert kinds(made) == ["booking_rescheduled", "booking_rescheduled_by_customer"]
    assert now_of(made)[0].revision == 2


def test_after_a_new_slot_length_a_booking_leaves_no_hole(station, ivan):
    """The old time was cut by another length: freed, it is offered in the new one."""
    made = booking(station, "10:00", post_number=1)
    post = station.posts[0]
    as_it_is = {"post_number": 1, "name": "", "description": "", "active": True}
    update_post(post.id, slot_duration=45, **as_it_is)

    reschedule_booking(made.id, actor=USER, user_id=ivan.id, starts_at=kyiv("2026-11-04 09:00"), post_number=2)

    assert {run.post_number for run in available_at_time(station, kyiv("10:30"), 45)} == {1, 3}


# --- states


def test_a_tap_is_taken_back_with_its_moment(station, ivan, at):
    made = booking(station, "10:00")
    transition_booking(made.id, "arrive", user_id=ivan.id)
    transition_booking(made.id, "start", user_id=ivan.id)

    for _ in range(2):  # a double tap is one
        undo_transition(made.id, user_id=ivan.id)

    found, _ = now_of(made)
    assert (found.status, found.started_at) == ("arrived", None)
    assert found.arrived_at is not None


def test_a_booking_called_done_by_mistake_takes_its_time_again(station, ivan):
    made = booking(station, "10:00", post_number=1)
    transition_booking(made.id, "start", user_id=ivan.id)
    transition_booking(made.id, "complete", user_id=ivan.id)

    undo_transition(made.id, user_id=ivan.id)

    found, time = now_of(made)
    assert (found.status, found.completed_at) == ("in_progress", None)
    assert (time.starts_at, time.ends_at) == (found.starts_at, found.ends_at)


def test_what_somebody_has_taken_meanwhile_is_not_taken_back(station, ivan):
    made = booking(station, "10:00", post_number=1)
    transition_booking(made.id, "no_show", user_id=ivan.id)
    booking(station, "10:00", BORIS, post_number=1)

    with pytest.raises(SlotTaken):
        undo_transition(made.id, user_id=ivan.id)

    assert now_of(made)[0].status == "no_show"


def test_after_ten_minutes_a_tap_stands(station, ivan, at):
    made = booking(station, "10:00")
    at(kyiv("10:00"))
    transition_booking(made.id, "arrive", user_id=ivan.id)

    at(kyiv("10:10") + timedelta(seconds=1))
    with pytest.raises(UndoExpired):
        undo_transition(made.id, user_id=ivan.id)
    at(kyiv("10:10"))
    undo_transition(made.id, user_id=ivan.id)

    assert now_of(made)[0].status == "confirmed"


def test_what_has_not_been_tapped_cannot_be_taken_back(station, ivan):
    with pytest.raises(WrongTransition):
        undo_transition(booking(station, "10:00").id, user_id=ivan.id)


def test_a_cancelled_booking_comes_back_while_its_time_is_free(station):
    made = booking(station, "10:00", post_number=1)
    cancel_booking(made.id, actor=CUSTOMER, reason="plans")
    deliver_everything()

    for _ in range(2):
        restore_booking(made.id, actor=CUSTOMER)

    found, time = now_of(made)
    assert (found.status, found.cancel_reason, time.starts_at) == ("confirmed", "", kyiv("10:00"))
    assert kinds(made) == ["booking_created", "new_booking"]
    assert events(made) == ["created", "cancel_by_customer", "restore_by_customer"]


def test_a_cancelled_booking_whose_time_has_gone_stays_cancelled(station):
    made = booking(station, "10:00", post_number=1)
    cancel_booking(made.id, actor=CUSTOMER)
    booking(station, "10:00", BORIS, post_number=1)

    with pytest.raises(SlotTaken):
        restore_booking(made.id, actor=CUSTOMER)


def test_a_cancelled_booking_is_offered_back_while_only_its_neighbours_are_there(station, at):
    made = booking(station, "10:00", post_number=1)
    cancel_booking(made.id, actor=CUSTOMER)
    booking(station, "09:00", BORIS, post_number=1)
    booking(station, now_of(made)[0].ends_at, BORIS, post_number=1)
    booking(station, "10:00", BORIS, post_number=3)

    assert may_restore(now_of(made)[0])
    at(kyiv("10:00"))
    assert not may_restore(now_of(made)[0])


def test_a_cancelled_booking_is_not_offered_back_when_somebody_has_a_part_of_its_time(station):
    made = booking(station, "10:00", services=["Сезонная переобувка", "Балансировка"], post_number=1)
    assert now_of(made)[1].ends_at > kyiv("10:30")
    cancel_booking(made.id, actor=CUSTOMER)
    booking(station, "10:30", BORIS, post_number=1)

    assert not may_restore(now_of(made)[0])


def test_when_it_was_cancelled_is_known_of_cancelled_bookings_only(station, at):
    made = booking(station, "10:00")
    assert cancelled_at(now_of(made)[0]) is None

    at("09:20")
    cancel_booking(made.id, actor=CUSTOMER)
    assert cancelled_at(now_of(made)[0]) == kyiv("09:20")
    restore_booking(made.id, actor=CUSTOMER)
    assert cancelled_at(now_of(made)[0]) is None


def test_what_is_past_is_not_restored(station, at):
    made = booking(station, "10:00", post_number=1)
    cancel_booking(made.id, actor=USER)
    at(kyiv("10:00"))

    with pytest.raises(InThePast):
        restore_booking(made.id, actor=USER)


def test_a_customer_does_not_restore_what_the_station_cancelled(station):
    made = booking(station, "10:00")
    cancel_booking(made.id, actor=USER)

    with pytest.raises(WrongTransition):
        restore_booking(made.id, actor=CUSTOMER)


def test_late_is_said_and_corrected(station):
    made = booking(station, "10:00")

    for minutes in (10, 20, 20):
        report_late(made.id, minutes)

    assert now_of(made)[0].late_minutes == 20
    assert events(made) == ["created", "late", "late"]
    with pytest.raises(LateMinutesOutOfRange):
        report_late(made.id, 45)


def test_who_is_late_for_a_visit_that_is_over_is_told_so(station, at):
    made = booking(station, "10:00")
    at(made.ends_at)

    for step in (lambda: report_late(made.id, 10), lambda: confirm_coming(made.id)):
        with pytest.raises(InThePast):
            step()
    assert events(made) == ["created"]


def test_who_has_come_is_not_told_to_come_later(station):
    made = booking(station, "10:00")
    transition_booking(made.id, "arrive")

    with pytest.raises(WrongTransition):
        tell_delay(made.id, 20)
    assert "booking_delayed" not in kinds(made)


def test_what_the_station_has_just_moved_can_be_brought_back(station, at):
    made, other = booking(station, "10:00", post_number=1), booking(station, "10:00", BORIS, post_number=3)
    assert place_before(made) is None

    reschedule_booking(made.id, actor=USER, starts_at=kyiv("12:00"), post_number=3)
    assert place_before(now_of(made)[0]) == (1, kyiv("10:00"))
    assert place_before(other) is None  # who was moved is the other one
    report_late(other.id, 10)
    assert place_before(now_of(made)[0]) == (1, kyiv("10:00"))

    at(kyiv("09:00") + UNDO_WITHIN)
    assert place_before(now_of(made)[0]) == (1, kyiv("10:00"))
    at(kyiv("09:00") + UNDO_WITHIN + timedelta(seconds=1))
    assert place_before(now_of(made)[0]) is None


def test_the_last_tap_can_be_taken_back_for_ten_minutes(station, at, ivan):
    made = booking(station, "09:00")
    assert can_undo(made) is None  # nobody of the station has tapped anything
    transition_booking(made.id, "arrive", user_id=ivan.id)

    at(kyiv("09:10"))
    assert can_undo(now_of(made)[0]) == kyiv("09:10")
    at(kyiv("09:10") + timedelta(seconds=1))
    assert can_undo(now_of(made)[0]) is None


def test_a_booking_can_be_moved_until_it_is_over(station, at):
    made = booking(station, "10:00")

    at(made.ends_at - timedelta(seconds=1))
    assert may_move(now_of(made)[0])
    at(made.ends_at)
    assert not may_move(now_of(made)[0])


def test_what_the_customer_moved_is_not_brought_back(station):
    made = booking(station, "10:00")

    reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("12:00"))

    assert place_before(now_of(made)[0]) is None


def test_a_delay_is_told_once_and_only_to_who_left_an_address(station):
    made = booking(station, "10:00")
    silent = booking(station, "10:00", replace(BORIS, email=None))

    assert [tell_delay(each.id, 20) for each in (made, made, silent)] == [True, False, False]
    assert events(made) == ["created", "delay_told"]


def test_a_move_to_where_the_booking_is_changes_and_tells_nothing(station):
    made = booking(station, "10:00")

    reschedule_booking(made.id, actor=USER, starts_at=kyiv("10:00"))

    assert (now_of(made)[0].version, events(made)) == (made.version, ["created"])
    assert "booking_rescheduled" not in kinds(made)


@pytest.mark.parametrize("start", ["2026-11-06 10:10", "10:10"], ids=["another day", "over itself"])
def test_the_offer_closes_up_around_a_booking_that_the_station_puts_between_slots(station, start):
    made = booking(station, "10:00")

    reschedule_booking(made.id, actor=USER, starts_at=kyiv(start))

    assert now_of(made)[0].starts_at == kyiv(start)
    assert [finding.state for finding in doctor.examine() if finding.about == "offers"] == ["ok"]


def test_a_post_that_the_station_does_not_have_takes_no_booking(station):
    made = booking(station, "10:00")

    with pytest.raises(SlotNotOffered):
        reschedule_booking(made.id, actor=USER, starts_at=kyiv("14:00"), post_number=9)
    assert now_of(made)[0].starts_at == kyiv("10:00")


def test_two_screens_do_not_overwrite_each_other(station, ivan, olga):
    made = booking(station, "10:00")
    seen = made.version
    transition_booking(made.id, "arrive", user_id=ivan.id, seen_version=seen)

    transition_booking(made.id, "arrive", user_id=ivan.id, seen_version=seen)  # the same tap, from both
    with pytest.raises(BookingChanged):
        cancel_booking(made.id, actor=USER, user_id=olga.id, seen_version=seen)
    with pytest.raises(BookingChanged):
        reschedule_booking(made.id, actor=USER, user_id=olga.id, starts_at=kyiv("15:00"), seen_version=seen)

    assert now_of(made)[0].status == "arrived"


ACTIONS = {
    "confirm": lambda id: transition_booking(id, "confirm"),
    "arrive": lambda id: transition_booking(id, "arrive"),
    "start": lambda id: transition_booking(id, "start"),
    "complete": lambda id: transition_booking(id, "complete"),
    "no_show": lambda id: transition_booking(id, "no_show"),
    "cancel_by_customer": lambda id: cancel_booking(id, actor=CUSTOMER),
    "cancel_by_station": lambda id: cancel_booking(id, actor=USER),
    "restore_by_customer": lambda id: restore_booking(id, actor=CUSTOMER),
    "restore_by_station": lambda id: restore_booking(id, actor=USER),
    "undo": undo_transition,
    "reschedule_by_customer": lambda id: reschedule_booking(id, actor=CUSTOMER, starts_at=kyiv("14:00")),
    "reschedule_by_station": lambda id: reschedule_booking(id, actor=USER, starts_at=kyiv("14:00")),
    "late": lambda id: report_late(id, 10),
    "come": confirm_coming,
}


# How a booking that waits to be confirmed comes to each state.
PATHS = {
    "pending": [],
    "confirmed": ["confirm"],
    "arrived": ["confirm", "arrive"],
    "in_progress": ["confirm", "arrive", "start"],
    "completed": ["confirm", "arrive", "start", "complete"],
    "no_show": ["confirm", "no_show"],
    "cancelled_by_customer": ["confirm", "cancel_by_customer"],
    "cancelled_by_station": ["confirm", "cancel_by_station"],
}

# The same steps as they come from pages: who sends them, to which address, with which fields.
DOORS = {
    **{event: (USER, "transition", {"event": event}) for event in BY_HAND},
    "cancel_by_customer": (CUSTOMER, "cancel", {}),
    "cancel_by_station": (USER, "cancel", {}),
    "restore_by_customer": (CUSTOMER, "restore", {}),
    "restore_by_station": (USER, "restore", {}),
    "undo": (USER, "undo", {}),
    "come": (CUSTOMER, "come", {}),
    "reschedule_by_customer": (CUSTOMER, "move", {"at": kyiv("14:00").isoformat()}),
    "reschedule_by_station": (USER, "move", {"place": f"2 {kyiv('14:00').isoformat()}"}),
    "late": (CUSTOMER, "late", {"minutes": "10"}),
}


def everything():
    """Every row that a refused step could have changed."""
    db.session.rollback()
    tables = (Booking, BookingEvent, Reservation, Notification)
    return [db.session.execute(select(model.__table__).order_by(model.id)).all() for model in tables]


@pytest.mark.parametrize("status", STATUSES)
def test_board_and_ticket_do_what_the_table_allows_and_nothing_else(app, client, status):
    station = factories.station(cancel_cutoff_minutes=0, auto_confirm=False)
    olga = sign_in(app.test_client(), factories.user("Ольга", "olga@example.com", "manager", station))

    def ask(made, event):
        actor, door, fields = DOORS[event]
        browser, of_whom = (olga, f"board/{station.slug}/bookings") if actor == USER else (client, "b")
        return browser.post(f"/{of_whom}/{made.number}/{door}", data=fields).status_code

    def brought_here():
        key = new_token()
        made, before_last = brought_to(station, status, token=key)
        client.get(f"/b/{key}")
        return made, before_last

    made, _ = brought_here()
    before = everything()
    for event, allowed in TRANSITIONS.items():
        if status not in allowed.sources:
            already_there = status == allowed.target  # the same tap twice
            assert (ask(made, event), everything()) == (303 if already_there else 409, before), event
    for event, allowed in TRANSITIONS.items():
        if status in allowed.sources:
            set_status(made, "no_show")  # out of the next one's way
            made, before_last = brought_here()
            target = before_last if allowed.target == AS_BEFORE else allowed.target or status
            assert (ask(made, event), now_of(made)[0].status) == (303, target), event
            assert len(events(made)) == len(PATHS[status]) + 2, event


def brought_to(station, status, **wishes):
    """A booking that has really come to this state, and which one it was in before that."""
    made, states = booking(station, "10:00", **wishes), ["pending"]
    for event in PATHS[status]:
        ACTIONS[event](made.id)
        states.append(now_of(made)[0].status)
    assert states[-1] == status
    return now_of(made)[0], states[-2:][0]


def test_the_table_and_the_actions_are_the_same_list():
    assert set(ACTIONS) == set(DOORS) == set(TRANSITIONS)
    assert set(PATHS) == set(STATUSES)


# --- the same request twice


def test_the_same_key_with_another_body_is_refused(station):
    token = new_token()
    made = booking(station, "10:00", token=token)

    with pytest.raises(KeyReused) as refusal:
        booking(station, "10:00", BORIS, token=token)

    assert refusal.value.facts["number"] == made.number
    assert booking(station, "10:00", token=token).id == made.id


def test_a_network_makes_so_many_bookings_an_hour(station, at):
    for n in range(30):
        _book(station, f"+38067000{n:04}")

    with pytest.raises(TooManyAttempts) as refusal:
        _book(station, "+380670009999")

    assert 0 < refusal.value.facts["retry_after"] <= 3600
    at(kyiv("10:01"))
    _book(station, "+380670009999")


def _book(station, phone):
    customer = factories.Customer(name="Анна", phone=phone)
    time = days(station, kyiv("2026-11-03 09:00").date(), 1, 20)[0].times[0]
    ids = [service("Ремонт прокола").id]
    return create_booking(
        station.id, ids, car_type().id, customer, token=new_token(), starts_at=time.starts_at, origin="a network"
    )


def test_an_address_gets_so_many_letters(station):
    for n in range(8):
        customer = factories.Customer("Анна", f"+38067000000{n}", "victim@example.com")
        time = days(station, kyiv("2026-11-03 09:00").date(), 1, 20)[0].times[0]
        booking(station, time.starts_at, customer, services=["Ремонт прокола"])

    to_victim = select(Notification.state, func.count()).where(Notification.recipient == "victim@example.com")
    assert dict(db.session.execute(to_victim.group_by(Notification.state)).all()) == {"pending": 5, "failed": 3}


# --- links


def test_a_lost_link_comes_by_letter_and_not_twice_within_ten_minutes(station, at):
    made = booking(station, "10:00")
    deliver_everything()

    send_lost_links("ANNA@example.com")
    send_lost_links("nobody@example.com")
    assert kinds(made) == ["booking_link"]
    deliver_everything()
    send_lost_links("anna@example.com")
    assert kinds(made) == []
    at(kyiv("09:00") + timedelta(minutes=11))
    send_lost_links("anna@example.com")

    assert kinds(made) == ["booking_link"]


def test_a_renewed_link_lets_all_others_die(station):
    token = new_token()
    made = booking(station, "10:00", token=token)
    letter = claim()

    renewed = renew_link(made.id)

    assert find_by_token(token) is None
    assert find_by_token(letter.token) is None
    assert find_by_token(renewed).id == made.id


def test_a_customer_without_an_address_gets_the_link_sent(station):
    made = booking(station, "10:00", factories.Customer("Анна", "+380671234567"))

    send_link(made.id, "new@example.com")

    assert kinds(made) == ["booking_link", "new_booking"]
    assert now_of(made)[0].customer_email == "new@example.com"


# --- minutes and choice


def test_large_wheels_take_longer(station):
    _surcharges(station, {18: 5, 20: 10})

    def minutes(inches):
        return calculate_booking_duration([service().id], car_type().id, station, inches).total_minutes

    assert [minutes(inches) for inches in (None, 17, 18, 19, 20, 24)] == [40, 40, 45, 45, 50, 50]
    made = booking(station, "10:00", wheel_inches=20)
    assert (made.total_duration, made.wheel_inches, made.wheel_minutes) == (50, 20, 10)


def test_other_wheels_are_agreed_on_anew_and_wheels_not_named_stay(station):
    _surcharges(station, {18: 5, 20: 10})
    made = booking(station, "10:00", wheel_inches=20)

    smaller, more = visit_after(made, wheel_inches=18), visit_after(made, [service().id, service("Балансировка").id])

    assert (smaller.wheel_inches, smaller.total_minutes) == (18, 45)
    assert (more.wheel_inches, more.wheel_minutes) == (20, 10)


@command
def _surcharges(station, rows):
    for inches, minutes in rows.items():
        db.session.add(WheelSurcharge(service_point_id=station.id, from_inches=inches, minutes=minutes))


def test_the_best_time_wastes_little_and_is_near_the_wish(station):
    best = find_optimal_slot(station, kyiv("10:00").date(), 40, wished=kyiv("11:00"))

    assert (best[0].run.post_number, best[0].run.starts_at) == (2, kyiv("11:00"))  # 40 of 40 minutes
    assert (best[0].waste_minutes, best[0].efficiency) == (0, 1.0)
    assert [each.cost for each in best] == sorted(each.cost for each in best)
    worse = find_optimal_slot(station, kyiv("10:00").date(), 40, wished=kyiv("10:00"), count=100)
    assert {each.run.starts_at for each in worse} == {
        time.starts_at for time in days(station, kyiv("10:00").date(), 1, 40)[0].times
    }


def test_the_check_names_the_post_that_is_wished_or_the_best(station):
    assert check_availability(station, kyiv("09:00"), 30).recommended.post_number == 1
    assert check_availability(station, kyiv("09:00"), 30, preferred_post=3).recommended.post_number == 3
    post = station.posts[2]
    block_time(station.id, post.id, kyiv("09:00"), kyiv("10:00"))

    answer = check_availability(station, kyiv("09:00"), 30, preferred_post=3)

    assert answer.recommended.post_number == 1
    assert [(each.post_number, each.reason) for each in answer.posts] == [(1, None), (2, None), (3, "overlaps")]


def test_the_check_of_a_time_that_is_gone_says_what_is_free(station):
    for post in station.posts:
        block_time(station.id, post.id, kyiv("09:00"), kyiv("10:00"))

    answer = check_availability(station, kyiv("09:00"), 30)

    assert not answer.is_available
    assert answer.suggested[0].starts_at >= kyiv("10:00")

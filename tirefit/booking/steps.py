"""A booking's way through its states: confirmed, arrived, in work, done; cancelled, restored, undone.

Each public function is one transaction. Which step is possible, and for whom, stands in booking.states.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from tirefit import clock
from tirefit.booking import states
from tirefit.booking.record import end_problem, load_for_change, note, record, require_version
from tirefit.database import command, db
from tirefit.errors import (
    InThePast,
    LateMinutesOutOfRange,
    SlotTaken,
    TooLateToChange,
    UndoExpired,
    WrongTransition,
)
from tirefit.models import Booking, BookingEvent
from tirefit.notifications import outbox
from tirefit.schedule import availability, reservations
from tirefit.schedule.grid import a_stretch

UNDO_WITHIN = timedelta(minutes=10)
LATE_CHOICES = (10, 20, 30)  # minutes
CANCEL_REASONS = ("plans", "elsewhere", "car", "mistake", "other")  # the words: web.filters
MOMENTS = {"arrived": "arrived_at", "in_progress": "started_at", "completed": "completed_at"}


@command
def transition_booking(
    booking_id: int, event: str, *, user_id: int | None = None, seen_version: int | None = None
) -> Booking:
    """Let staff move a booking on: confirm, arrive, start, complete, no_show. The same tap twice is one.

    Real times are kept (`arrived_at`, `started_at`, `completed_at`). A booking that is over gives back what is left
    of its time. Raises WrongTransition, and BookingChanged when another screen was quicker; to cancel is another
    command, because it writes letters.
    """
    booking = load_for_change(booking_id)
    if event not in states.BY_HAND:
        raise WrongTransition(event=event, status=booking.status)
    target = states.target_of(event, booking.status, states.USER)
    if target is not None:
        require_version(booking, seen_version)
        _step(booking, target, event, states.USER, user_id)
        if event == "confirm":
            outbox.supersede(booking)
            outbox.write_booking_confirmed(booking)
    return booking


@command
def undo_transition(booking_id: int, *, user_id: int | None = None, seen_version: int | None = None) -> Booking:
    """Take the last tap back, within ten minutes: the state before it, and its moment forgotten.

    What had given its time back takes it again. Undoing twice is undoing once. Raises WrongTransition when the last
    thing that happened was not such a tap, UndoExpired, SlotTaken when the time has gone to somebody else.
    """
    booking = load_for_change(booking_id)
    last = _last_step(booking)
    if last is not None and last.event == "undo":
        return booking
    states.require("undo", booking.status, states.USER)
    require_version(booking, seen_version)
    if last is None or last.event not in states.BY_HAND:
        raise WrongTransition(event="undo", status=booking.status)
    if clock.now() > last.at + UNDO_WITHIN:
        raise UndoExpired(minutes=UNDO_WITHIN // timedelta(minutes=1))
    _step_back(booking, last, "undo", states.USER, user_id)
    return booking


@command
def cancel_booking(
    booking_id: int,
    *,
    actor: str,
    user_id: int | None = None,
    reason: str = "",
    seen_version: int | None = None,
) -> Booking:
    """Give a booking's time back. It is free for others the moment this returns. Cancelling twice is cancelling once.

    Raises TooLateToChange for a customer inside the station's cut-off (the phone still helps), WrongTransition when
    the work has begun or is over.
    """
    booking = load_for_change(booking_id)
    event = "cancel_by_customer" if actor == states.CUSTOMER else "cancel_by_station"
    target = states.target_of(event, booking.status, actor)
    if target is None:
        return booking
    require_version(booking, seen_version)
    if actor == states.CUSTOMER and not may_still_change(booking):
        raise TooLateToChange(cutoff_minutes=booking.service_point.cancel_cutoff_minutes)
    booking.cancel_reason = reason
    _step(booking, target, event, actor, user_id)
    outbox.supersede(booking)
    outbox.write_booking_cancelled(booking, by_customer=actor == states.CUSTOMER)
    return booking


@command
def restore_booking(
    booking_id: int, *, actor: str, user_id: int | None = None, seen_version: int | None = None
) -> Booking:
    """Bring a cancelled booking back, to the same post and time, while that is free and has not begun.

    Restoring twice is restoring once. Raises SlotTaken when somebody has the time now, InThePast, WrongTransition.
    """
    booking = load_for_change(booking_id)
    event = "restore_by_customer" if actor == states.CUSTOMER else "restore_by_station"
    last = _last_step(booking)
    if states.is_live(booking.status) and last is not None and last.event == event:
        return booking
    states.require(event, booking.status, actor)
    require_version(booking, seen_version)
    assert last is not None  # nothing is cancelled without a trace
    if booking.starts_at <= clock.now():
        raise InThePast()
    booking.cancel_reason = ""
    _step_back(booking, last, event, actor, user_id)
    outbox.supersede(booking)
    outbox.write_booking_created(booking)
    return booking


@command
def report_late(booking_id: int, minutes: int) -> Booking:
    """The customer will come 10, 20 or 30 minutes late: the station's people see it. The time itself stays.

    Raises LateMinutesOutOfRange, InThePast after the visit's time, WrongTransition when the car is there or the
    booking is over.
    """
    booking = load_for_change(booking_id)
    states.require("late", booking.status, states.CUSTOMER)
    if minutes not in LATE_CHOICES:
        raise LateMinutesOutOfRange(choices=LATE_CHOICES)
    if booking.ends_at <= clock.now():
        raise InThePast()
    if booking.late_minutes != minutes:
        before = {"late_minutes": booking.late_minutes}
        booking.late_minutes = minutes
        record(booking, "late", before=before, actor=states.CUSTOMER)
    return booking


@command
def confirm_coming(booking_id: int) -> Booking:
    """The customer says that they will come: the station's people see it. Said twice, it is said once.

    Raises InThePast after the visit's time, WrongTransition when the car is there or the booking is over.
    """
    booking = load_for_change(booking_id)
    states.require("come", booking.status, states.CUSTOMER)
    if booking.ends_at <= clock.now():
        raise InThePast()
    if not booking.is_coming:
        before = {"coming_revision": booking.coming_revision}
        booking.coming_revision = booking.revision
        record(booking, "come", before=before, actor=states.CUSTOMER)
    return booking


@command
def show_phone(booking_id: int, *, user_id: int | None) -> None:
    """Somebody of the station looks at the whole number of a customer, and it is written down who."""
    booking = load_for_change(booking_id)
    note(booking, "phone_shown", actor=states.USER, user_id=user_id)


@command
def tell_delay(booking_id: int, minutes: int, *, user_id: int | None = None) -> bool:
    """Write to a customer that their work begins later than booked, because the one before takes longer.

    Told once for each time that was agreed. False: told already, or the customer left no address. Raises
    WrongTransition when they are here already.
    """
    booking = load_for_change(booking_id)
    if booking.status not in ("pending", "confirmed"):
        raise WrongTransition(event="tell_delay", status=booking.status)
    if not booking.customer_email or not outbox.write_booking_delayed(booking):
        return False
    note(booking, "delay_told", after={"minutes": minutes}, actor=states.USER, user_id=user_id)
    return True


def may_still_change(booking: Booking) -> bool:
    """May the customer still cancel or move online, or is it too close to the start?"""
    cutoff = timedelta(minutes=booking.service_point.cancel_cutoff_minutes)
    return clock.now() <= booking.starts_at - cutoff


def may_move(booking: Booking) -> bool:
    """Is this a booking that its customer can still give another time, or give back, by phone at least?"""
    possible = states.possible_events(booking.status, states.CUSTOMER)
    return "reschedule_by_customer" in possible and booking.ends_at > clock.now()


def may_restore(booking: Booking) -> bool:
    """May the customer have a cancelled booking back: has its time not begun, and is it still free?"""
    if "restore_by_customer" not in states.possible_events(booking.status, states.CUSTOMER):
        return False
    span = (booking.starts_at, booking.ends_at)
    reserved = availability.load_reserved(booking.service_point_id, span).get(booking.service_post_id, [])
    is_free = not any(each.starts_at < booking.ends_at and booking.starts_at < each.ends_at for each in reserved)
    return is_free and booking.starts_at > clock.now()


def cancelled_at(booking: Booking) -> datetime | None:
    """When a booking was cancelled; None while it is not."""
    last = _last_step(booking)
    return last.at if last is not None and booking.status.startswith("cancelled") else None


def ready_at(booking: Booking) -> datetime:
    """When the car should be done: counted from when the work really began."""
    return (booking.started_at or booking.starts_at) + timedelta(minutes=booking.total_duration)


def can_undo(booking: Booking) -> datetime | None:
    """Until when staff may take the last tap back; None when they may not."""
    last = _last_step(booking)
    if last is None or last.event not in states.BY_HAND or clock.now() > last.at + UNDO_WITHIN:
        return None
    return last.at + UNDO_WITHIN


def _step(booking: Booking, target: str, event: str, actor: str, user_id: int | None) -> None:
    before: dict[str, Any] = {"status": booking.status} | end_problem(booking)
    booking.status = target
    if moment := MOMENTS.get(target):
        before[moment] = getattr(booking, moment)
        setattr(booking, moment, clock.now())
    reservation_id = booking.reservation_id
    if not states.is_live(target):
        booking.reservation_id = None
    record(booking, event, before=before, actor=actor, user_id=user_id)
    db.session.flush()
    if booking.reservation_id is None and reservation_id is not None:
        reservations.free(reservation_id)


def _step_back(booking: Booking, step: BookingEvent, event: str, actor: str, user_id: int | None) -> None:
    """The state before `step`, with its time, which may have been given away meanwhile (SlotTaken)."""
    before: dict[str, Any] = {"status": booking.status}
    if moment := MOMENTS.get(booking.status):
        before[moment] = getattr(booking, moment)
        setattr(booking, moment, None)
    if booking.reservation_id is None:
        booking.reservation_id = _take_again(booking)
    booking.status = step.before["status"]
    if problem := step.before.get("problem"):
        before["problem"], booking.problem = booking.problem, problem
    record(booking, event, before=before, actor=actor, user_id=user_id)
    db.session.flush()


def _take_again(booking: Booking) -> int:
    """Whatever the offer looks like now, as the station's own people take time: it was agreed before."""
    run = a_stretch(booking.service_post_id, booking.starts_at, booking.ends_at)
    reservation_id = reservations.take(booking.service_point_id, run, "booking", on_grid=False)
    if reservation_id is None:
        raise SlotTaken(starts_at=booking.starts_at)
    return reservation_id


def _last_step(booking: Booking) -> BookingEvent | None:
    """The last thing that changed the booking's state: what it led to is what the booking is now."""
    found = db.session.scalars(
        select(BookingEvent).where(BookingEvent.booking_id == booking.id).order_by(BookingEvent.id.desc())
    )
    return next((event for event in found if event.before.get("status", booking.status) != booking.status), None)

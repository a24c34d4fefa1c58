"""Every change of a booking. Each public function is one transaction: lock, look, take, record, write the letters."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select

from tirefit import clock
from tirefit.booking import states
from tirefit.booking.durations import Breakdown, calculate_booking_duration
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import (
    InThePast,
    LimitReached,
    ServicesDoNotFit,
    TooLateToChange,
    WrongTransition,
)
from tirefit.models import LIVE, Booking, BookingEvent, BookingLink, BookingService, ServicePoint
from tirefit.notifications import outbox
from tirefit.schedule import reservations
from tirefit.schedule.availability import available_at_time
from tirefit.schedule.reasons import refusal
from tirefit.schedule.reservations import Hold, hash_of

SPEAKABLE = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0/O, no 1/I
NUMBER_LENGTH = 6


@dataclass(frozen=True)
class Customer:
    """Who comes: name, phone in E.164, and an e-mail if they want letters."""

    name: str
    phone: str
    email: str | None = None


@command
def create_booking(
    point_id: int,
    service_ids: Sequence[int],
    car_type_id: int,
    customer: Customer,
    *,
    token: str,
    starts_at: datetime,
    post_number: int | None = None,
    locale: str = "ru",
    source: str = "online",
    plate: str = "",
    notes: str = "",
) -> Booking:
    """Make a hold into a booking, or book a time directly. `token` opens the booking afterwards.

    The hold's own reservation becomes the booking's: its time is free at no moment. A hold that has expired is still
    honoured while nobody has taken its time. Without a hold the time is taken as if chosen now. The same token sent
    twice gives the same booking.

    The plan's validations: `slot_must_be_available` and `booking_time_matches_slot` (a hold has passed them;
    `reasons.refusal` names them otherwise), `services_fit_in_time_slot` (ServicesDoNotFit),
    `no_conflicting_bookings` (the schema; SlotTaken). Raises LimitReached when the phone already has as many open
    bookings as the station allows, UnknownService, UnknownCarType, InThePast.
    """
    one_at_a_time(hash_of(token))
    if (made_before := find_by_token(token)) is not None:  # a second tap has waited for the first
        return made_before
    one_at_a_time(f"{point_id} {customer.phone}")  # so that counting their bookings is counting all of them
    hold = reservations.find_hold(token)
    point = db.session.get_one(ServicePoint, point_id)
    visit = calculate_booking_duration(service_ids, car_type_id, point)
    _require_few_open_bookings(point, customer)
    if hold is not None and (hold.service_point_id, hold.starts_at) == (point_id, starts_at):
        _require_fit(hold, visit)
        reservation_id = reservations.turn_into_booking(hold)
    else:
        if hold is not None:
            reservations.free(hold.reservation_id)
        reservation_id = _take_time(point, visit, token, starts_at, post_number)
    booking = _write_booking(point, visit, customer, reservation_id, locale=locale, source=source)
    booking.plate, booking.notes = plate, notes
    db.session.add(BookingLink(token_hash=hash_of(token), booking_id=booking.id, created_at=clock.now()))
    _record(booking, "created", before={}, actor=states.CUSTOMER if source == "online" else states.USER)
    outbox.write_booking_created(booking)
    return booking


@command
def cancel_booking(booking_id: int, *, actor: str, user_id: int | None = None, reason: str = "") -> Booking:
    """Give a booking's time back. It is free for others the moment this returns. Cancelling twice is cancelling once.

    Raises TooLateToChange for a customer inside the station's cut-off (the phone still helps), WrongTransition when
    the work has begun or is over.
    """
    booking = _load_for_change(booking_id)
    event = "cancel_by_customer" if actor == states.CUSTOMER else "cancel_by_station"
    target = states.target_of(event, booking.status, actor)
    if target is None:
        return booking
    if actor == states.CUSTOMER and not may_still_change(booking):
        raise TooLateToChange(cutoff_minutes=booking.service_point.cancel_cutoff_minutes)
    booking.cancel_reason = reason
    _move(booking, target, event, actor, user_id)
    outbox.supersede(booking)
    outbox.write_booking_cancelled(booking, by_customer=actor == states.CUSTOMER)
    return booking


@command
def transition_booking(booking_id: int, event: str, *, user_id: int | None = None) -> Booking:
    """Let staff move a booking on: confirm, arrive, start, complete, no_show. The same tap twice is one.

    Real times are kept (`arrived_at`, `started_at`, `completed_at`). A booking that is over gives back what is left
    of its time. Raises WrongTransition; to cancel is another command, because it writes letters.
    """
    booking = _load_for_change(booking_id)
    if event not in states.BY_HAND:
        raise WrongTransition(event=event, status=booking.status)
    target = states.target_of(event, booking.status, states.USER)
    if target is not None:
        _move(booking, target, event, states.USER, user_id)
        if event == "confirm":
            outbox.supersede(booking)
            outbox.write_booking_confirmed(booking)
    return booking


@command
def set_plate(booking_id: int, plate: str) -> Booking:
    """Keep the number plate the customer typed, in the alphabet they typed it in."""
    booking = _load_for_change(booking_id)
    if booking.plate != plate and states.is_live(booking.status):
        before = {"plate": booking.plate}
        booking.plate = plate
        _record(booking, "plate_set", before=before, actor=states.CUSTOMER)
    return booking


def find_by_token(token: str) -> Booking | None:
    """The booking that a customer's link opens. A revoked or unknown link opens nothing."""
    return db.session.scalar(
        select(Booking)
        .join(BookingLink, BookingLink.booking_id == Booking.id)
        .where(BookingLink.token_hash == hash_of(token), BookingLink.revoked_at.is_(None))
    )


def may_still_change(booking: Booking) -> bool:
    """May the customer still cancel or move online, or is it too close to the start?"""
    cutoff = timedelta(minutes=booking.service_point.cancel_cutoff_minutes)
    return clock.now() <= booking.starts_at - cutoff


def _take_time(point: ServicePoint, visit: Breakdown, token: str, starts_at: datetime, post_number: int | None) -> int:
    for run in available_at_time(point, starts_at, visit.total_minutes, visit.needs):
        if post_number is None or run.post_number == post_number:
            reservation_id = reservations.take(point.id, run, "booking", token_hash=hash_of(token))
            if reservation_id is not None:
                return reservation_id
    raise refusal(point, starts_at, visit.total_minutes, visit.needs)


def _require_fit(hold: Hold, visit: Breakdown) -> None:
    if hold.starts_at < clock.now():
        raise InThePast()
    if hold.ends_at - hold.starts_at < timedelta(minutes=visit.total_minutes):
        raise ServicesDoNotFit(starts_at=hold.starts_at, minutes=visit.total_minutes)


def _require_few_open_bookings(point: ServicePoint, customer: Customer) -> None:
    open_bookings = db.session.scalar(
        select(func.count())
        .select_from(Booking)
        .where(
            Booking.service_point_id == point.id,
            Booking.customer_phone == customer.phone,
            Booking.status.in_(LIVE),
            Booking.ends_at > clock.now(),
        )
    )
    if (open_bookings or 0) >= point.max_open_bookings_per_contact:
        raise LimitReached(limit=point.max_open_bookings_per_contact)


def _write_booking(
    point: ServicePoint,
    visit: Breakdown,
    customer: Customer,
    reservation_id: int,
    *,
    locale: str,
    source: str,
) -> Booking:
    time = reservations.get(reservation_id)
    booking = Booking(
        number=new_number(),
        service_point_id=point.id,
        reservation_id=reservation_id,
        service_post_id=time.service_post_id,
        starts_at=time.starts_at,
        ends_at=time.ends_at,
        car_type_id=visit.car_type.id,
        customer_name=customer.name,
        customer_phone=customer.phone,
        customer_email=customer.email,
        total_duration=visit.total_minutes,
        total_price=visit.total_price,
        currency=visit.currency,
        status="confirmed" if point.auto_confirm or source != "online" else "pending",
        source=source,
        locale=locale,
        consent_at=clock.now() if source == "online" else None,
        created_at=clock.now(),
        revision=1,
        lines=[
            BookingService(
                position=n,
                service_id=line.service_id,
                names=line.names,
                minutes=line.minutes,
                price=line.price,
            )
            for n, line in enumerate(visit.lines)
        ],
    )
    db.session.add(booking)
    db.session.flush()
    return booking


def _load_for_change(booking_id: int) -> Booking:
    """The booking as it is now, locked after its post: the one order in which everybody locks."""
    post_id = db.session.scalar(select(Booking.service_post_id).where(Booking.id == booking_id))
    reservations.lock_posts([post_id] if post_id is not None else [])
    return db.session.get_one(Booking, booking_id, populate_existing=True, with_for_update=True)


def _move(booking: Booking, target: str, event: str, actor: str, user_id: int | None) -> None:
    before = {"status": booking.status}
    booking.status = target
    booking.revision += event in states.NEWS
    moments = {"arrived": "arrived_at", "in_progress": "started_at", "completed": "completed_at"}
    if target in moments:
        setattr(booking, moments[target], clock.now())
    reservation_id = booking.reservation_id
    if not states.is_live(target):
        booking.reservation_id = None
    db.session.flush()
    if booking.reservation_id is None and reservation_id is not None:
        reservations.free(reservation_id)
    _record(booking, event, before=before, actor=actor, user_id=user_id)


def _record(booking: Booking, event: str, *, before: dict[str, Any], actor: str, user_id: int | None = None) -> None:
    """Leave the trace of a change: who, when, what, before and after. Same transaction, same fate."""
    after = {"status": booking.status} if not before else {key: getattr(booking, key) for key in before}
    db.session.add(
        BookingEvent(
            booking_id=booking.id,
            at=clock.now(),
            actor=actor,
            user_id=user_id,
            event=event,
            before=before,
            after=after,
        )
    )


def new_number() -> str:
    """Short and speakable; random, so that nobody can count a station's bookings by it."""
    while True:
        number = "".join(secrets.choice(SPEAKABLE) for _ in range(NUMBER_LENGTH))
        if db.session.scalar(select(Booking.id).where(Booking.number == number)) is None:
            return number

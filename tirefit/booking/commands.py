"""Bookings made and moved: what a customer agrees on with a station, and when. Each public function is one transaction:
lock, look, take, record, write the letters. How a booking goes on from there is in booking.steps.
"""

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, func, select

from tirefit import clock, limits
from tirefit.booking import states
from tirefit.booking.durations import Breakdown, agreed, calculate_booking_duration
from tirefit.booking.links import link_of, write_link
from tirefit.booking.record import end_problem, load_for_change, record, record_made, require_version
from tirefit.booking.steps import may_still_change
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import InThePast, KeyReused, LimitReached, ServicesDoNotFit, SlotNotOffered, TooLateToChange
from tirefit.models import LIVE, Booking, BookingService, ServicePoint, ServicePost
from tirefit.notifications import outbox
from tirefit.schedule import availability, reservations
from tirefit.schedule.availability import available_at_time
from tirefit.schedule.grid import Run, a_stretch
from tirefit.schedule.reasons import refusal
from tirefit.schedule.reservations import Hold, hash_of

SPEAKABLE = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # no 0/O, no 1/I
NUMBER_LENGTH = 6
BY_CUSTOMERS = ("online", "api")  # sources: the customer's own doing, on our pages or through a program
TELL_FROM = timedelta(minutes=10)  # a station moves a booking by less than that without a letter


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
    wheel_inches: int | None = None,
    locale: str = "ru",
    source: str = "online",
    plate: str = "",
    notes: str = "",
    consents: bool = False,
    origin: str | None = None,
) -> Booking:
    """Make a hold into a booking, or book a time directly. `token` opens the booking afterwards.

    The hold's own reservation becomes the booking's: its time is free at no moment. A hold that has expired is still
    honoured while nobody has taken its time. Without a hold the time is taken as if chosen now.

    `token` is also the key of the request: the same one with the same content gives the same booking, however often and
    by whichever process it is asked; with other content it is refused (KeyReused). `origin` is the network it comes
    from, which may make so many an hour (TooManyAttempts).

    `consents`: they agree to more than the booking, which itself needs no consent; when is kept (docs/privacy.md).

    The plan's validations: `slot_must_be_available` and `booking_time_matches_slot` (a hold has passed them;
    `reasons.refusal` names them otherwise), `services_fit_in_time_slot` (ServicesDoNotFit),
    `no_conflicting_bookings` (the schema; SlotTaken). Raises LimitReached when the phone already has as many open
    bookings as the station allows, UnknownService, UnknownCarType, InThePast.
    """
    asked = _hash_of_request(
        point_id, service_ids, car_type_id, asdict(customer), starts_at, post_number, wheel_inches, plate, notes
    )
    one_at_a_time(hash_of(token))
    if (link := link_of(token)) is not None:  # a second tap has waited for the first
        made_before = db.session.get_one(Booking, link.booking_id)
        if link.revoked_at is not None or made_before.request_hash not in (None, asked):
            raise KeyReused(number=made_before.number)
        return made_before
    one_at_a_time(f"{point_id} {customer.phone}")  # so that counting their bookings is counting all of them
    if origin is not None:
        limits.require_few(limits.BOOKINGS, origin)
    hold = reservations.find_hold(token)
    point = db.session.get_one(ServicePoint, point_id)
    visit = calculate_booking_duration(service_ids, car_type_id, point, wheel_inches)
    _require_few_open_bookings(point, customer)
    if hold is not None and (hold.service_point_id, hold.starts_at) == (point_id, starts_at):
        _require_fit(hold, visit)
        taken: tuple[int, Hold | Run] = reservations.turn_into_booking(hold), hold
    else:
        if hold is not None:
            reservations.free(hold.reservation_id)
        taken = _take_time(point, visit, token, starts_at, post_number)
    more = {"plate": plate, "notes": notes, "request_hash": asked, "consent_at": clock.now() if consents else None}
    booking = write_booking(point, visit, customer, taken, locale=locale, source=source, **more)
    write_link(booking, token)
    record_made(booking, "created", actor=states.CUSTOMER if source in BY_CUSTOMERS else states.USER)
    outbox.write_booking_created(booking)
    return booking


@command
def reschedule_booking(
    booking_id: int,
    *,
    actor: str,
    starts_at: datetime | None = None,
    post_number: int | None = None,
    service_ids: Sequence[int] | None = None,
    car_type_id: int | None = None,
    wheel_inches: int | None = None,
    user_id: int | None = None,
    seen_version: int | None = None,
    tell_customer: bool | None = None,
    origin: str | None = None,
) -> Booking:
    """Move a booking: to another time, another post, other services, another car, or several of these at once.

    The new time is won and the old one freed, or nothing changes; the two may overlap. What is not named stays; at an
    unchanged time the post stays too if it can. Services and car are agreed anew only where they are named, so that
    moving in time alone keeps minutes and price.

    A customer gets what the list offers, not inside the station's cut-off (TooLateToChange). The station's people may
    name a post and take any free time of it. `tell_customer` None: when the start moves by ten minutes or more, or the
    work changes. To another post alone is never news: the customer does not know of posts.

    All posts of the station are locked first, in ascending id, so that two who swap their times cannot deadlock.
    `origin` is the network it comes from, which may move so many an hour (TooManyAttempts).
    Raises SlotTaken and what else `reasons.refusal` finds, BookingChanged, WrongTransition, UnknownService.
    """
    booking = load_for_change(booking_id, all_posts=True)
    by_customer = actor == states.CUSTOMER
    states.require("reschedule_by_customer" if by_customer else "reschedule_by_station", booking.status, actor)
    point = booking.service_point
    visit = visit_after(booking, service_ids, car_type_id, wheel_inches)
    is_other_visit = visit != agreed(booking)
    start = starts_at or booking.starts_at
    if not is_other_visit and start == booking.starts_at and post_number in (None, booking.post.post_number):
        return booking  # the same tap, sent twice
    require_version(booking, seen_version)
    if by_customer and not may_still_change(booking):
        raise TooLateToChange(cutoff_minutes=point.cancel_cutoff_minutes)
    if origin is not None:
        limits.require_few(limits.MOVES, origin)
    before = agreement(booking)
    if is_other_visit:
        _agree_on(booking, visit)
    _move_time(booking, start, post_number, by_customer=by_customer)
    if agreement(booking) == before:
        return booking
    wants_to_tell = by_customer or (_is_news(booking, before) if tell_customer is None else tell_customer)
    is_news = wants_to_tell and _differs_for_customer(booking, before)
    before |= end_problem(booking)
    record(booking, "rescheduled" if is_news else "adjusted", before=before, actor=actor, user_id=user_id)
    if is_news:
        outbox.supersede(booking)
        outbox.write_booking_rescheduled(booking, by_customer=by_customer)
    return booking


@command
def set_plate(booking_id: int, plate: str) -> Booking:
    """Keep the number plate the customer typed, in the alphabet they typed it in."""
    booking = load_for_change(booking_id)
    if booking.plate != plate and states.is_live(booking.status):
        before = {"plate": booking.plate}
        booking.plate = plate
        record(booking, "plate_set", before=before, actor=states.CUSTOMER)
    return booking


def _take_time(
    point: ServicePoint, visit: Breakdown, token: str, starts_at: datetime, post_number: int | None
) -> tuple[int, Run]:
    for run in available_at_time(point, starts_at, visit.total_minutes, visit.needs):
        if post_number is None or run.post_number == post_number:
            reservation_id = reservations.take(point.id, run, "booking", token_hash=hash_of(token))
            if reservation_id is not None:
                return reservation_id, run
    raise refusal(point, starts_at, visit.total_minutes, visit.needs, post_number)


def visit_after(
    booking: Booking,
    service_ids: Sequence[int] | None = None,
    car_type_id: int | None = None,
    wheel_inches: int | None = None,
) -> Breakdown:
    """What the visit becomes when services, car or wheels are named anew, at today's minutes and prices.

    Where they stay what they are, it stays as it was agreed. Raises what `calculate_booking_duration` does.
    """
    before = agreed(booking)
    wanted = tuple(dict.fromkeys(service_ids)) if service_ids is not None else before.service_ids
    car, wheels = car_type_id or booking.car_type_id, wheel_inches or booking.wheel_inches
    if (set(wanted), car, wheels) == (set(before.service_ids), booking.car_type_id, booking.wheel_inches):
        return before
    visit = calculate_booking_duration(wanted, car, booking.service_point, wheels)
    return replace(visit, moving=booking.reservation_id)


def _agree_on(booking: Booking, visit: Breakdown) -> None:
    """Other services or another car: minutes and price are agreed anew, as they are today."""
    booking.car_type_id, booking.wheel_inches = visit.car_type.id, visit.wheel_inches
    booking.lines.clear()
    db.session.flush()
    _write_lines(booking, visit)


def _move_time(booking: Booking, starts_at: datetime, post_number: int | None, *, by_customer: bool) -> None:
    """Give the booking's own reservation the new time. Raises what `refusal` says when nobody can have it."""
    assert booking.reservation_id is not None  # the states that can be moved are live
    point, minutes, needs = booking.service_point, booking.total_duration, needs_of(booking)
    where = available_at_time if by_customer else availability.station_runs_at
    found = [
        run for run in where(point, starts_at, minutes, needs) if post_number is None or run.post_number == post_number
    ]
    if starts_at == booking.starts_at:
        found.sort(key=lambda run: run.service_post_id != booking.service_post_id)  # it stays where it is if it can
    on_grid = bool(found) or by_customer
    if not on_grid:
        found = [_any_time(booking, starts_at, post_number)]
    if not any(reservations.move(booking.reservation_id, run, on_grid=on_grid) for run in found):
        raise refusal(point, starts_at, minutes, needs, post_number)
    db.session.flush()
    db.session.refresh(booking, ["service_post_id", "starts_at", "ends_at", "post", "car_type"])


def _any_time(booking: Booking, starts_at: datetime, post_number: int | None) -> Run:
    """A time that is not offered, as the station's people may take it: on the post they name, else on the same one."""
    post_id = booking.service_post_id
    if post_number is not None:
        named = select(ServicePost.id).where(
            ServicePost.service_point_id == booking.service_point_id, ServicePost.post_number == post_number
        )
        post_id = db.session.scalar(named) or post_id
        if post_id != db.session.scalar(named):
            raise SlotNotOffered(starts_at=starts_at)
    ends_at = starts_at + timedelta(minutes=booking.total_duration)
    return a_stretch(post_id, starts_at, ends_at)


def needs_of(booking: Booking) -> availability.Needs:
    """What the visit asks of a post; its own time counts as free for it."""
    return agreed(booking).needs


def agreement(booking: Booking) -> dict[str, Any]:
    """What was agreed on, as the trace of a change keeps it: when, where, what, for how much."""
    return {
        "starts_at": booking.starts_at.isoformat(),
        "ends_at": booking.ends_at.isoformat(),
        "service_post_id": booking.service_post_id,
        "car_type_id": booking.car_type_id,
        "wheel_inches": booking.wheel_inches,
        "total_duration": booking.total_duration,
        "total_price": booking.total_price,
    }


def _differs_for_customer(booking: Booking, before: dict[str, Any]) -> bool:
    return any(before[name] != value for name, value in agreement(booking).items() if name != "service_post_id")


def _is_news(booking: Booking, before: dict[str, Any]) -> bool:
    now = agreement(booking)
    moved_by = abs(booking.starts_at - datetime.fromisoformat(before["starts_at"]))
    return moved_by >= TELL_FROM or any(now[name] != before[name] for name in ("total_duration", "total_price"))


def _require_fit(hold: Hold, visit: Breakdown) -> None:
    if hold.starts_at < clock.now():
        raise InThePast()
    if hold.ends_at - hold.starts_at < timedelta(minutes=visit.total_minutes):
        raise ServicesDoNotFit(starts_at=hold.starts_at, minutes=visit.total_minutes)


def _require_few_open_bookings(point: ServicePoint, customer: Customer) -> None:
    theirs = {"point_id": point.id, "phone": customer.phone, "now": clock.now()}
    if (db.session.scalar(OPEN_BOOKINGS, theirs) or 0) >= point.max_open_bookings_per_contact:
        raise LimitReached(limit=point.max_open_bookings_per_contact)


def write_booking(
    point: ServicePoint,
    visit: Breakdown,
    customer: Customer,
    taken: tuple[int, Hold | Run],
    *,
    locale: str,
    source: str,
    **more: Any,
) -> Booking:
    """Inside a command: the customer's record of a reservation that has been taken for them (its id and its time).

    `more` are columns.
    """
    reservation_id, time = taken
    booking = Booking(
        number=new_number(),
        service_point_id=point.id,
        reservation_id=reservation_id,
        service_post_id=time.service_post_id,
        starts_at=time.starts_at,
        ends_at=time.ends_at,
        car_type_id=visit.car_type.id,
        wheel_inches=visit.wheel_inches,
        customer_name=customer.name,
        customer_phone=customer.phone,
        customer_email=customer.email,
        currency=visit.currency,
        status="confirmed" if point.auto_confirm or source not in BY_CUSTOMERS else "pending",
        source=source,
        locale=locale,
        created_at=clock.now(),
        revision=1,
        version=1,
        **more,
    )
    _write_lines(booking, visit)
    db.session.add(booking)
    db.session.flush()
    return booking


def _write_lines(booking: Booking, visit: Breakdown) -> None:
    booking.total_duration, booking.total_price = visit.total_minutes, visit.total_price
    booking.wheel_minutes = visit.wheel_minutes
    booking.lines.extend(
        BookingService(position=n, service_id=line.service_id, names=line.names, minutes=line.minutes, price=line.price)
        for n, line in enumerate(visit.lines)
    )


def _hash_of_request(*content: object) -> str:
    """One short name for all that was asked for; the order of services does not matter."""
    plain = [sorted(set(part)) if isinstance(part, (list, tuple)) else part for part in content]
    text = json.dumps(plain, default=str, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def new_number() -> str:
    """Short and speakable; random, so that nobody can count a station's bookings by it."""
    while True:
        number = "".join(secrets.choice(SPEAKABLE) for _ in range(NUMBER_LENGTH))
        if db.session.scalar(NUMBERED, {"number": number}) is None:
            return number


# Made once, like those of schedule.reservations.
_booking = Booking.__table__.c
NUMBERED = select(_booking.id).where(_booking.number == bindparam("number"))
OPEN_BOOKINGS = select(func.count(_booking.id)).where(
    _booking.service_point_id == bindparam("point_id"),
    _booking.customer_phone == bindparam("phone"),
    _booking.status.in_(LIVE),
    _booking.ends_at > bindparam("now"),
)

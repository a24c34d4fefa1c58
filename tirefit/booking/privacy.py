"""What is kept about a customer, telling them, and forgetting it: the visit stays in the station's figures, the person
does not.

Forgotten by itself when a visit is older than the installation keeps it, or when its customer asks. docs/privacy.md
lists what is kept where.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_, select, update

from tirefit import clock, revisions
from tirefit.booking import states
from tirefit.booking.record import load_for_change, note
from tirefit.database import command, db, on_commit
from tirefit.errors import StillNeeded
from tirefit.models import Booking, BookingEvent, BookingLink, LetterStop, Notification, WaitingVisit

A_BATCH = 200
FORGOTTEN = "forgotten"  # the trace that it leaves
security = logging.getLogger("tirefit.security")
SYSTEM = "system"
# Of a booking and of its traces: who it was. What was done, when and for how much is the station's own.
PERSONAL: dict[str, Any] = {
    "customer_name": "",
    "customer_phone": "",
    "customer_email": None,
    "plate": "",
    "notes": "",
    "cancel_reason": "",
}
IS_KNOWN = or_(*(getattr(Booking, name) != "" for name in PERSONAL))  # who came
MOMENTS = ("starts_at", "ends_at", "created_at", "consent_at", "arrived_at", "started_at", "completed_at")


def held_about(bookings: list[Booking]) -> dict[str, Any]:
    """All that is kept about the customer of these bookings, as plain data (GDPR art. 15 and 20).

    Instants are ISO 8601 in UTC, prices minor units of the currency.
    """
    return {"as_of": clock.now().isoformat(), "bookings": [_held(booking) for booking in bookings]}


def bookings_of(phone: str) -> list[Booking]:
    """Everything that was ever booked with this phone (E.164), at any station, the oldest first."""
    return list(
        db.session.scalars(select(Booking).where(Booking.customer_phone == phone).order_by(Booking.starts_at))
        if phone
        else ()
    )


@command
def forget(booking_id: int, *, actor: str, user_id: int | None = None) -> None:
    """Forget whose visit this was; twice is once. Its links die, so nobody opens it from outside any more.

    Raises StillNeeded while the visit is ahead or goes on: cancel it first.
    """
    booking = load_for_change(booking_id)
    if states.is_live(booking.status) and booking.ends_at > clock.now():
        raise StillNeeded(number=booking.number)
    _forget(booking, actor, user_id)
    number = booking.number
    on_commit(lambda: security.info("booking %s forgotten", number))  # a copy that is put back does not know of it


def forget_again(numbers: Iterable[str]) -> tuple[int, list[str]]:
    """Forget what was forgotten after a copy was made that has been put back; → how many, and which are ahead in it."""
    wanted, forgotten, ahead = sorted(numbers), 0, []
    for first in range(0, len(wanted), A_BATCH):
        some = Booking.number.in_(wanted[first : first + A_BATCH])
        for booking_id, number in db.session.execute(select(Booking.id, Booking.number).where(some, IS_KNOWN)).all():
            try:
                forget(booking_id, actor=SYSTEM)
                forgotten += 1
            except StillNeeded:
                ahead.append(number)
    return forgotten, ahead


def forget_phone(point_id: int, phone: str, *, user_id: int) -> tuple[int, list[str]]:
    """Forget who came to a station with this phone (E.164); → how many visits, and the numbers of those still ahead.

    Each visit is a command of its own: stopped half-way, it is asked for again.
    """
    forgotten, ahead = 0, []
    for booking in bookings_of(phone):
        if booking.service_point_id != point_id:
            continue
        try:
            forget(booking.id, actor=states.USER, user_id=user_id)
            forgotten += 1
        except StillNeeded:
            ahead.append(booking.number)
    return forgotten, ahead


def forget_old(days: int) -> int:
    """Forget the customers of all visits that ended more than `days` ago; → how many. 0 days: nobody, ever.

    In batches, each one command: stopped half-way, it goes on where it was.
    """
    before = clock.now() - timedelta(days=days)
    forgotten = 0
    while days and (done := _forget_some(before)):
        forgotten += done
    return forgotten


@command
def _forget_some(before: datetime) -> int:
    old = select(Booking).where(Booking.ends_at < before, IS_KNOWN).order_by(Booking.id).limit(A_BATCH)
    found = db.session.scalars(old.with_for_update(skip_locked=True)).all()
    for booking in found:
        _forget(booking, SYSTEM, None)
    waited = update(WaitingVisit).where(WaitingVisit.arrived_at < before)
    is_named = or_(WaitingVisit.plate != "", WaitingVisit.customer_phone != "")
    db.session.execute(waited.where(is_named).values(plate="", customer_phone=""))
    return len(found)


def _forget(booking: Booking, actor: str, user_id: int | None) -> None:
    if not any(getattr(booking, name) for name in PERSONAL):
        return
    _forget_wish_for_no_letters(booking)
    for name, nothing in PERSONAL.items():
        setattr(booking, name, nothing)
    booking.request_hash = None  # of a name and a phone, too
    booking.version += 1
    db.session.execute(delete(BookingLink).where(BookingLink.booking_id == booking.id))
    letters = select(Notification).where(Notification.booking_id == booking.id)
    for letter in db.session.scalars(letters.with_for_update()):
        letter.recipient, letter.last_error = f"forgotten-{letter.id}", ""
        if letter.state == "pending":
            letter.state, letter.lease, letter.leased_until = "cancelled", None, None
    for trace in db.session.scalars(select(BookingEvent).where(BookingEvent.booking_id == booking.id)):
        trace.before, trace.after = ({**kept, **_blank(kept)} for kept in (trace.before, trace.after))
    note(booking, FORGOTTEN, actor=actor, user_id=user_id)
    revisions.touch(booking.service_point_id)


def _forget_wish_for_no_letters(booking: Booking) -> None:
    """The address that wanted no reminders, once the station has no other booking to remind it of."""
    if not booking.customer_email:
        return
    point_id, address = booking.service_point_id, booking.customer_email.lower()
    wish = db.session.get(LetterStop, (point_id, address))
    if wish is None:
        return
    others = select(Booking.id).where(
        Booking.service_point_id == point_id, func.lower(Booking.customer_email) == address, Booking.id != booking.id
    )
    if db.session.scalar(others.limit(1)) is None:
        db.session.delete(wish)


def _blank(kept: dict[str, Any]) -> dict[str, Any]:
    return {name: nothing for name, nothing in PERSONAL.items() if name in kept}


def _held(booking: Booking) -> dict[str, Any]:
    letters = select(Notification).where(Notification.booking_id == booking.id).order_by(Notification.id)
    return {
        "number": booking.number,
        "station": booking.service_point.name,
        **{name: getattr(booking, name) for name in PERSONAL},
        "car": booking.car_type.names,
        "wheel_inches": booking.wheel_inches,
        "language": booking.locale,
        "status": booking.status,
        "booked_through": booking.source,
        "work": [{"names": line.names, "minutes": line.minutes, "price": line.price} for line in booking.lines],
        "total_minutes": booking.total_duration,
        "total_price": booking.total_price,
        "currency": booking.currency,
        **{name: _instant(getattr(booking, name)) for name in MOMENTS},
        "changes": [_change(event) for event in booking.events],
        "letters": [
            {"kind": letter.kind, "to": letter.recipient, "state": letter.state, "sent_at": _instant(letter.sent_at)}
            for letter in db.session.scalars(letters)
            if letter.recipient == booking.customer_email
        ],
    }


def _change(event: BookingEvent) -> dict[str, Any]:
    what = {"what": event.event, "before": event.before, "after": event.after}
    return {"at": _instant(event.at), "by": event.actor, **what}


def _instant(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None

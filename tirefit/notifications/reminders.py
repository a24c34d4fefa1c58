"""What is written because its time has come: reminders and thanks. Nothing is planned ahead.

Once a minute somebody looks which bookings have come due and have no letter of that kind yet. So a booking that is
moved or cancelled leaves nothing behind, a minute without the job is made good by the next one, and two of these jobs
at once write each letter once: its name is unique. At the claim the outbox looks at the booking once more.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Select, and_, false, func, or_, select
from sqlalchemy.orm import contains_eager

from tirefit import clock
from tirefit.booking.record import load_for_change, note
from tirefit.booking.states import CUSTOMER, NEWS
from tirefit.database import command, db
from tirefit.models import Booking, BookingEvent, LetterStop, Notification, ServicePoint
from tirefit.notifications import outbox
from tirefit.notifications.kinds import A_DAY, KINDS, MORNING, REMIND_BEFORE, THANK_AFTER
from tirefit.schedule.windows import day_span, local_day, local_time

AT_ONCE = 200  # bookings in one transaction: other writers get their turn in between
AGREED = (
    "created",
    *NEWS,
)  # after each of these the customer knows the time, and needs no reminder that was due before


def write_what_is_due() -> int:
    """Write every reminder and every thanks that has come due by now; → how many bookings have been looked at.

    A booking that was agreed on after a reminder of it was due gets none. What could not be written in time is written
    later, but no reminder after the visit has begun, and none of the day before when the next one is due.
    """
    return sum(_write_some(kind) for kind, about in KINDS.items() if about.due)


def _write_some(kind: str) -> int:
    seen, last_id = 0, 0
    while ids := _write_next(kind, last_id):
        seen, last_id = seen + len(ids), ids[-1]
    return seen


@command
def _write_next(kind: str, after_id: int) -> list[int]:
    now, about = clock.now(), KINDS[kind]
    found = db.session.execute(_due(kind, now).where(Booking.id > after_id).order_by(Booking.id).limit(AT_ONCE)).all()
    for booking, agreed_at in found:
        assert about.due is not None
        if (agreed_at or booking.created_at) <= about.due(booking) <= now < about.until(booking):
            outbox.write_courtesy(kind, booking)
    return [booking.id for booking, _agreed in found]


@command
def stop_letters(booking_id: int) -> None:
    """Send no more reminders of this station to this booking's customer. What they must know they are still told."""
    booking = load_for_change(booking_id)
    if booking.customer_email and not outbox.is_stopped(booking):
        email = booking.customer_email.lower()
        stop = LetterStop(service_point_id=booking.service_point_id, email=email, created_at=clock.now())
        db.session.add(stop)
        note(booking, "reminders_off", actor=CUSTOMER)


@command
def allow_letters(booking_id: int) -> None:
    """Take that back."""
    booking = load_for_change(booking_id)
    if booking.customer_email and outbox.is_stopped(booking):
        key = {"service_point_id": booking.service_point_id, "email": booking.customer_email.lower()}
        db.session.delete(db.session.get_one(LetterStop, key))
        note(booking, "reminders_on", actor=CUSTOMER)


def _due(kind: str, now: datetime) -> Select[Booking, datetime]:
    """Bookings that may have come due, and when what they now are was agreed on."""
    written = select(Notification.id).where(
        Notification.booking_id == Booking.id, Notification.revision == Booking.revision, Notification.kind == kind
    )
    stopped = select(LetterStop.email).where(
        LetterStop.service_point_id == Booking.service_point_id, LetterStop.email == func.lower(Booking.customer_email)
    )
    agreed = (
        select(func.max(BookingEvent.at))
        .where(BookingEvent.booking_id == Booking.id, BookingEvent.event.in_(AGREED))
        .scalar_subquery()
    )
    return (
        select(Booking, agreed)
        .join(Booking.service_point)
        .options(contains_eager(Booking.service_point))
        .where(
            Booking.status.in_(KINDS[kind].statuses),
            Booking.customer_email.is_not(None),
            _in_time(kind, now),
            ~written.exists(),
            ~stopped.exists(),
        )
    )


def _in_time(kind: str, now: datetime) -> ColumnElement[bool]:
    if kind == "booking_completed":
        finished = and_(Booking.completed_at > now - A_DAY, Booking.completed_at <= now - THANK_AFTER)
        return and_(ServicePoint.send_thanks, finished, Booking.starts_at > now - 3 * A_DAY)  # which has an index
    soon = now + REMIND_BEFORE
    if kind == "booking_reminder_soon":
        return and_(ServicePoint.send_reminders, Booking.starts_at > now, Booking.starts_at <= soon)
    by_zone = [
        and_(ServicePoint.time_zone == zone, Booking.starts_at < morning_has_come_until)
        for zone, morning_has_come_until in _mornings(now)
    ]
    return and_(ServicePoint.send_reminders, Booking.starts_at > soon, or_(false(), *by_zone))


def _mornings(now: datetime) -> Iterator[tuple[str, datetime]]:
    """For each time zone of a station: the end of the last day whose reminders are due."""
    for zone in db.session.scalars(select(ServicePoint.time_zone).distinct()).all():
        local = local_time(zone, now)
        has_come = local.hour * 60 + local.minute >= MORNING
        yield zone, day_span(zone, local_day(zone, now) + timedelta(days=int(has_come)))[1]

"""The kinds of letters: to whom each goes, of which bookings it speaks, when it is due, until when it makes sense."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from tirefit.models import LIVE, STATUSES, Booking
from tirefit.schedule.windows import instant, local_day

A_DAY = timedelta(days=1)
MORNING = 8 * 60  # minutes after the station's midnight
REMIND_BEFORE = timedelta(hours=2)
THANK_AFTER = timedelta(hours=1)  # a tap too early has been taken back by then


@dataclass(frozen=True)
class Kind:
    """A kind of letter about a booking. It leaves while the booking is in one of these states, and not after `until`;
    what the mail server would not take is tried again until `retried_until`."""

    to_customer: bool
    statuses: tuple[str, ...] = LIVE
    until: Callable[[Booking], datetime] = lambda booking: booking.ends_at
    retried_until: Callable[[Booking], datetime] = lambda booking: booking.starts_at
    due: Callable[[Booking], datetime] | None = None  # None: at once, with the change that it tells of
    may_be_stopped: bool = False  # by the customer: a courtesy, not a fact that they must know

    @property
    def of_live_booking(self) -> bool:
        """Does it speak of a visit that is still to come, or under way?"""
        return set(self.statuses) <= set(LIVE)


def morning_before(booking: Booking) -> datetime:
    """Eight o'clock by the station's clock, on the day before the visit."""
    zone = booking.service_point.time_zone
    return instant(zone, local_day(zone, booking.starts_at) - A_DAY, MORNING)


def two_hours_before(booking: Booking) -> datetime:
    return booking.starts_at - REMIND_BEFORE


def an_hour_after(booking: Booking) -> datetime:
    return (booking.completed_at or booking.ends_at) + THANK_AFTER


def _start(booking: Booking) -> datetime:
    return booking.starts_at


def _next_day(booking: Booking) -> datetime:
    return (booking.completed_at or booking.ends_at) + A_DAY


def _reminder(due: Callable[[Booking], datetime], until: Callable[[Booking], datetime]) -> Kind:
    return Kind(True, ("confirmed",), until=until, retried_until=until, due=due, may_be_stopped=True)


KINDS = {
    "booking_created": Kind(to_customer=True),
    "booking_confirmed": Kind(to_customer=True),
    "booking_rescheduled": Kind(to_customer=True),
    "booking_cancelled": Kind(to_customer=True, statuses=STATUSES),
    "booking_delayed": Kind(to_customer=True),
    "booking_link": Kind(to_customer=True),
    "booking_reminder_day": _reminder(morning_before, until=two_hours_before),  # then the next one says it
    "booking_reminder_soon": _reminder(two_hours_before, until=_start),
    "booking_completed": Kind(
        True, ("completed",), until=_next_day, retried_until=_next_day, due=an_hour_after, may_be_stopped=True
    ),
    "new_booking": Kind(to_customer=False),
    "booking_rescheduled_by_customer": Kind(to_customer=False),
    "booking_cancelled_by_customer": Kind(to_customer=False, statuses=STATUSES),
}
TO_PEOPLE = ("invitation", "password_reset")  # each carries a link that opens once
OF_NO_BOOKING = ("daily_summary", "webhook_off", "system_alert", *TO_PEOPLE)
EVERY_KIND = (*KINDS, *OF_NO_BOOKING)
RESET_LASTS = timedelta(hours=1)  # from when the letter leaves
USEFUL_FOR = A_DAY  # those of no booking

"""What became of a booking, as it was written down (see record.note), and what of it can be taken back."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import select

from tirefit import clock
from tirefit.booking.states import USER
from tirefit.booking.steps import UNDO_WITHIN
from tirefit.database import db
from tirefit.models import Booking, BookingEvent, ServicePost, User


@dataclass(frozen=True)
class Trace:
    """One line of a booking's history: what happened, when, and who did it (the name of a person of the station)."""

    at: datetime
    event: str
    actor: str
    name: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)


def history(booking: Booking) -> list[Trace]:
    """What became of a booking, oldest first."""
    found = db.session.execute(
        select(
            BookingEvent.at, BookingEvent.event, BookingEvent.actor, User.name, BookingEvent.before, BookingEvent.after
        )
        .outerjoin(User, User.id == BookingEvent.user_id)
        .where(BookingEvent.booking_id == booking.id)
        .order_by(BookingEvent.id)
    )
    return [Trace(at, event, actor, name or "", was, became) for at, event, actor, name, was, became in found]


def place_before(booking: Booking) -> tuple[int, datetime] | None:
    """Where a booking stood before the station's people moved it just now: post number and start, to bring it back."""
    last = db.session.scalar(
        select(BookingEvent).where(BookingEvent.booking_id == booking.id).order_by(BookingEvent.id.desc()).limit(1)
    )
    if last is None or last.actor != USER or last.event not in ("rescheduled", "adjusted"):
        return None
    if clock.now() > last.at + UNDO_WITHIN or last.before["total_duration"] != booking.total_duration:
        return None
    number = db.session.scalar(select(ServicePost.post_number).where(ServicePost.id == last.before["service_post_id"]))
    return (number, datetime.fromisoformat(last.before["starts_at"])) if number is not None else None

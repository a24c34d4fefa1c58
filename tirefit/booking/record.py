"""What every change of a booking begins and ends with: the booking locked and looked at, the trace it leaves."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

from tirefit import clock, revisions
from tirefit.booking.states import NEWS
from tirefit.database import db
from tirefit.errors import BookingChanged
from tirefit.models import Booking, BookingEvent, ServicePoint, ServicePost
from tirefit.schedule import reservations, rolling
from tirefit.webhooks import outbox as webhooks


def load_for_change(booking_id: int, *, all_posts: bool = False) -> Booking:
    """The booking as it is now, locked after its post (or all posts of its station, where it may go to another).

    The station where days must be opened, posts in ascending id, the booking: the one order in which everybody locks.
    """
    mine = select(Booking.service_post_id).where(Booking.id == booking_id)
    if all_posts:
        point = db.session.scalars(
            select(ServicePoint)
            .join(Booking, Booking.service_point_id == ServicePoint.id)
            .where(Booking.id == booking_id)
        ).one()
        rolling.catch_up(point)  # it may go to a day that is offered, and that the nightly job has not written
        mine = select(ServicePost.id).where(ServicePost.service_point_id == point.id)
    reservations.lock_posts(list(db.session.scalars(mine)))
    return db.session.get_one(Booking, booking_id, populate_existing=True, with_for_update=True)


def require_version(booking: Booking, seen: int | None) -> None:
    """Raises BookingChanged when somebody has changed the booking since the asker looked at it (`seen`)."""
    if seen is not None and seen != booking.version:
        raise BookingChanged(number=booking.number, version=booking.version)


def record(booking: Booking, event: str, *, before: Mapping[str, Any], actor: str, user_id: int | None = None) -> None:
    """Leave the trace of a change: who, when, what, before and after; webhooks are told. Same transaction, same fate.

    `before` holds the columns that have changed. Each change is a new version; one that is news to the customer also
    voids the letters about the version before.
    """
    booking.version += 1
    revisions.touch(booking.service_point_id)
    booking.revision += event in NEWS
    webhooks.write(booking, event)
    after = {name: getattr(booking, name) for name in before}
    note(booking, event, before=before, after=after, actor=actor, user_id=user_id)


def record_made(booking: Booking, event: str, *, actor: str, user_id: int | None = None) -> None:
    """Leave the first trace of a booking: who made it, and what it began as."""
    revisions.touch(booking.service_point_id)
    webhooks.write(booking, event)
    note(booking, event, after={"status": booking.status}, actor=actor, user_id=user_id)


def note(
    booking: Booking,
    event: str,
    *,
    actor: str,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    user_id: int | None = None,
) -> None:
    """Leave the trace of something that did not change the booking: somebody looked at it, or told about it."""
    who = {"at": clock.now(), "actor": actor, "user_id": user_id}
    what = {"event": event, "before": _plain(before or {}), "after": _plain(after or {})}
    db.session.execute(WRITE_EVENT, {"booking_id": booking.id, **who, **what})


WRITE_EVENT = insert(BookingEvent.__table__)  # type: ignore[arg-type]


def end_problem(booking: Booking) -> dict[str, str]:
    """Whoever moves a booking on, or elsewhere, has dealt with what stood in its way; → what it was, for the trace."""
    if not booking.problem:
        return {}
    was, booking.problem = booking.problem, ""
    return {"problem": was}


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON keeps it: instants in ISO 8601."""
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}

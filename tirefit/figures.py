"""How the installation is, in numbers: what a monitoring system asks for again and again. Cheap statements."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select

from tirefit import clock
from tirefit.database import db
from tirefit.models import Booking, Notification, Reservation, ServicePoint, overlap_guard_is_there
from tirefit.notifications import outbox
from tirefit.schedule.windows import local_day

MOST_A_DAY = 50_000  # bookings, letters; of more, these are counted: no question reads the whole history


@dataclass(frozen=True)
class Figure:
    """A name, what it means, and its values by label."""

    name: str
    meaning: str
    values: list[tuple[dict[str, str], float]]


def now() -> Iterator[Figure]:
    """All of them, as of this moment."""
    moment = clock.now()
    guard = overlap_guard_is_there(db.session.connection())
    yield Figure("overlap_guard", "Does the schema refuse a time sold twice?", [({}, int(guard))])
    yield Figure("letters_due", "Letters that could leave now.", [({}, _count(*_due()))])
    oldest = outbox.oldest_due_age().total_seconds()
    yield Figure("letters_oldest_due_seconds", "For how long the first of them has been due.", [({}, oldest)])
    last = select(func.max(Notification.id)).scalar_subquery()
    failed = _count(
        Notification.id > last - MOST_A_DAY,
        Notification.state == "failed",
        Notification.created_at > moment - timedelta(days=1),
    )
    yield Figure("letters_failed_day", "Letters of the last 24 hours that can never arrive.", [({}, failed)])
    live = select(func.count()).where(Reservation.kind == "hold", Reservation.expires_at > moment)
    yield Figure("holds", "Times that customers hold just now.", [({}, db.session.scalar(live) or 0)])
    newest = select(func.max(Booking.id)).scalar_subquery()
    made = select(Booking.source, func.count()).where(
        Booking.id > newest - MOST_A_DAY, Booking.created_at > moment - timedelta(days=1)
    )
    sources = db.session.execute(made.group_by(Booking.source)).all()
    values: list[tuple[dict[str, str], float]] = [({"source": source}, number) for source, number in sources]
    yield Figure("bookings_day", "Bookings made in the last 24 hours.", values)
    yield Figure("days_offered", "Bookable days ahead, at the station that has fewest.", [({}, _fewest_days())])


def _due() -> tuple[object, object]:
    return Notification.state == "pending", Notification.due_at <= clock.now()


def _count(*conditions: object) -> int:
    return db.session.scalar(select(func.count()).select_from(Notification).where(*conditions)) or 0  # type: ignore[arg-type]


def _fewest_days() -> int:
    stations = select(ServicePoint.time_zone, func.min(ServicePoint.slots_until)).where(ServicePoint.active)
    ahead = [
        (until - local_day(zone, clock.now())).days if until else 0
        for zone, until in db.session.execute(stations.group_by(ServicePoint.time_zone)).all()
    ]
    return min(ahead, default=0)

"""Switching a post off while customers are expected on it: who can go to another post at the same time does, the others
stay where they are, for people to decide.
"""

from dataclasses import dataclass

from sqlalchemy import select

from tirefit import clock
from tirefit.booking import states
from tirefit.booking.commands import agreement, needs_of
from tirefit.booking.record import record
from tirefit.database import command, db
from tirefit.models import LIVE, Booking, ServicePost
from tirefit.schedule import availability, changes, reservations
from tirefit.schedule.grid import Run, Span
from tirefit.schedule.slots import Difference, lock_posts_for_regeneration, lock_station


@dataclass(frozen=True)
class Plan:
    """What switching a post off does to those who are expected on it. Nobody's time changes."""

    moves: tuple[tuple[Booking, Run], ...]
    stay: tuple[Booking, ...]


def plan_of(post: ServicePost) -> Plan:
    """For each booking ahead, by time, the best other post that is free at the same time; two never get the same."""
    ahead = db.session.scalars(
        select(Booking)
        .where(Booking.service_post_id == post.id, Booking.status.in_(LIVE), Booking.ends_at > clock.now())
        .order_by(Booking.starts_at)
    ).all()
    moves: list[tuple[Booking, Run]] = []
    stay: list[Booking] = []
    promised: list[tuple[int, Span]] = []
    for booking in ahead:
        run = _elsewhere(booking, promised)
        if run is None:
            stay.append(booking)
        else:
            moves.append((booking, run))
            promised.append((run.service_post_id, (run.starts_at, run.ends_at)))
    return Plan(tuple(moves), tuple(stay))


@command
def retire_post(post_id: int, *, user_id: int | None = None) -> tuple[Plan, Difference]:
    """Carry the plan out as it now is, and switch the post off; → what was done.

    Customers are told nothing: their time is the same, and they do not know of posts.
    """
    point = lock_station(db.session.get_one(ServicePost, post_id).service_point_id)
    posts = lock_posts_for_regeneration([post.id for post in point.posts])
    post = next(post for post in posts if post.id == post_id)
    plan = plan_of(post)
    for booking, run in plan.moves:
        assert booking.reservation_id is not None  # live bookings have one
        before = agreement(booking)
        if reservations.move(booking.reservation_id, run):
            db.session.flush()
            db.session.refresh(booking, ["service_post_id", "starts_at", "ends_at", "post"])
            record(booking, "adjusted", before=before, actor=states.USER, user_id=user_id)
    return plan, changes.switch_off(point, post, user_id)


def _elsewhere(booking: Booking, promised: list[tuple[int, Span]]) -> Run | None:
    """A booking whose work has begun stays where it is."""
    if booking.status == "in_progress" or booking.starts_at < clock.now():
        return None
    point, needs = booking.service_point, needs_of(booking)
    active = {post.id for post in point.posts if post.active and post.id != booking.service_post_id}
    for run in availability.station_runs_at(point, booking.starts_at, booking.total_duration, needs):
        taken = [span for post_id, span in promised if post_id == run.service_post_id]
        if run.service_post_id in active and all(run.ends_at <= start or end <= run.starts_at for start, end in taken):
            return run
    return None

"""What is free. The list, the check, the hold, the booking and the board all ask here; no other module decides it.

Two statements per question (offers, reservations) and one merge pass, for a day and for two months alike. An expired
hold is as good as none, whether or not any job has tidied it away. A list may be stale by the time it is read: the
write decides, with these same functions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import or_, select

from tirefit import clock
from tirefit.database import db
from tirefit.errors import (
    BeyondHorizon,
    InThePast,
    Problem,
    ServicesDoNotFit,
    SlotNotOffered,
    SlotTaken,
    TimeMatchesNoSlot,
    TooSoon,
)
from tirefit.models import Reservation, ScheduleSlot, ServicePoint, ServicePost
from tirefit.schedule.grid import Run, Span, runs
from tirefit.schedule.windows import day_span, each_day, local_day

TYPICAL_JOB_MINUTES = 30  # free time shorter than this is hard to sell
A_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Time:
    """A time a customer may choose: when it starts, until when the post chosen for it is occupied, on how many it
    could."""

    starts_at: datetime
    ends_at: datetime
    available_posts: int
    waste_minutes: int


@dataclass(frozen=True)
class Day:
    """One local day of a station for one job. `offered` counts the different times at which any slot begins."""

    date: date
    times: tuple[Time, ...]
    offered: int

    @property
    def state(self) -> str:
        """`open` (there are times), `full` (the station works, but nothing is left) or `shut`."""
        return "open" if self.times else "full" if self.offered else "shut"


@dataclass(frozen=True)
class PostTime:
    """A post's slots and live reservations in some stretch of time, both sorted."""

    service_post_id: int
    post_number: int
    slots: tuple[Span, ...]
    taken: tuple[Span, ...]


def available_at_time(point: ServicePoint, starts_at: datetime, minutes: int | None) -> list[Run]:
    """The posts on which a job of `minutes` can start exactly then, the best choice first; none: nobody can.

    `minutes` None asks for one slot. The plan's example, posts 30/40/30 from 09:00 and nothing booked, one slot: three
    posts at 09:00, two at 09:30, one at 09:40, two at 10:00, one at 10:20, two at 10:30, three at 11:00.
    """
    start, end = bookable_span(point)
    if not start <= starts_at < end:
        return []
    found = _bookable_runs(point, _around(point, starts_at), minutes)
    return best_first(run for run in found if run.starts_at == starts_at)


def find_available_slots_for_duration(
    point: ServicePoint, first_day: date, last_day: date, minutes: int | None
) -> list[Run]:
    """Every run of every post that a job of `minutes` could take on these local days, by time."""
    span = day_span(point.time_zone, first_day)[0], day_span(point.time_zone, last_day)[1]
    return sorted(_bookable_runs(point, span, minutes), key=lambda run: (run.starts_at, run.post_number))


def days(point: ServicePoint, first_day: date, count: int, minutes: int | None) -> list[Day]:
    """`count` local days from `first_day`, each with the times at which a job of `minutes` can start."""
    last_day = first_day + timedelta(days=count - 1)
    span = day_span(point.time_zone, first_day)[0], day_span(point.time_zone, last_day)[1]
    posts = load_posts(point.id, span)
    offered: dict[date, set[datetime]] = {day: set() for day in each_day(first_day, last_day)}
    for post in posts:
        for start, _ in post.slots:
            if span[0] <= start < span[1]:
                offered[local_day(point.time_zone, start)].add(start)
    times: dict[date, list[Time]] = {day: [] for day in offered}
    for time in as_times(_runs_of(point, posts, span, minutes)):
        times[local_day(point.time_zone, time.starts_at)].append(time)
    return [Day(day, tuple(times[day]), len(offered[day])) for day in offered]


def nearest(point: ServicePoint, minutes: int | None) -> Time | None:
    """The soonest time a job of `minutes` can start at the station, or None within its horizon.

    Looks through a window that widens only while nothing is found.
    """
    start, end = bookable_span(point)
    width = A_DAY
    while start < end:
        times = as_times(_bookable_runs(point, (start, min(end, start + width)), minutes))
        if times:
            return times[0]
        start, width = start + width, width * 4
    return None


def best_first(found: Iterator[Run] | Sequence[Run]) -> list[Run]:
    """The order in which posts are chosen: least waste, then least unsellable remainder, then the lowest number."""
    return sorted(found, key=lambda run: (run.waste_minutes, fragment_minutes(run), run.post_number))


def fragment_minutes(run: Run) -> int:
    """Free minutes before and after a run that are too few for a typical job."""
    return sum(left for left in (run.left_minutes, run.right_minutes) if 0 < left < TYPICAL_JOB_MINUTES)


def as_times(found: Iterator[Run] | Sequence[Run]) -> list[Time]:
    """Runs of all posts, as a customer sees them: one entry per time, with the post that would be chosen."""
    by_start: dict[datetime, list[Run]] = {}
    for run in found:
        by_start.setdefault(run.starts_at, []).append(run)
    return [
        Time(start, (best := best_first(group)[0]).ends_at, len(group), best.waste_minutes)
        for start, group in sorted(by_start.items())
    ]


def bookable_span(point: ServicePoint) -> Span:
    """From when to when customers may start: after the least notice, until the end of the horizon's last day."""
    now = clock.now()
    last_day = local_day(point.time_zone, now) + timedelta(days=point.horizon_days)
    return now + timedelta(minutes=point.lead_minutes), day_span(point.time_zone, last_day)[1]


def load_posts(point_id: int, span: Span) -> list[PostTime]:
    """Slots and live reservations of a station's posts that touch a stretch of time, as columns: two statements."""
    slots: dict[tuple[int, int], list[Span]] = {}
    for post_id, number, start, end in db.session.execute(
        select(
            ScheduleSlot.service_post_id,
            ServicePost.post_number,
            ScheduleSlot.starts_at,
            ScheduleSlot.ends_at,
        )
        .join(ServicePost, ServicePost.id == ScheduleSlot.service_post_id)
        .where(
            ScheduleSlot.service_point_id == point_id,
            ScheduleSlot.starts_at
            >= span[0] - A_DAY,  # a row of slots before the span may be what a run's left side is
            ScheduleSlot.starts_at < span[1] + A_DAY,  # and a run may end after it
        )
        .order_by(ScheduleSlot.starts_at)
    ):
        slots.setdefault((post_id, number), []).append((start, end))
    taken: dict[int, list[Span]] = {}
    for post_id, start, end in db.session.execute(
        select(Reservation.service_post_id, Reservation.starts_at, Reservation.ends_at)
        .where(
            Reservation.service_point_id == point_id,
            Reservation.starts_at > span[0] - 2 * A_DAY,  # none is longer than a day
            Reservation.starts_at < span[1] + A_DAY,
            or_(Reservation.expires_at.is_(None), Reservation.expires_at > clock.now()),
        )
        .order_by(Reservation.starts_at)
    ):
        taken.setdefault(post_id, []).append((start, end))
    return [
        PostTime(post_id, number, tuple(cells), tuple(taken.get(post_id, ())))
        for (post_id, number), cells in sorted(slots.items())
    ]


def refusal(point: ServicePoint, starts_at: datetime, minutes: int | None) -> Problem:
    """Why nobody can start such a job at that time: the plan's validations, each with its own error.

    `slot_must_be_available`: not past (InThePast), enough notice (TooSoon), within the horizon (BeyondHorizon), and
    offered at all (SlotNotOffered). `booking_time_matches_slot`: a slot begins then (TimeMatchesNoSlot).
    `services_fit_in_time_slot`: the offer after it is long enough (ServicesDoNotFit). `no_conflicting_bookings`:
    nobody else has it (SlotTaken).
    """
    start, end = bookable_span(point)
    if starts_at < clock.now():
        return InThePast()
    if starts_at < start:
        return TooSoon(lead_minutes=point.lead_minutes)
    if starts_at >= end:
        return BeyondHorizon(horizon_days=point.horizon_days)
    posts = load_posts(point.id, _around(point, starts_at))
    if any(
        run.starts_at == starts_at
        for post in posts
        for run in runs(post.service_post_id, post.post_number, post.slots, (), minutes)
    ):
        return SlotTaken(starts_at=starts_at)
    if any(cell[0] == starts_at for post in posts for cell in post.slots):
        return ServicesDoNotFit(starts_at=starts_at, minutes=minutes)
    if any(span[0] <= starts_at < span[1] for post in posts for span in post.taken):
        return SlotTaken(starts_at=starts_at)
    if any(cell[0] < starts_at < cell[1] for post in posts for cell in post.slots):
        return TimeMatchesNoSlot(starts_at=starts_at)
    return SlotNotOffered(starts_at=starts_at)


def _bookable_runs(point: ServicePoint, span: Span, minutes: int | None) -> Iterator[Run]:
    return _runs_of(point, load_posts(point.id, span), span, minutes)


def _runs_of(point: ServicePoint, posts: Sequence[PostTime], span: Span, minutes: int | None) -> Iterator[Run]:
    """Every run of these posts that starts within the span and that customers may book now."""
    earliest, end = bookable_span(point)
    start, end = max(span[0], earliest), min(span[1], end)
    if not point.active:
        return
    for post in posts:
        for run in runs(post.service_post_id, post.post_number, post.slots, post.taken, minutes):
            if start <= run.starts_at < end:
                yield run


def _around(point: ServicePoint, moment: datetime) -> Span:
    return day_span(point.time_zone, local_day(point.time_zone, moment))

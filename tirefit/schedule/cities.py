"""The soonest time at each of many stations: what schedule.availability answers for one, asked about all at once.

Nothing here decides what is free. Three statements are about every station together, so a city of a hundred stations
costs hardly more of them than a village of one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import BindParameter, bindparam, select

from tirefit.database import db
from tirefit.models import Reservation, ScheduleSlot, ServicePoint, ServicePost
from tirefit.schedule.availability import (
    A_DAY,
    ANYTHING,
    Needs,
    PostAbility,
    Time,
    abilities,
    abilities_of,
    able_posts,
    as_times,
    bookable_runs_of,
    bookable_span,
    reserved_by_post,
    reserved_of,
    slots_by_post,
    slots_of,
)
from tirefit.schedule.grid import Span
from tirefit.schedule.rolling import unwritten

_IDS: BindParameter[int] = bindparam("point_ids", expanding=True)
SLOTS = slots_of(ScheduleSlot.__table__.c.service_point_id.in_(_IDS))
RESERVED = reserved_of(Reservation.__table__.c.service_point_id.in_(_IDS))
ABILITIES = abilities_of(ServicePost.__table__.c.service_point_id.in_(_IDS))


class Asked(NamedTuple):
    """A station, and how many minutes the job takes there (None: one slot)."""

    point: ServicePoint
    minutes: int | None


@dataclass(frozen=True)
class StationTime:
    """The soonest time the job can start at a station."""

    point: ServicePoint
    time: Time


def stations_of(city: str) -> list[ServicePoint]:
    """The stations of a city that take bookings, by name."""
    found = select(ServicePoint).where(ServicePoint.city == city, ServicePoint.active)
    return list(db.session.scalars(found.order_by(ServicePoint.name, ServicePoint.id)))


def nearest_of(asked: Sequence[Asked], needs: Needs = ANYTHING) -> list[StationTime]:
    """For each station what `availability.nearest` says, the soonest first; of equal ones, as they were asked.

    A station without such a time within its horizon is left out. The window widens only while stations are without an
    answer, and then looks at those alone. Each has its own notice, horizon, zone, abilities and minutes.
    """
    if not asked:
        return []
    spans = {point.id: bookable_span(point) for point, _ in asked}
    posts = _posts_of([point.id for point, _ in asked], needs)
    found: dict[int, Time] = {}
    start, last = min(start for start, _ in spans.values()), max(end for _, end in spans.values())
    width = A_DAY
    while start < last and (waiting := [each for each in asked if each.point.id not in found]):
        window = (start, start + width)
        found |= _soonest(waiting, posts, spans, window)
        start, width = start + width, width * 4
    answers = [StationTime(point, found[point.id]) for point, _ in asked if point.id in found]
    return sorted(answers, key=lambda each: each.time.starts_at)


def _soonest(
    waiting: Sequence[Asked], posts: dict[int, list[PostAbility]], spans: dict[int, Span], window: Span
) -> dict[int, Time]:
    """Who of these has a time in this window, and which: two statements."""
    open_now = [each for each in waiting if _overlap(spans[each.point.id], window)]
    if not open_now:
        return {}
    which = {"point_ids": [point.id for point, _ in open_now]}
    slots, reserved = slots_by_post(SLOTS, which, window), reserved_by_post(RESERVED, which, window)
    found = {}
    for point, minutes in open_now:
        for starts_at, post_id, ends_at in unwritten(point.id, window):
            slots[post_id].append((starts_at, ends_at))
        able = able_posts(posts[point.id], slots, reserved)
        if times := as_times(bookable_runs_of(point, able, window, minutes)):
            found[point.id] = times[0]
    return found


def _posts_of(point_ids: list[int], needs: Needs) -> dict[int, list[PostAbility]]:
    posts: dict[int, list[PostAbility]] = defaultdict(list)
    for post in abilities(ABILITIES, {"point_ids": point_ids}, needs):
        posts[post.service_point_id].append(post)
    return posts


def _overlap(span: Span, other: Span) -> bool:
    return max(span[0], other[0]) < min(span[1], other[1])

"""What a station's last weeks tell: how full it was, how true its minutes were, who did not come, who found no time.

A handful of statements for any history; the arithmetic is done here. Days and hours are the station's own.
"""

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from statistics import median, quantiles
from typing import Any

from sqlalchemy import and_, cast, func, literal, null, or_, select, union_all

from tirefit import clock, usage
from tirefit.database import db
from tirefit.models import Booking, Notification, ServicePoint, ServicePost, UsageCount
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import day_span, local_day, local_time, opening_windows

A_DAY = timedelta(days=1)
A_YEAR = 52 * 7 * A_DAY  # the same days of the week
WEEKS_OF_MEAN = 21 * A_DAY  # before a week: four with it
HOUR = timedelta(hours=1)
MOMENT = timedelta(seconds=1)
ENOUGH = 10  # bookings, before anything is told of them
CANCELLED = ("cancelled_by_customer", "cancelled_by_station")
LEADS = (0, 1, 2, 4, 8, 15, 31)  # days ahead: a bar from each to the next

Cell = tuple[int, int]  # weekday, hour


@dataclass(frozen=True)
class PostLine:
    """A post: how full it was in percent, and minutes of visits as planned and as they were. None: nothing to tell."""

    post: ServicePost
    load: int | None
    visits: int
    planned: int | None
    real: int | None
    real_p90: int | None


@dataclass(frozen=True)
class WeekLine:
    """Bookings of a week, and what part of them did not come or was cancelled, in percent.

    `no_show_mean` is that part of four weeks, this one the last; `year_ago` the bookings of the same week then (None:
    the station has no bookings from that time at all).
    """

    monday: date
    bookings: int
    no_show: int
    no_show_mean: int
    cancelled: int
    year_ago: int | None


@dataclass(frozen=True)
class Funnel:
    looked: int
    held: int
    booked: int
    refused: int
    refused_by_hour: tuple[int, ...]
    empty: int
    empty_by_hour: tuple[int, ...]


@dataclass(frozen=True)
class Report:
    """All of it. `heat` is percent of open time taken; a cell that is not there was never open."""

    first_day: date
    last_day: date
    bookings: int
    bookings_year_ago: int
    heat: dict[Cell, int]
    posts: list[PostLine]
    weeks: list[WeekLine]
    leads: list[tuple[int, int | None, int]]  # from so many days, to so many (None: and more), bookings
    funnel: Funnel
    letters: dict[str, int]

    @property
    def is_enough(self) -> bool:
        return self.bookings >= ENOUGH


def load(point: ServicePoint, days: int) -> Report:
    """The last so many days, today among them. The station was read with its posts."""
    today = local_day(point.time_zone, clock.now())
    first = today - (days - 1) * A_DAY
    since, until = day_span(point.time_zone, first)[0], day_span(point.time_zone, today)[1]
    earlier = day_span(point.time_zone, _monday(first) - WEEKS_OF_MEAN)[0]
    found = _bookings(point, earlier, since, until)
    all_rows = [row for row in found if earlier <= row.starts_at < until]
    rows = [row for row in all_rows if row.starts_at >= since]
    year_ago = [local_day(point.time_zone, row.starts_at) for row in found if row.starts_at < earlier]
    counted = _counted(point, since, until)
    heat, loads = _loads(point, rows, first, today)
    return Report(
        first_day=first,
        last_day=today,
        bookings=len(rows),
        bookings_year_ago=sum(first <= day + A_YEAR <= today for day in year_ago),
        heat=heat,
        posts=[_post_line(post, loads.get(post.id), rows) for post in point.posts],
        weeks=_weeks(point, all_rows, first, year_ago),
        leads=_leads(point, rows),
        funnel=_funnel(point, [each for each in counted if each.what == "visitors"], _made_online(found, since)),
        letters={each.name: each.many for each in counted if each.what == "letters"},
    )


def _bookings(point: ServicePoint, earlier: datetime, since: datetime, until: datetime) -> Sequence[Any]:
    """In one statement: those of the days from `earlier` on, and of the same weeks 52 weeks before."""
    columns = (
        Booking.service_post_id,
        Booking.starts_at,
        Booking.ends_at,
        Booking.status,
        Booking.created_at,
        Booking.started_at,
        Booking.completed_at,
        Booking.total_duration,
        Booking.source,
    )
    first, last = (_monday(local_day(point.time_zone, moment)) for moment in (since, until - MOMENT))
    then = day_span(point.time_zone, first - A_YEAR)[0], day_span(point.time_zone, last + 6 * A_DAY - A_YEAR)[1]
    # Those made in these days for later ones too: nobody books the past.
    now = or_(Booking.starts_at < until, and_(Booking.created_at >= since, Booking.source == "online"))
    meant = or_(
        and_(Booking.starts_at >= earlier, now), and_(Booking.starts_at >= then[0], Booking.starts_at < then[1])
    )
    return db.session.execute(select(*columns).where(Booking.service_point_id == point.id, meant)).all()


def _made_online(rows: Sequence[Any], since: datetime) -> int:
    return sum(row.source == "online" and row.created_at >= since for row in rows)


def _loads(point: ServicePoint, rows: Sequence[Any], first: date, last: date) -> tuple[dict[Cell, int], dict[int, int]]:
    """Percent of open time that was taken: by weekday and hour, and by post."""
    hours, now = load_hours(point, since=first - A_DAY), clock.now()
    by_cell: dict[str, Counter[Cell]] = {"open": Counter(), "taken": Counter()}
    by_post: dict[str, Counter[int]] = {"open": Counter(), "taken": Counter()}
    for post in point.posts:
        for start, end in opening_windows(hours, post.id, first, last):
            _spread("open", post.id, start, min(end, now), point, by_cell, by_post)
    for row in rows:
        if row.status not in CANCELLED and row.status != "no_show":
            _spread("taken", row.service_post_id, row.starts_at, min(row.ends_at, now), point, by_cell, by_post)
    return (
        {cell: _percent(by_cell["taken"][cell], whole) for cell, whole in by_cell["open"].items()},
        {post_id: _percent(by_post["taken"][post_id], whole) for post_id, whole in by_post["open"].items()},
    )


def _spread(
    kind: str,
    post_id: int,
    start: datetime,
    end: datetime,
    point: ServicePoint,
    by_cell: dict[str, Counter[Cell]],
    by_post: dict[str, Counter[int]],
) -> None:
    """Give each hour of the station's clock its minutes of a stretch."""
    while start < end:
        local = local_time(point.time_zone, start)
        until = min(end, start + timedelta(minutes=60 - local.minute))
        minutes = int((until - start).total_seconds()) // 60
        by_cell[kind][local.weekday(), local.hour] += minutes
        by_post[kind][post_id] += minutes
        start = until


def _post_line(post: ServicePost, load: int | None, rows: Sequence[Any]) -> PostLine:
    done = [row for row in rows if row.service_post_id == post.id and row.started_at and row.completed_at]
    real = sorted(max(0, int((row.completed_at - row.started_at).total_seconds()) // 60) for row in done)
    return PostLine(
        post=post,
        load=load,
        visits=len(done),
        planned=round(median(row.total_duration for row in done)) if done else None,
        real=round(median(real)) if real else None,
        real_p90=round(quantiles(real, n=10, method="inclusive")[-1]) if len(real) > 1 else None,
    )


def _weeks(point: ServicePoint, rows: Sequence[Any], first: date, year_ago: Sequence[date]) -> list[WeekLine]:
    """The weeks from that of the first day on; `rows` begin three weeks before it, for the mean."""
    statuses: dict[date, list[str]] = defaultdict(list)
    for row in rows:
        statuses[_monday(local_day(point.time_zone, row.starts_at))].append(row.status)
    then = Counter(_monday(day + A_YEAR) for day in year_ago)
    lines = []
    for monday in sorted(statuses):
        if monday < _monday(first):
            continue
        found = statuses[monday]
        four = [each for weeks in range(4) for each in statuses.get(monday - weeks * 7 * A_DAY, ())]
        lines.append(
            WeekLine(
                monday=monday,
                bookings=len(found),
                no_show=_percent(found.count("no_show"), len(found)),
                no_show_mean=_percent(four.count("no_show"), len(four)),
                cancelled=_percent(sum(status in CANCELLED for status in found), len(found)),
                year_ago=then[monday] if year_ago else None,
            )
        )
    return lines


def _monday(day: date) -> date:
    return day - day.weekday() * A_DAY


def _leads(point: ServicePoint, rows: Sequence[Any]) -> list[tuple[int, int | None, int]]:
    ahead = [
        (local_day(point.time_zone, row.starts_at) - local_day(point.time_zone, row.created_at)).days for row in rows
    ]
    bounds = [*itertools.pairwise(LEADS), (LEADS[-1], None)]
    return [
        (low, high, sum(low <= max(0, days) and (high is None or days < high) for days in ahead))
        for low, high in bounds
    ]


def _funnel(point: ServicePoint, visitors: Sequence[Any], booked: int) -> Funnel:
    totals, by_hour = Counter[str](), {usage.REFUSED: [0] * 24, usage.EMPTY: [0] * 24}
    for each in visitors:
        totals[each.name] += each.many
        if each.name in by_hour:
            by_hour[each.name][local_time(point.time_zone, each.hour).hour] += each.many
    return Funnel(
        totals[usage.LOOKED],
        totals[usage.HELD],
        booked,
        totals[usage.REFUSED],
        tuple(by_hour[usage.REFUSED]),
        totals[usage.EMPTY],
        tuple(by_hour[usage.EMPTY]),
    )


def _counted(point: ServicePoint, since: datetime, until: datetime) -> Sequence[Any]:
    """What is only counted, in one statement: visitors by hour and kind, and letters written since then by state."""
    visitors = select(
        literal("visitors").label("what"),
        UsageCount.hour,
        UsageCount.kind.label("name"),
        UsageCount.count.label("many"),
    ).where(UsageCount.service_point_id == point.id, UsageCount.hour >= since - HOUR, UsageCount.hour < until)
    letters = (
        select(literal("letters"), cast(null(), UsageCount.hour.type), Notification.state, func.count())
        .join(Booking, Booking.id == Notification.booking_id)
        .where(
            Booking.service_point_id == point.id, Booking.starts_at >= since - A_DAY, Notification.created_at >= since
        )
        .group_by(Notification.state)
    )
    return db.session.execute(union_all(visitors, letters)).all()


def _percent(part: int, whole: int) -> int:
    return min(100, round(100 * part / whole)) if whole else 0

"""The offer: slots cut from a post's hours at its own length, around what is reserved.

What should be is compared with what is, and only the difference is written; it heals by being run again. Nothing here
changes a reservation. How days are opened ahead stands in schedule.rolling, what managers change, and its preview, in
schedule.changes; what is free is decided in schedule.availability.
"""

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import bindparam, delete, select, text

from tirefit import clock
from tirefit.database import command, db
from tirefit.models import (
    ExceptionWindow,
    Reservation,
    ScheduleException,
    ScheduleSlot,
    ScheduleTemplate,
    ScheduleWindow,
    ServicePoint,
    ServicePost,
)
from tirefit.schedule import grid
from tirefit.schedule.availability import Reserved, live
from tirefit.schedule.windows import Hours, LocalWindow, Span, Week, day_span, local_day, local_windows, opening_windows

SHORTEST, LONGEST = 5, 480  # minutes of a slot
A_DAY = timedelta(days=1)

Cell = tuple[datetime, int, datetime]  # starts_at, service_post_id, ends_at
Days = tuple[date, date]  # the first and the last local day


@dataclass(frozen=True)
class Pace:
    """What the cut needs to know of a post."""

    id: int
    slot_duration: int
    active: bool
    then: tuple[date, int] | None = None  # from which local day on its slots have another length, and which


@dataclass(frozen=True)
class Difference:
    """What a change of hours or lengths does to the offer: the preview shows it, applying writes it."""

    first_day: date
    last_day: date
    kept: tuple[Cell, ...]
    added: tuple[Cell, ...]
    removed: tuple[Cell, ...]
    reserved: tuple[Reserved, ...]  # untouched, all of it
    outside: tuple[Reserved, ...]  # of these, what now lies outside the opening hours: still valid
    run_id: int | None = field(default=None, compare=False)  # of the run that applied it

    @property
    def before(self) -> int:
        return len(self.kept) + len(self.removed)

    @property
    def after(self) -> int:
        return len(self.kept) + len(self.added)

    @property
    def fingerprint(self) -> str:
        """The same for a preview and for what is applied, while nobody booked or changed anything between."""
        reserved = [(each.id, each.starts_at, each.ends_at) for each in self.reserved]
        return _hash(repr((self.added, self.removed, reserved)))

    @property
    def touched(self) -> str:
        """The same while nobody booked or changed anything that this change touches; the rest of the offer may live."""
        outside = [(each.id, each.starts_at, each.ends_at) for each in self.outside]
        return _hash(repr((self.added, self.removed, outside)))


@command
def generate_slots_for_post(post_id: int, first_day: date, last_day: date) -> Difference:
    """Make one post's offer on these local days what its hours, its slot length and its reservations say."""
    post = db.session.get_one(ServicePost, post_id)
    return regenerate(lock_station(post.service_point_id), [post], first_day, last_day)


@command
def generate_slots_from_template(point_id: int, first_day: date, last_day: date) -> Difference:
    """The same for every post of a station, each at its own length."""
    point = lock_station(point_id)
    return regenerate(point, None, first_day, last_day)


@command
def regenerate_post_schedule(post_id: int) -> Difference:
    """Cut a post's whole offer again, from today to the end of what has been generated.

    Running it twice writes nothing.
    """
    post = db.session.get_one(ServicePost, post_id)
    point = lock_station(post.service_point_id)
    return regenerate(point, [post], *offered_days(point))


def heal(point_id: int, post_id: int, span: Span) -> None:
    """Inside a command: reserved time that is not made of slots has come or gone; cut the days it lies on again."""
    posts = lock_posts_for_regeneration([post_id])
    point = db.session.get_one(ServicePoint, point_id, populate_existing=True)  # days may just have been opened
    if point.slots_until is None:
        return
    # The gap that the time is part of may begin the evening before and end the morning after.
    first = local_day(point.time_zone, span[0]) - A_DAY
    last = min(local_day(point.time_zone, span[1]) + A_DAY, point.slots_until)
    if first <= last:
        regenerate(point, posts, first, last)


def offered_days(point: ServicePoint) -> Days:
    """First and last local day on which a station's offer stands, or shall stand once it is generated."""
    today, until = horizon(point)
    return today, max(today, point.slots_until or until)


def load_hours(point: ServicePoint, since: date | None = None) -> Hours:
    """The rules that open a station's posts (from a day on), as the pure functions of schedule.windows take them."""
    exceptions: dict[tuple[int | None, date], list[LocalWindow]] = {}
    of_days = {"point_id": point.id, "since": since or date.min}
    for post_id, day, opens, closes in db.session.execute(EXCEPTIONS, of_days):
        windows = exceptions.setdefault((post_id, day), [])
        if opens is not None:  # else closed
            windows.append((opens, closes))
    return Hours(
        zone=point.time_zone,
        weeks=load_weeks(point),
        exceptions={owner_and_day: tuple(windows) for owner_and_day, windows in exceptions.items()},
    )


def load_weeks(point: ServicePoint) -> tuple[Week, ...]:
    """The ordinary weeks and the seasons of a station and its posts."""
    weeks: dict[tuple[Any, ...], list[tuple[int, int, int]]] = {}
    for id, post_id, first, last, priority, *window in db.session.execute(WEEKS, {"point_id": point.id}):
        windows = weeks.setdefault((post_id, first, last, priority, id), [])
        if None not in window:  # a week without any
            windows.append((window[0], window[1], window[2]))
    return tuple(Week(tuple(windows), *about) for about, windows in weeks.items())


_week, _window, _exception, _other = (
    model.__table__.c for model in (ScheduleTemplate, ScheduleWindow, ScheduleException, ExceptionWindow)
)
WEEKS = (
    select(_week.id, _week.service_post_id, _week.valid_from, _week.valid_until, _week.priority)
    .add_columns(_window.weekday, _window.opens, _window.closes)
    .outerjoin_from(ScheduleTemplate.__table__, ScheduleWindow.__table__, _window.template_id == _week.id)
    .where(_week.service_point_id == bindparam("point_id"))
)
EXCEPTIONS = (
    select(_exception.service_post_id, _exception.day, _other.opens, _other.closes)
    .outerjoin_from(ScheduleException.__table__, ExceptionWindow.__table__, _other.exception_id == _exception.id)
    .where(_exception.service_point_id == bindparam("point_id"), _exception.day >= bindparam("since"))
)


def is_working_day(point: ServicePoint, hours: Hours, day: date) -> bool:
    """Is any post of the station open on that local day, whatever of it is still free?"""
    return any(local_windows(hours, post.id, day) for post in point.posts if post.active)


def regenerate(point: ServicePoint, posts: Iterable[ServicePost] | None, first_day: date, last_day: date) -> Difference:
    """Inside a command: write the difference between the offer that should be and the one that is.

    Of these posts of the station, or of all of them (None). Takes them FOR UPDATE first: whoever is taking time of them
    has finished and is seen, or waits and then sees.
    """
    if posts is None:
        locked = list(db.session.scalars(LOCKED_POSTS_OF, {"point_id": point.id}))
    else:
        locked = lock_posts_for_regeneration([post.id for post in posts])
    hours = load_hours(point, since=first_day - 2 * A_DAY)
    found = difference(point, [pace_of(post) for post in locked], hours, first_day, last_day)
    if found.removed:
        db.session.execute(
            delete(ScheduleSlot.__table__).where(  # type: ignore[arg-type]
                ScheduleSlot.service_point_id == point.id,
                ScheduleSlot.starts_at == bindparam("start"),
                ScheduleSlot.service_post_id == bindparam("post"),
            ),
            [{"start": start, "post": post_id} for start, post_id, _ in found.removed],
        )
    if found.added:
        _insert(point.id, found.added)
    return found


def difference(point: ServicePoint, posts: Sequence[Pace], hours: Hours, first_day: date, last_day: date) -> Difference:
    """The offer of these posts as `hours` and their lengths make it, against the one that is written. Writes nothing.

    Hours that pass midnight bind days together: what the evening before leaves in the first day is looked at too, and
    the day after the last one, where the offer goes that far.
    """
    beyond = last_day + A_DAY if point.slots_until is not None and last_day < point.slots_until else last_day
    start, end = day_span(point.time_zone, first_day)[0], day_span(point.time_zone, last_day)[1]
    ids = [post.id for post in posts]
    reserved = _reserved(ids, start - 2 * A_DAY, end + 3 * A_DAY)
    offered = _offered(point.id, ids, start, end + 3 * A_DAY)
    want: list[Cell] = []
    have: set[Cell] = set()
    outside: list[Reserved] = []
    # A night before the evening before decides when that one's hours begin, and so where their slots do. One day more
    # at the end: what is reserved across its midnight is seen to be made of whole cells only together with it.
    windows_of = _windows_of(hours, ids, first_day - 2 * A_DAY, beyond + A_DAY)
    cut = cache(grid.cut)  # posts of one length that nobody has reserved are cut alike
    for post in posts:
        windows = windows_of[post.id]
        of_the_last = opening_windows(hours, post.id, beyond, beyond)
        limit = max([day_span(point.time_zone, beyond)[1], *(closes for _, closes in of_the_last)])
        of_post = [found for found in reserved if found.service_post_id == post.id]
        if post.active:
            # A hold only hides the slots it touches: when it is over, no slot is missing, and no job has to come first.
            lasting = tuple(found.span for found in of_post if found.kind != "hold")
            then = post.then and (day_span(point.time_zone, post.then[0])[0], post.then[1])
            cells = cut(windows, post.slot_duration, lasting, then)
            # What ended with the day before stays as it is; a slot across midnight does not reach into it.
            ended = max((cell[2] for cell in offered[post.id] if cell[2] <= start), default=start - A_DAY)
            first = max(bisect_left(cells, (ended,)), bisect_right(cells, start, key=itemgetter(1)))
            want += [(begin, post.id, stop) for begin, stop in cells[first : bisect_left(cells, (limit,))]]
        # Beyond the last day there is nothing but what its hours leave there; further on, if the offer ends with this
        # day.
        ends_here = point.slots_until is None or beyond >= point.slots_until
        have.update(cell for cell in offered[post.id] if cell[2] > start and (ends_here or cell[0] < limit))
        outside += [
            found for found in of_post if start <= found.starts_at < end and any(grid.gaps(found.span, windows))
        ]
    wanted = set(want) if have else set()  # a new station has nothing yet: no need to look each slot up
    return Difference(
        first_day,
        last_day,
        kept=tuple(sorted(cell for cell in have & wanted if start <= cell[0] < end)),
        added=tuple(sorted(wanted - have if have else want)),
        removed=tuple(sorted(have - wanted)),
        reserved=tuple(found for found in reserved if start <= found.starts_at < end),
        outside=tuple(outside),
    )


def lock_station(point_id: int) -> ServicePoint:
    """The station as it now is, before its posts: its rules are changed, and its days opened, by one at a time.

    Else a change would not see the day that is just being opened by the old rules. Customers do not wait for this.
    """
    return db.session.get_one(ServicePoint, point_id, with_for_update={"key_share": True}, populate_existing=True)


def _windows_of(hours: Hours, post_ids: Sequence[int], first_day: date, last_day: date) -> dict[int, tuple[Span, ...]]:
    """When each post is open. Posts without rules of their own are open together: that is worked out once."""
    with_own = {week.post_id for week in hours.weeks} | {post_id for post_id, _ in hours.exceptions}
    of_the_station = tuple(opening_windows(hours, None, first_day, last_day))
    return {
        post_id: tuple(opening_windows(hours, post_id, first_day, last_day)) if post_id in with_own else of_the_station
        for post_id in post_ids
    }


def lock_posts_for_regeneration(ids: Sequence[int]) -> list[ServicePost]:
    """Posts in ascending id, the one lock order, read afresh. SQLite has one writer and needs no row locks."""
    return list(db.session.scalars(LOCKED_POSTS, {"ids": ids}))


_in_order = select(ServicePost).order_by(ServicePost.id).with_for_update().execution_options(populate_existing=True)
LOCKED_POSTS = _in_order.where(ServicePost.id.in_(bindparam("ids", expanding=True)))
LOCKED_POSTS_OF = _in_order.where(ServicePost.service_point_id == bindparam("point_id"))


def _hash(seen: str) -> str:
    return hashlib.sha256(seen.encode()).hexdigest()[:32]


def pace_of(post: ServicePost) -> Pace:
    then = (post.next_from, post.next_slot_duration) if post.next_from and post.next_slot_duration else None
    return Pace(post.id, post.slot_duration, post.active, then)


def reserved_ahead(post: ServicePost) -> list[Reserved]:
    """What is still reserved on a post from now on."""
    now = clock.now()
    return [found for found in _reserved([post.id], now, now + 3660 * A_DAY) if found.ends_at > now]


def horizon(point: ServicePoint, days: int | None = None) -> Days:
    """A station's today, and the last local day that should be offered by now (or `days` ahead)."""
    today = local_day(point.time_zone, clock.now())
    return today, today + timedelta(days=days or point.horizon_days)


def _insert(point_id: int, cells: Sequence[Cell]) -> None:
    """Write slots, each database in its quickest way: a new station's offer is thousands of them."""
    connection = db.session.connection()
    # Turning moments into seconds costs more than all else here: cells that begin together are turned once, and an
    # end is a length away.
    rows, begin, seconds = [], None, 0
    for start, post_id, end in cells:
        if start is not begin:
            begin, seconds = start, int(start.timestamp())
        rows.append((point_id, seconds, post_id, seconds + (end - start).seconds))
    if connection.dialect.name == "postgresql":
        columns = dict(zip(("points", "starts", "posts", "ends"), map(list, zip(*rows, strict=True)), strict=True))
        connection.execute(INSERT_ARRAYS, columns)
    else:
        connection.exec_driver_sql(INSERT_ROWS, rows)


INSERT_ROWS = "INSERT INTO schedule_slots (service_point_id, starts_at, service_post_id, ends_at) VALUES (?, ?, ?, ?)"
INSERT_ARRAYS = text(
    "INSERT INTO schedule_slots (service_point_id, starts_at, service_post_id, ends_at)"
    " SELECT point_id, to_timestamp(starts), post_id, to_timestamp(ends)"
    " FROM unnest(CAST(:points AS integer[]), CAST(:starts AS bigint[]), CAST(:posts AS integer[]),"
    " CAST(:ends AS bigint[])) AS cells (point_id, starts, post_id, ends)"
)

_slot, _reservation = ScheduleSlot.__table__.c, Reservation.__table__.c
OFFERED = select(_slot.starts_at, _slot.service_post_id, _slot.ends_at).where(
    _slot.service_point_id == bindparam("point_id"),
    _slot.service_post_id.in_(bindparam("post_ids", expanding=True)),
    _slot.starts_at > bindparam("start"),
    _slot.starts_at < bindparam("end"),
)


def _offered(point_id: int, post_ids: Sequence[int], start: datetime, end: datetime) -> dict[int, list[Cell]]:
    """The slots of each of these posts that touch [start, end)."""
    values = {"point_id": point_id, "post_ids": post_ids, "start": start - timedelta(minutes=LONGEST), "end": end}
    offered: dict[int, list[Cell]] = {post_id: [] for post_id in post_ids}
    for starts_at, post_id, ends_at in db.session.execute(OFFERED, values).all():
        offered[post_id].append((starts_at, post_id, ends_at))
    return offered


RESERVED = (
    select(*Reserved.columns())
    .where(
        _reservation.service_post_id.in_(bindparam("post_ids", expanding=True)),
        _reservation.starts_at < bindparam("end"),
        _reservation.starts_at > bindparam("a_day_before"),  # none is longer than a day
        _reservation.ends_at > bindparam("start"),
        live(bindparam("now")),
    )
    .order_by(_reservation.starts_at)
)


def _reserved(post_ids: Sequence[int], start: datetime, end: datetime) -> list[Reserved]:
    """Live reservations of these posts that touch [start, end), by start."""
    values = {"post_ids": post_ids, "start": start, "a_day_before": start - A_DAY, "end": end, "now": clock.now()}
    return [Reserved._make(row) for row in db.session.execute(RESERVED, values).all()]

"""The offer: slots cut from a post's hours at its own length, around what is reserved.

What should be is compared with what is, and only the difference is written. The preview is the same difference, not
written. Nothing here changes a reservation. Free time is not decided here but in schedule.availability.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sqlalchemy import Delete, bindparam, delete, insert, or_, select

from tirefit import clock
from tirefit.database import command, db
from tirefit.errors import PostHasBookings, PostNumberTaken, SlotDurationOutOfRange, WindowsInvalid
from tirefit.models import (
    Reservation,
    ScheduleException,
    ScheduleSlot,
    ScheduleTemplate,
    ScheduleWindow,
    ServicePoint,
    ServicePost,
)
from tirefit.schedule import grid
from tirefit.schedule.windows import (
    Hours,
    Span,
    Week,
    day_span,
    is_valid_day,
    local_day,
    opening_windows,
)

SHORTEST, LONGEST = 5, 480  # minutes of a slot
A_DAY = timedelta(days=1)

Cell = tuple[datetime, int, datetime]  # starts_at, service_post_id, ends_at


@dataclass(frozen=True)
class Pace:
    """What the cut needs to know of a post."""

    id: int
    post_number: int
    slot_duration: int
    active: bool


@dataclass(frozen=True)
class Reserved:
    """Time of a post that somebody has: it is not touched, whatever changes."""

    id: int
    service_post_id: int
    kind: str
    starts_at: datetime
    ends_at: datetime


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

    @property
    def before(self) -> int:
        return len(self.kept) + len(self.removed)

    @property
    def after(self) -> int:
        return len(self.kept) + len(self.added)


@command
def generate_slots_for_post(post_id: int, first_day: date, last_day: date) -> Difference:
    """Make one post's offer on these local days what its hours, its slot length and its reservations say."""
    post = db.session.get_one(ServicePost, post_id)
    return regenerate(post.service_point, [post], first_day, last_day)


@command
def generate_slots_from_template(point_id: int, first_day: date, last_day: date) -> Difference:
    """The same for every post of a station, each at its own length."""
    point = db.session.get_one(ServicePoint, point_id)
    return regenerate(point, point.posts, first_day, last_day)


@command
def regenerate_post_schedule(post_id: int) -> Difference:
    """Cut a post's whole offer again, from today to the end of what has been generated.

    Running it twice writes nothing.
    """
    post = db.session.get_one(ServicePost, post_id)
    return regenerate(post.service_point, [post], *offered_days(post.service_point))


def generate_rolling_schedule(point_id: int | None = None) -> int:
    """Open the days ahead, up to each active station's horizon; → how many slots were added.

    A station is one transaction with its own watermark (`slots_until`): whatever stops this, running it again goes on
    where it stopped, and running it twice does nothing.
    """
    stations = select(ServicePoint.id).where(ServicePoint.active).order_by(ServicePoint.id)
    if point_id is not None:
        stations = stations.where(ServicePoint.id == point_id)
    return sum(_extend_offer(id) for id in db.session.scalars(stations).all())


@command
def _extend_offer(point_id: int) -> int:
    point = db.session.get_one(ServicePoint, point_id, with_for_update={"key_share": True})
    today, until = _horizon(point)
    first_day = max(today, point.slots_until + A_DAY) if point.slots_until else today
    if first_day > until:
        return 0
    difference = regenerate(point, point.posts, first_day, until)
    point.slots_until = until
    return len(difference.added)


@command
def create_post(
    point_id: int,
    *,
    post_number: int,
    slot_duration: int,
    name: str = "",
    description: str = "",
    active: bool = True,
) -> ServicePost:
    """Add a post to a station and offer its time. Raises PostNumberTaken, SlotDurationOutOfRange."""
    point = db.session.get_one(ServicePoint, point_id, with_for_update={"key_share": True})
    _require_length(slot_duration)
    _require_free_number(point_id, post_number)
    post = ServicePost(
        service_point_id=point_id,
        post_number=post_number,
        slot_duration=slot_duration,
        name=name,
        description=description,
        active=active,
    )
    db.session.add(post)
    db.session.flush()
    regenerate(point, [post], *offered_days(point))
    return post


@command
def update_post(
    post_id: int, *, post_number: int, slot_duration: int, name: str, description: str, active: bool
) -> Difference:
    """Change a post; its offer is cut again around what is reserved, and nothing reserved is moved or lost.

    Raises PostNumberTaken, SlotDurationOutOfRange, and PostHasBookings (with the times) when a post that is to be
    switched off still has time reserved ahead.
    """
    post = _lock_posts([post_id])[0]
    _require_length(slot_duration)
    if post_number != post.post_number:
        _require_free_number(post.service_point_id, post_number)
    if post.active and not active:
        _require_nothing_ahead(post)
    post.post_number, post.slot_duration, post.active = post_number, slot_duration, active
    post.name, post.description = name, description
    db.session.flush()
    return regenerate(post.service_point, [post], *offered_days(post.service_point))


def preview_post_schedule(
    post: ServicePost,
    *,
    slot_duration: int,
    active: bool,
    first_day: date | None = None,
    last_day: date | None = None,
) -> Difference:
    """What `update_post` would do to the offer, for these days or for all that is generated. Writes nothing."""
    _require_length(slot_duration)
    pace = Pace(post.id, post.post_number, slot_duration, active)
    first, last = offered_days(post.service_point)
    return _difference(post.service_point, [pace], load_hours(post.service_point), first_day or first, last_day or last)


def preview_new_post(point: ServicePoint, *, slot_duration: int, active: bool) -> Difference:
    """What `create_post` would add to the offer. Writes nothing."""
    _require_length(slot_duration)
    return _difference(point, [Pace(0, 0, slot_duration, active)], load_hours(point), *offered_days(point))


@command
def save_template(
    point_id: int, windows: Sequence[tuple[int, int, int]], *, name: str, template_id: int | None = None
) -> Difference:
    """Give a station its ordinary week: (weekday, opens, closes) in minutes of local time; several a day leave breaks.

    Raises WindowsInvalid naming the weekday. Offers of every post are cut again around what is reserved.
    """
    _require_windows(windows)
    point = db.session.get_one(ServicePoint, point_id)
    if template_id is None:
        template = ScheduleTemplate(service_point_id=point_id, name=name)
        db.session.add(template)
    else:
        template = db.session.get_one(ScheduleTemplate, template_id)
        template.windows = []
        db.session.flush()  # the old windows go before the new ones come: (weekday, opens) is unique
    template.name = name
    template.windows = [ScheduleWindow(weekday=day, opens=opens, closes=closes) for day, opens, closes in windows]
    db.session.flush()
    return regenerate(point, point.posts, *offered_days(point))


def preview_template(
    point: ServicePoint, windows: Sequence[tuple[int, int, int]], template_id: int | None = None
) -> Difference:
    """What `save_template` would do to the station's offer. Writes nothing. Raises WindowsInvalid."""
    _require_windows(windows)
    hours = load_hours(point)
    others = tuple(week for week in hours.weeks if week.id != template_id)
    edited = next((week for week in hours.weeks if week.id == template_id), Week(windows=(), id=1 << 62))
    hours = replace(hours, weeks=(*others, replace(edited, windows=tuple(windows))))
    return _difference(point, [_pace(post) for post in point.posts], hours, *offered_days(point))


@command
def close_day(point_id: int, day: date, reason: str = "") -> Difference:
    """Close a station on a date, whatever its weekday says. What is reserved then stays and is listed as outside."""
    point = db.session.get_one(ServicePoint, point_id)
    db.session.execute(_exception_of(point_id, day))
    db.session.add(ScheduleException(service_point_id=point_id, day=day, reason=reason))
    db.session.flush()
    return regenerate(point, point.posts, day, day)


@command
def open_day(point_id: int, day: date) -> Difference:
    """Take a date's exception away: the day is again as its weekday."""
    point = db.session.get_one(ServicePoint, point_id)
    db.session.execute(_exception_of(point_id, day))
    return regenerate(point, point.posts, day, day)


def heal(point_id: int, post_id: int, span: Span) -> None:
    """Inside a command: time that is not made of slots has become free; cut the days it lies on again."""
    point = db.session.get_one(ServicePoint, point_id)
    first, last = local_day(point.time_zone, span[0]), local_day(point.time_zone, span[1])
    if point.slots_until is not None and first <= point.slots_until:
        regenerate(point, _lock_posts([post_id]), first, min(last, point.slots_until))


def offered_days(point: ServicePoint) -> tuple[date, date]:
    """First and last local day on which a station's offer stands, or shall stand once it is generated."""
    today, until = _horizon(point)
    return today, max(today, point.slots_until or until)


def load_hours(point: ServicePoint) -> Hours:
    """The rules that open a station's posts, as the pure functions of schedule.windows take them."""
    templates = db.session.scalars(select(ScheduleTemplate).where(ScheduleTemplate.service_point_id == point.id))
    exceptions = db.session.scalars(select(ScheduleException).where(ScheduleException.service_point_id == point.id))
    return Hours(
        zone=point.time_zone,
        weeks=tuple(
            Week(
                windows=tuple((w.weekday, w.opens, w.closes) for w in template.windows),
                post_id=template.service_post_id,
                valid_from=template.valid_from,
                valid_until=template.valid_until,
                priority=template.priority,
                id=template.id,
            )
            for template in templates
        ),
        exceptions={
            (found.service_post_id, found.day): tuple((w.opens, w.closes) for w in found.windows)
            for found in exceptions
        },
    )


def _horizon(point: ServicePoint) -> tuple[date, date]:
    today = local_day(point.time_zone, clock.now())
    return today, today + timedelta(days=point.horizon_days)


def regenerate(point: ServicePoint, posts: Iterable[ServicePost], first_day: date, last_day: date) -> Difference:
    """Inside a command: write the difference between the offer that should be and the one that is.

    Takes the posts FOR UPDATE first: whoever is taking time of them has finished and is seen, or waits and then sees.
    """
    locked = _lock_posts([post.id for post in posts])
    difference = _difference(point, [_pace(post) for post in locked], load_hours(point), first_day, last_day)
    if difference.removed:
        db.session.execute(
            delete(ScheduleSlot.__table__).where(  # type: ignore[arg-type]
                ScheduleSlot.service_point_id == point.id,
                ScheduleSlot.starts_at == bindparam("start"),
                ScheduleSlot.service_post_id == bindparam("post"),
            ),
            [{"start": start, "post": post_id} for start, post_id, _ in difference.removed],
        )
    if difference.added:
        db.session.execute(
            insert(ScheduleSlot.__table__),  # type: ignore[arg-type]
            [
                {"service_point_id": point.id, "starts_at": start, "service_post_id": post_id, "ends_at": end}
                for start, post_id, end in difference.added
            ],
        )
    return difference


def _difference(
    point: ServicePoint, posts: Sequence[Pace], hours: Hours, first_day: date, last_day: date
) -> Difference:
    start, end = day_span(point.time_zone, first_day)[0], day_span(point.time_zone, last_day)[1]
    ids = [post.id for post in posts]
    have = {
        (row.starts_at, row.service_post_id, row.ends_at)
        for row in db.session.execute(
            select(ScheduleSlot.starts_at, ScheduleSlot.service_post_id, ScheduleSlot.ends_at).where(
                ScheduleSlot.service_point_id == point.id,
                ScheduleSlot.service_post_id.in_(ids),
                ScheduleSlot.starts_at >= start,
                ScheduleSlot.starts_at < end,
            )
        )
    }
    # Hours of the evening before may reach into the first day; time reserved round the edges shapes the cells there.
    reserved = _reserved(ids, start - 2 * A_DAY, end + 2 * A_DAY)
    want: set[Cell] = set()
    outside: list[Reserved] = []
    for post in posts:
        windows = opening_windows(hours, post.id, first_day - A_DAY, last_day)
        of_post = [found for found in reserved if found.service_post_id == post.id]
        taken = [(found.starts_at, found.ends_at) for found in of_post]
        if post.active:
            cells = grid.cut(windows, post.slot_duration, taken)
            want |= {(cell[0], post.id, cell[1]) for cell in cells if start <= cell[0] < end}
        outside += [
            found
            for found in of_post
            if start <= found.starts_at < end and any(grid.gaps((found.starts_at, found.ends_at), windows))
        ]
    return Difference(
        first_day,
        last_day,
        kept=tuple(sorted(have & want)),
        added=tuple(sorted(want - have)),
        removed=tuple(sorted(have - want)),
        reserved=tuple(found for found in reserved if start <= found.starts_at < end),
        outside=tuple(outside),
    )


def _reserved(post_ids: Sequence[int], start: datetime, end: datetime) -> list[Reserved]:
    """Live reservations of these posts that touch [start, end), by start. Expired holds are as good as none."""
    found = db.session.execute(
        select(
            Reservation.id,
            Reservation.service_post_id,
            Reservation.kind,
            Reservation.starts_at,
            Reservation.ends_at,
        )
        .where(
            Reservation.service_post_id.in_(post_ids),
            Reservation.starts_at < end,
            Reservation.starts_at > start - A_DAY,  # none is longer than a day
            Reservation.ends_at > start,
            or_(Reservation.expires_at.is_(None), Reservation.expires_at > clock.now()),
        )
        .order_by(Reservation.starts_at)
    )
    return [Reserved(*row) for row in found]


def _lock_posts(ids: Sequence[int]) -> list[ServicePost]:
    """Posts in ascending id, the one lock order, read afresh. SQLite has one writer and needs no row locks."""
    return list(
        db.session.scalars(
            select(ServicePost)
            .where(ServicePost.id.in_(ids))
            .order_by(ServicePost.id)
            .with_for_update()
            .execution_options(populate_existing=True)
        )
    )


def _pace(post: ServicePost) -> Pace:
    return Pace(post.id, post.post_number, post.slot_duration, post.active)


def _exception_of(point_id: int, day: date) -> Delete:
    return delete(ScheduleException).where(
        ScheduleException.service_point_id == point_id,
        ScheduleException.service_post_id.is_(None),
        ScheduleException.day == day,
    )


def _require_length(minutes: int) -> None:
    if not SHORTEST <= minutes <= LONGEST:
        raise SlotDurationOutOfRange(shortest=SHORTEST, longest=LONGEST)


def _require_free_number(point_id: int, post_number: int) -> None:
    taken = select(ServicePost).where(ServicePost.service_point_id == point_id, ServicePost.post_number == post_number)
    if (other := db.session.scalar(taken)) is not None:
        raise PostNumberTaken(post_number=post_number, name=other.name)


def _require_nothing_ahead(post: ServicePost) -> None:
    now = clock.now()
    ahead = _reserved([post.id], now, now + timedelta(days=3660))
    if ahead:
        raise PostHasBookings(post_number=post.post_number, reserved=ahead)


def _require_windows(windows: Sequence[tuple[int, int, int]]) -> None:
    for weekday in range(7):
        if not is_valid_day([(opens, closes) for day, opens, closes in windows if day == weekday]):
            raise WindowsInvalid(weekday=weekday)

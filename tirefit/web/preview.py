"""What a change of lengths or hours will do, made ready to be looked at: one week of it, day by day.

The difference itself comes from schedule.slots and is the one that applying writes; here it is only arranged.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from tirefit.database import db
from tirefit.models import Booking, ScheduleTemplate, ServicePoint
from tirefit.schedule.availability import Reserved
from tirefit.schedule.slots import Cell, Difference
from tirefit.schedule.windows import Span, local_day, local_time

STEP = 5


@dataclass(frozen=True)
class Mark:
    """A slot or a booking in the picture: where it stands on its day, in minutes of the wall clock, and its look."""

    minute: int
    length: int
    look: str  # keep, add, del; book, out
    starts_at: datetime


@dataclass(frozen=True)
class PreviewDay:
    date: date
    was: tuple[Mark, ...]
    will: tuple[Mark, ...]
    booked: tuple[Mark, ...]

    @property
    def added(self) -> int:
        return sum(mark.look == "add" for mark in self.will)

    @property
    def removed(self) -> int:
        return sum(mark.look == "del" for mark in self.was)


@dataclass(frozen=True)
class Preview:
    """A week of the difference, and what of it concerns people: bookings outside the hours, over the whole offer."""

    days: tuple[PreviewDay, ...]
    last_day: date
    first_minute: int
    last_minute: int
    outside: tuple[Booking, ...]

    @property
    def before(self) -> int:
        return sum(len(day.was) for day in self.days)

    @property
    def after(self) -> int:
        return sum(len(day.will) for day in self.days)

    @property
    def added(self) -> int:
        return sum(day.added for day in self.days)

    @property
    def removed(self) -> int:
        return sum(day.removed for day in self.days)

    @property
    def kept(self) -> int:
        return self.after - self.added

    @property
    def booked(self) -> int:
        return sum(len(day.booked) for day in self.days)

    @property
    def hours(self) -> range:
        return range(self.first_minute, self.last_minute, 120)

    def top(self, mark: Mark) -> int:
        return (mark.minute - self.first_minute) // STEP * STEP


def arrange(difference: Difference, point: ServicePoint, since: date | None = None) -> Preview:
    """The first whole week that the offer reaches (from the day on that a change begins, or its last seven days); a
    short offer is shown from its first day.
    """
    start = max(difference.first_day, since or difference.first_day)
    first = start + timedelta(days=-start.weekday() % 7)
    if first + timedelta(days=6) > difference.last_day:
        latest = max(difference.first_day, difference.last_day - timedelta(days=6))
        first = latest if since else difference.first_day
    kept, gone = _bookable(difference, difference.kept), given_up(difference)
    looks = {"keep": kept, "del": gone, "add": opened(difference)}
    days = tuple(_day(difference, looks, point, first + timedelta(days=n)) for n in range(7))
    marks = [mark for day in days for mark in (*day.was, *day.will, *day.booked)]
    top = min((mark.minute for mark in marks), default=8 * 60) // 60 * 60
    bottom = -(-max((mark.minute + mark.length for mark in marks), default=20 * 60) // 60) * 60
    return Preview(days, difference.last_day, top, bottom, bookings_of(difference.outside))


def count_by_post(difference: Difference, first_day: date, point: ServicePoint) -> dict[int, tuple[int, int, int, int]]:
    """Per post, over the week that begins then: slots before, after, added, removed."""
    last_day = first_day + timedelta(days=6)

    def of(cells: Iterable[Cell], post_id: int) -> int:
        return sum(
            cell[1] == post_id and first_day <= local_day(point.time_zone, cell[0]) <= last_day for cell in cells
        )

    still, gone, new = _bookable(difference, difference.kept), given_up(difference), opened(difference)
    counts = {}
    for post in point.posts:
        kept = of(still, post.id)
        added, removed = of(new, post.id), of(gone, post.id)
        counts[post.id] = (kept + removed, kept + added, added, removed)
    return counts


@dataclass(frozen=True)
class ClosedDay:
    """What an exception does on one day: how many free slots go and come; bookings that stay, for people to decide."""

    date: date
    gone: int
    bookings: tuple[Booking, ...]
    added: int = 0


def closed_days(difference: Difference, point: ServicePoint, days: Iterable[date]) -> list[ClosedDay]:
    """The same difference, by the days that are to be closed."""
    gone = Counter(local_day(point.time_zone, cell[0]) for cell in given_up(difference))
    added = Counter(local_day(point.time_zone, cell[0]) for cell in opened(difference))
    outside: dict[date, list[Booking]] = {}
    for booking in bookings_of(difference.outside):
        outside.setdefault(local_day(point.time_zone, booking.starts_at), []).append(booking)
    return [ClosedDay(day, gone[day], tuple(outside.get(day, ())), added[day]) for day in sorted(days)]


def given_up(difference: Difference) -> list[Cell]:
    """Of the slots that go, those that could still be booked."""
    return _bookable(difference, difference.removed)


def opened(difference: Difference) -> list[Cell]:
    """Of the slots that come, those that can be booked."""
    return _bookable(difference, difference.added)


def _bookable(difference: Difference, cells: Iterable[Cell]) -> list[Cell]:
    """What lies under a reservation is on offer to nobody, and is not counted."""
    taken: dict[int, list[Span]] = {}
    for each in sorted(difference.reserved, key=lambda each: each.starts_at):
        if each.kind != "hold":
            taken.setdefault(each.service_post_id, []).append(each.span)

    def is_free(cell: Cell) -> bool:
        spans = taken.get(cell[1], [])  # of one post: they follow each other
        before = bisect_left(spans, cell[2], key=lambda span: span[0])
        return before == 0 or spans[before - 1][1] <= cell[0]

    return [cell for cell in cells if is_free(cell)]


def bookings_of(reserved: Sequence[Reserved]) -> tuple[Booking, ...]:
    """The bookings behind reservations, by time."""
    ids = [each.id for each in reserved if each.kind == "booking"]
    found = select(Booking).where(Booking.reservation_id.in_(ids)).options(joinedload(Booking.post))
    return tuple(db.session.scalars(found.order_by(Booking.starts_at))) if ids else ()


def bar_of(plan: ScheduleTemplate, year: int) -> tuple[int, int]:
    """Where a plan stands on the strip of a year: its first day and its length, in steps of five days; (0, 0): not at
    all in that year.
    """
    first = max(plan.valid_from or date(year, 1, 1), date(year, 1, 1))
    last = min(plan.valid_until or date(year, 12, 31), date(year, 12, 31))
    if last < first:
        return 0, 0
    start = (first.timetuple().tm_yday - 1) // STEP * STEP
    return start, max(STEP, -(-(last.timetuple().tm_yday - start) // STEP) * STEP)


def _day(difference: Difference, cells: Mapping[str, Sequence[Cell]], point: ServicePoint, day: date) -> PreviewDay:
    marks = {
        look: [_mark(start, end, look, point) for start, _, end in found if local_day(point.time_zone, start) == day]
        for look, found in cells.items()
    }
    outside = {each.id for each in difference.outside}
    return PreviewDay(
        day,
        was=_in_order(marks["keep"] + marks["del"]),
        will=_in_order(marks["keep"] + marks["add"]),
        booked=_in_order(
            _mark(each.starts_at, each.ends_at, "out" if each.id in outside else "book", point)
            for each in difference.reserved
            if each.kind != "hold" and local_day(point.time_zone, each.starts_at) == day
        ),
    )


def _mark(start: datetime, end: datetime, look: str, point: ServicePoint) -> Mark:
    local = local_time(point.time_zone, start)
    length = int((end - start).total_seconds()) // 60
    minute = local.hour * 60 + local.minute
    return Mark(minute, max(STEP, min(length, 1440 - minute) // STEP * STEP), look, start)


def _in_order(marks: Iterable[Mark]) -> tuple[Mark, ...]:
    return tuple(sorted(marks, key=lambda mark: mark.starts_at))

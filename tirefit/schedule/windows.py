"""When a post is open: weeks, seasons and exceptions of local time, turned into spans of UTC. Pure; no database, no
clock.

The only place in the domain that knows local time. docs/how-it-works.md shows the precedence as a table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

Span = tuple[datetime, datetime]  # [start, end) in UTC
LocalWindow = tuple[int, int]  # [opens, closes) in minutes after local midnight; over 1440 is the next day

DAY = 1440


@dataclass(frozen=True)
class Week:
    """A schedule template: windows per weekday, for the whole station (`post_id` None) or for one post."""

    windows: tuple[tuple[int, int, int], ...]  # (weekday, opens, closes)
    post_id: int | None = None
    valid_from: date | None = None
    valid_until: date | None = None
    priority: int = 0
    id: int = 0

    @property
    def is_season(self) -> bool:
        return self.valid_from is not None or self.valid_until is not None

    def is_valid_on(self, day: date) -> bool:
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day <= self.valid_until
        )


@dataclass(frozen=True)
class Hours:
    """All that decides when a station's posts are open."""

    zone: str
    weeks: tuple[Week, ...] = ()
    exceptions: dict[tuple[int | None, date], tuple[LocalWindow, ...]] = field(default_factory=dict)


def local_windows(hours: Hours, post_id: int | None, day: date) -> list[LocalWindow]:
    """The windows of one local day of one post (None: of a post without rules of its own), by the one precedence.

    Post's exception, else station's exception, else post's season, station's season, post's week, station's week.
    Among plans of one rank the higher priority wins, then the newer one. Nothing at all: closed.
    """
    for owner in (post_id, None):
        if (owner, day) in hours.exceptions:
            return sorted(hours.exceptions[owner, day])
    plans = [week for week in hours.weeks if week.post_id in (post_id, None) and week.is_valid_on(day)]
    if not plans:
        return []
    ruling = max(plans, key=lambda week: (week.is_season, week.post_id is not None, week.priority, week.id))
    return sorted((opens, closes) for weekday, opens, closes in ruling.windows if weekday == day.weekday())


def opening_windows(hours: Hours, post_id: int | None, first_day: date, last_day: date) -> list[Span]:
    """Every open stretch that belongs to these local days, as UTC, in order and without overlaps.

    A stretch that begins before the one of the evening before has ended begins at that end.
    """
    spans: list[Span] = []
    for day in each_day(first_day, last_day):
        for opens, closes in local_windows(hours, post_id, day):
            start, end = instant(hours.zone, day, opens), instant(hours.zone, day, closes)
            if start >= instant(hours.zone, day, DAY):
                continue  # the calendar skips that day (Samoa, 30 December 2011): its hours are not the next day's
            if spans:
                start = max(start, spans[-1][1])
            if start < end:  # a window inside the spring gap vanishes
                spans.append((start, end))
    return spans


@lru_cache(maxsize=20_000)  # it keeps arithmetic, not data: stations of a zone open and close at the same few moments
def instant(zone: str, day: date, minute: int) -> datetime:
    """Local wall time → UTC.

    A wall time that the clock skips moves forward by the gap; one that comes twice is its first.
    """
    wall = datetime.combine(day + timedelta(days=minute // DAY), time(minute % DAY // 60, minute % 60))
    return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def day_span(zone: str, day: date) -> Span:
    """The whole local day as UTC: 23, 24 or 25 hours."""
    return instant(zone, day, 0), instant(zone, day, DAY)


def local_day(zone: str, moment: datetime) -> date:
    return moment.astimezone(ZoneInfo(zone)).date()


def local_time(zone: str, moment: datetime) -> datetime:
    """The same instant on the station's clock."""
    return moment.astimezone(ZoneInfo(zone))


def each_day(first_day: date, last_day: date) -> Iterable[date]:
    return (first_day + timedelta(days=n) for n in range((last_day - first_day).days + 1))


def is_valid_day(windows: Sequence[LocalWindow]) -> bool:
    """Could these be the windows of one day: each forwards, at most to the end of the next day, none over another?"""
    ordered = sorted(windows)
    return all(0 <= opens < DAY and opens < closes <= 2 * DAY for opens, closes in ordered) and all(
        closes <= opens_next for (_, closes), (opens_next, _) in pairwise(ordered)
    )

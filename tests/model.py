"""What an engine of slots should answer, found by trying. The tests' own idea of a station's time.

Written from the papers and importing nothing of tirefit: a mistake would have to be made twice to stay unseen. Time is
whole minutes since 1970. A clock on a wall is known only by having watched it, minute by minute.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

Span = tuple[int, int]  # [start, end)
TYPICAL_JOB = 30  # minutes; free time shorter than this is hard to sell


@dataclass
class Plan:
    """A week, or with dates a season, of a station or of one post."""

    week: list[tuple[int, int, int]]  # weekday, opens, closes
    post: int | None = None
    first: date | None = None
    last: date | None = None
    priority: int = 0

    def counts_on(self, day: date) -> bool:
        return (not self.first or day >= self.first) and (not self.last or day <= self.last)


@dataclass
class Rules:
    """All that decides when the posts of a station are open."""

    zone: str
    plans: dict[int, Plan] = field(default_factory=dict)  # by id: the newer, the greater
    exceptions: dict[tuple[int | None, date], Sequence[Span]] = field(default_factory=dict)

    def hours(self, post: int, day: date) -> list[Span]:
        """The table of docs/how-it-works.md, from its first line to its last."""
        for owner in (post, None):
            if (owner, day) in self.exceptions:
                return sorted(self.exceptions[owner, day])
        for is_season in (True, False):
            for owner in (post, None):
                found = [
                    (plan.priority, id, plan)
                    for id, plan in self.plans.items()
                    if plan.post == owner and plan.counts_on(day) and bool(plan.first or plan.last) == is_season
                ]
                if found:
                    strongest = sorted(found, key=lambda each: each[:2])[-1][2]
                    return sorted((a, b) for weekday, a, b in strongest.week if weekday == day.weekday())
        return []

    def windows(self, post: int, first: date, last: date) -> list[Span]:
        """Open stretches of these local days. One that begins while another is still open begins when that ends."""
        spans: list[Span] = []
        reached = 0
        day = first - timedelta(days=3)  # whose nights may reach into the mornings after
        while day <= last:
            for opens, closes in self.hours(post, day):
                start, end = max(reached, wall(self.zone, day, opens)), wall(self.zone, day, closes)
                if start < end:
                    reached = end
                    if day >= first:
                        spans.append((start, end))
            day += timedelta(days=1)
        return spans


def cells(windows: Iterable[Span], length: int, lasting: Sequence[Span]) -> list[Span]:
    """Slots of a post wherever nothing is reserved for good."""
    found: list[Span] = []
    for opens, closes in windows:
        plain = every(length, opens, closes)
        for gap in free((opens, closes), lasting):
            inside = [cell for cell in plain if gap[0] <= cell[0] and cell[1] <= gap[1]]
            own = every(length, *gap)
            found += inside if len(inside) == len(own) else own
    return found


def every(length: int, start: int, end: int) -> list[Span]:
    return [(begin, begin + length) for begin in range(start, end - length + 1, length)]


def runs(cells: Iterable[Span], taken: Sequence[Span], minutes: int | None) -> list[Span]:
    """Every (start, end) at which such work can begin: the fewest slots without a gap that are long enough."""
    ends = {start: end for start, end in cells if not touches((start, end), taken)}
    found = []
    for start in sorted(ends):
        end = ends[start]
        while minutes is not None and end - start < minutes and end in ends:
            end = ends[end]
        if minutes is None or end - start >= minutes:
            found.append((start, end))
    return found


def waste_and_leftover(cells: Iterable[Span], taken: Sequence[Span], run: Span, minutes: int) -> tuple[int, int]:
    """Minutes occupied for nothing, and free minutes beside the run that are too few for a typical job."""
    ends = {start: end for start, end in cells if not touches((start, end), taken)}
    starts = {end: start for start, end in ends.items()}
    left, right = run
    while left in starts:
        left = starts[left]
    while right in ends:
        right = ends[right]
    beside = (run[0] - left, right - run[1])
    return run[1] - run[0] - minutes, sum(rest for rest in beside if rest < TYPICAL_JOB)


def why_not(
    cells: Sequence[Span], taken: Sequence[tuple[int, int, str]], start: int, minutes: int | None
) -> str | None:
    """Why such work cannot begin then on a post that could take it; None when it can. `taken` has kinds with it."""
    spans = [(a, b) for a, b, _ in taken]
    if start in dict(runs(cells, spans, minutes)):
        return None
    would_end = dict(runs(cells, [], minutes)).get(start)
    begins, inside = start in dict(cells), any(a < start < b for a, b in cells)
    if would_end is None and begins:
        return "too_short"
    in_the_way = (start, would_end or start + 1)
    for a, b, kind in sorted(taken):
        if touches(in_the_way, [(a, b)]):
            return "held" if kind == "hold" else "overlaps"
    return "off_grid" if inside else "closed"


def touches(span: Span, others: Iterable[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)


def free(span: Span, taken: Iterable[Span]) -> list[Span]:
    """The parts of a span that nothing touches."""
    edges = sorted(other for other in taken if touches(span, [other]))
    starts, ends = [span[0], *(end for _, end in edges)], [*(start for start, _ in edges), span[1]]
    return [(a, b) for a, b in zip(starts, ends, strict=True) if a < b]


def apart(rows: Iterable[tuple[int, int, int]]) -> bool:
    """No two (post, start, end) of one post overlap."""
    ordered = sorted(rows)
    return all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(ordered))


# --- the clock on the wall


def wall(zone: str, day: date, minutes: int) -> int:
    """When a clock shows this for the first time.

    What it skips is so many minutes after the last thing that it shows before.
    """
    day, minutes = day + timedelta(days=minutes // 1440), minutes % 1440
    shown, skipped = shown_around(zone, day), 0
    while (seen := shown.get(day.toordinal() * 1440 + minutes - skipped)) is None:
        skipped += 1
    return seen + skipped


@cache
def shown_around(zone: str, day: date) -> dict[int, int]:
    """What the clock shows from an evening before a day to the morning after it → when it shows it first."""
    middle = int(datetime(day.year, day.month, day.day, 12, tzinfo=UTC).timestamp()) // 60
    shown: dict[int, int] = {}
    for now in range(middle - 40 * 60, middle + 40 * 60):
        local = datetime.fromtimestamp(now * 60, ZoneInfo(zone))
        shown.setdefault(local.toordinal() * 1440 + local.hour * 60 + local.minute, now)
    return shown


def midnight(zone: str, day: date) -> int:
    return wall(zone, day, 0)


def date_of(zone: str, minute: int) -> date:
    return datetime.fromtimestamp(minute * 60, ZoneInfo(zone)).date()


def instant(minute: int) -> datetime:
    return datetime.fromtimestamp(minute * 60, UTC)


def minute(moment: datetime) -> int:
    assert moment.timestamp() % 60 == 0
    return int(moment.timestamp()) // 60

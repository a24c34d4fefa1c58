"""Arithmetic of slots and runs. Pure functions over spans: no database, no clock, no local time.

Spans are half-open, [start, end). `taken` is sorted and does not overlap: the schema sees to that.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

Span = tuple[datetime, datetime]
MINUTE = timedelta(minutes=1)


class Run(NamedTuple):
    """Consecutive free slots of one post, the fewest that cover the minutes asked for, beginning at `starts_at`.

    (A tuple, because an overview makes a thousand of them: a dataclass takes three times as long.)
    """

    service_post_id: int
    post_number: int
    starts_at: datetime
    ends_at: datetime
    slots: int
    waste_minutes: int  # occupied, but not needed by the services
    left_minutes: int  # free right before the run
    right_minutes: int  # free right after it
    breadth: int = 0  # how much else the post could take: the able are kept for those who need them


def cut(
    windows: Sequence[Span], length: int, taken: Sequence[Span], then: tuple[datetime, int] | None = None
) -> list[Span]:
    """Cut a post's open windows into slots of `length` minutes, around what is reserved.

    `then` is a moment, and the length of slots in windows that open from it on.

    A reservation made of whole cells of the windows' plain grids keeps those cells: when it goes, they are simply free.
    Under any other reservation there are no cells. A free gap gets as many cells as it can hold: those of the plain
    grid, or, if that loses one, cells that begin at the gap itself. Reserving cells of the result and cutting again
    changes no other cell.
    """

    def step_of(opens: datetime) -> timedelta:
        return timedelta(minutes=then[1] if then is not None and opens >= then[0] else length)

    plain = [cell for opens, closes in windows for cell in _cells(opens, closes, step_of(opens))]
    if not taken:
        return plain
    starts, ends = [cell[0] for cell in plain], [end for _, end in taken]
    cells: list[Span] = []
    for reserved in taken:  # it may reach from one window into the next, where they touch: at midnight, for one
        under = plain[bisect_left(starts, reserved[0]) : bisect_left(starts, reserved[1])]
        if is_covered(reserved, under):
            cells += under
    for opens, closes in windows:
        inside = taken[bisect_right(ends, opens) :]
        inside = inside[: bisect_left(inside, (closes, closes))]
        step = step_of(opens)
        for start, end in gaps((opens, closes), inside):
            aligned = opens + -((opens - start) // step) * step
            is_worse = (end - start) // step > max(0, (end - aligned) // step)
            cells += _cells(start if is_worse else aligned, end, step)
    return sorted(cells)


def gaps(span: Span, taken: Sequence[Span]) -> Iterator[Span]:
    """The parts of `span` that nothing in `taken` touches."""
    start, end = span
    for taken_start, taken_end in taken:
        if taken_end <= start or taken_start >= end:
            continue
        if taken_start > start:
            yield start, taken_start
        start = max(start, taken_end)
    if start < end:
        yield start, end


def a_stretch(post_id: int, start: datetime, end: datetime) -> Run:
    """Time of a post as its own people take it: any free stretch, whatever the offer is."""
    return Run(post_id, 0, start, end, slots=0, waste_minutes=0, left_minutes=0, right_minutes=0)


def is_covered(span: Span, cells: Sequence[Span]) -> bool:
    """Do these cells, in order, make up exactly this span?"""
    reached = span[0]
    for start, end in cells:
        if start != reached:
            return False
        reached = end
    return reached == span[1]


def free_cells(cells: Sequence[Span], taken: Sequence[Span]) -> list[Span]:
    """The cells that no reservation touches. One pass over both."""
    free, i, count = [], 0, len(taken)
    for cell in cells:
        while i < count and taken[i][1] <= cell[0]:
            i += 1
        if i == count or taken[i][0] >= cell[1]:
            free.append(cell)
    return free


def runs(
    post_id: int,
    post_number: int,
    cells: Sequence[Span],
    taken: Sequence[Span],
    minutes: int | None,
    breadth: int = 0,
    within: Span | None = None,
) -> Iterator[Run]:
    """Every run that can start on this post: the shortest row of free cells from each start that covers `minutes`.

    `minutes` None asks for one slot, whatever its length. `within` asks only for those that start in that span; the
    cells before and after it still count for what is free before and after a run.
    """
    free = free_cells(cells, taken)
    required = None if minutes is None else timedelta(minutes=minutes)
    for first, last in _stretches(free):
        stretch_start, stretch_end = free[first][0], free[last][1]
        end = first
        for begin in range(first, last + 1):
            start, first_end = free[begin]
            if within is not None and not within[0] <= start < within[1]:
                continue
            end = max(end, begin)
            need = first_end - start if required is None else required
            while end <= last and free[end][1] - start < need:
                end += 1
            if end > last:
                break  # what follows is shorter still
            run_end = free[end][1]
            yield Run(
                post_id,
                post_number,
                start,
                run_end,
                end - begin + 1,
                (run_end - start - need) // MINUTE,
                (start - stretch_start) // MINUTE,
                (stretch_end - run_end) // MINUTE,
                breadth,
            )


def _cells(start: datetime, end: datetime, step: timedelta) -> Iterator[Span]:
    stop = start + step
    while stop <= end:
        yield start, stop
        start, stop = stop, stop + step


def _stretches(free: Sequence[Span]) -> Iterator[tuple[int, int]]:
    """First and last index of each unbroken row of cells."""
    first = 0
    for i in range(1, len(free) + 1):
        if i == len(free) or free[i][0] != free[i - 1][1]:
            yield first, i - 1
            first = i

"""Many samples of one figure, and how far the figure can be trusted.

Other programs slow single calls down, never speed them up, and long calls more often than short ones. So a call and
what it is compared with run in turns; a pair of which one was interrupted (the kernel gave the processor to somebody
else meanwhile) does not count while enough others do; each pair gives a ratio, and the figure is the median. `low` and
`high` bound that median with 95 % certainty, whatever the samples are distributed like: a budget between them is
neither kept nor missed, it cannot be told.
"""

import math
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import compress

ENOUGH = 10  # pairs that nobody has interrupted


@dataclass(frozen=True)
class Figure:
    """A median, and its bounds. `is_restless`: of calls that were interrupted, and so look dearer than they are."""

    median: float
    low: float
    high: float
    is_restless: bool = False

    def over(self, other: "Figure") -> "Figure":
        """How many times the other one it is, at the least and at the most."""
        restless = self.is_restless or other.is_restless
        return Figure(self.median / other.median, self.low / other.high, self.high / other.low, restless)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


@dataclass
class Turns:
    """Calls of several kinds, in turns: milliseconds of each by kind, and which turns nobody interrupted."""

    kinds: dict[str, list[float]] = field(default_factory=dict)
    is_calm: list[bool] = field(default_factory=list)

    def add(self, **calls: "Timed") -> None:
        for kind, timed in calls.items():
            self.kinds.setdefault(kind, []).append(timed.milliseconds)
        self.is_calm.append(not any(timed.was_interrupted for timed in calls.values()))

    def until_calm(self, rounds: int, before: int = 0) -> Iterator[int]:
        """So many rounds (and some `before` them, below zero); up to four times as many while too few were calm."""
        for number in range(-before, 4 * rounds):
            if number < rounds or self.is_restless:
                yield number

    @property
    def counted(self) -> dict[str, list[float]]:
        """The calls of the calm turns, if there are enough of them; else of all."""
        if self.is_restless:
            return self.kinds
        return {kind: list(compress(calls, self.is_calm)) for kind, calls in self.kinds.items()}

    @property
    def is_restless(self) -> bool:
        return sum(self.is_calm) < min(ENOUGH, len(self.is_calm))

    def median(self, kind: str) -> float:
        return statistics.median(self.counted[kind])

    def ratio(self, kind: str, to: str) -> Figure:
        """Of each call to the one beside it: what slowed both down for a while is not in it."""
        pairs = zip(self.counted[kind], self.counted[to], strict=True)
        ordered = sorted(one / other for one, other in pairs)
        cut = max(0, math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))))
        return Figure(statistics.median(ordered), ordered[cut], ordered[-1 - cut], self.is_restless)


@dataclass(frozen=True)
class Timed:
    milliseconds: float
    was_interrupted: bool

    def __add__(self, other: "Timed") -> "Timed":
        return Timed(self.milliseconds + other.milliseconds, self.was_interrupted or other.was_interrupted)


def timed(do: Callable[[], object], times: int = 1) -> Timed:
    """How long one of so many `times` takes, and whether somebody else was given the processor meanwhile."""
    switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    begun = time.perf_counter()
    for _ in range(times):
        do()
    taken = (time.perf_counter() - begun) / times
    return Timed(taken * 1000, resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw > switches)


def yardstick() -> None:
    """A little work that is always the same."""
    sorted({str(number): number for number in range(1000)})

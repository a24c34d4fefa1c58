"""Many samples of one figure, and how far the figure can be trusted.

Other programs slow single calls down, never speed them up, and not evenly: so a call and what it is compared with run
in turns, each pair gives a ratio, and the figure is the median. `low` and `high` bound that median with 95 % certainty,
whatever the samples are distributed like: a budget between them is neither kept nor missed, it cannot be told.
"""

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A median, and its bounds."""

    median: float
    low: float
    high: float

    def over(self, other: "Figure") -> "Figure":
        """How many times the other one it is, at the least and at the most."""
        return Figure(self.median / other.median, self.low / other.high, self.high / other.low)

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"


def figure(samples: Sequence[float]) -> Figure:
    """Of samples in any order. Few samples have wide bounds: of five or fewer, the least and the most."""
    ordered = sorted(samples)
    cut = max(0, math.floor(len(ordered) / 2 - 0.98 * math.sqrt(len(ordered))))
    return Figure(statistics.median(ordered), ordered[cut], ordered[-1 - cut])


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    """Of each call to the one that ran beside it."""
    return [our / their for our, their in zip(ours, theirs, strict=True)]


def milliseconds(do: Callable[[], object]) -> float:
    begun = time.perf_counter()
    do()
    return (time.perf_counter() - begun) * 1000


def yardstick() -> None:
    """A little work that is always the same."""
    sorted({str(number): number for number in range(1000)})

"""The choice among free times: can it be then, which is best, what to offer instead of a time that is gone.

Only chooses: what is free is said by schedule.availability, and why something is not by schedule.reasons.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tirefit.models import ServicePoint
from tirefit.schedule import availability, reasons
from tirefit.schedule.availability import ANYTHING, Needs, Time
from tirefit.schedule.grid import Run
from tirefit.schedule.reasons import PostAnswer
from tirefit.schedule.windows import local_day, local_time

NEAR = timedelta(hours=3)
DAY_OF_DISTANCE = timedelta(hours=12)  # a day away is worth as much as half a day within the day
MINUTE = timedelta(minutes=1)

# What a minute of each costs (engine.md §3.5: in simulation a small weight of fragments is a tie-breaker, and no more).
WEIGHT_OF_FRAGMENTS = 0.1
WEIGHT_OF_DISTANCE = 0.25


@dataclass(frozen=True)
class Recommendation:
    """A time with the post it would get, and what speaks against it, in minutes (`cost`)."""

    run: Run
    occupied_minutes: int
    cost: float

    @property
    def waste_minutes(self) -> int:
        return self.run.waste_minutes

    @property
    def efficiency(self) -> float:
        """Required minutes as a part of the occupied ones."""
        return (self.occupied_minutes - self.run.waste_minutes) / self.occupied_minutes


@dataclass(frozen=True)
class Answer:
    """Can a job start then? Post by post, with the post it would get, and other times when it cannot."""

    posts: tuple[PostAnswer, ...]
    recommended: Run | None
    suggested: tuple[Time, ...]

    @property
    def is_available(self) -> bool:
        return self.recommended is not None


def check_availability(
    point: ServicePoint,
    starts_at: datetime,
    minutes: int,
    needs: Needs = ANYTHING,
    preferred_post: int | None = None,
) -> Answer:
    """Whether a job can start then and on which posts; without a hold, so another may still be quicker.

    `preferred_post` (a number) is taken when it can, else the best of the others.
    """
    posts = tuple(reasons.why_not(point, starts_at, minutes, needs))
    best = availability.best_first(answer.run for answer in posts if answer.run is not None)
    best.sort(key=lambda run: run.post_number != preferred_post)
    if best:
        return Answer(posts, best[0], ())
    return Answer(posts, None, tuple(alternatives(point, starts_at, minutes, needs)))


def find_optimal_slot(
    point: ServicePoint,
    day: date,
    minutes: int,
    needs: Needs = ANYTHING,
    wished: datetime | None = None,
    count: int = 5,
) -> list[Recommendation]:
    """The best times of a local day for such a job, at most `count`: each with the post that it would get.

    Cost in minutes: what is wasted, a tenth of what would be left too short to sell, a quarter of the distance from
    the wished time. Equal ones by time.
    """
    found: dict[datetime, list[Run]] = {}
    for run in availability.find_available_slots_for_duration(point, day, day, minutes, needs):
        found.setdefault(run.starts_at, []).append(run)
    ranked = [_recommend(availability.best_first(group)[0], wished) for group in found.values()]
    return sorted(ranked, key=lambda each: (each.cost, each.run.starts_at))[:count]


def alternatives(
    point: ServicePoint, starts_at: datetime, minutes: int, needs: Needs = ANYTHING, count: int = 3
) -> list[Time]:
    """The free times nearest to one that is gone, at most `count`, the most helpful first.

    The nearest earlier and the nearest later within three hours of the same day; the same time of day on the next day
    that has it; then the nearest of all, where a day of distance counts as twelve hours.
    """
    day = local_day(point.time_zone, starts_at)
    days = availability.days(
        point, max(day, local_day(point.time_zone, availability.bookable_span(point)[0])), 14, minutes, needs
    )
    free = [time for found in days for time in found.times if time.starts_at != starts_at]
    near = [time for time in free if abs(time.starts_at - starts_at) <= NEAR and _day(point, time) == day]
    wall = local_time(point.time_zone, starts_at).time()
    chosen = [
        *[time for time in near if time.starts_at < starts_at][-1:],
        *[time for time in near if time.starts_at > starts_at][:1],
        *[t for t in free if _day(point, t) > day and local_time(point.time_zone, t.starts_at).time() == wall][:1],
    ]

    def distance(time: Time) -> timedelta:
        days_away = abs((_day(point, time) - day).days)
        same_day = starts_at + timedelta(days=(_day(point, time) - day).days)
        return abs(time.starts_at - same_day) + DAY_OF_DISTANCE * days_away

    rest = sorted((time for time in free if time not in chosen), key=lambda time: (distance(time), time.starts_at))
    return (chosen + rest)[:count]


def _recommend(run: Run, wished: datetime | None) -> Recommendation:
    distance = abs(run.starts_at - wished) / MINUTE if wished is not None else 0.0
    cost = run.waste_minutes + WEIGHT_OF_FRAGMENTS * availability.fragment_minutes(run) + WEIGHT_OF_DISTANCE * distance
    return Recommendation(run, (run.ends_at - run.starts_at) // MINUTE, cost)


def _day(point: ServicePoint, time: Time) -> date:
    return local_day(point.time_zone, time.starts_at)

"""Reading: a day, two months, the soonest time; each beside its floor, call by call in turns."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from bench import stage
from bench.floor import Driver, recorded
from bench.samples import Figure, Turns, timed, yardstick
from bench.stage import Scale
from tirefit import clock
from tirefit.database import db
from tirefit.schedule import availability
from tirefit.schedule.cities import Asked, nearest_of, stations_of
from tirefit.schedule.windows import local_day

MINUTES = 50


@dataclass(frozen=True)
class Cost:
    """What one call costs: median and 95th percentile in milliseconds, beside the floor's median."""

    median: float
    slow: float
    floor: float
    ratio: Figure  # each call's own to the floor beside it: what slowed both down for a while is not in it
    effort: Figure  # in yardsticks: two figures of one machine at different hours can be compared
    statements: int
    fetched: int | None = None  # bytes of values


def cost_of(turns: Turns, statements: int, fetched: int | None = None) -> Cost:
    """Of calls (`ours`), their floors and the yardstick beside them."""
    slow = statistics.quantiles(turns.kinds["ours"], n=20)[-1]
    return Cost(
        turns.median("ours"),
        slow,
        turns.median("floor"),
        turns.ratio("ours", "floor"),
        turns.ratio("ours", "yard"),
        statements,
        fetched,
    )


def measure(scale: Scale, rounds: int) -> dict[str, Cost]:
    points = [stage.station(number) for number in scale.asked]
    cities = [
        [Asked(each, MINUTES) for each in stations_of(stage.city_of(number, scale))] for number in scale.asked[:2]
    ]
    db.session.commit()
    today = local_day(stage.ZONE, clock.now())
    day = [today + timedelta(days=n) for n in range(1, 8)]
    asked: dict[str, Callable[[int, Any], object]] = {
        "day": lambda n, point: availability.days(point, day[n % len(day)], 1, MINUTES),
        "month (62 days)": lambda n, point: availability.days(point, today, stage.OVERVIEW, MINUTES),
        "nearest": lambda n, point: availability.nearest(point, MINUTES),
        "nearest in a city": lambda n, point: nearest_of(cities[n % len(cities)]),
    }
    return {
        name: in_turns([lambda n=n, ask=ask: ask(n, points[n % len(points)]) for n in range(10)], rounds)
        for name, ask in asked.items()
    }


def in_turns(
    calls: list[Callable[[], object]],
    rounds: int,
    floors: list[Callable[[], object]] | None = None,
    *,
    in_one_transaction: int = 0,
) -> Cost:
    """Each call and its floor, one after the other, so that whatever else the machine does meets both.

    The floor is what the call sends, through the bare driver, where no other one is given.

    Each is a transaction of its own; or all are asked within one, each so many times in a row: a tenth of a millisecond
    alone would tell of the processor's caches.
    """

    def end() -> None:
        if not in_one_transaction:
            db.session.commit()

    driver = Driver()
    recordings = []
    if in_one_transaction:
        db.session.connection()
    for call in calls:
        with recorded() as recording:
            assert call()
            end()
        recordings.append(recording)
    turns, times = Turns(), in_one_transaction or 1
    floors = floors or [lambda recording=recording: driver.repeat(recording) for recording in recordings]
    for _ in turns.until_calm(rounds):
        for call, floor in zip(calls, floors, strict=True):
            turns.add(
                ours=timed(lambda call=call: (call(), end()), times),
                floor=timed(floor, times),
                yard=timed(yardstick),
            )
    statements = max(recording.statements for recording in recordings)
    fetched = round(statistics.mean(driver.bytes_of(recording) for recording in recordings))
    driver.close()
    return cost_of(turns, statements, fetched)

"""Opening the days ahead: rows written a second, beside the same statements through the bare driver; and once more,
when there is nothing left to do.
"""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import stage
from bench.floor import Driver, recorded
from bench.questions import milliseconds
from bench.stage import Scale
from bench.writing import undone
from tirefit.database import db
from tirefit.schedule.rolling import generate_rolling_schedule
from tirefit.schedule.slots import generate_slots_from_template, offered_days


@dataclass(frozen=True)
class Generation:
    """Milliseconds of a first run, of its floor and of a second run; and of comparing all with what is there."""

    rows: int
    first: float
    floor: float
    again: float
    compared: float
    share_of_floor: float  # rows a second, of the floor's rows a second
    statements: int

    @property
    def share_again(self) -> float:
        return self.again / self.first

    @property
    def rows_a_second(self) -> float:
        return self.rows / self.first * 1000


def measure(scale: Scale, passes: int) -> Generation:
    """Stations that have no offer yet get theirs, beside all those that have."""
    stations = range(scale.stations + 1, scale.stations + scale.opening + 1)
    first, floor, again = [], [], []
    with opening(stations), recorded() as recording:
        generate_rolling_schedule()
    for _ in range(passes if len(stations) > 1 else 5 * passes):  # a single station takes some milliseconds
        with opening(stations):
            first.append(milliseconds(generate_rolling_schedule))
            rows = count(stations)
            again.append(milliseconds(generate_rolling_schedule))
            compared = milliseconds(lambda: [compare(number) for number in stations])
        with opening(stations):
            driver = Driver()
            floor.append(milliseconds(lambda: driver.repeat(recording)))  # noqa: B023
            driver.close()
            assert count(stations) == rows, "the floor has not written the same"
    return Generation(
        rows,
        statistics.median(first),
        statistics.median(floor),
        statistics.median(again),
        compared,
        statistics.median(floors / ours for ours, floors in zip(first, floor, strict=True)),
        recording.statements,
    )


@contextmanager
def opening(stations: range) -> Iterator[None]:
    """Afterwards the stations have no offer again."""
    ids = f"BETWEEN {stations[0]} AND {stations[-1]}"
    with undone():
        yield
        db.session.remove()
        with stage.writing() as write:
            write.execute(f"DELETE FROM schedule_slots WHERE service_point_id {ids}")
            write.execute(f"UPDATE service_points SET slots_until = NULL WHERE id {ids}")


def count(stations: range) -> int:
    db.session.remove()
    with stage.writing() as write:
        return write.value(
            f"SELECT count(*) FROM schedule_slots WHERE service_point_id BETWEEN {stations[0]} AND {stations[-1]}"
        )


def compare(number: int) -> None:
    generate_slots_from_template(number, *offered_days(stage.station(number)))
    db.session.remove()

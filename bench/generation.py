"""Opening the days ahead: rows written a second, beside the same statements through the bare driver; and once more,
when there is nothing left to do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench import stage
from bench.floor import Driver, recorded
from bench.samples import Figure, Turns, timed
from bench.stage import Scale
from bench.writing import undone
from tirefit.database import db
from tirefit.schedule.rolling import generate_rolling_schedule
from tirefit.schedule.slots import generate_slots_from_template, offered_days


@dataclass(frozen=True)
class Generation:
    """Milliseconds of a first run and of its floor; and what other runs take of the first."""

    rows: int
    first: float
    floor: float
    share_of_floor: Figure  # rows a second, of the floor's rows a second
    share_again: Figure  # what a second run takes, of the first
    share_compared: Figure  # what comparing every day with what is there takes, of the first
    statements: int

    @property
    def rows_a_second(self) -> float:
        return self.rows / self.first * 1000


def measure(scale: Scale, passes: int) -> Generation:
    """Stations that have no offer yet get theirs, beside all those that have."""
    stations = range(scale.stations + 1, scale.stations + scale.opening + 1)
    driver, turns = Driver(), Turns()
    for turn in range(-1, passes if len(stations) > 1 else 10 * passes):  # a single station takes some milliseconds
        with opening(stations):
            with recorded() as recording:
                first = timed(generate_rolling_schedule)
            rows = count(stations)
            again = timed(generate_rolling_schedule)
            compared = timed(lambda: [compare(number) for number in stations])
        with opening(stations):
            floor = timed(lambda: driver.repeat(recording))
            assert count(stations) == rows, "the floor has not written the same"
        if turn >= 0:  # the one before the first makes everybody warm
            turns.add(first=first, floor=floor, again=again, compared=compared)
    driver.close()
    return Generation(
        rows,
        turns.median("first"),
        turns.median("floor"),
        turns.ratio("floor", "first"),
        turns.ratio("again", "first"),
        turns.ratio("compared", "first"),
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

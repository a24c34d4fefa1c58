"""A hold and the booking made of it, one client, beside the same statements through the bare driver.

What is written must be undone before the same can be written again: rows and the counters of their ids go back to
where they were, so that the floor writes the very rows, under the very ids, that the functions wrote.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import islice

from bench import stage
from bench.floor import Driver, recorded
from bench.questions import Cost, cost_of
from bench.samples import Turns, timed, yardstick
from bench.stage import Scale
from tirefit import clock
from tirefit.booking.commands import Customer, create_booking
from tirefit.database import db
from tirefit.schedule import availability
from tirefit.schedule.availability import Needs
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily
from tirefit.schedule.windows import local_day

MINUTES = 40  # of the one service there is
VISIT = Needs(car_type_id=1, service_ids=(1,))


def measure(scale: Scale, visits: int) -> Cost:
    """Each visit and its floor, one after the other."""
    times = list(islice(free_times(scale), visits))
    driver, turns, statements = Driver(), Turns(), 0
    for number in turns.until_calm(visits, before=len(times)):  # those below zero only make everybody warm
        point_id, starts_at = times[number % len(times)]
        with undone(), recorded() as recording:
            ours = timed(lambda: hold_and_book(point_id, starts_at, number))  # noqa: B023
        with undone():
            floor = timed(lambda: driver.repeat(recording))
        if number >= 0:
            turns.add(ours=ours, floor=floor, yard=timed(yardstick))
            statements = max(statements, recording.statements)
    driver.close()
    return cost_of(turns, statements)


def hold_and_book(point_id: int, starts_at: datetime, number: int) -> None:
    token, customer = new_token(), Customer("Анна", f"+38050{number % 10**7:07d}", f"anna{number}@example.com")
    wanted = {"service_ids": [1], "car_type_id": 1}
    reserve_slot_temporarily(
        point_id, starts_at, MINUTES, token, needs=VISIT, holder=f"b{number}", origin=f"n{number}", wanted=wanted
    )
    create_booking(point_id, [1], 1, customer, token=token, starts_at=starts_at)
    db.session.remove()


def free_times(scale: Scale) -> Iterator[tuple[int, datetime]]:
    """One free time of each day of each station that is asked."""
    today = local_day(stage.ZONE, clock.now())
    for first in range(1, 60, 5):
        for number in scale.asked:
            for day in availability.days(stage.station(number), today + timedelta(days=first), 5, MINUTES, VISIT):
                if day.times:
                    yield number, day.times[len(day.times) // 2].starts_at


@contextmanager
def undone() -> Iterator[None]:
    """Whatever rows come into tables with counted ids meanwhile are gone afterwards, and the ids are free again."""
    tables = [table.name for table in db.metadata.sorted_tables if "id" in table.columns]
    with stage.writing() as write:
        marks = {table: write.value(f"SELECT coalesce(max(id), 0) FROM {table}") for table in tables}
        count_on_from(marks, write)
    db.session.remove()
    yield
    db.session.remove()
    with stage.writing() as write:
        for table in reversed(tables):
            write.execute(f"DELETE FROM {table} WHERE id > {marks[table]}")
        count_on_from(marks, write)


def count_on_from(marks: dict[str, int], write: stage.Bulk) -> None:
    if write.dialect == "postgresql":
        for table, mark in marks.items():
            write.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {mark + 1}, false)")

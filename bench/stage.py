"""The sets that are measured: one station, and a thousand; four posts each, thirty days, six slots in ten booked.

Made by the program's own pure functions (windows, cut) and loaded in bulk, with every constraint and guard in place: a
set that broke a rule could not be loaded. `check` compares what was loaded with what the engine itself would offer.
"""

import gc
import itertools
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import flask_migrate
import psycopg
from sqlalchemy import text

from tirefit import clock, create_app
from tirefit.booking.commands import SPEAKABLE
from tirefit.database import WRITE, db, writers_queue
from tirefit.models import (
    Booking,
    CarType,
    Reservation,
    ScheduleSlot,
    ScheduleTemplate,
    ScheduleWindow,
    Service,
    ServicePoint,
    ServicePointService,
    ServicePost,
    ServicePrice,
)
from tirefit.schedule import grid, slots
from tirefit.schedule.windows import Hours, Span, Week, local_day, opening_windows

ZONE = "Europe/Kyiv"
POSTS = (30, 40, 30, 30)  # minutes of a slot
OPENS, CLOSES = 8 * 60, 20 * 60
DAYS, OVERVIEW = 30, 62  # days ahead of an ordinary station, and of those that are asked
BOOKED = 0.6


@dataclass(frozen=True)
class Scale:
    """A set of `stations`; `asked` are the numbers (and ids) of those that the questions are about.

    Some more stations are just `opening`: they have no offer yet.
    """

    stations: int
    asked: tuple[int, ...]
    opening: int

    def days_of(self, number: int) -> int:
        return OVERVIEW if number in self.asked else DAYS


ONE = Scale(1, (1,), 1)
FORTY = Scale(40, (10, 20, 30), 20)
THOUSAND = Scale(1000, tuple(range(50, 1000, 100)), 40)


def new_database(server: str, name: str) -> str:
    """Another database of a PostgreSQL server (its URL, `{}` for the database's name); → its URL."""
    with psycopg.connect(server.format("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return server.format(name)


@contextmanager
def database(url: str, folder: str) -> Iterator[None]:
    """The program on a new database with today's schema."""
    app = create_app(DATABASE_URL=url, INSTANCE_PATH=folder, REDIS_URL=None)
    with app.app_context():
        flask_migrate.upgrade()
        yield
        db.session.remove()
        db.engine.dispose()


def load(scale: Scale) -> dict[str, int]:
    """Fill the database; → how many rows stand in the tables that matter."""
    begun = time.perf_counter()
    today = local_day(ZONE, clock.now())
    with writing() as write:
        write(Service, ("id", "names", "base_duration"), [(1, '{"ru": "Переобувка"}', 40)])
        write(CarType, ("id", "code", "names"), [(1, "car", '{"ru": "Легковая"}')])
        numbers = range(1, scale.stations + scale.opening + 1)
        write(
            ServicePoint,
            ("id", "slug", "name", "city", "lead_minutes", "horizon_days", "max_open_bookings_per_contact"),
            ((n, f"s-{n}", f"Station {n}", city_of(n, scale), 0, scale.days_of(n) - 1, 100) for n in numbers),
        )
        write(
            ServicePost,
            ("id", "service_point_id", "post_number", "slot_duration"),
            ((post_id(n, k), n, k, POSTS[k - 1]) for n in numbers for k in range(1, len(POSTS) + 1)),
        )
        write(ScheduleTemplate, ("id", "service_point_id", "name"), ((n, n, "week") for n in numbers))
        write(
            ScheduleWindow,
            ("template_id", "weekday", "opens", "closes"),
            ((n, day, OPENS, CLOSES) for n in numbers for day in range(7)),
        )
        write(ServicePointService, ("service_point_id", "service_id", "position"), ((n, 1, 0) for n in numbers))
        write(
            ServicePrice,
            ("service_point_id", "service_id", "car_type_id", "amount"),
            ((n, 1, 1, 120000) for n in numbers),
        )
        counted = {"schedule_slots": 0, "reservations": 0}
        offers = {days: offer(today, days) for days in (DAYS, OVERVIEW)}
        for n in numbers[: scale.stations]:
            if n % 100 == 0:
                say(f"  loading station {n} of {scale.stations}, {time.perf_counter() - begun:.0f} s")
            cells = offers[scale.days_of(n)]
            bookings = list(booked(n, cells, counted["reservations"]))
            write(
                ScheduleSlot,
                ("service_point_id", "starts_at", "service_post_id", "ends_at"),
                sorted((n, start, post_id(n, k), end) for k, row in cells.items() for start, end in row),
            )
            write(
                Reservation,
                ("id", "service_point_id", "service_post_id", "starts_at", "ends_at", "kind", "created_at"),
                ((id, n, post, start, end, "booking", start - timedelta(days=90)) for id, post, start, end in bookings),
            )
            write(Booking, BOOKING, (as_booking(n, *each) for each in bookings))
            counted["schedule_slots"] += sum(len(row) for row in cells.values())
            counted["reservations"] += len(bookings)
        for days in offers:
            write.execute(
                f"UPDATE service_points SET slots_until = '{today + timedelta(days=days - 1)}'"
                f" WHERE horizon_days = {days - 1} AND id <= {scale.stations}"
            )
    settle()
    # Nobody's request collects the harness's own garbage, nor looks through what it keeps.
    gc.collect()
    gc.freeze()
    say(f"  loaded in {time.perf_counter() - begun:.0f} s: {counted}")
    return counted


def check(scale: Scale) -> None:
    """The loaded offer is the one that the engine makes, and its day is as full as it should be."""
    for number in scale.asked[:2]:
        point = db.session.get_one(ServicePoint, number)
        found = slots.difference(
            point, [slots.pace_of(post) for post in point.posts], slots.load_hours(point), *slots.offered_days(point)
        )
        assert not found.added and not found.removed and not found.outside, "the set is not what the engine makes"
        taken = sum((each.ends_at - each.starts_at for each in found.reserved), timedelta())
        offered = sum((end - start for start, _, end in found.kept), timedelta())
        assert 0.5 < taken / offered < 0.7, f"{taken / offered:.0%} of the offer are booked"
    db.session.rollback()


def station(number: int) -> ServicePoint:
    """A station as a view has it: read already, and not forgotten when the transaction ends (`commit`)."""
    point = db.session.get_one(ServicePoint, number)
    db.session.commit()
    return point


def city_of(number: int, scale: Scale) -> str:
    """Twenty cities, and one for the stations that open."""
    return f"City {number % 20}" if number <= scale.stations else "Elsewhere"


def post_id(station: int, number: int) -> int:
    return (station - 1) * len(POSTS) + number


def offer(first_day: date, days: int) -> dict[int, list[Span]]:
    """The slots of each post number of a station that nobody has booked."""
    week = Week(tuple((day, OPENS, CLOSES) for day in range(7)))
    windows = opening_windows(Hours(ZONE, (week,)), 0, first_day, first_day + timedelta(days=days - 1))
    return {number: grid.cut(windows, length, ()) for number, length in enumerate(POSTS, 1)}


def booked(station: int, cells: dict[int, list[Span]], before: int) -> Iterator[tuple[int, int, datetime, datetime]]:
    """Visits of one to three whole slots, at random but the same each time, until about six slots in ten are taken.

    None passes a night: its slots follow each other.
    """
    chance = random.Random(station)
    ids = itertools.count(before + 1)
    for number, row in cells.items():
        i = 0
        while i < len(row):
            if chance.random() > BOOKED / 1.4:  # a visit takes 1.8 slots on average, a miss leaves one
                i += 1
                continue
            last = i
            for _ in range(chance.choice((0, 1, 1, 1, 2)) if i + 3 < len(row) else 0):
                last += row[last][1] == row[last + 1][0]
            yield next(ids), post_id(station, number), row[i][0], row[last][1]
            i = last + 1


BOOKING = (
    *("id", "number", "service_point_id", "reservation_id", "service_post_id", "starts_at", "ends_at", "car_type_id"),
    *("customer_name", "customer_phone", "total_duration", "total_price", "currency", "status", "source", "locale"),
    "created_at",
)


def as_booking(station: int, id: int, post: int, start: datetime, end: datetime) -> tuple[Any, ...]:
    minutes = (end - start) // timedelta(minutes=1)
    phone = f"+38067{id:07d}"
    made = start - timedelta(days=90)
    about = ("Анна", phone, minutes, 120000, "UAH", "confirmed", "online", "ru", made)
    return (id, number_of(id), station, id, post, start, end, 1, *about)


def number_of(id: int) -> str:
    letters = []
    for _ in range(6):
        id, digit = divmod(id, len(SPEAKABLE))
        letters.append(SPEAKABLE[digit])
    return "".join(letters)


class Bulk:
    """Many rows at once: COPY on PostgreSQL, executemany on SQLite."""

    def __init__(self, connection: Any, dialect: str) -> None:
        self.connection, self.dialect = connection, dialect

    def __call__(self, model: Any, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> None:
        names, table = ", ".join(columns), model.__tablename__
        if self.dialect == "postgresql":
            with self.connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        marks = ", ".join("?" * len(columns))
        self.connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", map(as_integers, rows))

    def execute(self, statement: str) -> None:
        self.connection.execute(statement)

    def value(self, question: str) -> int:
        return int(self.connection.execute(question).fetchone()[0])


def as_integers(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(int(value.timestamp()) if isinstance(value, datetime) else value for value in row)


@contextmanager
def writing() -> Iterator[Bulk]:
    """One transaction on a bare connection that may write."""
    turn = writers_queue(db.engine, time.monotonic() + 600)
    with turn, db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        yield Bulk(connection.connection.driver_connection, connection.dialect.name)


def settle() -> None:
    """Sequences behind the ids that were given, statistics, and no work left over for whoever comes next."""
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        if connection.dialect.name == "postgresql":
            for table in db.metadata.sorted_tables:
                if "id" in table.columns:
                    connection.execute(
                        text(
                            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'),"
                            f" (SELECT coalesce(max(id), 1) FROM {table.name}))"
                        )
                    )
    bare = db.engine.raw_connection()
    driver = bare.driver_connection
    if db.engine.dialect.name == "postgresql":
        driver.rollback()
        driver.read_only, driver.autocommit = False, True
        driver.execute("SET statement_timeout = 0")
        driver.execute("VACUUM ANALYZE")
        driver.execute("CHECKPOINT")
    else:
        driver.execute("PRAGMA query_only = OFF")
        driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    bare.detach()
    driver.close()


def say(words: str) -> None:
    print(words, flush=True)

"""`make bench`: what the two busiest things of a booking day cost, beside the least they could cost.

For each database: the free times of a day and of two weeks, the page that shows them, and a hold with its release. The
floor beside each is the same rows read or written through the bare driver, in the same run on the same machine, so that
the ratio means something where the milliseconds do not.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import flask_migrate
from flask import Flask

from tests import factories
from tests.services import Services
from tirefit import clock, create_app
from tirefit.database import db
from tirefit.models import ServicePoint
from tirefit.schedule import availability, reservations
from tirefit.schedule.windows import day_span, local_day

ROUNDS = 200
MINUTES = 40
BOOKED = 8  # visits of that day that are already there


def main() -> None:
    services = Services()
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure("SQLite", f"sqlite:///{folder}/bench.db", folder)
            measure("PostgreSQL", services.postgresql.format("postgres"), folder)
    finally:
        services.close()


def measure(name: str, url: str, folder: str) -> None:
    app = create_app(DATABASE_URL=url, INSTANCE_PATH=str(Path(folder, name)), WTF_CSRF_ENABLED=False)
    with app.app_context():
        flask_migrate.upgrade()
        point = factories.station()
        tomorrow = local_day(point.time_zone, clock.now()) + timedelta(days=1)
        if tomorrow.weekday() == 6:  # the cast rests on Sunday
            tomorrow += timedelta(days=1)
        for number in range(BOOKED):
            free = availability.days(point, tomorrow, 1, MINUTES)[0].times
            factories.booking(point, free[number * 3 % len(free)].starts_at)
        print(f"\n{name}: median and 95th percentile of {ROUNDS} rounds, in milliseconds")
        report(app, point, tomorrow)
        db.session.remove()
        db.engine.dispose()


def report(app: Flask, point: ServicePoint, day) -> None:
    floor = read_floor(point, day)
    show("free times of a day: floor", floor)
    show("free times of a day", lambda: fresh(lambda: availability.days(point, day, 1, MINUTES)), floor)
    show("free times of two weeks", lambda: fresh(lambda: availability.days(point, day, 14, MINUTES)))
    season = factories.service().id
    client = app.test_client()
    address = f"/s/{point.slug}?svc={season}&car={factories.car_type().id}&d={day}"
    assert client.get(address, follow_redirects=True).status_code == 200
    show("the page of times", lambda: client.get(address, follow_redirects=True))
    start = availability.days(point, day, 1, MINUTES)[0].times[0].starts_at
    floor = write_floor(point, day)
    show("a hold and its release: floor", floor)
    show("a hold and its release", lambda: hold_and_release(point, start), floor)


def fresh(read: Callable[[], object]) -> None:
    """As a request does it: from a new transaction, which ends."""
    read()
    db.session.rollback()


def hold_and_release(point: ServicePoint, start) -> None:
    token = reservations.new_token()
    reservations.reserve_slot_temporarily(point.id, start, MINUTES, token)
    reservations.release_reservation(token)


def read_floor(point: ServicePoint, day) -> Callable[[], object]:
    """The rows that decide about a day, through the driver, into tuples."""
    run, moment, mark = driver()
    start, end = (moment(instant) for instant in day_span(point.time_zone, day))

    def read() -> None:
        for table in ("schedule_slots", "reservations"):
            run(
                f"SELECT t.service_post_id, t.starts_at, t.ends_at FROM {table} t JOIN service_posts p"
                f" ON p.id = t.service_post_id WHERE p.service_point_id = {mark}"
                f" AND t.starts_at < {mark} AND t.ends_at > {mark}",
                (point.id, end, start),
            ).fetchall()

    return read


def write_floor(point: ServicePoint, day) -> Callable[[], object]:
    """One row in and committed, and out and committed, on a post and a day that nobody asks for."""
    run, moment, mark = driver()
    begin = "BEGIN IMMEDIATE" if mark == "?" else "BEGIN"
    start = day_span(point.time_zone, day + timedelta(days=40))[0]
    end = start + timedelta(minutes=MINUTES)
    values = (point.id, point.posts[0].id, *(moment(instant) for instant in (start, end, clock.now(), end)))

    def write() -> None:
        run(begin)
        run(
            "INSERT INTO reservations (service_point_id, service_post_id, starts_at, ends_at, created_at, expires_at,"
            f" kind, token_hash, wanted) VALUES ({', '.join([mark] * 6)}, 'hold', 'bench', '{{}}')",
            values,
        )
        run("COMMIT")
        run(begin)
        run("DELETE FROM reservations WHERE token_hash = 'bench'")
        run("COMMIT")

    return write


def driver() -> tuple[Callable[..., object], Callable[..., object], str]:
    """A bare connection of its own: how to run a statement on it, how it writes an instant, and its placeholder."""
    connection = db.engine.raw_connection()
    bare = connection.driver_connection
    connection.detach()
    if db.engine.dialect.name == "sqlite":
        bare.execute("PRAGMA query_only = OFF")
        return bare.execute, lambda instant: int(instant.timestamp()), "?"
    bare.rollback()
    bare.read_only = False
    bare.autocommit = True
    return bare.execute, lambda instant: instant, "%s"


def show(what: str, do: Callable[[], object], floor: Callable[[], object] | None = None) -> None:
    median, slow = milliseconds(do)
    ratio = f"   {median / milliseconds(floor)[0]:5.1f} x the floor" if floor else ""
    print(f"  {what:34} {median:8.2f} {slow:8.2f}{ratio}")


def milliseconds(do: Callable[[], object]) -> tuple[float, float]:
    taken = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        do()
        taken.append((time.perf_counter() - begin) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


if __name__ == "__main__":
    main()

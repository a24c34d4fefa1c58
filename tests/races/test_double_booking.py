"""One place, sixty-four customers at the same instant: one gets it, the others get other times, nobody gets an error.

Over HTTP, against a server of several processes as `flask serve` starts it. That the crowd is a real danger is shown
first: the same crowd, with what keeps it in order taken away, does book a place twice.
"""

import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from sqlalchemy import text

from tests import factories
from tests.factories import KYIV
from tests.history import engine_on
from tests.load import told
from tests.races.conftest import TRIALS, Answer, Customer, Station, all_at_once
from tirefit.database import WRITE
from tirefit.models.schedule import OVERLAP_GUARD, SQLITE_GUARD

CROWD, ROUNDS = 64, 10 if TRIALS else 2
TAPS = 16  # of one impatient customer
ANNA = [("name", "Анна"), ("phone", "067 123 45 67")]
HOLD = "/s/zimnyaya-5/hold"

OVERLAPS = """SELECT count(*) FROM reservations a JOIN reservations b
ON a.service_post_id = b.service_post_id AND a.id < b.id AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at"""

# `flask web` as it is started on a machine with four cores.
FOUR_WORKERS = """
from app import app
from tirefit.jobs import runner
runner.WEB_WORKERS = 4
app.cli.main(["web"])
"""

# The same as most programs are. On PostgreSQL nothing is changed but the schema.
WITHOUT_ORDER = f"""
from tests.races import naive
naive.let_writers_race()
{FOUR_WORKERS}"""


def test_one_place_is_sold_once_whoever_asks_at_once(database, serving, pool):
    with serving(database, one_post, FOUR_WORKERS) as station:
        crowd, times = gather(station, CROWD)
        answers = 0
        for at in times[:ROUNDS]:
            taps = rush(crowd, at, pool)
            answers += len(taps)
            assert statuses(taps) == {303: 1, 409: len(taps) - 1}, at
            for tap in taps:
                others = alternatives(tap)
                assert (len(others) == 3 and at not in others) if tap.status == 409 else tap.location.startswith("/h/")
            book(station, taps)
        told("double booking", database, planned=CROWD * ROUNDS, made=answers, booked=ROUNDS)
        assert number(station, OVERLAPS) == 0
        assert number(station, "SELECT count(*) FROM reservations WHERE kind = 'booking'") == ROUNDS
        assert number(station, "SELECT count(*) FROM bookings WHERE status = 'confirmed'") == ROUNDS


def test_impatient_taps_are_one_hold_and_one_booking(database, serving, pool):
    with serving(database, three_posts, FOUR_WORKERS) as station:
        (anna,), times = gather(station, 1)
        rounds, answers = min(ROUNDS, 3), 0
        for n, at in enumerate(times[:rounds], start=1):
            browsers = [anna.same_browser_again() for _ in range(TAPS)]
            taps = rush(browsers, at, pool)
            assert (statuses(taps), len({tap.location for tap in taps})) == ({303: TAPS}, 1)

            contacts = taps[0].location
            path = contacts.partition("?")[0]
            for browser in browsers:
                browser.get(contacts)
            taps = all_at_once(browsers, lambda browser, path=path: browser.post(path, browser.form(path) + ANNA), pool)
            assert statuses(taps) == {303: TAPS}
            assert {tap.location.partition("?")[0] for tap in taps} == {path.replace("/h/", "/b/")}
            assert number(station, "SELECT count(*) FROM bookings") == n
            assert number(station, "SELECT count(*) FROM reservations") == n
            answers += 2 * len(taps)
            anna.get(page_of(station))
        told("impatient taps", database, planned=2 * TAPS * rounds, made=answers, booked=rounds)


def test_the_same_crowd_does_book_twice_where_nothing_prevents_it(database, serving, pool):
    with serving(database, one_post, WITHOUT_ORDER) as station:
        drop_guard(station)
        crowd, times = gather(station, CROWD)
        for at in times:
            winners = statuses(taps := rush(crowd, at, pool))[303]
            if winners > 1:
                break
            book(station, taps)
        assert winners > 1
        assert number(station, OVERLAPS) > 0


def one_post() -> None:
    factories.station(posts=(20,), horizon_days=2)


def three_posts() -> None:
    factories.station(horizon_days=2)


def page_of(station: Station) -> str:
    """The times of a day that is wholly ahead, for work of one slot."""
    service = number(station, "SELECT id FROM services WHERE base_duration = 20")
    car = number(station, "SELECT id FROM car_types WHERE code = 'car'")
    day = datetime.now(KYIV).date() + timedelta(days=1)
    day += timedelta(days=day.weekday() == 6)
    return f"/s/zimnyaya-5?svc={service}&car={car}&d={day}"


def gather(station: Station, size: int) -> tuple[list[Customer], list[str]]:
    """Customers who all look at the same page, and the times that it offers."""
    page, crowd = page_of(station), [Customer(station.port) for _ in range(size)]
    for customer in crowd:
        assert customer.get(page).status == 200
    return crowd, re.findall(r'class="time" name="at" value="([^"]+)"', crowd[0].page)


def rush(crowd: Sequence[Customer], at: str, pool: ThreadPoolExecutor) -> list[Answer]:
    """Everybody taps the same time at once, each with the CSRF token and the nonce of their own page."""
    taps = {customer: [*customer.form(HOLD), ("at", at)] for customer in crowd}
    return all_at_once(crowd, lambda customer: customer.post(HOLD, taps[customer]), pool)


def book(station: Station, taps: Sequence[Answer]) -> None:
    """Whoever won says who they are, and then looks at the times again."""
    for won in taps:
        if won.status == 303:
            won.customer.get(won.location)
            path = won.location.partition("?")[0]
            assert won.customer.post(path, won.customer.form(path) + ANNA).location.startswith("/b/")
            won.customer.get(page_of(station))


def statuses(taps: Sequence[Answer]) -> Counter[int]:
    return Counter(tap.status for tap in taps)


def alternatives(tap: Answer) -> list[str]:
    """The other times that a page offers above all else, one button for each."""
    return re.findall(r'class="alt" name="at" value="([^"]+)"', tap.text)


def drop_guard(station: Station) -> None:
    with engine_on(station.url, execution_options=WRITE) as engine, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            # The program names it where it writes: another one of that name takes its place, and guards no row.
            connection.execute(text(f"ALTER TABLE reservations DROP CONSTRAINT {OVERLAP_GUARD}"))
            guard = "EXCLUDE USING gist (service_post_id WITH =, tstzrange(starts_at, ends_at) WITH &&) WHERE (false)"
            connection.execute(text(f"ALTER TABLE reservations ADD CONSTRAINT {OVERLAP_GUARD} {guard}"))
        else:
            for trigger in SQLITE_GUARD:
                connection.execute(text(f"DROP TRIGGER {trigger}"))


def number(station: Station, query: str) -> int:
    with engine_on(station.url) as engine, engine.connect() as connection:
        return connection.scalar(text(query))

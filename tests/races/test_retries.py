"""The same request again: from an impatient thumb, from a phone that lost its network, after a process has died.

Over HTTP, against a server of several processes. The key is the link that the customer is going to have: the same key
with the same content is one booking and one answer, however often; with other content it is refused.
"""

import http.client
import time
from collections import Counter

from sqlalchemy import text

from tests.history import engine_on
from tests.load import told
from tests.races.conftest import TRIALS, Answer, Customer, Station, all_at_once
from tests.races.test_double_booking import ANNA, FOUR_WORKERS, gather, number, three_posts
from tirefit.schedule.reservations import hash_of, new_token

TAPS, ROUNDS = 32, 10 if TRIALS else 2
DEATHS = 8 if TRIALS else 2  # at each of three points

BORIS = [("name", "Борис"), ("phone", "050 123 45 67")]
OF_TOKEN = """SELECT bookings.id, customer_name, status FROM bookings
JOIN booking_links ON booking_id = bookings.id WHERE token_hash = :hash"""

# Live bookings that have, each, their own time.
THEIR_TIME = """SELECT count(*) FROM bookings b JOIN reservations r
ON r.id = b.reservation_id AND r.kind = 'booking' AND r.service_post_id = b.service_post_id
AND r.starts_at = b.starts_at AND r.ends_at = b.ends_at WHERE b.status = 'confirmed'"""

# A worker that is killed, as by the kernel, when it books for a request that says so: before the commit, after it and
# before the answer, or by another process at whatever moment of it.
MORTAL = f'''
import os, random, signal, time
from flask import has_request_context, request
from sqlalchemy import Engine, event
from sqlalchemy.orm import Session

def is_to_die(moment):
    return has_request_context() and request.headers.get("X-Dies") == moment

def die():
    os.kill(os.getpid(), signal.SIGKILL)

@event.listens_for(Session, "before_commit")
def before(session):
    if is_to_die("before"):
        die()

@event.listens_for(Engine, "commit")
def at(connection):
    if is_to_die("at"):
        worker, (ready, begins) = os.getpid(), os.pipe()
        if os.fork() == 0:
            kill_at = time.monotonic() + random.uniform(0, 0.002)
            os.write(begins, b".")
            while time.monotonic() < kill_at:
                pass
            os.kill(worker, signal.SIGKILL)
            os._exit(0)
        os.read(ready, 1)

@event.listens_for(Session, "after_commit")
def after(session):
    if is_to_die("after"):
        die()
    if is_to_die("at"):
        time.sleep(60)

import granian
from tirefit.jobs import runner

class NoneLately(dict):
    def get(self, worker, default):
        return default

class Patient(granian.Granian):
    """Starts a worker again that has died, even when it does so soon after it was started."""
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.respawned_wrks = NoneLately()

granian.Granian = Patient
{FOUR_WORKERS}'''


def test_the_same_request_thirty_two_times_at_once_is_one_booking(database, serving, pool):
    """And the control: the same wish with a key of its own each is as many bookings as there are posts."""
    with serving(database, three_posts, FOUR_WORKERS) as station:
        (anna,), times = gather(station, 1)
        tickets: Counter[str] = Counter()
        for n, at in enumerate(times[:ROUNDS], start=1):
            # Every other time there is no hold (any more): the form carries all there is.
            path, form = hold_at(anna, at) if n % 2 else direct(anna, at)
            answers = all_at_once([anna] * TAPS, lambda browser, path=path, form=form: browser.post(path, form), pool)
            assert Counter(answer.status for answer in answers) == {303: TAPS}
            tickets.update(address(answer) for answer in answers)
            assert len(tickets) == number(station, "SELECT count(*) FROM bookings") == n
            assert number(station, "SELECT count(*) FROM reservations") == n
            assert number(station, "SELECT count(*) FROM notifications") == n  # one letter to the station
        replays = sum(tickets.values()) - len(tickets)
        assert (len(tickets), replays) == (ROUNDS, ROUNDS * (TAPS - 1))

        wish = [field for field in direct(anna, times[0])[1] if field not in ANNA]
        forms = {
            anna.same_browser_again(): [*wish, ("name", "Анна"), ("phone", f"067 765 43 {tap}")]
            for tap in range(10, 42)
        }
        answers = all_at_once(list(forms), lambda browser: browser.post(f"/h/{new_token()}", forms[browser]), pool)

        others = {address(answer) for answer in answers if answer.status == 303}
        assert number(station, "SELECT count(*) FROM bookings") == ROUNDS + len(others)
        told(
            "the same request",
            database,
            planned=ROUNDS * TAPS,
            made=sum(tickets.values()),
            bookings=len(tickets),
            replays=replays,
            control=len(others),
        )
        assert len(others) > 1


def test_the_same_key_with_other_content_is_refused(database, serving, pool):
    with serving(database, three_posts, FOUR_WORKERS) as station:
        (anna,), times = gather(station, 1)
        for n, at in enumerate(times[: ROUNDS // 2], start=1):
            path, form = hold_at(anna, at)
            others = [field for field in form if field not in ANNA] + BORIS
            forms = {anna.same_browser_again(): form if tap % 2 else others for tap in range(TAPS)}

            answers = all_at_once(
                list(forms), lambda browser, path=path, forms=forms: browser.post(path, forms[browser]), pool
            )

            assert Counter(answer.status for answer in answers) == {303: TAPS / 2, 422: TAPS / 2}
            ((_, name, _),) = bookings_of(station, path)
            assert {
                answer.status for answer in answers if forms[answer.customer] is (form if name == "Анна" else others)
            } == {303}
            refused = next(answer for answer in answers if answer.status == 422)
            assert "Вы уже записаны с другими данными" in refused.text
            assert number(station, "SELECT count(*) FROM bookings") == n
            assert number(station, "SELECT count(*) FROM booking_events") == n


def test_a_worker_that_dies_books_once_all_the_same(database, serving, pool):
    with serving(database, three_posts, MORTAL) as station:
        (anna,), times = gather(station, 1)
        found: dict[str, list[int]] = {"before": [], "at": [], "after": []}
        for moment, at in zip([*found] * DEATHS, times, strict=False):
            path, form = hold_at(anna, at)
            dying = anna.same_browser_again()
            dying.headers["X-Dies"] = moment

            assert all_at_once([dying], lambda browser, path=path, form=form: browser.post(path, form), pool) == []
            found[moment].append(len(bookings_of(station, path)))
            again = [insist(anna, path, form) for _ in range(2)]

            assert [answer.status for answer in again] == [303, 303]
            assert len({address(answer) for answer in again}) == 1
            assert len(bookings_of(station, path)) == 1
        there = {moment: sum(counts) for moment, counts in found.items()}  # before the request was sent again
        told("deaths", database, planned=3 * DEATHS, made=sum(map(len, found.values())), there=there)
        assert found["before"] == [0] * DEATHS
        assert found["after"] == [1] * DEATHS
        for table in ("bookings", "reservations", "booking_events", "notifications"):
            assert number(station, f"SELECT count(*) FROM {table}") == 3 * DEATHS
        assert number(station, THEIR_TIME) == 3 * DEATHS
        if database == "sqlite":
            assert number(station, "PRAGMA quick_check") == "ok"


def hold_at(anna: Customer, at: str) -> tuple[str, list[tuple[str, str]]]:
    """A time is held; → where the contacts are sent to, and all that is sent."""
    action = "/s/zimnyaya-5/hold"
    fields = [(name, value) for name, value in anna.form(action) if name != "nonce"]
    held = anna.post(action, [*fields, ("nonce", new_token()), ("at", at)])
    assert held.status == 303
    times, path = anna.page, held.location.partition("?")[0]
    anna.get(held.location)
    form = anna.form(path) + ANNA
    anna.page = times
    return path, form


def direct(anna: Customer, at: str) -> tuple[str, list[tuple[str, str]]]:
    """The same, but the hold is gone."""
    path, form = hold_at(anna, at)
    assert anna.post(f"{path}/release", form).status == 303
    return path, form


def insist(anna: Customer, path: str, form: list[tuple[str, str]]) -> Answer:
    """As people do while a page does not come: the one who is to answer may just have died, too."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return anna.post(path, form)
        except (OSError, http.client.HTTPException):
            assert time.monotonic() < deadline, "nobody answers any more"
            time.sleep(0.1)


def address(answer: Answer) -> str:
    return answer.location.partition("?")[0]


def bookings_of(station: Station, path: str) -> list[tuple[int, str, str]]:
    with engine_on(station.url) as engine, engine.connect() as connection:
        token = path.removeprefix("/h/")
        return [tuple(row) for row in connection.execute(text(OF_TOKEN), {"hash": hash_of(token)})]

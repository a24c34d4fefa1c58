"""Twelve people at one station, each of whom holds, books, moves, cancels and restores visits of 30 to 90 minutes, as
fast as it goes: nothing overlaps, nothing that was agreed is lost, and nobody sees an error.

Over HTTP, against a server of several processes. Who was told what is written down; in the end the database must say
the same. `make trials` goes on for forty seconds on each database, and looks at the clock too.
"""

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from sqlalchemy import Engine, func, select, text

from tests import factories
from tests.factories import KYIV, PASSWORD
from tests.history import app_on, engine_on
from tests.load import told
from tests.races.conftest import TRIALS, Answer, Customer, Station
from tests.races.test_double_booking import FOUR_WORKERS, OVERLAPS, WITHOUT_ORDER, drop_guard, number
from tirefit.database import db
from tirefit.models import LIVE, Reservation, ScheduleSlot, ServicePoint
from tirefit.schedule import slots
from tirefit.schedule.reservations import hash_of, new_token

PEOPLE = 12
SECONDS = 40 if TRIALS else 5
PATIENCE = 60  # more seconds, on a slow machine, until there was a load at all; or until the control shows an overlap
DEEDS = ("hold", "book", "book at once", "move", "cancel", "restore")
ENOUGH = 20 if TRIALS else 4  # times that each of them succeeds
SLOWEST = 2.0  # seconds, of 99 answers in 100
POSTS = (20, 30, 30, 40)
MOST_OWN = 3  # who has more visits than that gives one back
VISITS = (("Балансировка",), ("Сезонная переобувка",), ("Балансировка", "Ремонт прокола"))
VISITS += (("Сезонная переобувка", "Ремонт прокола"), ("Сезонная переобувка", "Балансировка"))
VISITS += (("Сезонная переобувка", "Балансировка", "Ремонт прокола"),)  # 30, 40, 50, 60, 70, 90 minutes

LIVE_OVERLAPS = f"""SELECT count(*) FROM bookings a JOIN bookings b ON a.service_post_id = b.service_post_id
AND a.id < b.id AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at
WHERE a.status IN {LIVE} AND b.status IN {LIVE}"""
BY_TOKEN = """SELECT bookings.number, status, starts_at, post_number FROM bookings
JOIN booking_links ON booking_id = bookings.id JOIN service_posts ON service_posts.id = service_post_id
WHERE token_hash = :hash"""


def test_nothing_overlaps_and_nothing_agreed_is_lost_whatever_twelve_people_do(database, serving, tmp_path):
    with serving(database, four_posts, FOUR_WORKERS, TIREFIT_PROXY_HOPS="1") as station, crowd_at(station) as crowd:
        crowd.play(lambda: wait(SECONDS, lambda: min(crowd.done[deed] for deed in DEEDS) >= ENOUGH))
        crowd.report(database)

        assert number(station, OVERLAPS) == 0
        assert number(station, LIVE_OVERLAPS) == 0
        agreed = [agreement for visitor in crowd.visitors for agreement in visitor.agreements]
        assert [crowd.found(agreement) for agreement in agreed] == [agreement.told for agreement in agreed]
        assert number(station, "SELECT count(*) FROM bookings") == len(agreed)
        with app_on(station.url, tmp_path):
            assert_the_offer_is_what_the_hours_make_of_it()
        assert crowd.statuses.keys() <= {303, 409, 422}
        assert min(crowd.done[deed] for deed in DEEDS) >= ENOUGH, f"so few were no load: {crowd.done}"
        assert crowd.statuses[409] >= 10 * ENOUGH, f"they hardly met: {crowd.statuses}"
        if TRIALS:
            assert crowd.percentile(0.99) < SLOWEST


def test_the_same_people_do_overlap_where_nothing_prevents_it(database, serving):
    with serving(database, four_posts, WITHOUT_ORDER, TIREFIT_PROXY_HOPS="1") as station, crowd_at(station) as crowd:
        drop_guard(station)

        found = []  # at some moment: a while later one of the two may have been cancelled

        def look() -> int:
            found.append(number(station, OVERLAPS))
            return found[-1]

        crowd.play(lambda: wait(0, look))
        assert found[-1] > 0


def four_posts() -> None:
    station = factories.station(posts=POSTS, horizon_days=2, cancel_cutoff_minutes=0)
    factories.user("Ольга", "olga@example.com", "manager", station)


def wait(seconds: float, enough: Callable[[], object]) -> None:
    """That long, and then until it is enough."""
    begun = time.monotonic()
    while time.monotonic() < begun + seconds or not enough():
        if time.monotonic() > begun + seconds + PATIENCE:
            return
        time.sleep(0.2)


def assert_the_offer_is_what_the_hours_make_of_it() -> None:
    """Moved, cancelled and restored hundreds of times: to cut everything anew adds nothing, and takes away nothing that
    anybody could have. (Cells that begin where a visit ends stay written under whoever took them last.)
    """
    posts = db.session.get_one(ServicePoint, 1).posts
    assert db.session.scalar(select(func.count()).select_from(ScheduleSlot))
    for post in posts:
        again = slots.regenerate_post_schedule(post.id)
        taken = db.session.scalars(select(Reservation).where(Reservation.service_post_id == post.id)).all()
        free = [
            (start, end)
            for start, _, end in again.removed
            if not any(each.starts_at < end and start < each.ends_at for each in taken)
        ]
        assert (again.added, free) == ((), [])


@dataclass
class Agreement:
    """A booking as its customer knows it: by its link, and as the last answer said."""

    token: str
    number: str
    live: bool
    starts_at: datetime
    post: int | None  # known once it has been moved to one

    @property
    def told(self) -> tuple[bool, datetime, int | None]:
        return self.live, self.starts_at, self.post


@dataclass
class Crowd:
    """A station's twelve visitors, and what they were answered."""

    station: Station
    visitors: list["Visitor"]
    read: Callable[[str], tuple[str, str, datetime, int]]

    def play(self, meanwhile: Callable[[], None]) -> None:
        over = Event()
        with ThreadPoolExecutor(PEOPLE) as pool:
            playing = [pool.submit(visitor.play, over) for visitor in self.visitors]
            try:
                meanwhile()
            finally:
                over.set()
        for each in playing:
            each.result()

    def found(self, agreement: Agreement) -> tuple[bool, datetime, int | None]:
        """What the database says about it."""
        _, status, starts_at, post = self.read(agreement.token)
        return status in LIVE, starts_at, post if agreement.post else None

    @property
    def done(self) -> Counter[str]:
        return sum((visitor.done for visitor in self.visitors), Counter())

    @property
    def statuses(self) -> Counter[int]:
        return sum((visitor.statuses for visitor in self.visitors), Counter())

    def percentile(self, part: float) -> float:
        took = sorted(took for visitor in self.visitors for took in visitor.took)
        return took[int(part * len(took))]

    def report(self, dialect: str) -> None:
        """Planned is that each deed succeeds often enough; what nobody could do is no load."""
        told(
            "stress",
            dialect,
            planned=ENOUGH * len(DEEDS),
            made=sum(min(ENOUGH, self.done[deed]) for deed in DEEDS),
            seconds=SECONDS,
            answers=dict(sorted(self.statuses.items())),
            done=self.done,
            p50=round(self.percentile(0.5), 3),
            p99=round(self.percentile(0.99), 3),
            slowest=round(self.percentile(1 - 1e-9), 3),
        )


@contextmanager
def crowd_at(station: Station) -> Iterator[Crowd]:
    """Twelve people, each beside somebody of the station's who moves and restores for them."""
    with engine_on(station.url) as engine:
        yield _crowd(station, engine)


def _crowd(station: Station, engine: Engine) -> Crowd:
    def read(token: str) -> tuple[str, str, datetime, int]:
        with engine.connect() as connection:
            found = connection.execute(text(BY_TOKEN), {"hash": hash_of(token)}).one()
        moment = found.starts_at
        return (
            found.number,
            found.status,
            moment if isinstance(moment, datetime) else instant(moment),
            found.post_number,
        )

    staff = Customer(station.port)
    staff.get("/login")
    fields = [("email", "olga@example.com"), ("password", PASSWORD), ("csrf_token", csrf_of(staff))]
    assert staff.post("/login", fields).status == 303
    assert staff.get("/manage/posts").status == 200
    services = {
        name: number(station, f"SELECT id FROM services WHERE base_duration = {minutes}")
        for name, minutes in (("Сезонная переобувка", 40), ("Балансировка", 30), ("Ремонт прокола", 20))
    }
    visits = [[services[name] for name in visit] for visit in VISITS]
    visitors = [Visitor(n, station, staff.same_browser_again(), read, visits) for n in range(PEOPLE)]
    return Crowd(station, visitors, read)


@dataclass
class Visitor:
    number: int
    station: Station
    staff: Customer
    read: Callable[[str], tuple[str, str, datetime, int]]
    visits: list[list[int]]
    agreements: list[Agreement] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    took: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.number)
        self.customer = Customer(self.station.port)
        self.customer.get(f"/s/zimnyaya-5?svc={self.visits[0][0]}&car=1")
        self.csrf, self.staff_csrf = csrf_of(self.customer), csrf_of(self.staff)
        day = datetime.now(KYIV).date() + timedelta(days=1)
        self.day = day + timedelta(days=day.weekday() == 6)

    def play(self, over: Event) -> None:
        while not over.is_set():
            own = [agreement for agreement in self.agreements if agreement.live]
            given_back = [agreement for agreement in self.agreements if not agreement.live]
            deed = self.random.random()
            if own and (deed < 0.15 or len(own) > MOST_OWN):
                self.cancel(self.random.choice(own))
            elif own and deed < 0.45:
                self.move(self.random.choice(own))
            elif given_back and deed < 0.55:
                self.restore(self.random.choice(given_back))
            elif deed < 0.75:
                self.book_at_once()
            else:
                self.hold_and_book()

    def hold_and_book(self) -> None:
        about, token = self.wish(), new_token()
        if not self.succeeds("hold", self.customer, "/s/zimnyaya-5/hold", {**about, "nonce": token}):
            return
        if self.random.random() < 0.15:
            self.succeeds("release", self.customer, f"/h/{token}/release", about)
        elif self.random.random() < 0.9:  # some are never heard of again
            self.book("book", token, about)

    def book_at_once(self) -> None:
        """As whose hold is over."""
        self.book("book at once", new_token(), self.wish())

    def book(self, deed: str, token: str, about: dict[str, object]) -> None:
        contacts = {"name": "Анна", "phone": f"+3806712345{self.number:02}"}
        if self.succeeds(deed, self.customer, f"/h/{token}", about | contacts):
            name = self.read(token)[0]
            self.agreements.append(Agreement(token, name, True, datetime.fromisoformat(str(about["at"])), None))

    def move(self, agreement: Agreement) -> None:
        """To any five minutes of any post, as the station's people may."""
        post, starts_at = self.random.randint(1, len(POSTS)), self.moment(5)
        place = {"place": f"{post} {starts_at.isoformat()}"}
        if self.succeeds("move", self.staff, f"{self.on_board(agreement)}/move", place):
            agreement.starts_at, agreement.post = starts_at, post

    def cancel(self, agreement: Agreement) -> None:
        page = self.customer.get(f"/b/{agreement.token}")
        while page.location:
            page = self.customer.get(page.location)
        action = re.search(r'href="([^"]+/cancel)"', page.text)
        assert action, "nobody offers to cancel"
        if self.succeeds("cancel", self.customer, action[1], {}):
            agreement.live = False

    def restore(self, agreement: Agreement) -> None:
        if self.succeeds("restore", self.staff, f"{self.on_board(agreement)}/restore", {}):
            agreement.live = True

    def wish(self) -> dict[str, object]:
        return {"s": "zimnyaya-5", "svc": self.random.choice(self.visits), "car": 1, "at": self.moment(10).isoformat()}

    def moment(self, step: int) -> datetime:
        """Some time of a day that is wholly ahead."""
        minutes = self.random.randrange(9 * 60, 17 * 60, step)
        return datetime(self.day.year, self.day.month, self.day.day, *divmod(minutes, 60), tzinfo=KYIV)

    def on_board(self, agreement: Agreement) -> str:
        return f"/board/zimnyaya-5/bookings/{agreement.number}"

    def succeeds(self, deed: str, browser: Customer, path: str, fields: dict[str, object]) -> bool:
        browser.headers["X-Forwarded-For"] = (
            f"10.{self.number}.{self.random.randrange(256)}.{self.random.randrange(256)}"
        )
        flat = [("csrf_token", self.staff_csrf if browser is self.staff else self.csrf)]
        for name, value in fields.items():
            flat += [(name, str(each)) for each in (value if isinstance(value, list) else [value])]
        begun = time.monotonic()
        answer: Answer = browser.post(path, flat)
        self.took.append(time.monotonic() - begun)
        self.statuses[answer.status] += 1
        self.done[deed] += answer.status == 303
        return answer.status == 303


def csrf_of(browser: Customer) -> str:
    found = re.search(r'name="csrf_token" value="([^"]+)"', browser.page)
    assert found
    return found[1]


def instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, KYIV)

"""Customers who want each other's places, at the same instant, in processes of their own: nobody waits for somebody who
waits for them, and nobody loses what they have.

Two who swap, three who go round, three who want the same; by time alone as customers ask, and onto each other's post as
the station does. `make trials` has five hundred rounds, other ones each time. The controls lock only the post that a
booking is on, and on SQLite, which has one writer, let writers look before they are it.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text

from tests import factories
from tests.factories import KYIV, booking
from tests.history import app_on
from tests.load import told
from tests.races.conftest import TRIALS, Station
from tests.races.players import WITH_ONE_POST_LOCKED, WITHOUT_ORDER, Player, crowd, dismiss, together
from tests.races.test_double_booking import OVERLAPS, drop_guard
from tirefit.booking.states import CUSTOMER, USER
from tirefit.database import db
from tirefit.models import LIVE, Booking, Reservation, ServicePost
from tirefit.schedule.windows import local_day

ROUNDS = 500 if TRIALS else 30
SEED = random.SystemRandom().randrange(10**6) if TRIALS else 20261102
MOST_OF_CONTROL = 200
POSTS = (30, 30, 30)

Place = tuple[int, datetime]


class Swaps:
    """Three bookings, each on a post of its own, and who moves them."""

    def __init__(self, players: list[Player], bookings: list[int], hours: list[datetime]) -> None:
        self.players, self.bookings, self.hours = players, bookings, hours
        self.tally: Counter[str] = Counter()
        self.last: dict[int, Place] = {}  # where they were told to be, and are
        self.random = random.Random(SEED)
        self.kinds, self.askers = ("two swap", "three go round", "all want the same"), (CUSTOMER, USER)

    def rounds(self, count: int) -> None:
        for _ in range(count):
            self.round()

    def round(self) -> None:
        """Some of them want something at once. Afterwards each is where they were told, and nobody beside another."""
        before = self.last or self.places()
        kind = self.random.choice(self.kinds)
        by, begin = self.random.choice(self.askers), time.time() + 0.005  # to tell three of them takes one
        who = self.random.sample(self.bookings, 2 if kind == "two swap" else 3)
        wishes = dict(zip(who, [before[each] for each in [*who[1:], who[0]]], strict=True))
        if kind == "all want the same":
            taken = set(before.values())
            free = [(n, hour) for n in range(1, len(POSTS) + 1) for hour in self.hours if (n, hour) not in taken]
            wishes = dict.fromkeys(who, self.random.choice(free))
        how = {"by": by, "begin": begin}
        orders = {
            player: ("move", {"booking": each, "at": at.isoformat(), "post": post if by == USER else None, **how})
            for player, (each, (post, at)) in zip(self.players, wishes.items(), strict=False)
        }

        answers = dict(zip(wishes, together(orders).values(), strict=True))

        after = self.last = self.places()
        story = kind, by, before, wishes, answers, after
        for each in self.bookings:
            answer = answers.get(each)
            if not isinstance(answer, int):
                assert answer in (None, {"refused": "slot_taken"}), story
                assert after[each] == before[each], story
            elif by == USER:
                assert after[each] == wishes[each], story
            else:
                assert after[each][1] == wishes[each][1], story
            self.tally[f"{kind}: {'moved' if isinstance(answer, int) else 'stayed'}"] += each in answers
        assert len(set(after.values())) == len(self.bookings), story

    def places(self) -> dict[int, Place]:
        """Where each booking is, by its own row and by its reservation's, which must say the same."""
        db.session.rollback()
        rows = db.session.execute(
            select(Booking, Reservation, ServicePost.post_number)
            .join(Reservation, Reservation.id == Booking.reservation_id)
            .join(ServicePost, ServicePost.id == Reservation.service_post_id)
            .execution_options(populate_existing=True)
        ).all()
        for made, held, _ in rows:
            assert made.status in LIVE
            assert (made.service_post_id, made.starts_at, made.ends_at) == (
                held.service_post_id,
                held.starts_at,
                held.ends_at,
            )
        assert {made.id for made, _, _ in rows} == set(self.bookings), "a booking has lost its place"
        return {made.id: (number, made.starts_at) for made, _, number in rows}


@pytest.fixture
def swaps(new_database, tmp_path) -> Callable[..., AbstractContextManager[Swaps]]:
    """`with swaps("sqlite") as swaps:` has everybody ready; its players may be told to leave something out."""

    @contextmanager
    def begin(dialect: str, *arguments: str) -> Iterator[Swaps]:
        url = new_database(dialect)
        with app_on(url, tmp_path):
            station = factories.station(posts=POSTS, horizon_days=2, cancel_cutoff_minutes=0)
            hours = hours_of_tomorrow()
            made = [
                booking(station, hour, services=["Балансировка"], post_number=number).id
                for number, hour in enumerate(hours, start=1)
            ]
            with crowd(url, tmp_path, len(made), *arguments) as players:
                yield Swaps(players, made, hours)

    return begin


def test_whoever_wants_each_others_places_never_deadlocks_and_never_loses_one(database, swaps):
    with swaps(database) as swaps:
        swaps.rounds(ROUNDS)
        dismiss(swaps.players)

        told("swaps", database, planned=2 * ROUNDS, made=swaps.tally.total(), seed=SEED, **swaps.tally)
        assert deadlocks() == 0
        assert db.session.scalar(text(OVERLAPS)) == 0
        for kind in ("two swap: moved", "two swap: stayed", "three go round: moved", "all want the same: moved"):
            assert swaps.tally[kind] >= ROUNDS / 20, f"too few were so: {swaps.tally}"


def test_with_one_post_locked_alone_they_do_deadlock(swaps):
    """The control. What is tried again until it works is still a deadlock, and a second lost."""
    with swaps("postgresql", WITH_ONE_POST_LOCKED) as swaps:
        swaps.kinds, swaps.askers = ("two swap",), (USER,)
        rounds = 0
        while deadlocks() == 0 and rounds < MOST_OF_CONTROL:
            swaps.round()
            rounds += 1
        told("swaps, the control", "postgresql", planned=1, made=deadlocks(), rounds=rounds)


@pytest.mark.skipif(not TRIALS, reason="a control, of three processes more: make trials")
def test_where_writers_look_before_they_are_alone_two_get_the_same_place(swaps):
    """The control of SQLite, where nobody can deadlock: what it keeps from happening does happen."""
    with swaps("sqlite", WITHOUT_ORDER) as swaps:
        drop_guard(Station(0, db.engine.url.render_as_string(hide_password=False)))
        swaps.kinds, swaps.askers = ("all want the same",), (USER,)
        with pytest.raises(AssertionError, match="all want the same"):
            swaps.rounds(MOST_OF_CONTROL)
        assert db.session.scalar(text(OVERLAPS)) > 0


def hours_of_tomorrow() -> list[datetime]:
    day = local_day("Europe/Kyiv", datetime.now(KYIV)) + timedelta(days=1)
    day += timedelta(days=day.weekday() == 6)
    return [datetime(day.year, day.month, day.day, hour, tzinfo=KYIV) for hour in (10, 11, 12)]


def deadlocks() -> int:
    """As many as the database has found. SQLite has one writer, and cannot have any."""
    db.session.rollback()
    if db.engine.dialect.name == "sqlite":
        return 0
    return db.session.scalar(text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))

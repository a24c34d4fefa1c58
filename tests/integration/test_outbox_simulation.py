"""The outbox under a clock of our own: senders that stall, die and come back late, a mail server that lies.

Everything that happens is drawn from a seed, so what fails can be played again. The outbox and its database are the
real ones; time, senders and the mail server are played. Each sender's clock is up to five minutes wrong, and once the
clock of all goes back by an hour. Four mistakes are planted, and each must be found.
"""

import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select

from tests.factories import MONDAY, booking, clear_bookings, kyiv
from tests.load import told
from tirefit import clock, leases
from tirefit.booking.commands import Customer, reschedule_booking
from tirefit.booking.steps import cancel_booking
from tirefit.database import db
from tirefit.errors import Problem
from tirefit.models import Notification
from tirefit.notifications import outbox
from tirefit.notifications.outbox import ClaimedLetter

TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))
SEEDS = 200 if TRIALS else 2
MOST_SEEDS_TO_FIND_A_MISTAKE = 400 if TRIALS else 30
LOOK_FROM = {"no fencing": 43}  # a seed that finds it at present: no need to search
STEPS = 100
NINETY_SECONDS = timedelta(seconds=90)
SECOND, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
LETTERS = 10  # that travel in a history, at the least, on average

pytestmark = pytest.mark.parametrize("database", ["sqlite"])


@dataclass
class Sender:
    """A worker between two steps: what it holds, and what the mail server has told it."""

    skew: timedelta  # by how much its clock is wrong
    holds: ClaimedLetter | None = None
    heard: str | None = None
    since: datetime = MONDAY
    is_overtaken: bool = False

    def is_over(self) -> bool:
        """Have the ninety seconds that it was promised passed, by the clock of who asks? (Not asked of the outbox.)"""
        return clock.now() >= self.since + NINETY_SECONDS


@dataclass
class World:
    """What has really happened, beside what the outbox believes."""

    dice: random.Random
    at: Callable[[datetime], datetime]
    mark_first: bool = False  # a mistake: what is sent is marked so before it is sent
    inbox: Counter = field(default_factory=Counter)  # letter → how many copies have arrived
    excused: Counter = field(default_factory=Counter)  # how many copies too many nobody could have avoided
    names: dict[int, str] = field(default_factory=dict)  # letter → the Message-ID that it travels under
    renamed: list[int] = field(default_factory=list)
    overtaken: int = 0
    trace: list[str] = field(default_factory=list)
    kind_server: bool = False  # from the end of the faults on

    def __post_init__(self) -> None:
        self.senders = [Sender(self.dice.randint(-300, 300) * SECOND) for _ in range(3)]

    def note(self, *words: object) -> None:
        self.trace.append(" ".join(map(str, words)))

    def step(self, sender: Sender) -> None:
        """A sender goes one step on, by its own clock."""
        now = clock.now()
        self.at(now + sender.skew)
        if sender.holds is None:
            self.claim(sender)
        elif sender.heard is None:
            sender.heard = self.smtp(sender.holds, sender.is_overtaken)
        else:
            self.report(sender)
        self.at(now)

    def claim(self, sender: Sender) -> None:
        letter = outbox.claim()
        for other in self.senders:
            if letter and other.holds and other.holds.id == letter.id and other.is_over() and not other.is_overtaken:
                other.is_overtaken = True
                self.overtaken += 1
                self.excused[letter.id] += other.heard == "250"  # nobody could know that it had arrived
        sender.holds, sender.since, sender.is_overtaken = letter, clock.now(), False
        if letter and self.mark_first:
            outbox.mark_sent(letter.id, letter.lease)

    def smtp(self, letter: ClaimedLetter, is_overtaken: bool) -> str:
        """What the mail server does with a letter, and what of it the sender hears."""
        if self.names.setdefault(letter.id, letter.message_id) != letter.message_id:
            self.renamed.append(letter.id)
        chance = 1.0 if self.kind_server else self.dice.random()
        if letter.recipient.startswith("bad"):
            return "550 no such user"
        if chance < 0.15:
            return "451 later"
        if chance < 0.22:
            return "cut before"
        self.inbox[letter.id] += 1
        self.excused[letter.id] += is_overtaken  # another one may have it already
        if chance < 0.30:
            self.excused[letter.id] += not is_overtaken
            return "cut after it was taken"
        return "250"

    def report(self, sender: Sender) -> None:
        letter, heard = sender.holds, sender.heard
        assert letter and heard
        if heard == "250":
            outbox.mark_sent(letter.id, letter.lease)
        elif heard.startswith("550"):
            outbox.mark_failed(letter.id, letter.lease, heard)
        else:
            outbox.retry_later(letter.id, letter.lease, heard)
        sender.holds = sender.heard = None

    def die(self, sender: Sender) -> None:
        if sender.holds and sender.heard == "250" and not sender.is_overtaken:
            self.excused[sender.holds.id] += 1
        sender.holds = sender.heard = None


def play(seed, station, at, *, mark_first=False):
    """One history of bookings, moves, cancellations and deaths; then half a day in which all is well.

    → the world as it then is, and its faults.
    """
    clear_bookings()
    at("2026-11-02 09:00")
    world = World(random.Random(seed), at, mark_first)
    dice, bookings = world.dice, []
    back = dice.randrange(STEPS // 4, STEPS)
    for step in range(STEPS):
        if step == back:
            at(clock.now() - HOUR)
        happens = dice.random()
        if happens < 0.08 and len(bookings) < 8:
            name = "bad" if dice.random() < 0.15 else "good"
            customer = Customer("Анна", "+380671234567", f"{name}{step}@example.com")
            bookings.append(booking(station, f"2026-11-06 {9 + len(bookings):02}:00", customer).id)
        elif happens < 0.12 and bookings:
            try:
                if dice.random() < 0.5:
                    cancel_booking(dice.choice(bookings), actor="user")
                else:
                    when = kyiv(f"2026-11-07 {dice.randint(9, 16):02}:00")
                    reschedule_booking(dice.choice(bookings), actor="user", starts_at=when)
            except Problem:
                pass
        elif happens < 0.18:
            world.die(dice.choice(world.senders))
        elif happens < 0.45:
            at(clock.now() + dice.choice((SECOND, 20 * SECOND, 2 * MINUTE, 6 * MINUTE, 30 * MINUTE)))
        else:
            world.step(dice.choice(world.senders))
        held = [(sender.holds and sender.holds.id, sender.heard) for sender in world.senders]
        world.note(step, clock.now(), held, dict(world.inbox))
    settle(world, at)
    return world, faults(world)


def settle(world, at):
    world.kind_server = True
    for turn in range(60):
        for sender in world.senders:
            for _ in range(3):
                world.step(sender)
        if not any(sender.holds for sender in world.senders) and not waiting():
            return
        at(clock.now() + 2 * MINUTE if turn % 3 else clock.now() + 31 * MINUTE)


def waiting():
    db.session.rollback()
    return db.session.scalar(select(Notification.id).where(Notification.state == "pending").limit(1))


def faults(world):
    db.session.rollback()
    found = [f"{letter} travelled under two names" for letter in world.renamed]
    for row in db.session.scalars(select(Notification).order_by(Notification.id)):
        copies, excused = world.inbox[row.id], world.excused[row.id]
        is_bad = row.recipient.startswith("bad")
        if row.state == "pending" or (row.state == "sent" and not copies):
            found.append(f"{row.id} lost: {row.state}")
        if row.state == "failed" and not is_bad:
            found.append(f"{row.id} given up: {row.last_error}")
        if is_bad and copies:
            found.append(f"{row.id} went to nobody")
        if copies > 1 + excused:
            found.append(f"{row.id} left {copies} times, {excused} excused")
    return found


@pytest.fixture
def mistakes(monkeypatch):
    def finish_without_fence(letter_id, lease, **values):
        row = db.session.get(Notification, letter_id, populate_existing=True)
        values = {"sent_at": None, "lease": None, "leased_until": None, "state": "pending"} | values
        for name, value in values.items():
            setattr(row, name, value)
        return True

    return {
        "no lease": lambda: monkeypatch.setattr(leases, "LEASE", timedelta()),
        "no fencing": lambda: monkeypatch.setattr(outbox, "_finish", finish_without_fence),
        "gives up early": lambda: monkeypatch.setattr(outbox, "MOST_ATTEMPTS", 2),
        "marks before it sends": lambda: None,
    }


def test_no_letter_is_lost_and_none_leaves_twice_without_an_excuse(station, at, database):
    first = random.SystemRandom().randrange(10**6) if TRIALS else 0
    letters = copies = overtaken = 0
    for seed in range(first, first + SEEDS):
        world, found = play(seed, station, at)
        assert not found, (seed, found, world.trace[-20:])
        letters += len(world.inbox)
        copies += world.inbox.total()
        overtaken += world.overtaken
    told(
        "outbox simulation",
        database,
        planned=LETTERS * SEEDS,
        made=letters,
        seeds=[first, first + SEEDS - 1],
        copies=copies,
        overtaken=overtaken,
    )
    assert copies > letters, "nothing has gone wrong"
    assert overtaken > 0


@pytest.mark.parametrize("mistake", ["no lease", "no fencing", "gives up early", "marks before it sends"])
def test_a_mistake_that_is_planted_is_found_and_found_again(station, at, mistakes, mistake, database):
    mistakes[mistake]()
    first = LOOK_FROM.get(mistake, 0)
    for seed in range(first, first + MOST_SEEDS_TO_FIND_A_MISTAKE):
        world, found = play(seed, station, at, mark_first=mistake.startswith("marks"))
        if found:
            break
    assert found, f"{mistake}: not found in {MOST_SEEDS_TO_FIND_A_MISTAKE} seeds"
    told("outbox simulation, planted", database, planned=1, made=len(found), mistake=mistake, seed=seed, found=found[0])

    same_world, again = play(seed, station, at, mark_first=mistake.startswith("marks"))

    assert [again, same_world.trace, same_world.inbox] == [found, world.trace, world.inbox]

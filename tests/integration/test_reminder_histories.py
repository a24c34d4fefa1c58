"""Two days of bookings, moves, cancellations and visits, drawn from a seed: who was reminded of what, and when?

What should have been sent is worked out here from what happened, without asking the outbox.
"""

import os
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from tests.factories import booking, clear_bookings, kyiv
from tests.load import told
from tirefit import clock
from tirefit.booking.commands import Customer, reschedule_booking
from tirefit.booking.states import CUSTOMER, USER
from tirefit.booking.steps import cancel_booking, restore_booking, transition_booking
from tirefit.database import db
from tirefit.errors import Problem
from tirefit.models import Booking
from tirefit.notifications import outbox, reminders

TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))
SEEDS = 25 if TRIALS else 1
REMINDERS = 6  # that leave in a history, on average
KYIV = ZoneInfo("Europe/Kyiv")
TICK, TEN, TWO_HOURS = timedelta(minutes=10), timedelta(minutes=10), timedelta(hours=2)
BEGIN, END = kyiv("2026-11-02 06:00"), kyiv("2026-11-03 19:00")
DAY, SOON = "booking_reminder_day", "booking_reminder_soon"

pytestmark = pytest.mark.parametrize("database", ["sqlite"])


@dataclass(frozen=True)
class Version:
    """What a booking was from one moment on: what its customer knew."""

    since: datetime
    booking_id: int
    revision: int
    starts_at: datetime
    status: str

    def due(self, kind):
        if kind == SOON:
            return self.starts_at - TWO_HOURS
        day_before = self.starts_at.astimezone(KYIV) - timedelta(days=1)
        return day_before.replace(hour=8, minute=0).astimezone(self.since.tzinfo)

    def until(self, kind):
        return self.starts_at if kind == SOON else self.starts_at - TWO_HOURS


@dataclass(frozen=True)
class Sent:
    at: datetime
    kind: str
    booking_id: int
    revision: int


class History:
    def __init__(self, seed, station, at):
        self.dice, self.station, self.at = random.Random(seed), station, at
        self.known: dict[int, list[Version]] = {}
        self.sent: list[Sent] = []
        self.refused: set[tuple[int, str]] = set()
        self.away: list[tuple[datetime, datetime]] = []

    def play(self, stops_at_a_fault=False):
        clear_bookings()
        moment, back_at = BEGIN, BEGIN
        while moment < END:
            self.at(moment)
            if self.dice.random() < 0.6:
                self.something_happens()
            if moment >= back_at:
                if self.dice.random() < 0.02:  # worker and scheduler are away for some hours
                    back_at = moment + timedelta(minutes=self.dice.randint(30, 400))
                    self.away.append((moment, back_at))
                else:
                    self.tick()
            if stops_at_a_fault and next(self.faults(), None):
                return
            moment += TICK

    def something_happens(self):
        made = list(self.known)
        what = self.dice.choice(["book", "book", "book", "cancel", "move", "move", "restore", "arrive", "no_show"])
        try:
            if what == "book":
                customer = Customer("Анна", "+380671234567", f"anna{len(made)}@example.com")
                made = [booking(self.station, self.some_time(), customer, services=("Ремонт прокола",)).id]
            elif not made:
                return
            else:
                made = [self.dice.choice(made)]
                {
                    "cancel": lambda: cancel_booking(made[0], actor=self.dice.choice([CUSTOMER, USER])),
                    "move": lambda: reschedule_booking(made[0], actor=USER, starts_at=self.some_time()),
                    "restore": lambda: restore_booking(made[0], actor=USER),
                    "arrive": lambda: transition_booking(made[0], "arrive"),
                    "no_show": lambda: transition_booking(made[0], "no_show"),
                }[what]()
        except Problem:
            return
        db.session.rollback()
        now = db.session.get_one(Booking, made[0], populate_existing=True)
        versions = self.known.setdefault(now.id, [])
        since = clock.now()
        if versions and versions[-1].revision == now.revision:  # no news: the customer knows the time since before
            since = versions[-1].since if versions[-1].status == now.status else since
        versions.append(Version(since, now.id, now.revision, now.starts_at, now.status))

    def some_time(self):
        ahead = clock.now() + timedelta(minutes=self.dice.choice([30, 110, 125, 180, 600, 1500, 1600, 2000]))
        return ahead.replace(minute=0, second=0, microsecond=0)

    def tick(self):
        reminders.write_what_is_due()
        while letter := outbox.claim():
            if self.dice.random() < 0.1:
                outbox.retry_later(letter.id, letter.lease, "451 later")
                self.refused.add((letter.booking_id, letter.kind))
                continue
            outbox.mark_sent(letter.id, letter.lease)
            revision = db.session.scalar(select(Booking.revision).where(Booking.id == letter.booking_id))
            self.sent.append(Sent(clock.now(), letter.kind, letter.booking_id, revision))

    def as_it_was(self, booking_id, moment):
        return [version for version in self.known[booking_id] if version.since <= moment][-1]

    def faults(self):
        reminded = [sent for sent in self.sent if sent.kind in (DAY, SOON)]
        for sent in reminded:
            was = self.as_it_was(sent.booking_id, sent.at)
            if was.status != "confirmed" or not was.due(sent.kind) <= sent.at < was.until(sent.kind):
                yield "should not have left", sent, was
        keys = [(sent.kind, sent.booking_id, sent.revision) for sent in reminded]
        yield from (("left twice", key) for key in keys if keys.count(key) > 1)
        for booking_id, versions in self.known.items():
            ends = [later.since for _, later in pairwise(versions)] + [END]
            for version, end in zip(versions, ends, strict=True):
                for kind in (DAY, SOON):
                    due = version.due(kind)
                    undisturbed = version.since < due and due + TEN < min(end, version.until(kind), END)
                    here = not any(start <= due + TEN and due <= back for start, back in self.away)
                    if version.status == "confirmed" and undisturbed and here and due >= BEGIN:
                        if (booking_id, kind) in self.refused:
                            continue
                        left = [each for each in reminded if (each.booking_id, each.kind) == (booking_id, kind)]
                        if not any(due <= each.at <= due + TEN for each in left):
                            yield "did not leave in time", kind, version


def test_each_due_reminder_leaves_once_in_time_and_none_that_should_not(station, at, database):
    first = random.SystemRandom().randrange(10**6) if TRIALS else 0
    kinds, reminded = set(), 0
    for seed in range(first, first + SEEDS):
        history = History(seed, station, at)
        history.play()
        assert not list(history.faults()), (seed, list(history.faults())[:5])
        kinds |= {sent.kind for sent in history.sent}
        reminded += sum(sent.kind in (DAY, SOON) for sent in history.sent)
    seeds = [first, first + SEEDS - 1]
    told("reminder histories", database, planned=REMINDERS * SEEDS, made=reminded, seeds=seeds)
    assert kinds >= {DAY, SOON}


def test_the_proof_sees_a_reminder_of_what_is_cancelled(station, at, monkeypatch):
    """The control: a claim that does not look at the booking again."""
    monkeypatch.setattr(outbox, "_may_leave", lambda row, booking, now: True)
    for seed in range(3):
        history = History(seed, station, at)
        history.play(stops_at_a_fault=True)
        if list(history.faults()):
            return
    raise AssertionError("not seen")

"""Everything that happens to a station's time, in any order, against a model that finds it all by trying.

The model (tests/model.py) shares no code with tirefit. After each step the database must be what the model says:

I1 nothing reserved overlaps. I2 live bookings own their time, and nobody else has any. I3 slots do not overlap. I4 the
offer is what hours, lengths and reservations make of it. I5 what is listed can be taken, what is not cannot, for the
same reason. I6 expired holds hide nothing, whether or not a job ran. I7 a change of hours or lengths moves no
reservation. I8 a booking that is moved has its old time or its new one. I9 days on which the clock is set have their
real minutes. I10 all lists agree.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import time_machine
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text, update

from tests import factories, model
from tests.factories import ANNA, car_type, service
from tests.model import Plan, Rules, Span, instant, midnight, minute, touches
from tirefit.booking.at_the_gate import book_walk_in, extend_visit
from tirefit.booking.commands import create_booking, needs_of, reschedule_booking
from tirefit.booking.states import CUSTOMER, USER
from tirefit.booking.steps import cancel_booking, restore_booking, transition_booking, undo_transition
from tirefit.database import command, db
from tirefit.errors import HoldExpired, LimitReached, PostHasBookings, Problem, RunOutdated, WrongTransition
from tirefit.models import Booking, Reservation, ScheduleSlot, ServicePoint, ServicePost
from tirefit.schedule import changes, rolling, slots
from tirefit.schedule.availability import (
    available_at_time,
    days,
    find_available_slots_for_duration,
    nearest,
)
from tirefit.schedule.blocks import block_time, unblock
from tirefit.schedule.reasons import by_posts, refusal, why_not
from tirefit.schedule.reservations import (
    cleanup_expired_reservations,
    extend_reservation,
    find_hold,
    new_token,
    release_reservation,
    reserve_slot_temporarily,
)

# (examples, steps)
TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))  # `make trials`: ten times as long, and differently each time
EXAMPLES, STEPS = {"sqlite": 250 if TRIALS else 25, "postgresql": 250 if TRIALS else 12}, 40

HORIZON = 2
HOLD_SECONDS = 15 * 60
LENGTHS = [15, 20, 30, 40, 45, 60]
STARTS = [
    ("Europe/Kyiv", "2026-11-02 07:30"),  # Monday
    ("Europe/Kyiv", "2026-10-23 23:30"),  # on the second day the clock goes back an hour,
    ("Europe/Kyiv", "2026-03-27 12:00"),  # or forward,
    ("America/Havana", "2026-03-06 20:00"),  # at midnight,
    ("Australia/Lord_Howe", "2026-10-02 09:00"),  # or half an hour only
]
WEEKS = {
    "one window": [(d, 540, 780) for d in range(7)],
    "a break": [(d, *w) for d in range(7) for w in ((480, 610), (660, 785))],
    "past midnight": [(d, 1320, 1620) for d in range(7)],
    "the small hours": [(d, 60, 300) for d in range(7)],
    "one over the next": [(d, *w) for d in range(7) for w in ((40, 200), (1290, 1530))],
    "far over the next": [(d, 1110, 2600) for d in range(0, 7, 2)] + [(d, 700, 2880) for d in range(1, 7, 2)],
    "never shut": [(d, 0, 1440) for d in range(7)],
    "every other day": [(d, 600, 790) for d in (0, 2, 4, 6)],
    "never": [],
}
OTHER_HOURS: list[list[Span]] = [[], [], [(600, 720)], [(545, 600), (640, 790)], [(1380, 1530)]]
WORK = {
    20: ["Ремонт прокола"],
    40: ["Сезонная переобувка"],
    50: ["Балансировка", "Ремонт прокола"],
    90: ["Сезонная переобувка", "Балансировка", "Ремонт прокола"],
}
MOVES = {  # event → from, to
    "confirm": (["pending"], "confirmed"),
    "arrive": (["confirmed"], "arrived"),
    "start": (["confirmed", "arrived"], "in_progress"),
    "complete": (["in_progress"], "completed"),
    "no_show": (["confirmed"], "no_show"),
    "cancel": (["pending", "confirmed", "arrived"], "cancelled_by_station"),
    "cancel by customer": (["pending", "confirmed", "arrived"], "cancelled_by_customer"),
}
TAPS = ["confirm", "arrive", "start", "complete", "no_show"]
OF_TAPS = ["confirmed", "arrived", "in_progress", "completed", "no_show"]
CANCELLED = ["cancelled_by_customer", "cancelled_by_station"]
OVER = {"completed", "no_show", "cancelled_by_station", "cancelled_by_customer"}


def test_the_engine_keeps_its_promises_in_any_order(app, database):
    station = factories.station(posts=(30, 40), horizon_days=HORIZON, cancel_cutoff_minutes=0)
    run_state_machine_as_test(
        type("OfThisStation", (Machine,), {"station_id": station.id}),
        settings=settings(
            max_examples=EXAMPLES[database],
            stateful_step_count=STEPS,
            derandomize=not TRIALS,
            phases=[Phase.generate],  # a failure has at most 40 steps to read; making it smaller takes minutes
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@dataclass
class Held:
    post: int
    start: int
    end: int
    minutes: int
    expires: int  # in seconds
    holder: str | None
    extensions: int = 0


@dataclass
class Booked:
    post: int
    start: int
    end: int
    minutes: int
    status: str = "confirmed"
    expected: int | None = None  # to end, when that is later than it should
    steps: list[tuple[str, str, int]] = field(default_factory=list)  # what happened, from which state, when

    def go(self, event: str, status: str, now: int) -> None:
        self.steps.append((event, self.status, now))
        self.status = status


@dataclass
class Change:
    """A run of the manager's: what it was about, and what that was before and after."""

    subject: tuple[str, Any]
    before: Any
    after: Any
    undone: bool = False


ACTS: dict[str, "Act"] = {}


@dataclass
class Act:
    weight: int
    when: Callable[["Machine"], object]
    wishes: dict[str, st.SearchStrategy[Any]]


def happens(weight: int, when: Callable[["Machine"], object] = lambda self: True, **wishes: st.SearchStrategy[Any]):
    """So many times as often as what has weight 1, when it can. Hypothesis' own rules come in no such proportion."""

    def remember(act):
        ACTS[act.__name__] = Act(weight, when, wishes)
        return act

    return remember


class Machine(RuleBasedStateMachine):
    station_id: int

    @initialize(start=st.sampled_from(STARTS), week=st.sampled_from(sorted(WEEKS)), data=st.data())
    def open(self, start, week, data):
        zone, moment = start
        self.clock = time_machine.travel(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)), tick=False)
        self.traveller = self.clock.start()
        begin_anew(self.station_id, zone)
        self.now = int(datetime.now(UTC).timestamp())
        self.ids = list(db.session.scalars(select(ServicePost.id).order_by(ServicePost.post_number)))
        self.posts = {post: (data.draw(st.sampled_from(LENGTHS)), True) for post in self.ids}  # length, works
        self.rules = Rules(zone)
        self.lead, self.horizon = 0, HORIZON
        self.holds: dict[str, Held] = {}
        self.gone: dict[str, Held] = {}  # holds that were released, or whose time somebody took
        self.bookings: dict[int, Booked] = {}
        self.blocks: dict[int, tuple[int, int, int, str]] = {}  # blocks
        self.wholes: dict[int, tuple[int, int, int]] = {}  # of which stretch a block is a piece
        self.changes: dict[int, Change] = {}
        self.until = self.today + timedelta(days=HORIZON)
        self.looks = 0
        self.never = data.draw(st.sets(st.sampled_from(sorted(set(ACTS) - {"time_passes"})), max_size=8), "never")
        for post in self.ids:
            self.set_post(post, *self.posts[post])
        self.put_plan(Plan(WEEKS[week]))
        rolling.generate_rolling_schedule()
        self.is_open = True

    def teardown(self):
        db.session.rollback()
        if hasattr(self, "clock"):
            self.clock.stop()

    @rule(data=st.data())
    def something_happens(self, data):
        can = [
            name for name, act in ACTS.items() if name not in self.never and act.when(self) for _ in range(act.weight)
        ]
        what = data.draw(st.sampled_from(can), "what")
        wishes = {name: data.draw(wish, name) for name, wish in ACTS[what].wishes.items()}
        getattr(self, what)(data, **wishes)

    # --- what customers do

    @happens(
        7, work=st.sampled_from(sorted(WORK)), holder=st.sampled_from([None, None, "phone"]), picky=st.integers(0, 3)
    )
    def hold(self, data, work, holder, picky):
        mine = [token for token, held in self.holds.items() if holder and held.holder == holder]
        start = self.a_start(data, work, without=mine)
        number = data.draw(st.sampled_from([1, 2])) if not picky else None
        posts = self.ids if number is None else [self.ids[number - 1]]
        token = new_token()

        def do() -> Any:
            return reserve_slot_temporarily(
                self.station_id, instant(start), work, token, holder=holder, post_number=number
            )

        best = self.best(start, work, mine, posts)
        if best is None:
            expected = refusal(self.point, instant(start), work, post_number=number)
            assert refused(do).code == expected.code or mine  # what they have had is in nobody's way: not in theirs
            return
        found = do()
        assert (found.service_post_id, minute(found.starts_at), minute(found.ends_at)) == best
        for old in mine:
            self.gone[old] = self.holds.pop(old)
        self.until = self.shown_until
        self.forget_expired(*best)
        self.holds[token] = Held(*best, work, self.now + HOLD_SECONDS, holder)

    @happens(3, when=lambda self: self.holds, work=st.sampled_from(sorted(WORK)))
    def choose_another_time(self, data, work):
        """The same tab again: the other time is won before the one it had is free. Or the same time: held longer."""
        token = data.draw(st.sampled_from(list(self.holds)))
        held = self.holds[token]
        start = self.a_start(data, work, without=[token])
        best = self.best(start, work, [token])
        if start == held.start:
            best = (held.post, held.start, held.end)
        if best is None:
            refused(lambda: reserve_slot_temporarily(self.station_id, instant(start), work, token))
            return
        found = reserve_slot_temporarily(self.station_id, instant(start), work, token)
        assert (found.service_post_id, minute(found.starts_at), minute(found.ends_at)) == best
        if start == held.start:
            held.expires = self.now + HOLD_SECONDS
            return
        del self.holds[token]
        self.until = self.shown_until
        self.forget_expired(*best)
        self.holds[token] = Held(*best, work, self.now + HOLD_SECONDS, None)

    @happens(4, work=st.sampled_from(sorted(WORK)))
    def book_directly(self, data, work):
        self.take(new_token(), self.a_start(data, work), work)

    @happens(5, when=lambda self: self.holds or self.gone)
    def book_what_was_held(self, data):
        token = data.draw(st.sampled_from(list(self.holds | self.gone)))
        held = self.holds.get(token)
        if held is None:
            self.take(token, self.gone[token].start, self.gone[token].minutes)
        elif held.start * 60 < self.now:
            assert refused(lambda: self.book(token, held.start, held.minutes)).code == "in_the_past"
        else:
            made = self.book(token, held.start, held.minutes)
            assert (made.service_post_id, minute(made.ends_at)) == (held.post, held.end)
            assert self.book(token, held.start, held.minutes).id == made.id  # the form sent twice
            assert release_reservation(token) is False
            del self.holds[token]
            self.bookings[made.id] = Booked(held.post, held.start, held.end, held.minutes)

    @happens(2, when=lambda self: self.holds or self.gone)
    def extend(self, data):
        token = data.draw(st.sampled_from(list(self.holds | self.gone)))
        held = self.holds.get(token)
        try:
            extend_reservation(token)
        except HoldExpired:
            assert held is None
        except LimitReached:
            assert held and held.extensions == 10
        else:
            held.expires, held.extensions = self.now + HOLD_SECONDS, held.extensions + 1

    @happens(1, when=lambda self: self.holds)
    def release(self, data):
        token = data.draw(st.sampled_from(list(self.holds)))
        assert (release_reservation(token), release_reservation(token)) == (True, False)
        self.gone[token] = self.holds.pop(token)

    # --- what the station does

    @happens(5, when=lambda self: self.bookings)
    def move_on(self, data):
        id = data.draw(st.sampled_from(list(self.bookings)))
        booked = self.bookings[id]
        possible = [event for event, (sources, _) in MOVES.items() if booked.status in sources]
        event = data.draw(st.sampled_from(possible if possible and data.draw(st.integers(0, 3)) else sorted(MOVES)))
        sources, target = MOVES[event]
        if event == "cancel by customer" and booked.start * 60 < self.now:
            return  # it has begun: by phone only
        try:
            if event.startswith("cancel"):
                cancel_booking(id, actor=CUSTOMER if event.endswith("customer") else USER)
            else:
                transition_booking(id, event)
        except WrongTransition:
            assert booked.status not in (*sources, target)
        else:
            assert booked.status in (*sources, target)
            if booked.status != target:
                booked.go(event, target, self.now)

    @happens(
        4,
        when=lambda self: any(booked.steps for booked in self.bookings.values()),
        event=st.sampled_from(["undo", "undo", "restore", "restore by customer"]),
    )
    def take_back(self, data, event):
        """A tap too many, or a cancellation that was none: what had given its time back takes it again."""
        id = data.draw(st.sampled_from([id for id, booked in self.bookings.items() if booked.steps]))
        booked = self.bookings[id]
        last, before, at = booked.steps[-1]
        sources = {"undo": OF_TAPS, "restore": CANCELLED, "restore by customer": ["cancelled_by_customer"]}[event]
        span, is_over = (booked.start, booked.end), booked.status in OVER
        expected = None
        if last == event and (event == "undo" or not is_over):
            before = booked.status  # the same tap again
        elif booked.status not in sources or (event == "undo" and last not in TAPS):
            expected = "wrong_transition"
        elif event == "undo" and self.now > at + 600:
            expected = "undo_expired"
        elif event != "undo" and booked.start * 60 <= self.now:
            expected = "in_the_past"
        elif is_over and touches(span, self.taken(booked.post)):
            expected = "slot_taken"

        def do() -> Any:
            if event == "undo":
                return undo_transition(id)
            return restore_booking(id, actor=CUSTOMER if event.endswith("customer") else USER)

        if expected:
            assert refused(do).code == expected
            return
        do()
        if is_over and before not in OVER:
            self.forget_expired(booked.post, *span)
        if before != booked.status:
            booked.go(event, before, self.now)

    @happens(
        7, when=lambda self: self.bookings, by=st.sampled_from([CUSTOMER, CUSTOMER, USER]), picky=st.integers(0, 3)
    )
    def move(self, data, by, picky):
        """To another time, which may overlap the old one; the station's people may take any that is free."""
        live = [id for id, booked in self.bookings.items() if booked.status not in OVER]
        id = data.draw(st.sampled_from(live or list(self.bookings)))
        booked = self.bookings[id]
        where = data.draw(st.integers(0, 2))
        start = booked.start + 5 * data.draw(st.integers(-8, 8))
        if where or start < midnight(self.zone, self.today):
            start = self.a_start(data, booked.minutes)
        number = data.draw(st.sampled_from([1, 2])) if not picky else None

        def do() -> Booking:
            return reschedule_booking(id, actor=by, starts_at=instant(start), post_number=number)

        may_be = ["pending", "confirmed"] + ["arrived"] * (by == USER)
        if booked.status not in may_be:
            assert refused(do).code == "wrong_transition"
            return
        stays = number is None or self.ids[number - 1] == booked.post
        if start == booked.start and stays:
            do()
            self.until = self.shown_until  # the days that had come were opened before it was seen to be the same
            return
        if by == CUSTOMER and booked.start * 60 < self.now:
            assert refused(do).code == "too_late_to_change"
            return
        posts = self.ids if number is None else [self.ids[number - 1]]
        best = self.best(start, booked.minutes, [], posts, moving=booked, bounded=by == CUSTOMER)
        if best is None and by == USER:
            post = booked.post if number is None else posts[0]
            span = (start, start + booked.minutes)
            best = None if touches(span, self.taken(post, moving=booked)) else (post, *span)
        if best is None:
            needs = needs_of(db.session.get_one(Booking, id))
            expected = refusal(self.point, instant(start), booked.minutes, needs, number)
            assert refused(do).code == expected.code
            return
        made = do()
        assert (made.service_post_id, minute(made.starts_at), minute(made.ends_at)) == best  # I8
        booked.post, booked.start, booked.end = best
        self.until = self.shown_until
        self.forget_expired(*best)

    @happens(2, length=st.integers(1, 300))
    def block(self, data, length):
        """Whatever is free of the stretch is taken; what stands in the way stays."""
        post, start = self.a_place(data)
        done = block_time(self.station_id, post, instant(start), instant(start + length))
        self.forget_expired(post, start, start + length)
        assert len(done.in_the_way) == sum(touches(span, [(start, start + length)]) for span in self.taken(post))
        new = [(post, *span, "block") for span in model.free((start, start + length), self.taken(post))]
        self.blocks |= dict(zip(done.reservation_ids, new, strict=True))
        self.wholes |= dict.fromkeys(done.reservation_ids, (post, start, start + length))

    @happens(2, when=lambda self: self.blocks)
    def open_what_was_blocked(self, data):
        id = data.draw(st.sampled_from(list(self.blocks)))
        assert (unblock(id), unblock(id)) == (True, False)
        for piece in [each for each, whole in self.wholes.items() if whole == self.wholes[id]]:
            del self.blocks[piece], self.wholes[piece]

    @happens(3, work=st.sampled_from(sorted(WORK)))
    def somebody_drives_in(self, data, work):
        """Off the grid and without notice, now or later; but only where nobody is."""
        post, start = self.a_place(data)
        if data.draw(st.booleans()):
            start = self.now // 60
        start = max(start, self.now // 60)
        ids, number = [service(name).id for name in WORK[work]], self.ids.index(post) + 1

        def do() -> Booking:
            return book_walk_in(
                self.station_id, ids, car_type().id, post_number=number, starts_at=instant(start), token=new_token()
            )

        if touches((start, start + work), self.taken(post)):
            assert refused(do).code == "slot_taken"
            return
        made = do()
        assert (made.service_post_id, minute(made.starts_at), minute(made.ends_at)) == (post, start, start + work)
        self.forget_expired(post, start, start + work)
        self.bookings[made.id] = Booked(post, start, start + work, work, "arrived")

    @happens(3, when=lambda self: self.bookings, more=st.sampled_from([5, 10, 15, 20, 30]))
    def it_takes_longer(self, data, more):
        """The time after it is taken as far as it is free, and nobody is moved."""
        here = [id for id, booked in self.bookings.items() if booked.status in ("arrived", "in_progress")]
        id = data.draw(st.sampled_from(here or list(self.bookings)))
        booked = self.bookings[id]
        if not here:
            assert refused(lambda: extend_visit(id, more)).code == "wrong_transition"
            return
        booked.expected = max(booked.expected or booked.end, self.now // 60) + more
        later = [start for start, _ in self.taken(booked.post, moving=booked) if start >= booked.end]
        until = min([booked.expected, booked.start + 1440, *later])
        extend_visit(id, more)
        if until > booked.end:
            booked.end = until
            self.forget_expired(booked.post, booked.start, until)

    # --- what managers change

    @happens(4, length=st.sampled_from(LENGTHS), works=st.sampled_from([True, True, True, False]))
    def change_post(self, data, length, works):
        post = data.draw(st.sampled_from(self.ids))
        ahead = [span for span in self.taken(post) if span[1] * 60 > self.now]
        preview = changes.preview_post_schedule(
            db.session.get_one(ServicePost, post), slot_duration=length, active=works
        )
        try:
            done = self.set_post(post, length, works, expected=preview.fingerprint)
        except PostHasBookings:
            assert ahead and self.posts[post][1] and not works
        else:
            assert not ahead or works or not self.posts[post][1]
            self.changed(done.run_id, ("post", post), self.posts[post], (length, works))
            self.outside_is_right(done, [post])

    @happens(
        4,
        week=st.sampled_from(sorted(WEEKS)),
        of_post=st.integers(0, 3),
        season=st.sampled_from([None, None, (0, 1), (1, 3), (None, 1), (1, None)]),
        priority=st.sampled_from([0, 1]),
    )
    def change_plans(self, data, week, of_post, season, priority):
        """A new week or season, or one that is there made another."""
        id = data.draw(st.sampled_from([*self.rules.plans, *[None] * (3 - len(self.rules.plans))]))
        first, last = (away if away is None else self.today + timedelta(days=away) for away in season or (None, None))
        post = self.ids[of_post] if of_post < len(self.ids) else None
        self.put_plan(Plan(WEEKS[week], post, first, last, priority), id)

    @happens(1, when=lambda self: self.rules.plans)
    def drop_plan(self, data):
        id = data.draw(st.sampled_from(list(self.rules.plans)))
        done = changes.delete_template(id)
        self.changed(done.run_id, ("plan", id), self.rules.plans[id], None)
        self.outside_is_right(done, self.ids)

    @happens(
        3,
        ahead=st.integers(-1, HORIZON + 1),
        count=st.sampled_from([1, 1, 2, 3]),
        windows=st.one_of(st.none(), st.sampled_from(OTHER_HOURS)),
        of_post=st.integers(0, 4),
    )
    def change_dates(self, data, ahead, count, windows, of_post):
        """Closed, or open at other hours; None: as its weekday again."""
        first = self.today + timedelta(days=ahead)
        last, dates = first + timedelta(days=count - 1), tuple(first + timedelta(days=n) for n in range(count))
        post = self.ids[of_post] if of_post < len(self.ids) else None
        preview = changes.preview_exception(self.point, first, last, windows, post_id=post)
        if windows is None:
            done = changes.delete_exception(self.station_id, first, last, post_id=post, expected=preview.fingerprint)
        else:
            done = changes.save_exception(
                self.station_id, first, last, windows, post_id=post, expected=preview.fingerprint
            )
        before = [self.rules.exceptions.get((post, day)) for day in dates]
        self.changed(done.run_id, ("dates", (post, dates)), before, [windows] * count)
        self.outside_is_right(done, self.ids)

    @happens(3, when=lambda self: self.changes)
    def undo(self, data):
        id = data.draw(st.sampled_from(sorted(self.changes)[-6:]))
        change = self.changes[id]
        kind, key = change.subject
        is_due = not change.undone and self.state(change.subject) == change.after
        busy = kind == "post" and any(span[1] * 60 > self.now for span in self.taken(key))
        try:
            done = changes.undo_run(id)
        except RunOutdated:
            assert not is_due
        except PostHasBookings:
            assert is_due and busy and change.after[1] and not change.before[1]
        else:
            assert is_due
            change.undone = True
            self.changed(done.run_id, change.subject, change.after, change.before)

    @happens(1, lead=st.sampled_from([0, 0, 45, 200]), horizon=st.sampled_from([HORIZON, HORIZON, 1, 3]))
    def change_notice(self, data, lead, horizon):
        set_notice(self.station_id, lead, horizon)
        self.lead, self.horizon = lead, horizon

    @happens(1)
    def cut_again(self, data):
        post = data.draw(st.sampled_from(self.ids))
        slots.regenerate_post_schedule(post)
        again = slots.regenerate_post_schedule(post)
        assert (again.added, again.removed) == ((), ())

    @happens(1, ahead=st.integers(0, HORIZON))
    def cut_a_day_again(self, data, ahead):
        """One day by itself is what it was as a part of all."""
        day = self.today + timedelta(days=ahead)
        if day <= self.until:
            slots.generate_slots_from_template(self.station_id, day, day)

    # --- what just happens

    @happens(4, seconds=st.sampled_from([1, 60, 840, 899, 900, 901, 3600, 4500, 40_000]))
    def time_passes(self, data, seconds):
        self.advance(seconds)

    @happens(1, when=lambda self: self.holds or self.bookings, past=st.sampled_from([-60, 0, 60]))
    def a_time_comes(self, data, past):
        """What was held, or booked, is just about to begin, or has just begun."""
        starts = [each.start * 60 + past for each in (*self.holds.values(), *self.bookings.values())]
        self.advance(max(0, min([start for start in starts if start >= self.now], default=0) - self.now))

    @happens(
        4,
        when=lambda self: any(held.expires > self.now for held in self.holds.values()),
        to_go=st.sampled_from([0, 0, 1]),
    )
    def a_hold_runs_out(self, data, to_go):
        next_one = min(held.expires for held in self.holds.values() if held.expires > self.now)
        self.advance(max(0, next_one - to_go - self.now))

    @happens(2, early=st.sampled_from([None, None, 0, 1]))
    def tidy(self, data, early):
        """Only what is long over goes: now and then just before it is, or just when."""
        if self.holds and early is not None:
            due = min(held.expires for held in self.holds.values()) + 3600
            self.advance(max(0, due - early - self.now))
        over = [token for token, held in self.holds.items() if held.expires <= self.now - 3600]
        assert cleanup_expired_reservations() == len(over)
        for token in over:
            self.gone[token] = self.holds.pop(token)

    @happens(1)
    def roll_on(self, _):
        rolling.generate_rolling_schedule()
        self.until = self.shown_until

    # --- what must be true whatever has happened

    @invariant()
    def the_database_is_what_the_model_says(self):
        if not hasattr(self, "is_open"):
            return
        db.session.rollback()
        rows = db.session.execute(
            select(
                Reservation.service_post_id,
                Reservation.starts_at,
                Reservation.ends_at,
                Reservation.kind,
                Reservation.expires_at,
            )
        )
        reserved = sorted(
            (post, minute(a), minute(b), kind, expires and int(expires.timestamp()))
            for post, a, b, kind, expires in rows
        )
        holds = [(held.post, held.start, held.end, "hold", held.expires) for held in self.holds.values()]
        live = {id: booked for id, booked in self.bookings.items() if booked.status not in OVER}
        lasting = [(b.post, b.start, b.end, "booking", None) for b in live.values()]
        lasting += [(*other, None) for other in self.blocks.values()]
        assert reserved == sorted(holds + lasting)  # I2 I7
        assert model.apart((post, start, end) for post, start, end, *_ in reserved)  # I1
        known = db.session.execute(
            select(
                Booking.id,
                Booking.status,
                Booking.service_post_id,
                Booking.starts_at,
                Booking.ends_at,
                Booking.reservation_id.is_not(None),
            )
        )
        assert {id: (status, post, minute(a), minute(b), bool(owns)) for id, status, post, a, b, owns in known} == {
            id: (b.status, b.post, b.start, b.end, id in live) for id, b in self.bookings.items()
        }  # I2 I8
        if self.today <= self.until:  # else the job has not been here for longer than a horizon
            self.the_offer_is_right()
        self.the_lists_are_right()

    def the_offer_is_right(self):
        rows = db.session.execute(select(ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at))
        offered = [(post, minute(start), minute(end)) for post, start, end in rows]
        assert model.apart(offered)  # I3
        first = midnight(self.zone, self.today)
        for post in self.ids:
            taken = self.lasting(post)
            there = {(a, b) for found, a, b in offered if found == post and a >= first and not touches((a, b), taken)}
            assert there == set(self.cells(post, self.until))  # I4 I9

    def the_lists_are_right(self):
        """What is listed is what the model finds; and, one of them at a time, all the other questions agree with it."""
        point = self.point
        self.looks += 1
        work = (None, 20, 50)[self.looks % 3]
        runs = self.runs(work)
        listed = find_available_slots_for_duration(point, self.today, self.today + timedelta(days=4), work)
        assert [(run.service_post_id, minute(run.starts_at), minute(run.ends_at)) for run in listed] == runs  # I5 I6
        counts = Counter(start for _, start, _ in runs)
        question = self.looks % 4  # I10
        if question == 0:
            shown = [time for day in days(point, self.today, 5, work) for time in day.times]
            assert {minute(time.starts_at): time.available_posts for time in shown} == counts
        elif question == 1:
            soonest = nearest(point, work)
            assert (soonest and minute(soonest.starts_at)) == min(counts, default=None)
        elif question == 2:
            any_time = midnight(self.zone, self.today)
            start = list(counts)[self.looks % len(counts)] + self.looks // 4 % 2 if counts else any_time
            able = {run.service_post_id for run in available_at_time(point, instant(start), work)}
            assert able == {post for post, begin, _ in runs if begin == start}
            reasons = {answer.service_post_id: answer.reason for answer in why_not(point, instant(start), work)}
            assert able == {post for post, reason in reasons.items() if reason is None}
        else:
            day = self.today + timedelta(days=self.looks // 4 % 3)
            for post in by_posts(point, day, work):
                of_day = [a for id, a, _ in runs if id == post.service_post_id and model.date_of(self.zone, a) == day]
                assert (post.next_available_at and minute(post.next_available_at)) == min(of_day, default=None)

    def outside_is_right(self, done, posts):
        """A change names what it leaves outside the hours, and all that is reserved is still what it was."""
        outside, last = set(), max(self.today, self.until)
        for post in posts:
            windows = self.rules.windows(post, self.today - timedelta(days=2), last + timedelta(days=1))
            for start, end in self.taken(post):
                if midnight(self.zone, self.today) <= start < midnight(self.zone, last + timedelta(days=1)):
                    outside |= {(post, start)} if model.free((start, end), windows) else set()
        assert {(each.service_post_id, minute(each.starts_at)) for each in done.outside} == outside

    # --- the model

    def advance(self, seconds: int) -> None:
        self.now += seconds
        self.traveller.shift(timedelta(seconds=seconds))

    @property
    def point(self) -> ServicePoint:
        return db.session.get_one(ServicePoint, self.station_id)

    @property
    def zone(self) -> str:
        return self.rules.zone

    @property
    def today(self) -> date:
        return model.date_of(self.zone, self.now // 60)

    def lasting(self, post: int, moving: Booked | None = None) -> list[Span]:
        """What shapes the offer: everything reserved but holds, which pass."""
        live = [each for each in self.bookings.values() if each.status not in OVER and each is not moving]
        booked = [(each.start, each.end) for each in live if each.post == post]
        return booked + [(start, end) for other, start, end, _ in self.blocks.values() if other == post]

    def taken(self, post: int, without: list[str] = (), moving: Booked | None = None) -> list[Span]:
        live = [held for token, held in self.holds.items() if held.expires > self.now and token not in without]
        return self.lasting(post, moving) + [(held.start, held.end) for held in live if held.post == post]

    @property
    def shown_until(self) -> date:
        """How far the lists go, whether or not the job has come; and the offer, once somebody wants such a time."""
        return max(self.until, self.today + timedelta(days=self.horizon))

    def cells(self, post: int, until: date) -> list[Span]:
        """Slots of a post from today on, where nothing is booked."""
        length, works = self.posts[post]
        if not works:
            return []
        windows = self.rules.windows(post, self.today - timedelta(days=2), until)
        found = model.cells(windows, length, self.lasting(post))
        return [cell for cell in found if midnight(self.zone, self.today) <= cell[0]]

    def runs(self, work: int | None, without: list[str] = ()) -> list[tuple[int, int, int]]:
        """Every (post, start, end) at which such work can begin now, by time and post."""
        found = [
            (post, start, end)
            for post in self.ids
            for start, end in model.runs(self.cells(post, self.shown_until), self.taken(post, without), work)
            if self.is_bookable(start)
        ]
        return sorted(found, key=lambda run: (run[1], self.ids.index(run[0])))

    def is_bookable(self, start: int) -> bool:
        last = midnight(self.zone, self.today + timedelta(days=self.horizon + 1))
        return self.now + self.lead * 60 <= start * 60 and start < last

    def best(
        self,
        start: int,
        work: int,
        without: list[str] = (),
        posts: list[int] | None = None,
        *,
        moving: Booked | None = None,
        bounded: bool = True,
    ) -> tuple[int, int, int] | None:
        """The run that such a customer gets: the least waste, the least unsellable remainder, the first post.

        Who moves counts what they have as free: all of the slots that it is made of.
        """
        found = []
        for post in posts or self.ids:
            cells, taken = self.cells(post, self.shown_until), self.taken(post, without, moving)
            if moving is not None and moving.post == post:
                cells = sorted({*cells, *self.slots_under(moving)})
            for run in model.runs(cells, taken, work):
                if run[0] == start and (self.is_bookable(start) or not bounded):
                    cost = model.waste_and_leftover(cells, taken, run, work)
                    found.append((cost, self.ids.index(post), (post, *run)))
        return min(found)[-1] if found else None

    def slots_under(self, booked: Booked) -> list[Span]:
        """Whether what is booked is made of slots depends on when it was booked: the table knows."""
        rows = db.session.execute(
            select(ScheduleSlot.starts_at, ScheduleSlot.ends_at).where(
                ScheduleSlot.service_post_id == booked.post,
                ScheduleSlot.starts_at < instant(booked.end),
                ScheduleSlot.ends_at > instant(booked.start),
            )
        )
        return [(minute(start), minute(end)) for start, end in rows]

    def a_start(self, data, work: int, without: list[str] = ()) -> int:
        """Usually one that is listed, or the very next one, or one that somebody has let expire; sometimes any."""
        expired = [held.start for held in self.holds.values() if held.expires <= self.now]
        if expired and data.draw(st.booleans()):
            return data.draw(st.sampled_from(expired))
        listed = sorted({start for _, start, _ in self.runs(work, without)})
        which = data.draw(st.integers(0, 5))
        if listed and which:
            return listed[0] if which == 1 else data.draw(st.sampled_from(listed))
        return midnight(self.zone, self.today) + 5 * data.draw(st.integers(0, 12 * 24 * (self.horizon + 2)))

    def a_place(self, data) -> tuple[int, int]:
        """Some post, and some minute; often where it is crowded, or across midnight."""
        post = data.draw(st.sampled_from(self.ids))
        crowd = [*self.holds.values(), *(b for b in self.bookings.values() if b.status not in OVER)]
        where = data.draw(st.integers(0, 2))
        if crowd and where == 0:
            one = data.draw(st.sampled_from(crowd))
            return one.post, one.start - 5
        if where == 1:
            day = self.today + timedelta(days=data.draw(st.integers(1, HORIZON)))
            return post, midnight(self.zone, day) + 5 * data.draw(st.integers(-24, 18))
        return post, midnight(self.zone, self.today) + 5 * data.draw(st.integers(0, 12 * 24 * (HORIZON + 1)))

    def take(self, token: str, start: int, work: int) -> None:
        """Book without a hold (any more)."""
        best = self.best(start, work)
        if best is None:
            expected = refusal(self.point, instant(start), work).code
            assert refused(lambda: self.book(token, start, work)).code == expected  # I5
            return
        made = self.book(token, start, work)
        assert (made.service_post_id, start, minute(made.ends_at)) == best
        self.until = self.shown_until
        self.forget_expired(*best)
        self.gone.pop(token, None)
        self.bookings[made.id] = Booked(*best, work)

    def book(self, token: str, start: int, work: int) -> Booking:
        ids = [service(name).id for name in WORK[work]]
        return create_booking(self.station_id, ids, car_type().id, ANNA, token=token, starts_at=instant(start))

    def forget_expired(self, post: int, start: int, end: int) -> None:
        """Whoever needs the time of an expired hold removes it."""
        for token, held in list(self.holds.items()):
            if held.post == post and held.expires <= self.now and touches((held.start, held.end), [(start, end)]):
                self.gone[token] = self.holds.pop(token)
                assert find_hold(token) is None

    def set_post(self, post: int, length: int, works: bool, expected: str | None = None) -> slots.Difference:
        return changes.update_post(
            post,
            post_number=self.ids.index(post) + 1,
            slot_duration=length,
            name="",
            description="",
            active=works,
            expected=expected,
        )

    def put_plan(self, plan: Plan, id: int | None = None) -> None:
        about = {
            "post_id": plan.post,
            "valid_from": plan.first,
            "valid_until": plan.last,
            "priority": plan.priority,
        }
        preview = changes.preview_template(self.point, plan.week, id, **about)
        done = changes.save_template(
            self.station_id, plan.week, name="Неделя", template_id=id, expected=preview.fingerprint, **about
        )
        id = id or newest_plan()
        self.changed(done.run_id, ("plan", id), self.rules.plans.get(id), plan)
        self.outside_is_right(done, self.ids)

    def changed(self, run: int, subject: tuple[str, Any], before: Any, after: Any) -> None:
        self.changes[run] = Change(subject, before, after)
        kind, key = subject
        if kind == "post":
            self.posts[key] = after
        elif kind == "plan":
            self.rules.plans.pop(key, None)
            self.rules.plans |= {key: after} if after else {}
        else:
            post, dates = key
            for day, windows in zip(dates, after, strict=True):
                self.rules.exceptions.pop((post, day), None)
                self.rules.exceptions |= {} if windows is None else {(post, day): windows}

    def state(self, subject: tuple[str, Any]) -> Any:
        kind, key = subject
        if kind == "post":
            return self.posts[key]
        if kind == "plan":
            return self.rules.plans.get(key)
        post, dates = key
        return [self.rules.exceptions.get((post, day)) for day in dates]


def refused(do: Callable[[], object]) -> Problem:
    try:
        do()
    except Problem as problem:
        return problem
    raise AssertionError("it was not refused")


def newest_plan() -> int:
    return db.session.scalars(text("SELECT max(id) FROM schedule_templates")).one()


@command
def set_notice(point_id: int, lead: int, horizon: int) -> None:
    point = db.session.get_one(ServicePoint, point_id)
    point.lead_minutes, point.horizon_days = lead, horizon


@command
def begin_anew(point_id: int, zone: str) -> None:
    for table in ("notifications", "booking_links", "booking_events", "booking_services", "bookings", "reservations"):
        db.session.execute(text(f"DELETE FROM {table}"))
    for table in ("schedule_slots", "schedule_exceptions", "schedule_templates", "schedule_runs"):
        db.session.execute(text(f"DELETE FROM {table}"))
    ways = {"time_zone": zone, "lead_minutes": 0, "horizon_days": HORIZON, "slots_until": None}
    db.session.execute(update(ServicePoint).where(ServicePoint.id == point_id).values(**ways))

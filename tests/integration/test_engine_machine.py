"""Everything that happens to a station's time, in any order, against a model of a few dozen lines.

The model counts in minutes since 1970 and knows windows, cells and runs in its own plain way: by trying. It shares no
code with tirefit.schedule. After each step the database must be what the model says:

I1 nothing reserved overlaps. I2 live bookings own their time, and nobody else has any. I3 slots do not overlap. I4 the
offer is what hours, lengths and reservations make of it. I5 what is listed can be taken, what is not cannot. I6 expired
holds hide nothing, whether or not a job ran. I7 a change of hours or lengths moves no reservation. I10 all lists agree.
"""

import os
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import time_machine
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select, text, update

from tests import factories
from tests.factories import ANNA, car_type, service
from tirefit.booking.commands import create_booking
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import command, db
from tirefit.errors import HoldExpired, LimitReached, PostHasBookings, Problem, WrongTransition
from tirefit.models import Booking, Reservation, ScheduleSlot, ScheduleTemplate, ServicePoint, ServicePost
from tirefit.schedule import changes, slots
from tirefit.schedule.availability import available_at_time, days, find_available_slots_for_duration
from tirefit.schedule.reservations import (
    block_time,
    cleanup_expired_reservations,
    extend_reservation,
    find_hold,
    new_token,
    release_reservation,
    reserve_slot_temporarily,
    unblock,
)

# (examples, steps); TIREFIT_EXAMPLES=500 looks further, and differently each time
SIZE = {"sqlite": (50, 25), "postgresql": (10, 25)}
MORE = int(os.environ.get("TIREFIT_EXAMPLES", "0"))

ZONE = ZoneInfo("Europe/Kyiv")
HORIZON = 2
HOLD_SECONDS = 15 * 60
LENGTHS = [15, 20, 30, 40, 45, 60]
# Monday; the days before the clock goes back an hour, and before it goes forward
STARTS = ["2026-11-02 07:30", "2026-10-23 23:30", "2026-03-27 12:00"]
WEEKS = {
    "one window": [(d, 540, 780) for d in range(7)],
    "a break": [(d, *w) for d in range(7) for w in ((480, 610), (660, 785))],
    "past midnight": [(d, 1320, 1620) for d in range(7)],
    "the small hours": [(d, 60, 300) for d in range(7)],
    "one over the next": [(d, *w) for d in range(7) for w in ((40, 200), (1290, 1530))],
    "every other day": [(d, 600, 790) for d in (0, 2, 4, 6)],
    "never": [],
}
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
}
OVER = {"completed", "no_show", "cancelled_by_station"}

Span = tuple[int, int]


def test_the_engine_keeps_its_promises_in_any_order(app, database):
    station = factories.station(posts=(30, 40), horizon_days=HORIZON)
    examples, steps = SIZE[database]
    run_state_machine_as_test(
        type("OfThisStation", (Machine,), {"station_id": station.id}),
        settings=settings(
            max_examples=MORE or examples,
            stateful_step_count=steps,
            derandomize=not MORE,
            phases=[Phase.generate],  # a failure has at most 25 steps to read; making it smaller takes minutes
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
    status: str = "confirmed"


class Machine(RuleBasedStateMachine):
    station_id: int

    @initialize(start=st.sampled_from(STARTS), week=st.sampled_from(sorted(WEEKS)), data=st.data())
    def open(self, start, week, data):
        self.clock = time_machine.travel(datetime.fromisoformat(start).replace(tzinfo=ZONE), tick=False)
        self.traveller = self.clock.start()
        forget_everything(self.station_id)
        self.now = int(datetime.now(UTC).timestamp())
        self.ids = list(db.session.scalars(select(ServicePost.id).order_by(ServicePost.post_number)))
        self.lengths = {post: data.draw(st.sampled_from(LENGTHS)) for post in self.ids}
        self.active = dict.fromkeys(self.ids, True)
        self.holds: dict[str, Held] = {}
        self.gone: dict[str, Held] = {}  # holds that were released, or whose time somebody took
        self.bookings: dict[int, Booked] = {}
        self.blocks: dict[int, tuple[int, int, int]] = {}
        self.closed: set[date] = set()
        self.looks = 0
        for number, (post, length) in enumerate(self.lengths.items(), start=1):
            set_length(post, number, length)
        self.until = self.today + timedelta(days=HORIZON)
        self.week = week
        changes.save_template(self.station_id, WEEKS[week], name="Неделя", template_id=template_id())
        slots.generate_rolling_schedule()

    def teardown(self):
        db.session.rollback()
        if hasattr(self, "clock"):
            self.clock.stop()

    # --- what customers do

    @rule(data=st.data(), work=st.sampled_from(sorted(WORK)), holder=st.sampled_from([None, None, "phone"]))
    def hold(self, data, work, holder):
        mine = [token for token, held in self.holds.items() if holder and held.holder == holder]
        start = self.a_start(data, work, without=mine)
        runs = [run for run in self.runs(work, without=mine) if run[1] == start]
        token = new_token()
        try:
            found = reserve_slot_temporarily(self.station_id, instant(start), work, token, holder=holder)
        except Problem:
            assert not runs
            return
        run = (found.service_post_id, start, minute(found.ends_at))
        assert run in runs and run[2] - start == min(end - begin for _, begin, end in runs)
        self.until = self.shown_until
        for old in mine:
            self.gone[old] = self.holds.pop(old)
        self.forget_expired(*run)
        self.holds[token] = Held(*run, work, self.now + HOLD_SECONDS, holder)

    @rule(data=st.data(), work=st.sampled_from(sorted(WORK)))
    def book_directly(self, data, work):
        start = self.a_start(data, work)
        self.take(new_token(), start, work)

    @precondition(lambda self: self.holds or self.gone)
    @rule(data=st.data())
    def book_what_was_held(self, data):
        token = data.draw(st.sampled_from(list(self.holds | self.gone)))
        held = self.holds.get(token)
        if held is None:
            self.take(token, self.gone[token].start, self.gone[token].minutes)
        elif held.start * 60 < self.now:
            assert refused(self.book, token, held.start, held.minutes)
        else:
            made = self.book(token, held.start, held.minutes)
            assert (made.service_post_id, minute(made.ends_at)) == (held.post, held.end)
            assert self.book(token, held.start, held.minutes).id == made.id  # the form sent twice
            assert release_reservation(token) is False
            del self.holds[token]
            self.bookings[made.id] = Booked(held.post, held.start, held.end)

    @precondition(lambda self: self.holds or self.gone)
    @rule(data=st.data())
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

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def release(self, data):
        token = data.draw(st.sampled_from(list(self.holds)))
        assert (release_reservation(token), release_reservation(token)) == (True, False)
        self.gone[token] = self.holds.pop(token)

    # --- what the station does

    @precondition(lambda self: self.bookings)
    @rule(data=st.data(), event=st.sampled_from(sorted(MOVES)))
    def move_on(self, data, event):
        id = data.draw(st.sampled_from(list(self.bookings)))
        booked, (sources, target) = self.bookings[id], MOVES[event]
        try:
            cancel_booking(id, actor=USER) if event == "cancel" else transition_booking(id, event)
        except WrongTransition:
            assert booked.status not in (*sources, target)
        else:
            assert booked.status in (*sources, target)
            booked.status = target

    @rule(data=st.data(), ahead=st.integers(0, 12 * 24 * HORIZON), length=st.integers(1, 300))
    def block(self, data, ahead, length):
        """Whatever is free of the stretch is taken; what stands in the way stays."""
        post, start = data.draw(st.sampled_from(self.ids)), midnight(self.today) + 5 * ahead
        if self.holds and data.draw(st.booleans()):  # where it is crowded
            held = data.draw(st.sampled_from(list(self.holds.values())))
            post, start = held.post, held.start - 5
        done = block_time(self.station_id, post, instant(start), instant(start + length))
        self.forget_expired(post, start, start + length)
        assert len(done.in_the_way) == sum(touches(span, [(start, start + length)]) for span in self.taken(post))
        new = [(post, *span) for span in free(start, start + length, self.taken(post))]
        self.blocks |= dict(zip(done.reservation_ids, new, strict=True))

    @precondition(lambda self: self.blocks)
    @rule(data=st.data())
    def open_what_was_blocked(self, data):
        id = data.draw(st.sampled_from(list(self.blocks)))
        assert (unblock(id), unblock(id)) == (True, False)
        del self.blocks[id]

    @rule(data=st.data(), length=st.sampled_from(LENGTHS), active=st.sampled_from([True, True, True, False]))
    def change_post(self, data, length, active):
        post = data.draw(st.sampled_from(self.ids))
        ahead = [span for span in self.taken(post) if span[1] * 60 > self.now]
        try:
            set_length(post, self.ids.index(post) + 1, length, active)
        except PostHasBookings:
            assert ahead and self.active[post] and not active
        else:
            assert not ahead or active or not self.active[post]
            self.lengths[post], self.active[post] = length, active

    @rule(week=st.sampled_from(sorted(WEEKS)))
    def change_week(self, week):
        changes.save_template(self.station_id, WEEKS[week], name="Неделя", template_id=template_id())
        self.week = week

    @rule(ahead=st.integers(0, HORIZON + 2), shut=st.booleans())
    def close_or_open_a_day(self, ahead, shut):
        day = self.today + timedelta(days=ahead)
        (changes.close_day if shut else changes.open_day)(self.station_id, day)
        (self.closed.add if shut else self.closed.discard)(day)

    @rule(data=st.data())
    def cut_again(self, data):
        post = data.draw(st.sampled_from(self.ids))
        slots.regenerate_post_schedule(post)
        again = slots.regenerate_post_schedule(post)
        assert (again.added, again.removed) == ((), ())

    # --- what just happens

    @rule(seconds=st.sampled_from([1, 60, 840, 899, 900, 901, 3600, 4500, 40_000]))
    def time_passes(self, seconds):
        self.advance(seconds)

    @precondition(lambda self: any(held.expires > self.now for held in self.holds.values()))
    @rule(to_go=st.sampled_from([0, 0, 1]))
    def a_hold_runs_out(self, to_go):
        next_one = min(held.expires for held in self.holds.values() if held.expires > self.now)
        self.advance(max(0, next_one - to_go - self.now))

    @rule()
    def tidy(self):
        over = [token for token, held in self.holds.items() if held.expires <= self.now - 3600]
        assert cleanup_expired_reservations() == len(over)
        for token in over:
            self.gone[token] = self.holds.pop(token)

    @rule()
    def roll_on(self):
        slots.generate_rolling_schedule()
        self.until = self.shown_until

    # --- what must be true whatever has happened

    @invariant()
    def the_database_is_what_the_model_says(self):
        if not hasattr(self, "week"):
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
        lasting += [(*blocked, "block", None) for blocked in self.blocks.values()]
        assert reserved == sorted(holds + lasting)  # I2 I7
        assert apart((post, start, end) for post, start, end, *_ in reserved)  # I1
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
        }
        self.the_offer_is_right()
        self.the_lists_are_right()

    def the_offer_is_right(self):
        rows = db.session.execute(select(ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at))
        offered = [(post, minute(start), minute(end)) for post, start, end in rows]
        assert apart(offered)  # I3
        first = midnight(self.today)
        for post in self.ids:
            taken = self.lasting(post)
            there = {(a, b) for found, a, b in offered if found == post and a >= first and not touches((a, b), taken)}
            assert there == {cell for cell in self.cells(post, self.until) if not touches(cell, taken)}  # I4

    def the_lists_are_right(self):
        point = db.session.get_one(ServicePoint, self.station_id)
        self.looks += 1
        work = (None, 20, 50)[self.looks % 3]
        runs = self.runs(work)
        listed = find_available_slots_for_duration(point, self.today, self.today + timedelta(days=HORIZON), work)
        assert [(run.service_post_id, minute(run.starts_at), minute(run.ends_at)) for run in listed] == runs  # I5 I6
        counts = Counter(start for _, start, _ in runs)
        shown = [time for day in days(point, self.today, HORIZON + 1, work) for time in day.times]
        assert {minute(time.starts_at): time.available_posts for time in shown} == counts  # I10
        start = list(counts)[self.looks % len(counts)] + self.looks % 2 if counts else midnight(self.today)
        assert len(available_at_time(point, instant(start), work)) == counts[start]

    # --- the model

    def advance(self, seconds: int) -> None:
        self.now += seconds
        self.traveller.shift(timedelta(seconds=seconds))

    @property
    def today(self) -> date:
        return datetime.fromtimestamp(self.now, ZONE).date()

    def lasting(self, post: int) -> list[Span]:
        """What shapes the offer: everything reserved but holds, which pass."""
        booked = [(b.start, b.end) for b in self.bookings.values() if b.post == post and b.status not in OVER]
        return booked + [(start, end) for blocked, start, end in self.blocks.values() if blocked == post]

    def taken(self, post: int, without: list[str] = ()) -> list[Span]:
        live = [held for token, held in self.holds.items() if held.expires > self.now and token not in without]
        return self.lasting(post) + [(held.start, held.end) for held in live if held.post == post]

    @property
    def shown_until(self) -> date:
        """How far the lists go, whether or not the job has come; and the offer, once somebody has taken such a time."""
        return max(self.until, self.today + timedelta(days=HORIZON))

    def windows(self, until: date) -> list[Span]:
        """Open stretches that may matter from today on, each beginning no earlier than the one before has ended."""
        spans: list[Span] = []
        day = self.today - timedelta(days=3)
        while day <= until:
            for weekday, opens, closes in WEEKS[self.week]:
                if weekday == day.weekday() and day not in self.closed:
                    start, end = wall(day, opens), wall(day, closes)
                    start = max([start, *(before[1] for before in spans)])
                    spans += [(start, end)] if start < end else []
            day += timedelta(days=1)
        return spans

    def cells(self, post: int, until: date) -> list[Span]:
        """Slots of a post from today on, as far as nothing is booked there."""
        length, cells = self.lengths[post], []
        for opens, closes in self.windows(until) if self.active[post] else []:
            plain = [(start, start + length) for start in range(opens, closes - length + 1, length)]
            for start, end in free(opens, closes, self.lasting(post)):
                inside = [cell for cell in plain if start <= cell[0] and cell[1] <= end]
                if len(inside) < (end - start) // length:
                    inside = [(begin, begin + length) for begin in range(start, end - length + 1, length)]
                cells += inside
        return [cell for cell in cells if midnight(self.today) <= cell[0]]

    def runs(self, work: int | None, without: list[str] = ()) -> list[tuple[int, int, int]]:
        """Every (post, start, end) at which such work can begin now, by time and post."""
        found = []
        last = midnight(self.today + timedelta(days=HORIZON + 1))
        for post in self.ids:
            taken = self.taken(post, without)
            ends = {start: end for start, end in self.cells(post, self.shown_until) if not touches((start, end), taken)}
            for start in ends:
                end = ends[start]
                while work is not None and end - start < work and end in ends:
                    end = ends[end]
                if (work is None or end - start >= work) and self.now <= start * 60 and start < last:
                    found.append((post, start, end))
        return sorted(found, key=lambda run: (run[1], self.ids.index(run[0])))

    def a_start(self, data, work: int, without: list[str] = ()) -> int:
        """Usually one that is listed, with luck one that somebody has let expire; sometimes any at all."""
        expired = [held.start for held in self.holds.values() if held.expires <= self.now]
        if expired and data.draw(st.booleans()):
            return data.draw(st.sampled_from(expired))
        listed = sorted({start for _, start, _ in self.runs(work, without)})
        if listed and data.draw(st.integers(0, 3)):
            return data.draw(st.sampled_from(listed))
        return midnight(self.today) + 5 * data.draw(st.integers(0, 12 * 24 * (HORIZON + 1)))

    def take(self, token: str, start: int, work: int) -> None:
        runs = [run for run in self.runs(work) if run[1] == start]
        if not runs:
            assert refused(self.book, token, start, work)
            return
        made = self.book(token, start, work)
        run = (made.service_post_id, start, minute(made.ends_at))
        assert run in runs
        self.until = self.shown_until
        self.forget_expired(*run)
        self.gone.pop(token, None)
        self.bookings[made.id] = Booked(*run)

    def book(self, token: str, start: int, work: int) -> Booking:
        ids = [service(name).id for name in WORK[work]]
        return create_booking(self.station_id, ids, car_type().id, ANNA, token=token, starts_at=instant(start))

    def forget_expired(self, post: int, start: int, end: int) -> None:
        """Whoever needs the time of an expired hold removes it."""
        for token, held in list(self.holds.items()):
            if held.post == post and held.expires <= self.now and touches((held.start, held.end), [(start, end)]):
                self.gone[token] = self.holds.pop(token)
                assert find_hold(token) is None


def instant(minutes: int) -> datetime:
    return datetime.fromtimestamp(minutes * 60, UTC)


def minute(moment: datetime) -> int:
    assert moment.timestamp() % 60 == 0
    return int(moment.timestamp()) // 60


@cache
def walls(year: int) -> dict[tuple[date, int], int]:
    """Every minute that the station's clock shows in spring or autumn → when it shows it first."""
    first = int(datetime(year, 3, 20, tzinfo=UTC).timestamp()) // 60
    shown: dict[tuple[date, int], int] = {}
    for begin in (first, first + 209 * 1440):
        for now in range(begin, begin + 40 * 1440):
            local = datetime.fromtimestamp(now * 60, ZONE)
            shown.setdefault((local.date(), local.hour * 60 + local.minute), now)
    return shown


def wall(day: date, minutes: int) -> int:
    """A time of the clock on the wall; one that the clock skips is an hour later."""
    day, minutes = day + timedelta(days=minutes // 1440), minutes % 1440
    known = walls(day.year)
    return known[day, minutes] if (day, minutes) in known else known[day, minutes + 60]


def midnight(day: date) -> int:
    return wall(day, 0)


def touches(span: Span, others: list[Span]) -> bool:
    return any(start < span[1] and span[0] < end for start, end in others)


def free(start: int, end: int, taken: list[Span]) -> list[Span]:
    edges = sorted(span for span in taken if touches((start, end), [span]))
    starts, ends = [start, *(b for _, b in edges)], [*(a for a, _ in edges), end]
    return [(a, b) for a, b in zip(starts, ends, strict=True) if a < b]


def apart(rows) -> bool:
    """No two (post, start, end) of one post overlap."""
    ordered = sorted(rows)
    return all(a[0] != b[0] or a[2] <= b[1] for a, b in pairwise(ordered))


def refused(do, *args) -> bool:
    try:
        do(*args)
    except Problem:
        return True
    return False


def set_length(post: int, number: int, length: int, active: bool = True) -> None:
    changes.update_post(post, post_number=number, slot_duration=length, name="", description="", active=active)


def template_id() -> int:
    return db.session.scalars(select(ScheduleTemplate.id)).one()


@command
def forget_everything(station_id: int) -> None:
    for table in ("notifications", "booking_links", "booking_events", "booking_services", "bookings", "reservations"):
        db.session.execute(text(f"DELETE FROM {table}"))
    for table in ("schedule_slots", "schedule_exceptions"):
        db.session.execute(text(f"DELETE FROM {table}"))
    db.session.execute(update(ServicePoint).values(slots_until=None))

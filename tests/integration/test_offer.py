"""What is offered can be had, what is not cannot, and whoever is asked gives the same reason.

The list (`days`), the check (`check_availability`, `why_not`) and the write (a hold, a booking) are asked about the
same time of a station in which much goes on, and compared with what the rows in the database mean: tests/model.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import time_machine
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from sqlalchemy import text

from tests import factories, model
from tests.factories import ANNA, car_type, service
from tests.model import instant, midnight, minute
from tirefit import clock
from tirefit.booking.commands import create_booking
from tirefit.booking.durations import calculate_booking_duration
from tirefit.booking.placement import check_availability
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking
from tirefit.database import command, db
from tirefit.errors import Problem
from tirefit.models import ServicePoint
from tirefit.schedule import changes, reservations, rolling
from tirefit.schedule.availability import Needs, available_at_time, days, find_available_slots_for_duration
from tirefit.schedule.changes import Abilities
from tirefit.schedule.grid import a_stretch
from tirefit.schedule.reasons import why_not
from tirefit.schedule.reservations import new_token, release_reservation, reserve_slot_temporarily

# (stations, times asked for at each)
SIZE = {"sqlite": (10, 24), "postgresql": (4, 24)}
TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))  # `make trials`: eight times as long, and differently each time

ZONE = "Europe/Kyiv"
WEEKS = [
    [(540, 1080)],
    [(480, 720), (765, 1020)],
    [(1200, 1700)],
    [(0, 1440)],
]
JOBS = [["Ремонт прокола"], ["Сезонная переобувка"], ["Сезонная переобувка", "Балансировка", "Ремонт прокола"]]

# Of several posts' reasons, the customer is told the one that is nearest to a yes.
NEAREST = {
    "held": "slot_taken",
    "overlaps": "slot_taken",
    "too_short": "services_do_not_fit",
    "off_grid": "time_matches_no_slot",
    "wheel_size": "post_cannot_take_it",
    "service": "post_cannot_take_it",
    "car_type": "post_cannot_take_it",
    "closed": "slot_not_offered",
    "post_inactive": "slot_not_offered",
    "station_closed_online": "slot_not_offered",
    "too_soon": "too_soon",
    "beyond_horizon": "beyond_horizon",
    "in_the_past": "in_the_past",
}


def test_list_check_and_write_give_one_answer(app, database):
    examples, times = SIZE[database]

    @settings(
        max_examples=examples * (8 if TRIALS else 1),
        derandomize=not TRIALS,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.data())
    def ask(data):
        start = datetime(2026, 11, 2, tzinfo=UTC) + timedelta(seconds=data.draw(st.integers(0, 2 * 86400), "now"))
        with time_machine.travel(start, tick=False):
            station = Station(data)
            for _ in range(times):
                answers[station.is_asked(data)] += 1

    answers: Counter[str | None] = Counter()
    ask()
    assert set(answers) == {None, *NEAREST.values()}, answers  # each of them has been given
    assert answers[None] > examples * times / 10


@dataclass
class Post:
    id: int
    number: int
    active: bool
    cars: tuple[int, ...]
    services: tuple[int, ...]
    wheel: int | None

    def cannot(self, needs: Needs) -> str | None:
        if not self.active:
            return "post_inactive"
        if self.cars and needs.car_type_id not in self.cars:
            return "car_type"
        if self.services and not set(needs.service_ids) <= set(self.services):
            return "service"
        if self.wheel and needs.wheel_inches and needs.wheel_inches > self.wheel:
            return "wheel_size"
        return None


class Station:
    """Three posts that can do this and that, some of it taken: held, let go of, booked, blocked, walked in."""

    def __init__(self, data: st.DataObject) -> None:
        forget_everything()
        draw = data.draw
        ways = {"lead_minutes": draw(st.sampled_from([0, 37, 180, 180])), "horizon_days": draw(st.integers(1, 3))}
        self.id = factories.station(posts=(), **ways).id
        jobs = [service(name).id for name in JOBS[2]]
        cars = [car_type("car").id, car_type("suv").id]
        few_cars, few_jobs = (
            st.sampled_from([(), (), cars[:1], cars]),
            st.sampled_from([(), (), jobs[:1], jobs[:2], jobs]),
        )
        template = db.session.scalar(text("SELECT id FROM schedule_templates"))
        week = [(day, *window) for day in range(7) for window in draw(st.sampled_from(WEEKS))]
        changes.save_template(self.id, week, name="Неделя", template_id=template)
        self.posts = []
        for number, length in enumerate(draw(st.lists(st.sampled_from([15, 30, 40, 55]), min_size=3, max_size=3)), 1):
            made = changes.create_post(self.id, post_number=number, slot_duration=length)
            post = Post(made.id, number, True, tuple(draw(few_cars)), tuple(draw(few_jobs)), draw(wheels))
            post.active = bool(draw(st.integers(0, 5)))
            self.posts.append(post)
            abilities = Abilities(post.cars, post.services, post.wheel)
            self.update(post, length, abilities)
        if draw(st.booleans()):
            rolling.generate_rolling_schedule()  # or nobody has opened the days yet
        today = model.date_of(ZONE, minute_now())
        if not draw(st.integers(0, 2)):
            changes.close_day(self.id, today + timedelta(days=draw(st.integers(0, 2))))
        self.first, self.last = midnight(ZONE, today - timedelta(days=1)), midnight(ZONE, today + timedelta(days=5))
        for _ in range(draw(st.integers(0, 12))):
            self.is_taken(data)
        if draw(st.booleans()):  # around what is taken
            post = draw(st.sampled_from(self.posts))
            self.update(post, draw(st.sampled_from([20, 30, 45])), None)
        set_open(self.id, bool(draw(st.integers(0, 7))))

    def update(self, post: Post, length: int, abilities: Abilities | None) -> None:
        try:
            changes.update_post(
                post.id,
                post_number=post.number,
                slot_duration=length,
                name="",
                description="",
                active=post.active,
                abilities=abilities,
            )
        except Problem:
            post.active = True

    @property
    def point(self) -> ServicePoint:
        return db.session.get_one(ServicePoint, self.id)

    def is_taken(self, data: st.DataObject) -> None:
        """Some time of some post; a hold may have run out since."""
        post = data.draw(st.sampled_from(self.posts))
        cells = [cell for cell in self.cells(post) if cell[0] * 60 >= clock.now().timestamp()]
        kind = data.draw(st.sampled_from(["hold", "hold", "hold that is over", "booking", "block", "walk_in"]))
        start, end = data.draw(st.sampled_from(cells or [(self.first, self.first + 30)]))
        if not data.draw(st.integers(0, 2)):
            start, end = start + data.draw(st.integers(-20, 20)), end + data.draw(st.integers(-5, 60))
        if start < end:
            occupy(self.id, post.id, start, end, kind)

    def cells(self, post: Post) -> list[model.Span]:
        rows = db.session.execute(
            text("SELECT starts_at, ends_at FROM schedule_slots WHERE service_post_id = :post"), {"post": post.id}
        )
        written = [(as_minute(start), as_minute(end)) for start, end in rows]
        span = instant(self.first), instant(self.last)
        more = [cell for cell in rolling.unwritten(self.id, span) if cell[1] == post.id]  # what the job would write
        return sorted({*written, *((minute(start), minute(end)) for start, _, end in more)})

    def taken(self, post: Post) -> list[tuple[int, int, str]]:
        rows = db.session.execute(
            text("SELECT starts_at, ends_at, kind, expires_at FROM reservations WHERE service_post_id = :post"),
            {"post": post.id},
        )
        now = clock.now().timestamp()
        return sorted(
            (as_minute(start), as_minute(end), kind)
            for start, end, kind, expires in rows
            if expires is None or as_seconds(expires) > now
        )

    def is_asked(self, data: st.DataObject) -> str | None:
        """About one time for one job; → the refusal's code, or None."""
        names, car = data.draw(st.sampled_from(JOBS)), car_type(data.draw(st.sampled_from(["car", "suv"])))
        wheel = data.draw(wheels)
        visit = calculate_booking_duration([service(name).id for name in names], car.id, self.point, wheel)
        minutes, needs = visit.total_minutes, visit.needs
        cells = {post.id: self.cells(post) for post in self.posts}
        taken = {post.id: self.taken(post) for post in self.posts}
        start = data.draw(self.times(cells, taken), "time")

        expected = {post.number: self.answer(post, start, minutes, needs, cells, taken) for post in self.posts}
        able = {number for number, reason in expected.items() if reason is None}
        code = None if able else next(NEAREST[reason] for reason in NEAREST if reason in expected.values())
        note(f"{names} {car.code} {wheel} at {instant(start)}: {expected}")

        # the list
        point, day = self.point, model.date_of(ZONE, start)
        (listed,) = days(point, day, 1, minutes, needs)
        counts = {minute(time.starts_at): time.available_posts for time in listed.times}
        assert counts.get(start, 0) == len(able)
        runs = find_available_slots_for_duration(point, day, day, minutes, needs)
        assert {run.post_number for run in runs if minute(run.starts_at) == start} == able
        # the check
        assert {each.post_number: each.reason for each in why_not(point, instant(start), minutes, needs)} == expected
        assert {run.post_number for run in available_at_time(point, instant(start), minutes, needs)} == able
        checked = check_availability(point, instant(start), minutes, needs)
        assert checked.is_available == bool(able)
        assert (checked.recommended and checked.recommended.post_number) in (able or {None})
        assert all(time.starts_at != instant(start) for time in checked.suggested)
        # the write: of a hold, of a hold on one post, of a booking
        number = data.draw(st.sampled_from(sorted(expected)), "post")
        its_code = NEAREST[expected[number]] if expected[number] else None
        ids = [service(name).id for name in names]

        def hold(post_number=None) -> None:
            token = new_token()
            held = reserve_slot_temporarily(
                self.id, instant(start), minutes, token, needs=needs, post_number=post_number
            )
            assert self.number_of(held.service_post_id) in ({post_number} if post_number else able)
            assert release_reservation(token)

        def book() -> None:
            made = create_booking(
                self.id, ids, car.id, ANNA, token=new_token(), starts_at=instant(start), wheel_inches=wheel
            )
            assert self.number_of(made.service_post_id) in able
            cancel_booking(made.id, actor=USER)

        assert answer_of(hold) == code
        assert answer_of(lambda: hold(number)) == its_code
        assert answer_of(book) == code
        assert {post.id: self.taken(post) for post in self.posts} == taken
        return code

    def answer(self, post: Post, start: int, minutes: int, needs: Needs, cells, taken) -> str | None:
        """This post's reason, from the first that holds on; None: it can."""
        now = clock.now().timestamp()
        today = model.date_of(ZONE, minute_now())
        lead, horizon, is_open = db.session.execute(
            text("SELECT lead_minutes, horizon_days, active FROM service_points")
        ).one()
        if not is_open:
            return "station_closed_online"
        if start * 60 < now:
            return "in_the_past"
        if start * 60 < now + lead * 60:
            return "too_soon"
        if start >= midnight(ZONE, today + timedelta(days=horizon + 1)):
            return "beyond_horizon"
        return post.cannot(needs) or model.why_not(cells[post.id], taken[post.id], start, minutes)

    def times(self, cells: dict[int, list[model.Span]], taken) -> st.SearchStrategy[int]:
        """On the grid and off it, past, soon, too far away, at the edges of what is taken and of the rules."""
        lead, horizon = db.session.execute(text("SELECT lead_minutes, horizon_days FROM service_points")).one()
        now, today = minute_now(), model.date_of(ZONE, minute_now())
        end = midnight(ZONE, today + timedelta(days=horizon + 1))
        edges = [now, now + 1, now + lead, now + lead + 1, end, end - 1]
        starts = sorted({start for found in cells.values() for start, _ in found if now <= start < end})
        ends = sorted({edge for found in taken.values() for a, b, _ in found for edge in (a, b)})
        any_time = st.integers(self.first, self.last)
        return st.one_of(
            st.sampled_from(starts) if starts else any_time,
            st.sampled_from(starts) if starts else any_time,
            st.sampled_from(ends) if ends else any_time,
            st.integers(now, now + lead),
            st.sampled_from([*edges, *(each + 5 for each in starts[-3:]), *(each - 1 for each in ends)]),
            any_time,
        )

    def number_of(self, post_id: int) -> int:
        return next(post.number for post in self.posts if post.id == post_id)


wheels = st.sampled_from([None, None, 15, 17, 20])


def answer_of(do: Callable[[], None]) -> str | None:
    """None when it was done, else the refusal's code."""
    try:
        do()
    except Problem as problem:
        return problem.code
    return None


def minute_now() -> int:
    return int(clock.now().timestamp()) // 60


def as_seconds(stored: int | datetime) -> float:
    """An instant as the database's own driver gives it."""
    return stored if isinstance(stored, int) else stored.timestamp()


def as_minute(stored: int | datetime) -> int:
    return int(as_seconds(stored)) // 60


@command
def occupy(point_id: int, post_id: int, start: int, end: int, kind: str) -> None:
    """As somebody would have, at some time: only where nobody is."""
    about = {}
    if kind.startswith("hold"):
        about = {"expires_at": clock.now() + timedelta(minutes=-1 if kind.endswith("over") else 15), "wanted": {}}
    run = a_stretch(post_id, instant(start), instant(end))
    reservations.lock_posts([post_id])
    reservations.take(point_id, run, kind.split()[0], on_grid=False, **about)


@command
def set_open(point_id: int, is_open: bool) -> None:
    db.session.get_one(ServicePoint, point_id).active = is_open


@command
def forget_everything() -> None:
    db.session.expunge_all()
    for table in reversed(db.metadata.sorted_tables):
        db.session.execute(table.delete())

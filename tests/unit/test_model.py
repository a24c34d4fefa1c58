"""The pure arithmetic of hours, slots and runs against the model that finds everything by trying (tests/model.py)."""

from datetime import date, timedelta
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from tests import model
from tests.model import Plan, Rules, instant, minute
from tirefit.schedule import grid
from tirefit.schedule.availability import best_first
from tirefit.schedule.windows import Hours, Week, day_span, local_windows, opening_windows

POST, OTHER = 7, 8
# A zone, and a day on or near which its clock is set, or any other day
DAYS = [
    ("Europe/Kyiv", date(2026, 3, 29)),
    ("Europe/Kyiv", date(2026, 10, 25)),
    ("Europe/Kyiv", date(2026, 12, 31)),
    ("Europe/Berlin", date(2026, 3, 29)),
    ("America/Havana", date(2026, 3, 8)),  # the hour after midnight
    ("America/Havana", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),  # half an hour
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Asia/Almaty", date(2024, 3, 1)),  # to another offset for good
    ("Pacific/Apia", date(2026, 4, 5)),
]

edges = st.one_of(st.integers(0, 2880), st.sampled_from([0, 60, 120, 150, 180, 210, 240, 540, 1380, 1440, 1500, 2880]))


@st.composite
def days_windows(draw) -> list[tuple[int, int]]:
    """Windows that a day may have: in order, apart, none beginning after midnight."""
    marks = sorted(draw(st.sets(edges, max_size=6)))
    pairs = zip(marks[::2], marks[1::2], strict=False)
    return [(opens, closes) for opens, closes in pairs if opens < 1440]


@st.composite
def rules(draw) -> tuple[Rules, date]:
    zone, day = draw(st.sampled_from(DAYS))
    near = st.integers(-3, 3).map(lambda n: day + timedelta(days=n))
    owners = st.sampled_from([None, POST, OTHER])
    found = Rules(zone)
    for id in range(1, draw(st.integers(1, 4)) + 1):
        first, last = draw(st.one_of(st.just((None, None)), st.tuples(near, near).map(sorted).map(tuple)))
        first, last = draw(st.sampled_from([(first, last), (None, last), (first, None)]))
        week = [(weekday, *window) for weekday in range(7) for window in draw(days_windows())]
        found.plans[id] = Plan(week, draw(owners), first, last, draw(st.integers(0, 1)))
    for owner, at, windows in draw(st.lists(st.tuples(owners, near, days_windows()), max_size=2)):
        found.exceptions[owner, at] = windows
    return found, day


def as_hours(rules: Rules) -> Hours:
    weeks = (
        Week(tuple(plan.week), plan.post, plan.first, plan.last, plan.priority, id) for id, plan in rules.plans.items()
    )
    return Hours(rules.zone, tuple(weeks), {key: tuple(windows) for key, windows in rules.exceptions.items()})


def as_minutes(spans) -> list[tuple[int, int]]:
    return [(minute(start), minute(end)) for start, end in spans]


@settings(max_examples=200, deadline=None)
@given(rules())
def test_posts_are_open_when_the_model_says_so(case):
    rules, day = case
    hours, before = as_hours(rules), day - timedelta(days=3)
    for each in range(-3, 4):
        date_ = day + timedelta(days=each)
        assert local_windows(hours, POST, date_) == rules.hours(POST, date_)
    # The two days before are asked for too: their nights reach into the days that count.
    found = as_minutes(opening_windows(hours, POST, before, day + timedelta(days=1)))
    expected = rules.windows(POST, day - timedelta(days=1), day + timedelta(days=1))
    assert found[len(found) - len(expected) :] == expected


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(DAYS), st.integers(-2, 2))
def test_a_day_lasts_as_long_as_its_clock_shows_it(case, away):
    zone, day = case[0], case[1] + timedelta(days=away)

    assert as_minutes([day_span(zone, day)]) == [
        (model.midnight(zone, day), model.midnight(zone, day + timedelta(days=1)))
    ]
    shown = {local for local in model.shown_around(zone, day) if local // 1440 == day.toordinal()}
    assert len(shown) <= 1440


@st.composite
def posts_days(draw) -> tuple[list[tuple[int, int]], int, list[tuple[int, int]]]:
    marks = sorted(draw(st.sets(st.integers(0, 900), min_size=2, max_size=6)))
    windows = list(zip(marks[::2], marks[1::2], strict=False))
    length = draw(st.sampled_from([15, 20, 30, 40, 45, 60]))
    taken: list[tuple[int, int]] = []
    for start, size in draw(st.lists(st.tuples(st.integers(-30, 900), st.integers(1, 120)), max_size=6)):
        if draw(st.booleans()):  # on the grid of some window, so that whole cells are reserved
            opens = draw(st.sampled_from(windows))[0]
            start, size = opens + (start - opens) // length * length, length * (1 + size // 60)
        if not model.touches((start, start + size), taken):
            taken.append((start, start + size))
    return windows, length, sorted(taken)


@settings(max_examples=600, deadline=None)
@given(posts_days(), st.one_of(st.none(), st.integers(1, 200)))
def test_slots_and_runs_are_those_of_the_model(case, work):
    windows, length, taken = case
    spans = [(instant(start), instant(end)) for start, end in taken]
    cut = grid.cut([(instant(start), instant(end)) for start, end in windows], length, spans)

    cells = [cell for cell in as_minutes(cut) if not model.touches(cell, taken)]
    assert cells == model.cells(windows, length, taken)
    found = list(grid.runs(1, 1, cut, spans, work))
    assert as_minutes((run.starts_at, run.ends_at) for run in found) == model.runs(cells, taken, work)
    for run in found:
        span = minute(run.starts_at), minute(run.ends_at)
        waste, leftover = model.waste_and_leftover(cells, taken, span, work or length)
        assert run.waste_minutes == waste
        assert sum(rest for rest in (run.left_minutes, run.right_minutes) if rest < model.TYPICAL_JOB) == leftover


posts_runs = st.builds(
    lambda number, waste, left, right, breadth: grid.Run(
        number, number, instant(0), instant(60), 1, waste, left, right, breadth
    ),
    st.integers(1, 9),
    *[st.sampled_from([0, 10, 20, 30, 45])] * 3,
    st.integers(1, 2),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(posts_runs, min_size=2, max_size=5, unique_by=lambda run: run.post_number))
def test_the_least_able_post_is_chosen_then_the_least_waste_then_the_least_leftover(found):
    def leftover(run):
        return sum(rest for rest in (run.left_minutes, run.right_minutes) if rest < model.TYPICAL_JOB)

    for better, worse in pairwise(best_first(found)):
        costs = [(run.breadth, run.waste_minutes, leftover(run), run.post_number) for run in (better, worse)]
        assert costs[0] < costs[1]

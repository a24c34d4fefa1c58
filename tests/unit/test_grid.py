"""Cutting a day into slots around what is reserved, and finding runs in it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tirefit.schedule.grid import cut, free_cells, gaps, is_covered, runs

NINE = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
DAY = (NINE, NINE + timedelta(hours=9))


def at(minute):
    return NINE + timedelta(minutes=minute)


def span(start, end):
    return at(start), at(end)


def minutes(spans):
    return [(int((a - NINE).total_seconds()) // 60, int((b - NINE).total_seconds()) // 60) for a, b in spans]


def test_each_length_cuts_the_day_at_its_own_pace():
    assert len(cut([DAY], 30, [])) == 18
    assert minutes(cut([DAY], 40, []))[-1] == (480, 520)  # the last twenty minutes hold no slot


def test_a_break_starts_the_grid_anew():
    assert minutes(cut([span(0, 100), span(130, 200)], 30, [])) == [
        (0, 30),
        (30, 60),
        (60, 90),
        (130, 160),
        (160, 190),
    ]


def test_a_length_that_begins_later_cuts_the_windows_that_open_from_then_on():
    windows = [span(0, 100), span(100, 200)]

    assert minutes(cut(windows, 30, [], (at(100), 50))) == [(0, 30), (30, 60), (60, 90), (100, 150), (150, 200)]
    assert cut(windows, 30, [], (at(50), 50)) == cut(windows, 30, [], (at(100), 50)), "a window is cut at one pace"


def test_a_booking_made_of_whole_cells_keeps_them():
    assert cut([DAY], 30, [span(60, 120)]) == cut([DAY], 30, [])


def test_a_booking_across_the_midnight_of_a_station_that_never_closes_keeps_its_cells():
    windows = [span(0, 120), span(120, 240)]

    assert cut(windows, 30, [span(90, 150)]) == cut(windows, 30, [])


def test_under_a_booking_of_another_length_there_are_no_cells_and_the_rest_is_used_best():
    around = cut([span(0, 190)], 45, [span(60, 100)])

    assert minutes(around) == [(0, 45), (100, 145), (145, 190)]  # the plain grid would have had 135–180 only


def test_a_gap_that_holds_as_many_cells_of_the_plain_grid_keeps_the_plain_grid():
    assert minutes(cut([span(0, 150)], 30, [span(35, 50)])) == [(0, 30), (60, 90), (90, 120), (120, 150)]


def test_what_lies_outside_the_window_changes_nothing_inside():
    assert cut([DAY], 30, [span(-60, -30), span(600, 660)]) == cut([DAY], 30, [])


def test_gaps_are_what_nothing_touches():
    assert minutes(gaps(span(0, 100), [span(-5, 10), span(20, 30), span(90, 130)])) == [(10, 20), (30, 90)]


def test_a_run_is_the_fewest_cells_that_cover_the_work():
    first = next(runs(1, 1, cut([DAY], 40, []), [], 50))

    assert (first.slots, minutes([(first.starts_at, first.ends_at)]), first.waste_minutes) == (2, [(0, 80)], 30)


def test_work_does_not_run_across_a_break_or_a_booking():
    cells = cut([span(0, 60), span(90, 150)], 30, [])

    assert [run.starts_at for run in runs(1, 1, cells, [], 60)] == [at(0), at(90)]
    assert [run.starts_at for run in runs(1, 1, cells, [span(30, 60)], 60)] == [at(90)]


def test_without_minutes_one_slot_is_asked_for_and_nothing_is_wasted():
    found = list(runs(1, 1, cut([span(0, 80)], 40, []), [], None))

    assert [(run.slots, run.waste_minutes) for run in found] == [(1, 0), (1, 0)]


def test_a_run_knows_what_it_leaves_free_before_and_after():
    cells = cut([span(0, 150)], 30, [])

    middle = next(run for run in runs(1, 1, cells, [], 30) if run.starts_at == at(60))

    assert (middle.left_minutes, middle.right_minutes) == (60, 60)


@pytest.mark.parametrize(
    ("cells", "covered"),
    [
        ([span(0, 30), span(30, 60)], True),
        ([span(0, 30)], False),
        ([span(0, 30), span(40, 60)], False),
        ([span(0, 30), span(30, 70)], False),
        ([], False),
    ],
)
def test_time_is_covered_by_cells_that_make_it_up_exactly(cells, covered):
    assert is_covered(span(0, 60), cells) is covered


@st.composite
def days(draw):
    """Windows, a length, and reservations anywhere: in the windows, across their ends, in the breaks."""
    edges = sorted(draw(st.lists(st.integers(0, 96), min_size=2, max_size=6, unique=True)))
    windows = [span(5 * a, 5 * b) for a, b in zip(edges[::2], edges[1::2], strict=False)]
    if draw(st.booleans()):  # touching, as those of a station that never closes
        windows = [span(5 * a, 5 * b) for a, b in pairwise(edges)]
    marks = sorted(draw(st.lists(st.integers(-10, 110), max_size=10, unique=True)))
    taken = [span(5 * a, 5 * b) for a, b in zip(marks[::2], marks[1::2], strict=False)]
    return windows, draw(st.sampled_from([5, 15, 20, 30, 40, 45, 60])), taken


@settings(max_examples=250, deadline=None)
@given(days())
def test_cells_have_the_posts_length_lie_in_its_hours_and_never_overlap(day):
    windows, length, taken = day

    cells = cut(windows, length, taken)

    assert all(end - start == timedelta(minutes=length) for start, end in cells)
    assert all(any(opens <= start and end <= closes for opens, closes in windows) for start, end in cells)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(cells))


@settings(max_examples=250, deadline=None)
@given(days())
def test_every_gap_holds_as_many_free_cells_as_it_can(day):
    windows, length, taken = day

    free = free_cells(cut(windows, length, taken), taken)

    for window in windows:
        for start, end in gaps(window, taken):
            here = [cell for cell in free if start <= cell[0] and cell[1] <= end]
            assert len(here) == (end - start) // timedelta(minutes=length)


@settings(max_examples=250, deadline=None)
@given(days(), st.data())
def test_booking_offered_cells_and_cutting_again_moves_no_other_cell(day, data):
    windows, length, taken = day
    begins = st.sampled_from([opens for opens, _ in windows])
    then = data.draw(st.none() | st.tuples(begins, st.sampled_from([15, 25, 40, 60])))
    cells = cut(windows, length, taken, then)
    found = list(runs(1, 1, cells, taken, data.draw(st.integers(5, 120))))
    if not found:
        return
    run = data.draw(st.sampled_from(found))

    again = cut(windows, length, sorted([*taken, (run.starts_at, run.ends_at)]), then)

    def others(all_cells):
        return [cell for cell in all_cells if cell[1] <= run.starts_at or cell[0] >= run.ends_at]

    assert others(again) == others(cells)


@settings(max_examples=250, deadline=None)
@given(days(), st.integers(1, 150))
def test_runs_are_exactly_the_rows_of_free_cells_that_cover_the_work(day, need):
    """Against the plainest search there is: from every cell, walk on until the work is covered."""
    windows, length, taken = day
    cells = cut(windows, length, taken)
    expected = []
    for i, (start, end) in enumerate(cells):
        row = [(start, end)]
        for cell in cells[i + 1 :]:
            if row[-1][1] - start >= timedelta(minutes=need) or cell[0] != row[-1][1]:
                break
            row.append(cell)
        is_free = not any(a < row[-1][1] and start < b for a, b in taken)
        if is_free and row[-1][1] - start >= timedelta(minutes=need):
            expected.append((start, row[-1][1], len(row)))

    assert [(run.starts_at, run.ends_at, run.slots) for run in runs(1, 1, cells, taken, need)] == expected

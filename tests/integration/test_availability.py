"""What is free: the plan's example to the minute, notice and horizon, and the reason of every refusal."""

from datetime import timedelta

import pytest

from tests import factories
from tests.factories import kyiv
from tirefit.errors import (
    BeyondHorizon,
    InThePast,
    ServicesDoNotFit,
    SlotNotOffered,
    SlotTaken,
    TimeMatchesNoSlot,
    TooSoon,
)
from tirefit.schedule import changes
from tirefit.schedule.availability import available_at_time, days, find_available_slots_for_duration, nearest
from tirefit.schedule.reasons import refusal
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily
from tirefit.schedule.windows import local_time

PLANS_EXAMPLE = {"09:00": 3, "09:30": 2, "09:40": 1, "10:00": 2, "10:20": 1, "10:30": 2, "11:00": 3}


def clock_times(point, times):
    return {local_time(point.time_zone, t.starts_at).strftime("%H:%M"): t.available_posts for t in times}


@pytest.mark.parametrize("minutes", [None, 30])
def test_the_plans_example_holds_to_the_minute(station, minutes):
    (monday,) = days(station, kyiv("09:00").date(), 1, minutes)
    until_eleven = {time: posts for time, posts in clock_times(station, monday.times).items() if time <= "11:00"}

    assert until_eleven == PLANS_EXAMPLE
    assert {time: len(available_at_time(station, kyiv(time), minutes)) for time in PLANS_EXAMPLE} == PLANS_EXAMPLE


def test_the_list_of_a_day_is_what_can_be_asked_for_one_by_one(station):
    """The list, the question about one time and the list of runs are one answer (I10)."""
    reserve_slot_temporarily(station.id, kyiv("10:00"), 70, new_token())
    (monday,) = days(station, kyiv("09:00").date(), 1, 50)
    runs = find_available_slots_for_duration(station, kyiv("09:00").date(), kyiv("09:00").date(), 50)

    assert {t.starts_at: t.available_posts for t in monday.times} == {
        start: len(available_at_time(station, start, 50)) for start in {run.starts_at for run in runs}
    }


def test_the_post_is_chosen_by_least_waste_then_by_what_it_leaves_then_by_number(station):
    assert [run.post_number for run in available_at_time(station, kyiv("09:00"), 40)] == [2, 1, 3]
    assert [run.post_number for run in available_at_time(station, kyiv("09:00"), 30)] == [1, 3, 2]


def test_a_time_less_than_the_notice_away_is_not_offered(app, at):
    station = factories.station(lead_minutes=30)
    at("09:45")

    assert available_at_time(station, kyiv("10:00"), 30) == []
    assert isinstance(refusal(station, kyiv("10:00"), 30), TooSoon)
    assert available_at_time(station, kyiv("10:20"), 30) != []


def test_the_soonest_time_is_the_first_one_listed(station, at):
    at("16:10")
    (monday,) = days(station, kyiv("09:00").date(), 1, 60)

    assert nearest(station, 60) == monday.times[0]
    at("17:30")
    assert nearest(station, 60).starts_at == kyiv("2026-11-03 09:00")


def test_nothing_within_the_horizon_is_no_time_at_all(station):
    for day in range(station.horizon_days + 1):
        changes.close_day(station.id, kyiv("09:00").date() + timedelta(days=day))

    assert nearest(station, 30) is None


def test_a_closed_day_is_shut_and_a_sold_out_day_is_full(station):
    tuesday = kyiv("2026-11-03 09:00").date()
    changes.close_day(station.id, tuesday, "Инвентаризация")
    while times := days(station, kyiv("09:00").date(), 1, 30)[0].times:
        reserve_slot_temporarily(station.id, times[0].starts_at, 30, new_token())

    assert [day.state for day in days(station, kyiv("09:00").date(), 3, 30)] == ["full", "shut", "open"]


def test_every_refusal_has_its_reason(station, at):
    at("09:10")
    for _ in range(3):
        reserve_slot_temporarily(station.id, kyiv("13:00"), 20, new_token())
    cases = {
        (kyiv("09:00"), 30): InThePast,
        (kyiv("2026-12-24 10:00"), 30): BeyondHorizon,
        (kyiv("2026-11-08 10:00"), 30): SlotNotOffered,  # Sunday
        (kyiv("20:00"), 30): SlotNotOffered,
        (kyiv("10:05"), 30): TimeMatchesNoSlot,
        (kyiv("17:30"), 60): ServicesDoNotFit,
        (kyiv("13:00"), 30): SlotTaken,
    }

    assert {case: type(refusal(station, *case)) for case in cases} == cases
    for time, minutes in cases:
        assert available_at_time(station, time, minutes) == []


def test_counting_a_fortnight_takes_three_statements_however_many_posts(station, statements):
    with statements() as seen:
        days(station, kyiv("09:00").date(), 14, 30)

    assert len(seen) == 3

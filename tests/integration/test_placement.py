"""Where a job goes best, and what is offered instead of a time that is gone."""

from datetime import date, timedelta

import pytest

from tests import factories
from tests.factories import kyiv
from tirefit.booking.placement import alternatives, check_availability, find_optimal_slot
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily

MONDAY = date(2026, 11, 2)


@pytest.fixture
def hourly(app):
    """One post, a time at each full hour from nine to five, Monday to Saturday."""
    return factories.station(posts=(60,))


def take(point, *times):
    for time in times:
        reserve_slot_temporarily(point.id, kyiv(time), 60, new_token())


def instead_of(point, time, count=3):
    return [each.starts_at for each in alternatives(point, kyiv(time), 60, count=count)]


def test_instead_of_a_time_come_the_nearest_before_it_the_nearest_after_it_and_the_same_tomorrow(hourly):
    take(hourly, "12:00", "13:00")

    assert instead_of(hourly, "12:00") == [kyiv("11:00"), kyiv("14:00"), kyiv("2026-11-03 12:00")]


def test_near_is_up_to_three_hours_on_the_same_day(hourly):
    take(hourly, "10:00", "11:00", "12:00", "13:00", "14:00")

    # 09:00 is three hours away, and so is 15:00
    assert instead_of(hourly, "12:00")[:2] == [kyiv("09:00"), kyiv("15:00")]
    # 16:00 is three hours after 13:00, and 09:00 four before it: no more near than tomorrow at one
    take(hourly, "15:00")
    assert instead_of(hourly, "13:00")[:2] == [kyiv("16:00"), kyiv("2026-11-03 13:00")]


def test_late_in_the_evening_the_next_morning_is_not_near(hourly):
    take(hourly, "15:00", "16:00", "17:00")

    assert instead_of(hourly, "17:00")[:2] == [kyiv("14:00"), kyiv("2026-11-03 17:00")]


def test_the_same_time_is_offered_on_the_next_day_that_has_it(hourly):
    take(hourly, "12:00", "2026-11-03 12:00")

    assert instead_of(hourly, "12:00")[2] == kyiv("2026-11-04 12:00")


def test_after_these_come_the_nearest_of_all_and_a_day_counts_as_twelve_hours(hourly):
    take(hourly, "09:00", "10:00", "11:00", "12:00", "13:00", "14:00", "15:00")

    # 16:00 is four hours away; tomorrow's eleven and one are thirteen, Wednesday's noon is twenty-four
    expected = ["2026-11-03 12:00", "16:00", "17:00", "2026-11-03 11:00", "2026-11-03 13:00"]
    assert instead_of(hourly, "12:00", count=5) == [kyiv(time) for time in expected]


def test_instead_of_a_time_that_is_over_come_those_from_now_on(hourly, at):
    at("2026-11-03 10:30")

    assert instead_of(hourly, "12:00") == [kyiv(f"2026-11-0{time}") for time in ("3 12:00", "3 11:00", "3 13:00")]


def test_two_weeks_are_looked_at_and_no_more(app):
    point = factories.station(posts=(60,), horizon_days=20)
    *days, last = (day for day in (MONDAY + timedelta(days=n) for n in range(14)) if day.weekday() != 6)
    take(point, *(f"{day} {hour:02}:00" for day in days for hour in range(9, 18)))
    take(point, *(f"{last} {hour:02}:00" for hour in range(9, 17)))

    assert instead_of(point, "12:00") == [kyiv(f"{last} 17:00")]
    take(point, f"{last} 17:00")
    assert instead_of(point, "12:00") == []


def test_a_time_that_can_be_had_is_given_the_post_that_is_preferred(station):
    answer = check_availability(station, kyiv("09:00"), 30)
    third = check_availability(station, kyiv("09:00"), 30, preferred_post=3)

    assert (answer.is_available, answer.recommended.post_number, answer.suggested) == (True, 1, ())
    assert third.recommended.post_number == 3


def test_the_best_times_waste_least_and_lie_nearest(station):
    """Forty minutes: nothing is wasted on the second post, twenty on the others; each minute away costs a quarter."""
    best = find_optimal_slot(station, MONDAY, 40, wished=kyiv("13:00"))

    assert len(best) == 5
    assert [each.cost for each in best] == sorted(each.cost for each in best)
    assert (best[0].run.starts_at, best[0].run.post_number, best[0].cost) == (kyiv("13:00"), 2, 0)
    assert (best[0].occupied_minutes, best[0].waste_minutes, best[0].efficiency) == (40, 0, 1)


def test_without_a_wish_the_earliest_of_the_best_comes_first(station):
    best = find_optimal_slot(station, MONDAY, 30, count=2)

    assert [(each.run.starts_at, each.cost) for each in best] == [(kyiv("09:00"), 0), (kyiv("09:30"), 0)]

"""Why a time cannot be had, post by post; and a day of each post as staff and the API see it."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from tests import factories
from tests.factories import booking, car_type, kyiv
from tirefit.database import db
from tirefit.errors import PostCannotTakeIt, TooManyAttempts
from tirefit.models import ScheduleTemplate
from tirefit.schedule import changes
from tirefit.schedule.availability import Needs, available_at_time, find_available_slots_for_duration
from tirefit.schedule.blocks import block_time, unblock
from tirefit.schedule.changes import Abilities
from tirefit.schedule.reasons import by_posts, refusal, reopening, why_not
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily
from tirefit.schedule.slots import regenerate_post_schedule

DAY = "2026-11-03"


def update(post, **changed):
    now = {name: getattr(post, name) for name in ("post_number", "slot_duration", "name", "description", "active")}
    return changes.update_post(post.id, **(now | changed))


def reasons(point, time, minutes=30, needs=Needs()):  # noqa: B008 (frozen)
    return [answer.reason for answer in why_not(point, kyiv(f"{DAY} {time}"), minutes, needs)]


def test_each_post_gives_its_own_reason(station):
    made = booking(station, f"{DAY} 10:00", services=["Балансировка"], post_number=1)
    held = reserve_slot_temporarily(station.id, kyiv(f"{DAY} 11:00"), 30, new_token(), post_number=3)
    update(station.posts[1], abilities=Abilities((car_type("car").id,), (), 16))

    assert reasons(station, "10:00") == ["overlaps", "off_grid", None]
    assert reasons(station, "11:00") == [None, None, "held"]
    assert reasons(station, "17:30", 60) == ["too_short", "off_grid", "too_short"]
    assert reasons(station, "19:00") == ["closed", "closed", "closed"]
    assert reasons(station, "09:00", 30, Needs(car_type_id=car_type("suv").id)) == [None, "car_type", None]
    assert reasons(station, "09:00", 30, Needs(wheel_inches=17)) == [None, "wheel_size", None]
    by = why_not(station, kyiv(f"{DAY} 10:00"), 30)[0].by
    assert by.id == made.reservation_id
    assert why_not(station, kyiv(f"{DAY} 11:00"), 30)[2].by.expires_at == held.expires_at


def test_a_job_of_several_slots_is_stopped_by_whatever_lies_in_its_way(station, at):
    """On post 1 (30 minutes): a job of 80 takes three slots in a row, of that post alone."""
    at(f"{DAY} 08:55")
    first = station.posts[0]
    held = reserve_slot_temporarily(station.id, kyiv(f"{DAY} 11:00"), 20, new_token(), post_number=1)
    block_time(station.id, first.id, kyiv(f"{DAY} 13:10"), kyiv(f"{DAY} 13:20"), "Обед")

    def of_first(time):
        return why_not(station, kyiv(f"{DAY} {time}"), 80)[0]

    answers = {
        time: of_first(time) for time in ("09:00", "09:30", "10:00", "10:30", "11:00", "11:30", "16:30", "17:00")
    }
    assert {time: answer.reason for time, answer in answers.items()} == {
        "09:00": None,
        "09:30": None,  # until 11:00, when the hold begins
        "10:00": "held",
        "10:30": "held",
        "11:00": "held",
        "11:30": None,  # until 13:00, before the block
        "16:30": None,  # until closing
        "17:00": "too_short",
    }
    run = answers["09:30"].run
    assert (run.ends_at, run.slots, run.waste_minutes) == (kyiv(f"{DAY} 11:00"), 3, 10)
    assert {answers[time].by.expires_at for time in ("10:00", "10:30", "11:00")} == {held.expires_at}
    # the block is off the grid: no slot lies under it, and the slots round it are no row
    assert [of_first(time).reason for time in ("12:00", "12:30", "13:10")] == ["too_short", "too_short", "overlaps"]
    at(held.expires_at - timedelta(seconds=1))
    assert of_first("10:00").reason == "held"
    at(held.expires_at)
    assert of_first("10:00").reason is None


def test_a_post_that_is_switched_off_and_a_station_that_is_closed_online_say_so(station, at):
    update(station.posts[0], active=False)
    assert reasons(station, "09:00") == ["post_inactive", None, None]
    at(f"{DAY} 09:01")
    assert set(reasons(station, "09:00")) == {"in_the_past"}


def test_a_station_closed_online_has_no_soonest_time_on_any_post(app):
    station = factories.station(active=False)
    day = kyiv(f"{DAY} 09:00").date()

    assert {post.next_available_at for post in by_posts(station, day, 30)} == {None}


def test_a_reason_is_given_exactly_where_nothing_is_offered(station):
    """The list, the question and the reasons are three faces of one answer."""
    booking(station, f"{DAY} 10:00")
    reserve_slot_temporarily(station.id, kyiv(f"{DAY} 13:00"), 70, new_token())
    update(station.posts[2], abilities=Abilities((car_type("car").id,)))
    needs = Needs(car_type_id=car_type("suv").id)
    day = kyiv(f"{DAY} 09:00").date()
    listed = {
        (run.starts_at, run.post_number) for run in find_available_slots_for_duration(station, day, day, 50, needs)
    }
    for minutes in range(9 * 60, 18 * 60 + 30, 5):
        time = kyiv(f"{DAY} {minutes // 60:02}:{minutes % 60:02}")
        free = {run.post_number for run in available_at_time(station, time, 50, needs)}
        answers = why_not(station, time, 50, needs)
        assert {answer.post_number for answer in answers if answer.reason is None} == free
        assert {number for start, number in listed if start == time} == free
        assert all((answer.run is None) == (answer.reason is not None) for answer in answers)


def test_when_no_post_takes_such_a_car_the_customer_is_told_that(station):
    for post in station.posts:
        update(post, abilities=Abilities((car_type("car").id,)))

    problem = refusal(station, kyiv(f"{DAY} 09:00"), 30, Needs(car_type_id=car_type("suv").id))
    assert isinstance(problem, PostCannotTakeIt)


def test_a_day_of_each_post_shows_what_has_become_of_every_slot(station, at):
    booking(station, f"{DAY} 10:00", services=["Балансировка"], post_number=1)
    reserve_slot_temporarily(station.id, kyiv(f"{DAY} 11:00"), 30, new_token(), post_number=1)
    block_time(station.id, station.posts[0].id, kyiv(f"{DAY} 12:00"), kyiv(f"{DAY} 13:00"), "Обед")
    at(f"{DAY} 09:40")
    reserve_slot_temporarily(station.id, kyiv(f"{DAY} 10:30"), 30, new_token(), post_number=1)

    first = by_posts(station, kyiv(f"{DAY} 09:00").date(), 60)[0]

    seen = [slot.status for slot in first.slots][:9]
    assert seen == ["past", "past", "booked", "held", "free", "free", "blocked", "blocked", "free"]
    assert first.next_available_at == kyiv(f"{DAY} 11:00")


def test_counting_by_posts_is_counting_by_time(station):
    booking(station, f"{DAY} 09:00")
    day = kyiv(f"{DAY} 09:00").date()
    for post in by_posts(station, day, 40):
        runs = [
            run.starts_at
            for run in find_available_slots_for_duration(station, day, day, 40)
            if run.post_number == post.post_number
        ]
        assert post.next_available_at == min(runs)


def test_blocking_takes_what_is_free_and_cancels_nothing(station):
    made = booking(station, f"{DAY} 10:00", services=["Балансировка"], post_number=1)
    post = station.posts[0]

    done = block_time(station.id, post.id, kyiv(f"{DAY} 09:45"), kyiv(f"{DAY} 11:10"), "Сломался подъёмник")

    assert len(done.reservation_ids) == 2
    assert [found.id for found in done.in_the_way] == [made.reservation_id]
    again = regenerate_post_schedule(post.id)  # the offer has made room for it by itself
    assert (again.added, again.removed) == ((), ())
    assert reasons(station, "10:30")[0] == "overlaps"
    assert [unblock(id) for id in done.reservation_ids] == [True, False]  # a block goes whole
    assert unblock(made.reservation_id) is False
    assert reasons(station, "10:30") == [None, "off_grid", None]


def test_a_block_of_several_days_is_several_reservations(station):
    done = block_time(station.id, station.posts[0].id, kyiv(f"{DAY} 00:00"), kyiv("2026-11-06 00:00"))

    assert len(done.reservation_ids) == 3


@pytest.mark.parametrize("count", [10])
def test_one_network_keeps_ten_times_and_no_more(station, at, count):
    for n in range(count):
        time = kyiv(f"{DAY} {9 + n % 8:02}:00")
        reserve_slot_temporarily(station.id, time, 30, new_token(), holder=f"phone {n}", origin="office")

    with pytest.raises(TooManyAttempts) as refused:
        reserve_slot_temporarily(station.id, kyiv(f"{DAY} 12:00"), 30, new_token(), origin="office")
    assert refused.value.facts["retry_after"] == 15 * 60
    reserve_slot_temporarily(station.id, kyiv(f"{DAY} 12:00"), 30, new_token(), origin="home")
    at("09:16")
    reserve_slot_temporarily(station.id, kyiv(f"{DAY} 12:00"), 30, new_token(), origin="office")


def test_a_detailed_answer_takes_three_statements(station, statements):
    with statements() as seen:
        why_not(station, kyiv(f"{DAY} 10:00"), 30)
    assert len(seen) == 3
    with statements() as seen:
        by_posts(station, kyiv(f"{DAY} 10:00").date(), 30)
    assert len(seen) == 3


# --- at the seams


def test_what_only_touches_a_time_is_not_in_its_way(station):
    """On post 1 (30 minutes): somebody until ten, somebody from half past ten on."""
    booking(station, f"{DAY} 09:30", services=["Балансировка"], post_number=1)
    in_the_way = booking(station, f"{DAY} 10:30", services=["Балансировка"], post_number=1)

    answer = why_not(station, kyiv(f"{DAY} 10:00"), 60)[0]

    assert (answer.reason, answer.by.id) == ("overlaps", in_the_way.reservation_id)


def test_at_closing_time_the_station_is_closed_whoever_was_there_last(station):
    booking(station, f"{DAY} 17:30", services=["Балансировка"], post_number=1)

    assert reasons(station, "18:00") == ["closed", "closed", "closed"]


def set_week(point, opens, closes, valid_from=None):
    week = db.session.scalars(select(ScheduleTemplate.id)).one()
    windows = [(day, opens, closes) for day in range(7)]
    changes.save_template(point.id, windows, name="Неделя", template_id=week, valid_from=valid_from)


def round_the_clock():
    point = factories.station(posts=(30,), horizon_days=10)
    set_week(point, 0, 24 * 60)
    return point


def test_the_horizon_ends_with_its_last_day(app):
    point = round_the_clock()

    assert why_not(point, kyiv("2026-11-12 23:30"), 30)[0].run
    assert why_not(point, kyiv("2026-11-13 00:00"), 30)[0].reason == "beyond_horizon"


def test_a_post_can_be_had_from_this_very_moment_on_and_its_day_begins_at_midnight(app):
    point = round_the_clock()
    now, tomorrow = kyiv("09:00"), kyiv(f"{DAY} 00:00")

    (today,), (day,) = (by_posts(point, kyiv(f"{each} 12:00").date(), 30) for each in ("2026-11-02", DAY))

    assert (today.next_available_at, day.next_available_at) == (now, tomorrow)
    assert (day.slots[0].starts_at, day.slots[-1].ends_at, len(day.slots)) == (tomorrow, kyiv("2026-11-04 00:00"), 48)


@pytest.mark.parametrize(("ahead", "bookable_in"), [(10, None), (11, 1), (366, 356), (367, None)])
def test_a_season_is_announced_from_beyond_the_horizon_to_a_year_ahead(app, ahead, bookable_in):
    point = factories.station(horizon_days=10)
    today = kyiv("12:00").date()
    set_week(point, 9 * 60, 18 * 60, valid_from=today + timedelta(days=ahead))

    found = reopening(point)

    expected = bookable_in and (today + timedelta(days=ahead), today + timedelta(days=bookable_in))
    assert (found and (found.opens, found.bookable_from)) == expected

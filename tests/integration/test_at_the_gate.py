"""Cars without a booking: a place now or later, the lane for those who fit nowhere, and work that takes longer."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests import factories
from tests.factories import ANNA, BORIS, booking, car_type, kyiv, service
from tirefit import revisions
from tirefit.booking.at_the_gate import (
    book_walk_in,
    delays,
    extend_visit,
    first_places,
    lane,
    leave_lane,
    let_wait,
)
from tirefit.booking.durations import calculate_booking_duration
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import db
from tirefit.errors import BookingChanged, SlotTaken, WrongTransition
from tirefit.models import Booking, Reservation, ServicePoint, WaitingVisit
from tirefit.schedule import changes
from tirefit.schedule.availability import ANYTHING, Needs, available_at_time
from tirefit.schedule.blocks import block_time, unblock
from tirefit.schedule.changes import Abilities
from tirefit.schedule.reservations import new_token


def walk_in(station, post_number, start, services=("Сезонная переобувка",), **wishes):
    ids = [service(name).id for name in services]
    token = wishes.pop("token", None) or new_token()
    return book_walk_in(
        station.id, ids, car_type().id, post_number=post_number, starts_at=kyiv(start), token=token, **wishes
    )


def wait(station, services=("Сезонная переобувка",), **about):
    nonce = about.pop("nonce", None) or new_token()
    return let_wait(station.id, [service(name).id for name in services], car_type().id, nonce=nonce, **about)


def places(station, minutes=40):
    return [(place.post_number, place.starts_at) for place in first_places(station, minutes, ANYTHING)]


def revision(station):
    db.session.rollback()
    own = select(ServicePoint).where(ServicePoint.id == station.id)
    return revisions.of_station(db.session.scalars(revisions.with_revision(own)).one())


def current(made):
    db.session.rollback()
    return db.session.get_one(Booking, made.id, populate_existing=True)


def test_the_first_place_of_each_post_is_where_it_is_free_for_long_enough(station, at):
    booking(station, "09:00", post_number=1)  # until 10:00
    booking(station, "09:40", BORIS, post_number=2)  # until 10:20: forty minutes before it are free
    at(kyiv("09:12"))

    assert places(station) == [(3, kyiv("09:12")), (1, kyiv("10:00")), (2, kyiv("10:20"))]
    assert places(station, 25) == [(2, kyiv("09:12")), (3, kyiv("09:12")), (1, kyiv("10:00"))]


def test_after_hours_whoever_stands_there_decides(station, at):
    at(kyiv("17:45"))
    walk_in(station, 1, "17:45")

    found = first_places(station, 40, ANYTHING)

    assert [(place.post_number, place.is_outside, place.is_now) for place in found] == [
        (2, True, True),
        (3, True, True),
    ]


def test_a_walk_in_is_here_and_keeps_its_time(station, at, ivan):
    at(kyiv("09:12"))

    made = walk_in(station, 2, "09:00", plate="АА 1234 ВС", user_id=ivan.id)

    assert (made.status, made.source, made.plate, made.arrived_at) == (
        "arrived",
        "walk_in",
        "АА 1234 ВС",
        kyiv("09:12"),
    )
    assert (made.starts_at, made.ends_at) == (kyiv("09:12"), kyiv("09:52"))  # off the grid
    assert 2 not in {run.post_number for run in available_at_time(station, kyiv("09:40"), 40)}
    assert available_at_time(station, kyiv("09:52"), 40)[0].post_number == 2  # the rest of the day is cut around it


def test_nobody_is_put_on_top_of_somebody(station):
    booking(station, "09:30", post_number=1)

    with pytest.raises(SlotTaken):
        walk_in(station, 1, "09:00")

    assert db.session.scalar(select(func.count()).select_from(Reservation)) == 1


def test_the_same_tap_twice_is_one_car(station):
    token = new_token()

    assert walk_in(station, 1, "09:00", token=token).id == walk_in(station, 1, "09:00", token=token).id


def test_the_lane_tells_when_each_could_be_served(station, at):
    for number in (1, 2, 3):
        block_time(station.id, station.posts[number - 1].id, kyiv("09:00"), kyiv("11:00") + number * timedelta(hours=1))
    first, second = wait(station, plate="АА 0001 АА"), wait(station, plate="АА 0002 АА")

    found = lane(station)

    assert [each.visit.id for each in found] == [first.id, second.id]
    assert [(each.place.post_number, each.place.starts_at) for each in found] == [
        (1, kyiv("12:00")),
        (1, kyiv("12:40")),  # after the one before
    ]


def test_a_car_leaves_the_lane_once(station):
    waits = wait(station)

    made = walk_in(station, 1, "09:00", waiting_id=waits.id)

    assert lane(station) == []
    assert not leave_lane(waits.id, station.id)
    assert db.session.get(WaitingVisit, waits.id, populate_existing=True).booking_id == made.id


def test_what_is_known_of_a_car_in_the_lane_goes_with_it(station, at):
    known = wait(station, plate="АА 0001 АА", phone="+380671112233")
    unknown = wait(station)
    at(kyiv("09:20"))

    first = walk_in(station, 1, "09:20", waiting_id=known.id)
    second = walk_in(station, 3, "09:20", waiting_id=unknown.id, plate="АА 0002 АА", phone="+380674445566")

    assert (first.plate, first.customer_phone, first.arrived_at) == ("АА 0001 АА", "+380671112233", kyiv("09:00"))
    assert (second.plate, second.customer_phone, second.arrived_at) == ("АА 0002 АА", "+380674445566", kyiv("09:00"))


def test_posts_that_cannot_take_the_car_or_are_switched_off_are_passed_over(station):
    for post, change in (
        (station.posts[0], {"active": False}),
        (station.posts[1], {"abilities": Abilities((), (), 16)}),
    ):
        now = {name: getattr(post, name) for name in ("post_number", "slot_duration", "name", "description", "active")}
        changes.update_post(post.id, **(now | change))

    assert [each.post_number for each in first_places(station, 30, Needs(wheel_inches=17))] == [3]


def test_the_same_car_does_not_wait_twice(station):
    nonce = new_token()

    assert wait(station, nonce=nonce).id == wait(station, nonce=nonce).id


def test_a_car_of_another_station_is_not_sent_away(station):
    waits = wait(station)
    elsewhere = factories.station("letnyaya-7", "Летняя, 7")

    assert not leave_lane(waits.id, elsewhere.id)
    assert len(lane(station)) == 1


def test_work_that_takes_longer_takes_what_is_free_and_no_more(station, at, ivan):
    made = booking(station, "09:00", post_number=2)  # until 09:40
    booking(station, "10:20", BORIS, post_number=2)
    at(kyiv("09:30"))
    transition_booking(made.id, "start")

    extend_visit(made.id, 30, user_id=ivan.id)
    assert current(made).ends_at == kyiv("10:10")
    extend_visit(made.id, 20, user_id=ivan.id)

    assert (current(made).ends_at, current(made).expected_end_at) == (kyiv("10:20"), kyiv("10:30"))


def test_whoever_comes_next_is_shown_as_delayed(station, at):
    made, after, last = (
        booking(station, "09:00", ANNA, post_number=2),
        booking(station, "09:40", BORIS, post_number=2),
        booking(station, "10:20", ANNA, post_number=2),
    )
    at(kyiv("09:00"))
    transition_booking(made.id, "start")
    extend_visit(made.id, 10)

    everybody = [current(each) for each in (made, after, last)]
    assert delays(everybody, kyiv("09:30")) == {after.id: timedelta(minutes=10), last.id: timedelta(minutes=10)}
    assert delays(everybody, kyiv("10:00")) == {after.id: timedelta(minutes=20), last.id: timedelta(minutes=20)}


def test_who_cancelled_delays_nobody_and_hides_no_delay(station, at):
    gone = booking(station, "09:00", post_number=2)
    cancel_booking(gone.id, actor="user")
    at_work, next_one = booking(station, "09:00", post_number=2), booking(station, "09:40", BORIS, post_number=2)
    transition_booking(at_work.id, "start")

    late = delays([current(each) for each in (gone, at_work, next_one)], kyiv("09:50"))

    assert late == {next_one.id: timedelta(minutes=10)}


def test_only_work_that_is_here_takes_longer(station):
    made = booking(station, "09:00")

    with pytest.raises(WrongTransition):
        extend_visit(made.id, 10)
    transition_booking(made.id, "start")
    with pytest.raises(WrongTransition):
        extend_visit(made.id, 500)
    with pytest.raises(BookingChanged):
        extend_visit(made.id, 10, seen_version=1)


def test_screens_are_told_of_what_they_show_and_of_nothing_else(station):
    other = factories.station("letnyaya-7", "Летняя, 7")
    seen = [revision(station)]

    def something_new():
        seen.append(revision(station))
        return seen[-1] != seen[-2]

    made = booking(station, "10:00")
    assert something_new()
    transition_booking(made.id, "arrive")
    assert something_new()
    transition_booking(made.id, "arrive")  # the same tap twice
    assert not something_new()
    blocked = block_time(station.id, station.posts[0].id, kyiv("14:00"), kyiv("15:00"))
    assert something_new()
    unblock(blocked.reservation_ids[0])
    assert something_new()
    wait(station)
    assert something_new()
    booking(other, "10:00", BORIS)
    calculate_booking_duration([service().id], car_type().id, station)
    assert not something_new()


def test_a_command_that_fails_tells_the_screens_nothing(station):
    made = booking(station, "10:00")
    before = revision(station)

    with pytest.raises(WrongTransition):
        transition_booking(made.id, "complete")

    assert revision(station) == before


def test_a_walk_in_for_a_post_that_the_station_does_not_have_is_refused(station):
    with pytest.raises(SlotTaken):
        walk_in(station, 9, "09:00")
    assert db.session.scalar(select(func.count()).select_from(Booking)) == 0

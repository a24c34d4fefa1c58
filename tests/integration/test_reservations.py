"""Holds: one winner, one hold each, over by time and not by a job, and nothing lost on the way to a booking."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select

from tests.factories import ANNA, BORIS, booking, kyiv
from tirefit.booking.links import find_by_token
from tirefit.database import command, db
from tirefit.errors import HoldExpired, LimitReached, ServicesDoNotFit, SlotTaken
from tirefit.models import Booking, Reservation
from tirefit.schedule import changes
from tirefit.schedule.availability import available_at_time
from tirefit.schedule.blocks import block_time
from tirefit.schedule.reservations import (
    MOST_EXTENSIONS,
    cleanup_expired_reservations,
    extend_reservation,
    find_hold,
    free,
    new_token,
    release_reservation,
    reserve_slot_temporarily,
)

TEN = "10:30"  # posts 1 and 3 begin a slot then


def hold(station, time=TEN, minutes=30, token=None, **wishes):
    return reserve_slot_temporarily(station.id, kyiv(time), minutes, token or new_token(), **wishes)


def reserved():
    return db.session.scalar(select(func.count()).select_from(Reservation))


def test_a_hold_takes_a_place_and_the_last_place_only_once(station):
    hold(station), hold(station)

    with pytest.raises(SlotTaken):
        hold(station)
    assert reserved() == 2


def test_work_longer_than_a_slot_takes_slots_in_a_row(station):
    held = hold(station, "09:00", 50, post_number=1)

    assert held.ends_at - held.starts_at == timedelta(minutes=60)


def test_the_same_tap_sent_twice_is_one_hold(station):
    token = new_token()

    first, second = hold(station, token=token), hold(station, token=token)

    assert first.reservation_id == second.reservation_id
    assert reserved() == 1


def test_a_browser_holds_one_time_and_the_new_one_is_won_before_the_old_is_freed(station):
    first = hold(station, "09:00", holder="phone")
    second = hold(station, "10:00", holder="phone")
    assert (find_hold(first.token), find_hold(second.token).starts_at) == (None, kyiv("10:00"))

    for _ in range(3):
        hold(station, "13:00", 20)
    with pytest.raises(SlotTaken):
        hold(station, "13:00", holder="phone")
    assert find_hold(second.token) is not None


def test_a_hold_stops_blocking_at_the_second_it_expires_and_no_job_is_needed(station, at):
    for _ in range(2):
        hold(station)
    at("09:14")
    assert available_at_time(station, kyiv(TEN), 30) == []
    at("09:15")
    assert len(available_at_time(station, kyiv(TEN), 30)) == 2
    hold(station), hold(station)
    with pytest.raises(SlotTaken):
        hold(station)


def test_a_hold_knows_when_it_is_over_and_how_often_it_may_go_on(station, at):
    held = hold(station)
    at("09:14:59")
    assert find_hold(held.token).has_expired is False
    at("09:15")
    assert find_hold(held.token).has_expired is True
    assert find_hold(held.token).may_be_extended is True
    for _ in range(MOST_EXTENSIONS):
        extend_reservation(held.token)
    assert find_hold(held.token).may_be_extended is False


def test_a_hold_keeps_what_was_wanted_and_another_wish_is_another_hold(station):
    wish = {"svc": [1], "car": 2}
    first = hold(station, token="a", wanted=wish)
    again = hold(station, token="a", wanted=wish)
    assert (first.wanted, again.wanted, find_hold("a").wanted) == (wish, wish, wish)
    assert again.reservation_id == first.reservation_id

    other = hold(station, token="a", wanted={"svc": [3], "car": 2})
    assert other.wanted == find_hold(other.token).wanted == {"svc": [3], "car": 2}
    assert reserved() == 1
    plain = hold(station, "12:00", token="b")
    assert hold(station, "12:00", token="b").reservation_id == plain.reservation_id


def test_time_that_is_free_already_is_freed_without_a_word(station):
    made = booking(station, "10:00")
    its_time = made.reservation_id

    @command
    def free_twice():
        made.reservation_id, made.status = None, "cancelled_by_station"
        db.session.flush()
        for _ in range(2):
            free(its_time)

    free_twice()
    assert reserved() == 0


def test_an_expired_hold_of_another_length_gives_way_whole(station, at):
    hold(station, "10:00", 110, post_number=1)
    at("09:20")

    assert hold(station, "10:30", post_number=1).starts_at == kyiv("10:30")
    assert reserved() == 1


def test_closing_time_does_not_go_round_a_hold_that_is_over(station, at):
    """Else what it had been would stay open in the middle of closed time, once it is tidied away."""
    hold(station, "10:30", post_number=1)
    at("09:20")

    closed = block_time(station.id, station.posts[0].id, kyiv("10:00"), kyiv("12:00"))

    assert (len(closed.reservation_ids), closed.in_the_way) == (1, ())
    with pytest.raises(SlotTaken):
        hold(station, "10:30", post_number=1)


def test_tidying_removes_only_what_is_long_over(station, at):
    old = hold(station)
    at("09:30")
    young = hold(station, "13:00")
    made = booking(station, "15:00")
    at("10:20")

    assert cleanup_expired_reservations() == 1
    assert (find_hold(old.token), find_hold(young.token) is not None) == (None, True)
    assert db.session.get(Reservation, made.reservation_id) is not None


def test_the_form_of_a_hold_is_honoured_for_an_hour_after_it(station, at):
    held = hold(station)  # from 09:00 to 09:15

    at("10:14:59")
    assert cleanup_expired_reservations() == 0
    assert find_hold(held.token) is not None
    at("10:15")
    assert cleanup_expired_reservations() == 1


def test_a_hold_can_be_extended_ten_times_even_when_it_has_just_expired(station, at):
    held = hold(station)
    for n in range(MOST_EXTENSIONS):
        at(kyiv("09:00") + timedelta(minutes=20 * n))
        assert extend_reservation(held.token).expires_at == kyiv("09:15") + timedelta(minutes=20 * n)

    with pytest.raises(LimitReached):
        extend_reservation(held.token)


def test_a_hold_whose_time_is_gone_cannot_be_extended(station, at):
    held = hold(station, post_number=1)
    at("09:20")
    hold(station, post_number=1)

    with pytest.raises(HoldExpired):
        extend_reservation(held.token)


def test_leaving_frees_the_time_and_leaving_twice_is_leaving_once(station):
    held = hold(station)

    assert [release_reservation(held.token), release_reservation(held.token)] == [True, False]
    assert len(available_at_time(station, kyiv(TEN), 30)) == 2


def test_releasing_never_releases_a_booking(station):
    made = booking(station, TEN, token="T" * 22)

    assert release_reservation("T" * 22) is False
    assert db.session.get(Booking, made.id).reservation_id is not None


def test_a_hold_keeps_its_time_when_the_length_changes_and_leaves_no_hole(station):
    post = station.posts[0]
    held = hold(station, "10:00", 30, post_number=1)
    changes.update_post(post.id, post_number=1, slot_duration=60, name="", description="", active=True)

    assert find_hold(held.token).starts_at == kyiv("10:00")
    release_reservation(held.token)
    assert available_at_time(station, kyiv("10:00"), 60)[0].post_number == 1


def test_a_hold_from_before_a_change_of_lengths_leaves_no_gap_when_it_expires(station, at):
    hold(station, "10:30", 30, post_number=1)
    set_length(station.posts[0], 60)
    at("09:20")  # no job has come

    assert available_at_time(station, kyiv("10:00"), 60)[0].post_number == 1


def test_the_offer_makes_room_for_such_a_hold_when_it_becomes_a_booking(station):
    held = hold(station, "10:30", 40, post_number=1)
    set_length(station.posts[0], 55)
    booking(station, TEN, token=held.token)

    assert 1 in {run.post_number for run in available_at_time(station, held.ends_at, 55)}


def test_a_hold_becomes_a_booking_in_its_own_row(station):
    held = hold(station, minutes=40)

    made = booking(station, TEN, token=held.token)

    assert made.reservation_id == held.reservation_id
    assert (made.starts_at, made.ends_at) == (held.starts_at, held.ends_at)
    assert db.session.get(Reservation, made.reservation_id).kind == "booking"


def test_an_expired_hold_that_nobody_took_is_still_honoured(station, at):
    held = hold(station, minutes=40)
    at("09:50")

    assert booking(station, TEN, token=held.token).reservation_id == held.reservation_id


def test_an_expired_hold_that_somebody_took_is_not(station, at):
    held = hold(station, "16:20", 40)  # only post 2 begins a slot then
    at("09:20")
    booking(station, "16:20", BORIS, services=["Балансировка"])

    with pytest.raises(SlotTaken):
        booking(station, "16:20", ANNA, token=held.token)


def test_a_hold_that_was_tidied_away_is_taken_anew_while_the_time_is_free(station, at):
    held = hold(station, minutes=40)
    at("10:20")
    cleanup_expired_reservations()

    assert booking(station, TEN, token=held.token).starts_at == kyiv(TEN)


def test_a_hold_too_short_for_the_work_does_not_become_a_booking(station):
    held = hold(station, minutes=30)

    with pytest.raises(ServicesDoNotFit):
        booking(station, TEN, services=["Сезонная переобувка", "Балансировка"], token=held.token)
    assert find_hold(held.token) is not None


def test_a_token_that_has_become_a_booking_is_not_used_for_another_hold(station):
    token = new_token()
    made = booking(station, TEN, token=token)

    held = hold(station, "12:00", token=token)

    assert held.token != token
    assert find_by_token(token).id == made.id


def set_length(post, minutes):
    changes.update_post(
        post.id, post_number=post.post_number, slot_duration=minutes, name="", description="", active=True
    )

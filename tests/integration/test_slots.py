"""The offer: made from hours and lengths, around what is reserved; previewed before, healed by being run again."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests import factories
from tests.factories import booking, kyiv
from tirefit.booking.commands import reschedule_booking
from tirefit.database import db
from tirefit.errors import PostHasBookings, PostNumberTaken, SlotDurationOutOfRange, WindowsInvalid
from tirefit.models import Booking, Reservation, ScheduleSlot, ScheduleTemplate, ServicePoint
from tirefit.schedule import changes, rolling, slots
from tirefit.schedule.blocks import block_time

EVERY_DAY = range(7)
NINE, ONE, TWO, SIX = 540, 780, 840, 1080


def offer(post, day="2026-11-03"):
    found = db.session.execute(
        select(ScheduleSlot.starts_at, ScheduleSlot.ends_at)
        .where(ScheduleSlot.service_post_id == post.id, ScheduleSlot.starts_at >= kyiv(f"{day} 00:00"))
        .where(ScheduleSlot.starts_at < kyiv(f"{day} 23:59"))
        .order_by(ScheduleSlot.starts_at)
    )
    return [tuple(row) for row in found]


def whole_offer():
    columns = ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at
    return db.session.execute(select(*columns).order_by(*columns[:2])).all()


def promises():
    return [db.session.execute(select(model.__table__)).all() for model in (Reservation, Booking)]


def change(post, **changed):
    now = {
        "post_number": post.post_number,
        "slot_duration": post.slot_duration,
        "name": post.name,
        "description": post.description,
        "active": post.active,
    }
    return changes.update_post(post.id, **(now | changed))


def test_every_post_offers_at_its_own_pace(station):
    assert [len(offer(post)) for post in station.posts] == [18, 13, 18]


def test_a_new_length_cuts_around_what_is_reserved_and_loses_nothing(station):
    post = station.posts[0]
    made = booking(station, "2026-11-03 10:00", services=["Балансировка"], post_number=1)
    before = promises()

    change(post, slot_duration=45)

    assert promises() == before
    assert [start for start, _ in offer(post)][:3] == [
        kyiv("2026-11-03 09:00"),
        kyiv("2026-11-03 10:30"),
        kyiv("2026-11-03 11:15"),
    ]
    assert not any(start < made.ends_at and made.starts_at < end for start, end in offer(post))


def test_the_preview_is_what_applying_does(station):
    post = station.posts[1]
    booking(station, "2026-11-03 09:40", post_number=2)
    preview = changes.preview_post_schedule(post, slot_duration=25, active=True)
    untouched = whole_offer()

    assert change(post, slot_duration=25) == preview
    assert preview.before == len([row for row in untouched if row[0] == post.id])
    assert preview.after == len([row for row in whole_offer() if row[0] == post.id])


def test_previewing_changes_nothing(station):
    before = whole_offer()

    changes.preview_post_schedule(station.posts[0], slot_duration=60, active=False)
    changes.preview_template(station, [(0, NINE, ONE)], station_week(station).id)

    assert whole_offer() == before


def station_week(station):
    return db.session.scalars(select(ScheduleTemplate).where(ScheduleTemplate.service_point_id == station.id)).one()


def test_cutting_again_writes_nothing(station):
    booking(station, "2026-11-03 10:00")
    for post in station.posts:
        again = slots.regenerate_post_schedule(post.id)
        assert (again.added, again.removed) == ((), ())


def test_time_of_an_older_length_is_offered_at_the_new_one_when_it_becomes_free(station):
    from tirefit.booking.steps import cancel_booking

    post = station.posts[0]
    made = booking(station, "2026-11-03 10:00", services=["Балансировка"], post_number=1)
    change(post, slot_duration=60)
    cancel_booking(made.id, actor="user")

    assert offer(post) == [
        (kyiv(f"2026-11-03 {hour:02}:00"), kyiv(f"2026-11-03 {hour + 1:02}:00")) for hour in range(9, 18)
    ]


def test_a_booking_from_before_a_change_of_lengths_can_be_cancelled_and_restored(station):
    """Half past ten is no beginning of a slot any more: it is the station's own promise that brings it back."""
    from tirefit.booking.steps import cancel_booking, restore_booking

    post = station.posts[0]
    made = booking(station, "2026-11-03 10:30", services=["Балансировка"], post_number=1)
    change(post, slot_duration=60)
    cancel_booking(made.id, actor="user")
    assert (kyiv("2026-11-03 10:00"), kyiv("2026-11-03 11:00")) in offer(post)

    restored = restore_booking(made.id, actor="user")

    assert (restored.status, restored.starts_at) == ("confirmed", kyiv("2026-11-03 10:30"))
    assert slots.regenerate_post_schedule(post.id).added == ()


def test_time_that_becomes_free_beside_work_off_the_grid_is_cut_for_the_most_slots(app):
    """Round a booking of 11:00 both cuts after 9:45 hold as many; without it the one from 9:45 on holds one more."""
    from tirefit.booking.steps import cancel_booking

    station = factories.station(posts=(40,))
    (post,) = station.posts
    made = [booking(station, f"2026-11-0{day} 11:00", services=["Балансировка"]) for day in (3, 4)]
    for day in (3, 4):
        block_time(station.id, post.id, kyiv(f"2026-11-0{day} 09:00"), kyiv(f"2026-11-0{day} 09:45"))
    assert offer(post)[0][0] == kyiv("2026-11-03 10:20")

    cancel_booking(made[0].id, actor="user")
    reschedule_booking(made[1].id, actor="user", starts_at=kyiv("2026-11-06 11:00"))

    for day in ("2026-11-03", "2026-11-04"):
        found = offer(post, day)
        assert (found[0][0], len(found)) == (kyiv(f"{day} 09:45"), 12)
    assert slots.regenerate_post_schedule(post.id).added == ()


def test_new_hours_list_the_bookings_that_fall_outside_and_keep_them(station):
    early, late = booking(station, "2026-11-03 09:00"), booking(station, "2026-11-03 17:00", services=["Балансировка"])
    windows = [(day, 600, ONE) for day in EVERY_DAY] + [(day, TWO, SIX) for day in EVERY_DAY]
    week = station_week(station)
    preview = changes.preview_template(station, windows, week.id)

    done = changes.save_template(station.id, windows, name=week.name, template_id=week.id)

    assert done == preview
    assert [found.id for found in done.outside] == [early.reservation_id]
    assert {db.session.get(Booking, made.id).status for made in (early, late)} == {"confirmed"}
    assert all(
        not (kyiv("2026-11-03 13:00") <= start < kyiv("2026-11-03 14:00")) for start, _ in offer(station.posts[0])
    )


def test_a_closed_date_is_not_offered_and_opens_again_as_it_was(station):
    booking(station, "2026-11-03 10:00")
    day, before = kyiv("2026-11-03 09:00").date(), whole_offer()

    closed = changes.close_day(station.id, day, "Праздник")
    assert len(closed.outside) == 1
    assert [offer(post) for post in station.posts] == [[], [], []]
    changes.delete_exception(station.id, day)
    assert whole_offer() == before


def test_the_rolling_schedule_opens_days_and_does_nothing_twice(station, at):
    assert rolling.generate_rolling_schedule() == 0
    at("2026-11-05 03:00")
    added = rolling.generate_rolling_schedule()

    assert added > 0
    assert rolling.generate_rolling_schedule() == 0
    assert db.session.get(ServicePoint, station.id).slots_until == kyiv("2026-11-15 09:00").date()


def test_after_days_of_absence_the_rolling_schedule_catches_up(station, at):
    at("2026-12-20 03:00")
    rolling.generate_rolling_schedule()

    assert len(offer(station.posts[0], "2026-12-21")) == 18
    assert len(offer(station.posts[0], "2026-12-30")) == 18
    assert offer(station.posts[0], "2026-12-18") == []  # nobody opens what is over


def test_a_new_post_is_offered_at_once_and_its_number_is_its_own(station):
    made = changes.create_post(station.id, post_number=4, slot_duration=60)

    assert len(offer(made)) == 9
    with pytest.raises(PostNumberTaken):
        changes.create_post(station.id, post_number=4, slot_duration=30)
    with pytest.raises(PostNumberTaken):
        change(made, post_number=1)


@pytest.mark.parametrize("minutes", [-5, 0, 4, 481])
def test_a_length_out_of_range_is_refused(station, minutes):
    with pytest.raises(SlotDurationOutOfRange):
        change(station.posts[0], slot_duration=minutes)
    assert len(offer(station.posts[0])) == 18


def test_a_post_with_bookings_ahead_cannot_be_switched_off(station):
    made = booking(station, "2026-11-03 10:00", post_number=3)

    with pytest.raises(PostHasBookings) as refused:
        change(station.posts[2], active=False)
    assert [found.id for found in refused.value.facts["reserved"]] == [made.reservation_id]


def test_a_post_that_is_switched_off_offers_nothing(station):
    change(station.posts[2], active=False)

    assert offer(station.posts[2]) == []
    change(station.posts[2], active=True)
    assert len(offer(station.posts[2])) == 18


def test_windows_that_cannot_be_are_refused_with_their_weekday(station):
    with pytest.raises(WindowsInvalid) as refused:
        changes.save_template(station.id, [(0, NINE, SIX), (3, NINE, TWO), (3, ONE, SIX)], name="Неделя")
    assert refused.value.facts["weekday"] == 3


@pytest.mark.parametrize(("day", "cells"), [("2026-10-25", 25 * 2), ("2027-03-28", 23 * 2)])
def test_a_day_on_which_the_clock_changes_offers_its_real_minutes(station, at, day, cells):
    at(f"{day} 00:00")
    windows = [(weekday, 0, 1440) for weekday in EVERY_DAY]
    week = station_week(station)
    changes.save_template(station.id, windows, name=week.name, template_id=week.id)
    rolling.generate_rolling_schedule()

    date = kyiv(f"{day} 12:00").date()
    made = slots.generate_slots_for_post(station.posts[0].id, date, date)
    assert made.after == cells
    assert all(end - start == timedelta(minutes=30) for start, _, end in made.kept + made.added)


def test_one_post_can_be_generated_for_a_day_and_the_station_for_a_week(station):
    date = kyiv("2026-11-03 09:00").date()
    for_post = slots.generate_slots_for_post(station.posts[0].id, date, date)
    for_station = slots.generate_slots_from_template(station.id, date, date)

    assert (for_post.after, for_station.after) == (18, 49)
    assert replace(for_station, kept=()).added == ()

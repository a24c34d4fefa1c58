"""What managers change: own hours, seasons, exceptions, abilities; each a run, seen before and undone after."""

from datetime import date, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select

from tests.factories import booking, car_type, kyiv, service
from tirefit.database import db
from tirefit.errors import PostHasBookings, RunOutdated, ScheduleChanged, WindowsInvalid
from tirefit.models import Booking, Reservation, ScheduleRun, ScheduleSlot, ScheduleTemplate, ServicePost
from tirefit.schedule import changes, rolling, slots
from tirefit.schedule.availability import Needs, available_at_time
from tirefit.schedule.blocks import block_time, unblock
from tirefit.schedule.changes import Abilities
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily
from tirefit.schedule.windows import day_span

TUESDAY = date(2026, 11, 3)
NINE, NOON, SIX, EIGHT = 540, 720, 1080, 1200
EVERY_DAY = range(7)


def week(*spans):
    return [(day, *span) for day in EVERY_DAY for span in spans]


def whole_offer(point):
    columns = ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at
    found = select(*columns).where(ScheduleSlot.service_point_id == point.id).order_by(*columns[:2])
    return db.session.execute(found).all()


def promises():
    return [db.session.execute(select(model.__table__)).all() for model in (Reservation, Booking)]


def opening_hours(post, day=TUESDAY):
    """From the first slot to the end of the last one, by the station's clock."""
    start, end = day_span("Europe/Kyiv", day)
    found = db.session.execute(
        select(ScheduleSlot.starts_at, ScheduleSlot.ends_at)
        .where(ScheduleSlot.service_post_id == post.id, ScheduleSlot.starts_at >= start, ScheduleSlot.starts_at < end)
        .order_by(ScheduleSlot.starts_at)
    ).all()
    return (found[0].starts_at, found[-1].ends_at) if found else None


def ordinary_week(point):
    return db.session.scalars(
        select(ScheduleTemplate).where(
            ScheduleTemplate.service_point_id == point.id, ScheduleTemplate.service_post_id.is_(None)
        )
    ).one()


def update(post, **changed):
    now = {name: getattr(post, name) for name in ("post_number", "slot_duration", "name", "description", "active")}
    return changes.update_post(post.id, **(now | changed))


# --- hours


def test_a_post_with_hours_of_its_own_leaves_the_others_theirs(station):
    first, second, _ = station.posts
    changes.save_template(station.id, week((NINE, NOON)), name="Только утро", post_id=first.id)

    assert opening_hours(first) == (kyiv(f"{TUESDAY} 09:00"), kyiv(f"{TUESDAY} 12:00"))
    assert opening_hours(second)[1] > kyiv(f"{TUESDAY} 17:00")


def test_a_season_lies_over_the_week_while_it_lasts_and_goes_without_a_trace(station):
    before, post = whole_offer(station), station.posts[0]
    changes.save_template(
        station.id, week((480, EIGHT)), name="Сезон", valid_from=TUESDAY, valid_until=TUESDAY + timedelta(days=1)
    )
    season = db.session.scalars(select(ScheduleTemplate).where(ScheduleTemplate.name == "Сезон")).one()

    assert opening_hours(post) == (kyiv(f"{TUESDAY} 08:00"), kyiv(f"{TUESDAY} 20:00"))
    assert opening_hours(post, date(2026, 11, 5)) == (kyiv("2026-11-05 09:00"), kyiv("2026-11-05 18:00"))
    changes.delete_template(season.id)
    assert whole_offer(station) == before


def test_own_hours_on_a_closed_day_open_only_that_post(station):
    changes.save_exception(station.id, TUESDAY, reason="Праздник")
    changes.save_exception(station.id, TUESDAY, windows=[(600, 840)], post_id=station.posts[1].id)

    assert [opening_hours(post) is not None for post in station.posts] == [False, True, False]
    assert opening_hours(station.posts[1]) == (kyiv(f"{TUESDAY} 10:00"), kyiv(f"{TUESDAY} 14:00"))


def test_dates_can_be_closed_in_a_row_and_opened_again(station):
    before = whole_offer(station)
    last = TUESDAY + timedelta(days=2)

    closed = changes.save_exception(station.id, TUESDAY, last, reason="Отпуск")
    assert all(opening_hours(station.posts[0], TUESDAY + timedelta(days=n)) is None for n in range(3))
    assert len(closed.removed) == 3 * 49
    changes.delete_exception(station.id, TUESDAY, last)
    assert whole_offer(station) == before


@pytest.mark.parametrize("windows", [[(SIX, NINE)], [(NINE, SIX), (NOON, EIGHT)], [(-5, 60)]])
def test_hours_that_cannot_be_are_refused_and_nothing_is_changed(station, windows):
    before = whole_offer(station)

    with pytest.raises(WindowsInvalid):
        changes.save_exception(station.id, TUESDAY, windows=windows)
    with pytest.raises(WindowsInvalid):
        changes.save_template(station.id, week(*windows), name="Неделя")
    with pytest.raises(WindowsInvalid):
        changes.save_template(station.id, [], name="Сезон", valid_from=TUESDAY, valid_until=date(2026, 11, 1))
    assert whole_offer(station) == before


def test_nights_bind_days_together_and_no_slot_ever_overlaps_another(station):
    """Hours past midnight: closing an evening takes its small hours with it, and cancelling heals across midnight."""
    template, post = ordinary_week(station), station.posts[1]
    changes.save_template(station.id, week((1320, 1800)), name=template.name, template_id=template.id)  # 22:00–06:00
    as_nights = whole_offer(station)
    changes.save_exception(station.id, TUESDAY)
    small_hours = kyiv("2026-11-04 00:00"), kyiv("2026-11-04 06:00")
    assert not any(small_hours[0] <= start < small_hours[1] for _, start, _ in whole_offer(station))
    changes.delete_exception(station.id, TUESDAY)
    assert whole_offer(station) == as_nights

    made = booking(station, "2026-11-03 23:20", services=["Балансировка"], post_number=2)
    update(post, slot_duration=50)
    from tirefit.booking.steps import cancel_booking

    cancel_booking(made.id, actor="user")
    of_post = [(start, end) for id, start, end in whole_offer(station) if id == post.id]
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(of_post))
    again = slots.regenerate_post_schedule(post.id)
    assert (again.added, again.removed) == ((), ())


def test_time_freed_after_midnight_cuts_the_evening_before_it_again(station):
    """What begins the gap and what ends it lie on two days: with the second gone, the grid of the evening is better."""
    template, post = ordinary_week(station), station.posts[1]
    changes.save_template(station.id, week((1200, 1800)), name=template.name, template_id=template.id)  # 20:00–06:00
    block_time(station.id, post.id, kyiv("2026-11-03 20:00"), kyiv("2026-11-03 20:10"))
    blocked = block_time(station.id, post.id, kyiv("2026-11-04 00:50"), kyiv("2026-11-04 01:10"))

    def first_of_the_evening():
        return min(
            start for id, start, _ in whole_offer(station) if id == post.id and start >= kyiv("2026-11-03 20:00")
        )

    assert first_of_the_evening() == kyiv("2026-11-03 20:10")
    unblock(*blocked.reservation_ids)

    assert first_of_the_evening() == kyiv("2026-11-03 20:40")
    again = slots.regenerate_post_schedule(post.id)
    assert (again.added, again.removed) == ((), ())


def test_a_new_length_leaves_last_night_as_it_was_offered(station, at):
    """A slot of fifty minutes from 23:20 on would reach into one of forty that ended with the day before."""
    template, post = ordinary_week(station), station.posts[1]
    changes.save_template(station.id, week((1200, 1800)), name=template.name, template_id=template.id)  # 20:00–06:00
    at("2026-11-03 12:00")

    update(post, slot_duration=50)

    of_post = [(start, end) for id, start, end in whole_offer(station) if id == post.id]
    assert (kyiv("2026-11-02 23:20"), kyiv("2026-11-03 00:00")) in of_post
    assert (kyiv("2026-11-03 00:10"), kyiv("2026-11-03 01:00")) in of_post
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(of_post))


def test_a_station_that_never_closes_is_booked_across_midnight_and_stays_as_it_was(station):
    template = ordinary_week(station)
    changes.save_template(station.id, week((0, 1440)), name=template.name, template_id=template.id)
    before = whole_offer(station)

    booking(station, "2026-11-03 23:30", services=["Сезонная переобувка"], post_number=1)
    last = f"{station.slots_until} 23:30"
    booking(station, last, services=["Балансировка"], post_number=1)

    for post in station.posts:
        again = slots.regenerate_post_schedule(post.id)
        assert (again.added, again.removed, again.outside) == ((), (), ())
    for day in (date(2026, 11, 2), TUESDAY, date(2026, 11, 4)):  # and each day by itself, on either side of midnight
        again = slots.generate_slots_for_post(station.posts[0].id, day, day)
        assert (again.added, again.removed) == ((), ())
    assert whole_offer(station) == before


# --- previews and runs


def test_every_preview_is_what_applying_does_and_touches_no_promise(station):
    booking(station, "2026-11-03 09:00")
    before = promises()
    template, post = ordinary_week(station), station.posts[0]

    preview = changes.preview_template(station, week((600, SIX)), template.id)
    assert changes.save_template(station.id, week((600, SIX)), name="Неделя", template_id=template.id) == preview
    assert len(preview.outside) == 1
    preview = changes.preview_template(station, week((NINE, NOON)), valid_from=TUESDAY, post_id=post.id)
    done = changes.save_template(station.id, week((NINE, NOON)), name="Осень", valid_from=TUESDAY, post_id=post.id)
    assert done == preview
    preview = changes.preview_exception(station, TUESDAY, windows=[(NOON, SIX)])
    assert changes.save_exception(station.id, TUESDAY, windows=[(NOON, SIX)]).added == preview.added
    preview = changes.preview_new_post(station, slot_duration=60, active=True)
    made = changes.create_post(station.id, post_number=9, slot_duration=60)
    assert preview.after == len([row for row in whole_offer(station) if row[0] == made.id])
    assert promises() == before


def test_what_was_seen_is_what_is_applied_or_nothing_is(station):
    post = station.posts[0]
    seen = changes.preview_post_schedule(post, slot_duration=45, active=True)
    booking(station, "2026-11-03 10:00", services=["Балансировка"], post_number=1)
    before = whole_offer(station)

    with pytest.raises(ScheduleChanged) as refused:
        update(post, slot_duration=45, expected=seen.fingerprint)
    assert whole_offer(station) == before

    now = refused.value.facts["difference"]
    assert now == changes.preview_post_schedule(post, slot_duration=45, active=True)
    assert update(post, slot_duration=45, expected=now.fingerprint) == now


def test_a_run_remembers_who_did_what_and_what_it_was_before(station, olga):
    post = station.posts[0]
    update(post, slot_duration=45, user_id=olga.id)

    (run,) = changes.latest_runs(station)
    assert (run.user_id, run.kind, run.subject) == (olga.id, "post", {"post_id": post.id})
    assert (run.before["slot_duration"], run.after["slot_duration"]) == (30, 45)
    assert (run.added, run.removed) == (10 * 12, 10 * 18)  # ten open days


@pytest.mark.parametrize("what", ["length", "week", "season", "closed date", "deleted season", "abilities"])
def test_undoing_a_run_brings_the_offer_back_as_it_was(station, what):
    post, template = station.posts[0], ordinary_week(station)
    if what == "deleted season":
        changes.save_template(station.id, week((480, EIGHT)), name="Сезон", valid_from=TUESDAY)
    before = whole_offer(station)
    done = {
        "length": lambda: update(post, slot_duration=45),
        "abilities": lambda: update(post, abilities=Abilities((car_type().id,), (service().id,), 18)),
        "week": lambda: changes.save_template(station.id, week((NINE, NOON)), name="Н", template_id=template.id),
        "season": lambda: changes.save_template(station.id, week((480, EIGHT)), name="Сезон", valid_from=TUESDAY),
        "closed date": lambda: changes.save_exception(station.id, TUESDAY, TUESDAY + timedelta(days=3)),
        "deleted season": lambda: changes.delete_template(
            db.session.scalars(select(ScheduleTemplate.id).where(ScheduleTemplate.name == "Сезон")).one()
        ),
    }[what]()
    assert (whole_offer(station) != before) == (what != "abilities")

    undone = changes.undo_run(done.run_id)

    assert whole_offer(station) == before
    with pytest.raises(RunOutdated):
        changes.undo_run(done.run_id)
    changes.undo_run(undone.run_id)  # the undoing is a run like any other
    assert db.session.get(ServicePost, post.id).slot_duration == (45 if what == "length" else 30)


def test_a_run_that_something_came_after_is_not_undone(station):
    post = station.posts[0]
    first = update(post, slot_duration=45)
    update(post, slot_duration=60)

    with pytest.raises(RunOutdated):
        changes.undo_run(first.run_id)
    assert db.session.get(ServicePost, post.id).slot_duration == 60


def test_after_a_week_a_run_stays(station, at):
    done = update(station.posts[0], slot_duration=45)
    at("2026-11-10 09:00")

    with pytest.raises(RunOutdated):
        changes.undo_run(done.run_id)


def test_undoing_a_new_post_switches_it_off_unless_somebody_booked_it(station):
    changes.create_post(station.id, post_number=4, slot_duration=60)
    (run,) = changes.latest_runs(station)
    made = booking(station, "2026-11-03 10:00", post_number=4)

    with pytest.raises(PostHasBookings):
        changes.undo_run(run.id)
    from tirefit.booking.steps import cancel_booking

    cancel_booking(made.id, actor="user")
    changes.undo_run(run.id)
    assert opening_hours(db.session.scalars(select(ServicePost).where(ServicePost.post_number == 4)).one()) is None


def test_the_rolling_schedule_tells_how_far_it_has_come(station, at):
    at("2026-11-05 03:00")
    heard = []

    added = rolling.generate_rolling_schedule(tell=lambda *progress: heard.append(progress))

    run = db.session.scalars(select(ScheduleRun).order_by(ScheduleRun.id.desc())).first()
    assert (run.kind, run.total, run.done, run.added) == ("rolling", 1, 1, added)
    assert run.finished_at == kyiv("2026-11-05 03:00")
    assert heard == [(1, 1, added)]


# --- abilities


def test_only_posts_that_can_take_it_are_offered(station):
    first, second, _ = station.posts
    suv, balancing = car_type("suv").id, service("Балансировка").id
    update(first, abilities=Abilities(car_type_ids=(car_type("car").id,)))
    update(second, abilities=Abilities(service_ids=(service().id,), largest_wheel=18))

    def posts(needs):
        return sorted(run.post_number for run in available_at_time(station, kyiv("2026-11-03 09:00"), 30, needs))

    assert posts(Needs()) == [1, 2, 3]
    assert posts(Needs(car_type_id=suv)) == [2, 3]
    assert posts(Needs(service_ids=(balancing,))) == [1, 3]
    assert posts(Needs(car_type_id=suv, service_ids=(balancing, service().id))) == [3]
    assert posts(Needs(wheel_inches=18)) == [1, 2, 3]
    assert posts(Needs(wheel_inches=19)) == [1, 3]


def test_the_least_able_post_that_can_take_it_is_chosen_first(station):
    update(station.posts[2], abilities=Abilities(car_type_ids=(car_type("car").id,)))

    found = available_at_time(station, kyiv("2026-11-03 09:00"), 30, Needs(car_type_id=car_type("car").id))

    assert [run.post_number for run in found] == [3, 1, 2]


def test_a_booking_goes_where_its_car_can_go(station):
    for post in station.posts[:2]:
        update(post, abilities=Abilities(car_type_ids=(car_type("car").id,)))

    made = booking(station, "2026-11-03 09:00", car="suv")

    assert made.post.post_number == 3
    token = new_token()
    needs = Needs(car_type_id=car_type("suv").id)
    held = reserve_slot_temporarily(station.id, kyiv("2026-11-03 12:00"), 60, token, needs=needs)
    assert held.service_post_id == station.posts[2].id

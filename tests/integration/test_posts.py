"""Posts as the manager orders, limits, plans and deletes them: shown first, and never at a booking's cost."""

from datetime import date, timedelta

import pytest
from sqlalchemy import select

from tests.factories import ANNA, booking, car_type, kyiv, service, sign_in
from tests.integration.test_manage import form_of, sold
from tests.integration.test_preview_is_apply import promises
from tirefit.board import load_day
from tirefit.booking.abilities import lost_by
from tirefit.booking.catalogue import station_services
from tirefit.booking.durations import car_types
from tirefit.database import db
from tirefit.errors import PostHasBookings, PostHasHistory, RunOutdated
from tirefit.models import (
    AuditEntry,
    Booking,
    Reservation,
    ScheduleRun,
    ScheduleSlot,
    ScheduleTemplate,
    ServicePoint,
    ServicePost,
)
from tirefit.schedule import changes
from tirefit.schedule.availability import Needs, available_at_time
from tirefit.schedule.blocks import block_time
from tirefit.schedule.changes import Abilities
from tirefit.schedule.rolling import generate_rolling_schedule
from tirefit.schedule.windows import local_day

MONDAY = date(2026, 11, 9)  # a week after the tests' today


@pytest.fixture
def manager(client, olga):
    return sign_in(client, olga)


@pytest.fixture
def post(station):
    return next(found for found in station.posts if found.post_number == 2)


def lengths(post):
    """Of the slots of each local day."""
    found: dict[date, set[int]] = {}
    rows = db.session.execute(
        select(ScheduleSlot.starts_at, ScheduleSlot.ends_at).where(ScheduleSlot.service_post_id == post.id)
    )
    for start, end in rows:
        day = local_day(post.service_point.time_zone, start)
        found.setdefault(day, set()).add((end - start) // timedelta(minutes=1))
    return found


def fresh(post):
    return db.session.get_one(ServicePost, post.id, populate_existing=True)


def order(station):
    db.session.rollback()
    return [post.post_number for post in db.session.get_one(ServicePoint, station.id, populate_existing=True).posts]


# --- a length that begins on a day to come


def test_a_length_begins_on_its_day_in_the_preview_and_in_the_offer(station, manager, post):
    kept = booking(station, "2026-11-10 09:00", post_number=2)
    data = form_of(post, slot="20", from_day=str(MONDAY))

    page = manager.post(f"/manage/posts/{post.id}/preview", data=data).text
    assert "Неделя 6 ноября — 12 ноября" in page, "days in which it has begun"
    before = promises()
    shown = changes.preview_post_schedule(post, slot_duration=20, active=True, from_day=MONDAY)
    answer = manager.post(f"/manage/posts/{post.id}", data=data)

    assert answer.status_code == 303 and promises() == before
    run = db.session.scalars(select(ScheduleRun).order_by(ScheduleRun.id.desc())).first()
    assert (run.added, run.removed) == (len(shown.added), len(shown.removed)) and run.added
    assert all(local_day(station.time_zone, cell[0]) >= MONDAY for cell in (*shown.added, *shown.removed))
    for day, found in lengths(post).items():
        assert found == ({40} if day < MONDAY else {20}), day
    assert db.session.get_one(Booking, kept.id, populate_existing=True).starts_at == kept.starts_at
    opened = manager.get(f"/manage/posts/{post.id}").text
    assert f'value="{MONDAY}"' in opened


def test_when_the_day_comes_the_length_is_the_posts_own_and_nothing_moves(station, post, at):
    done = change(post, slot_duration=20, from_day=MONDAY)
    was = {day: found for day, found in lengths(post).items() if day >= MONDAY}

    at("2026-11-09 08:00")
    generate_rolling_schedule()

    now = fresh(post)
    assert (now.slot_duration, now.next_slot_duration, now.next_from) == (20, None, None)
    assert was.items() <= lengths(post).items()
    changes.undo_run(done.run_id)
    assert fresh(post).slot_duration == 40, "a run is undone after its day as well"
    assert lengths(post)[MONDAY + timedelta(days=1)] == {40}


def test_new_days_are_opened_at_the_length_that_holds_then(station, post, at):
    late = local_day(station.time_zone, kyiv("2026-11-02 12:00")) + timedelta(days=station.horizon_days + 1)
    change(post, slot_duration=20, from_day=late)
    assert set().union(*lengths(post).values()) == {40}

    at(kyiv("2026-11-05 03:00"))
    generate_rolling_schedule()

    assert lengths(post)[late] == {20} if late.weekday() != 6 else lengths(post)[late + timedelta(days=1)] == {20}
    assert lengths(post)[late - timedelta(days=2)] == {40}


def test_a_plan_is_undone_replaced_and_given_up(station, post):
    before = lengths(post)
    done = change(post, slot_duration=20, from_day=MONDAY)
    changes.undo_run(done.run_id)
    assert (lengths(post), fresh(post).next_from) == (before, None)

    change(post, slot_duration=20, from_day=MONDAY)
    change(post, slot_duration=60, from_day=MONDAY + timedelta(days=3))
    assert lengths(post)[MONDAY] == {40} and lengths(post)[MONDAY + timedelta(days=3)] == {60}
    change(post, slot_duration=40)
    assert (lengths(post), fresh(post).next_from) == (before, None)


def test_a_day_that_cannot_be_is_refused(manager, post):
    for day in ("2026-11-01", "2031-01-01", "soon"):
        answer = manager.post(f"/manage/posts/{post.id}", data=form_of(post, slot="20", from_day=day))
        assert answer.status_code == 422 and "Выберите дату" in answer.text


def change(post, **what):
    about = {"post_number": post.post_number, "name": post.name, "description": "", "active": True}
    return changes.update_post(post.id, **about, **what)


# --- what a post can take


def test_abilities_are_ticked_shown_and_kept(station, manager, post):
    cars = {"car": car_type("suv").id, "job": service().id, "largest_wheel": "18", "names_abilities": "1"}
    visit = booking(station, "2026-11-03 10:20", post_number=2)

    page = manager.post(f"/manage/posts/{post.id}/preview", data=form_of(post) | cars).text
    assert "запись на этом посту остаётся в силе" in page
    assert manager.post(f"/manage/posts/{post.id}", data=form_of(post) | cars).status_code == 303

    suv = Needs(car_type_id=car_type("suv").id, service_ids=(service().id,), wheel_inches=18)
    found = {needs: posts_at(station, needs) for needs in (suv, Needs(car_type_id=car_type().id))}
    assert found == {suv: {1, 2, 3}, Needs(car_type_id=car_type().id): {1, 3}}
    assert posts_at(station, Needs(wheel_inches=20)) == {1, 3}
    assert db.session.get_one(Booking, visit.id, populate_existing=True).post.post_number == 2
    page = manager.get(f"/manage/posts/{post.id}").text
    assert 'value="18"' in page and page.count("checked") == 1 + 1 + 1 + 1, "the length, a car, a job, online"
    everything = {"car": [row.id for row in all_cars()], "job": [row.id for row in all_jobs(station)]}
    manager.post(f"/manage/posts/{post.id}", data=form_of(fresh(post), names_abilities="1") | everything)
    assert not fresh(post).car_types and not fresh(post).services, "all of them: whatever comes"


def posts_at(station, needs):
    return {run.post_number for run in available_at_time(station, kyiv("2026-11-04 09:00"), 30, needs)}


def all_cars():
    return car_types()


def all_jobs(station):
    return station_services(station)


def test_nothing_ticked_is_no_post(manager, post):
    answer = manager.post(f"/manage/posts/{post.id}", data=form_of(post, names_abilities="1"))
    assert answer.status_code == 422 and "Отметьте хотя бы один тип машины" in answer.text


def test_what_no_post_could_do_any_more_is_said_before(station, post):
    for other in station.posts:
        if other is not post:
            change(other, slot_duration=other.slot_duration, abilities=Abilities((car_type().id,), (), 17))
    only_cars = Abilities((car_type().id,), (), 17)

    lost = lost_by(db.session.get_one(ServicePoint, station.id, populate_existing=True), post, 40, True, only_cars)

    assert {service.id for service, _cars in lost.cells} == {each.id for each in all_jobs(station)}
    assert all(car_type().id not in {car.id for car in cars} for _service, cars in lost.cells)
    assert lost.largest_wheel == 17 and not lost.bookings
    assert not lost_by(station, post, 40, True, Abilities())


# --- order


def test_posts_change_places_in_lists_and_on_the_board_and_their_numbers_stay(station, manager, post):
    assert order(station) == [1, 2, 3]

    answer = manager.post(f"/manage/posts/{post.id}/move", data={"to": "up"})

    assert answer.status_code == 303 and answer.location.endswith(f"#post-{post.id}")
    assert order(station) == [2, 1, 3]
    day = load_day(db.session.get_one(ServicePoint, station.id), date(2026, 11, 3))
    assert [column.post.post_number for column in day.columns] == [2, 1, 3]
    manager.post(f"/manage/posts/{post.id}/move", data={"to": "up"})
    assert order(station) == [2, 1, 3], "the first one is there already"
    manager.post(f"/manage/posts/{post.id}/move", data={"to": "down"})
    assert order(station) == [1, 2, 3]
    changes.create_post(station.id, post_number=9, slot_duration=30)
    assert order(station) == [1, 2, 3, 9]
    trace = db.session.scalars(select(AuditEntry).where(AuditEntry.after.is_not(None))).all()
    assert any(each.after == {"position": 1} and each.before == {"position": 2} for each in trace)


# --- posts that go


def test_a_post_that_nobody_was_booked_on_goes_with_all_that_is_its_own(station, manager, post):
    template = changes.save_template(station.id, [(0, 540, 600)], name="Свои", post_id=post.id)
    assert template.run_id
    page = manager.get(f"/manage/posts/{post.id}/delete").text
    assert "никто не записывался" in page

    assert manager.post(f"/manage/posts/{post.id}/delete").status_code == 303

    assert order(station) == [1, 3]
    assert not db.session.scalar(select(ScheduleSlot).where(ScheduleSlot.service_post_id == post.id).limit(1))
    assert not db.session.scalar(select(ScheduleTemplate).where(ScheduleTemplate.service_post_id == post.id))
    run = db.session.scalars(select(ScheduleRun).order_by(ScheduleRun.id.desc())).first()
    assert (run.kind, run.after) == ("post", None) and run.removed
    assert manager.get("/manage/zimnyaya-5/history").status_code == 200
    with pytest.raises(RunOutdated):
        changes.undo_run(run.id)


def test_what_is_reserved_on_other_posts_stays_when_one_goes(station, post, at):
    booking(station, "2026-11-03 10:00", ANNA, post_number=1)
    block_time(station.id, post.id, kyiv("10:00"), kyiv("11:00"))
    at("11:30")  # the block is over: it goes with its post

    changes.delete_post(post.id)

    db.session.rollback()
    assert [each.service_post_id for each in db.session.scalars(select(Reservation))] == [station.posts[0].id]


def test_a_post_with_history_stays_and_says_so(station, manager, post):
    booking(station, "2026-11-03 10:20", ANNA, post_number=2)
    before = sold()

    answer = manager.post(f"/manage/posts/{post.id}/delete")

    assert answer.status_code == 409 and "на него записывались" in answer.text and "Выключить" in answer.text
    with pytest.raises(PostHasHistory):
        changes.delete_post(post.id)
    assert order(station) == [1, 2, 3] and sold() == before


def test_nor_does_one_that_is_blocked_ahead(station, post):
    block_time(station.id, post.id, kyiv("2026-11-03 10:00"), kyiv("2026-11-03 11:00"))
    with pytest.raises(PostHasBookings):
        changes.delete_post(post.id)

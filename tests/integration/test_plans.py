"""The calendar of a year, and the way back from every change."""

import re
from datetime import date

import pytest
from sqlalchemy import func, select, text

from tests import factories
from tests.checksum import checksum
from tests.factories import booking, kyiv, sign_in
from tirefit.database import command, db
from tirefit.models import (
    Booking,
    Notification,
    ScheduleException,
    ScheduleRun,
    ScheduleSlot,
    ScheduleTemplate,
    ServicePost,
)
from tirefit.schedule import changes
from tirefit.schedule.blocks import block_time

CALENDAR = "/manage/zimnyaya-5/exceptions"
HISTORY = "/manage/zimnyaya-5/history"


@pytest.fixture
def manager(client, olga):
    return sign_in(client, olga)


def offered(day=None):
    found = select(ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at)
    slots = {tuple(row) for row in db.session.execute(found)}
    return {slot for slot in slots if day is None or slot[1].date() == day}


def sent(**changed):
    return {"first": "2026-11-04", "last": "2026-11-05", "how": "closed", "reason": "Ремонт ворот"} | changed


def seen(page):
    return page.text.partition('name="seen" value="')[2].partition('"')[0]


def test_a_range_is_closed_after_a_look_at_what_that_does(manager, station):
    made = booking(station, "2026-11-04 10:00")
    before, was_sold = offered(), db.session.execute(text("SELECT * FROM bookings")).all()

    look = manager.post(f"{CALENDAR}/preview", data=sent())
    assert offered() == before and "1 запись — решите по ней" in look.text and made.number in look.text
    done = manager.post(CALENDAR, data=sent(seen=seen(look)))

    assert done.status_code == 303
    gone = before - offered()
    assert gone == {slot for slot in before if slot[1].date() in (date(2026, 11, 4), date(2026, 11, 5))}
    assert db.session.execute(text("SELECT * FROM bookings")).all() == was_sold
    page = manager.get(done.location).text
    assert "Ремонт ворот" in page and page.count('<td class="closed">') == 2
    assert "убрано" in page and "1 запись вне часов" in page


def test_some_posts_at_other_hours_and_back_again(manager, station):
    before = offered()
    two = [post for post in station.posts if post.post_number in (1, 3)]

    manager.post(CALENDAR, data=sent(last="", post=["1", "3"], how="hours", hours=["10:00", "14:00", "12:00", "12:30"]))

    day = {slot for slot in offered() if slot[1].date() == date(2026, 11, 4)}
    mine = [(start.hour, end.hour) for id, start, end in day if id == two[0].id]
    assert mine and all(8 <= start <= end <= 12 for start, end in mine), "ten to two, by the station's clock"
    assert {slot for slot in day if slot[0] not in {post.id for post in two}} < before
    assert "some" in manager.get(CALENDAR).text
    for number in ("1", "3"):
        manager.post(f"{CALENDAR}/2026-11-04/as-usual", data={"post": number})
    assert offered() == before
    assert db.session.scalar(select(func.count()).select_from(ScheduleException)) == 0


def test_a_day_is_as_usual_again_when_it_has_been_seen_what_that_does(manager, station):
    """A Sunday that was opened, and booked: closing it again is shown with whom it concerns."""
    sunday = {"first": "2026-11-08", "how": "hours", "hours": ["10:00", "14:00", "", ""]}
    manager.post(CALENDAR, data=sent(last="", **sunday))
    slots = sum(slot[1].date() == date(2026, 11, 8) for slot in offered())
    made = booking(station, "2026-11-08 11:00")
    before = checksum()

    look = manager.get(f"{CALENDAR}/2026-11-08/as-usual")

    assert checksum() == before
    gone = int(re.search(r"(\d+) (?:исчезнет|исчезнут)", look.text)[1])
    assert "0 окон добавится" in look.text and 0 < gone <= slots
    assert "1 запись окажется вне часов работы" in look.text and "11:00, Анна" in look.text
    assert manager.post(f"{CALENDAR}/2026-11-08/as-usual", data={"seen": seen(look)}).status_code == 303
    assert f"убрано {gone}" in manager.get(CALENDAR).text
    assert db.session.get_one(Booking, made.id, populate_existing=True).status == "confirmed"
    assert not [slot for slot in offered() if slot[1].date() == date(2026, 11, 8)]


def test_a_day_that_somebody_books_meanwhile_is_shown_again_before_it_is_as_usual(manager, station):
    sunday = {"first": "2026-11-08", "how": "hours", "hours": ["10:00", "14:00", "", ""]}
    manager.post(CALENDAR, data=sent(last="", **sunday))
    look = manager.get(f"{CALENDAR}/2026-11-08/as-usual")
    booking(station, "2026-11-08 11:00")
    before = checksum()

    refused = manager.post(f"{CALENDAR}/2026-11-08/as-usual", data={"seen": seen(look)})

    assert refused.status_code == 409 and "расписание изменилось" in refused.text
    assert checksum() == before and seen(refused) != seen(look)
    assert manager.post(f"{CALENDAR}/2026-11-08/as-usual", data={"seen": seen(refused)}).status_code == 303


def test_what_the_preview_did_not_say_is_not_done(manager, station):
    look = manager.post(f"{CALENDAR}/preview", data=sent())
    booking(station, "2026-11-04 10:00")
    before = checksum()

    refused = manager.post(CALENDAR, data=sent(seen=seen(look)))

    assert refused.status_code == 409 and "расписание изменилось" in refused.text
    assert checksum() == before and seen(refused) != seen(look)
    assert manager.post(CALENDAR, data=sent(seen=seen(refused))).status_code == 303


def test_days_that_make_no_sense_are_refused(manager, station):
    before = checksum()
    for wrong in (
        *({"first": ""}, {"first": "2026-02-30"}, {"first": "2026-11-01"}, {"first": "2099-01-01"}),
        *({"last": "2026-11-03"}, {"last": "2028-01-01"}, {"last": "nonsense"}, {"how": ""}, {"how": "sometimes"}),
        *(
            {"how": "hours"},
            {"how": "hours", "hours": ["18:00", "9:00"]},
            {"how": "hours", "hours": ["x" * 99, "\x00"]},
        ),
        *({"post": ["99"]}, {"post": ["x", "1"]}, {"reason": "x" * 200}, {"reason": "a\x00"}),
    ):
        for address in (CALENDAR, f"{CALENDAR}/preview"):
            assert manager.post(address, data=sent(**wrong)).status_code == 422, wrong
    assert checksum() == before


def test_the_way_back_from_a_change(manager, station, olga):
    before = offered()
    manager.post(CALENDAR, data=sent())
    made = booking(station, "2026-11-06 10:00")
    run = db.session.scalars(select(ScheduleRun).order_by(ScheduleRun.id.desc())).first()
    page = manager.get(HISTORY).text
    assert "Ольга" in page and "Вернуть как было" in page and "Особые дни" in page

    done = manager.post(f"{HISTORY}/{run.id}/undo")

    assert done.status_code == 303
    taken = {slot for slot in before if slot[1] < made.ends_at and slot[2] > made.starts_at}
    assert before - taken <= offered()
    assert manager.post(f"{HISTORY}/{run.id}/undo").status_code == 409
    assert "возвращено" in manager.get(HISTORY).text
    assert db.session.scalars(select(Booking.status)).all() == ["confirmed"]
    assert manager.post(f"{HISTORY}/999999/undo").status_code == 404


def test_only_the_last_change_of_a_thing_can_be_undone(station):
    post = station.posts[0]
    for minutes in (45, 60):
        changes.update_post(post.id, post_number=1, slot_duration=minutes, name="", description="", active=True)

    last, first = changes.latest_runs(station)[:2]

    assert changes.undoable([last, first]) == {last.id}


def test_the_calendar_takes_few_statements(manager, station, statements):
    changes.save_exceptions(station.id, date(2026, 11, 3), date(2026, 11, 11), reason="Ремонт")
    for address in (CALENDAR, HISTORY):
        with statements() as asked:
            manager.get(address)
        assert len(asked) <= 8, "\n".join(asked)


# --- posts


def test_a_station_without_posts_is_asked_how_many(client, app):
    point = factories.station(slug="novaya-1", name="Новая, 1", posts=())
    manager = sign_in(client, factories.user("Мария", "maria@example.com", "manager", point))
    assert "Сколько постов на станции?" in manager.get("/manage/posts").text
    before = checksum()
    for wrong in ({"count": "0"}, {"count": "31"}, {"minutes": "4"}, {"minutes": "x"}, {"count": ""}):
        assert manager.post("/manage/posts/first", data={"count": "3", "minutes": "40"} | wrong).status_code == 422
    assert checksum() == before

    for _ in range(2):
        manager.post("/manage/posts/first", data={"count": "3", "minutes": "40"})

    posts = db.session.scalars(select(ServicePost).where(ServicePost.service_point_id == point.id)).all()
    assert [(post.post_number, post.slot_duration) for post in posts] == [(1, 40), (2, 40), (3, 40)]
    assert {id for id, *_ in offered()} == {post.id for post in posts}


def test_posts_made_from_a_number_are_looked_at_once(client, app):
    point = factories.station(slug="staraya-1", name="Старая, 1", posts=(30, 30))
    name_posts(point)
    manager = sign_in(client, factories.user("Мария", "maria@example.com", "manager", point))
    first, second = point.posts
    assert "Проверьте длительность" in manager.get("/manage/posts").text
    wrong = manager.post("/manage/posts/lengths", data={f"minutes-{first.id}": "3", f"minutes-{second.id}": "30"})
    assert wrong.status_code == 422 and 'aria-invalid="true"' in wrong.text

    manager.post("/manage/posts/lengths", data={f"minutes-{first.id}": "45", f"minutes-{second.id}": "30"})

    assert [post.slot_duration for post in point.posts] == [45, 30]
    assert "Проверьте длительность" not in manager.get("/manage/posts").text


@command
def name_posts(point):
    for post in db.session.get_one(type(point), point.id).posts:
        post.name = f"Пост {post.post_number}"


def test_a_post_is_switched_off_with_a_plan(manager, station, smtp):
    posts = {post.post_number: post for post in station.posts}
    here = [booking(station, time, post_number=1) for time in ("2026-11-03 09:00", "2026-11-03 10:00")]
    block_time(station.id, posts[2].id, kyiv("2026-11-03 09:00"), kyiv("2026-11-03 18:00"))
    block_time(station.id, posts[3].id, kyiv("2026-11-03 10:00"), kyiv("2026-11-03 18:00"))
    letters = db.session.scalar(select(func.count()).select_from(Notification))
    page = manager.get(f"/manage/posts/{posts[1].id}")
    seen = page.text.partition('name="seen"')[2].partition('value="')[2].partition('"')[0]
    off = {"post_number": "1", "slot": "30", "name": "", "description": "", "seen": seen}

    refused = manager.post(f"/manage/posts/{posts[1].id}", data=off)
    assert refused.status_code == 409
    assert "1 запись может перейти" in refused.text and "1 запись останется" in refused.text
    done = manager.post(f"/manage/posts/{posts[1].id}/retire", follow_redirects=True)

    assert "Пост выключен" in done.text
    now = [db.session.get_one(Booking, each.id, populate_existing=True) for each in here]
    assert [each.post.post_number for each in now] == [3, 1]
    assert [(each.starts_at, each.status) for each in now] == [(each.starts_at, "confirmed") for each in here]
    assert not [slot for slot in offered() if slot[0] == posts[1].id]
    assert db.session.scalar(select(func.count()).select_from(Notification)) == letters, "customers know of no posts"


# --- seasons


def week_sent(**changed):
    return {
        "name": "Осенняя горячка",
        "day0": ["08:00", "20:00"],
        "day1": ["08:00", "20:00"],
        "priority": "1",
    } | changed


def test_a_season_is_made_seen_and_taken_back(manager, station):
    before = offered()
    dates = {"valid_from": "2026-11-09", "valid_until": "2026-11-10"}
    new = f"/manage/templates/new?s={station.slug}"
    look = manager.post(f"/manage/templates/new/preview?s={station.slug}", data=week_sent(**dates))
    assert look.status_code == 200 and offered() == before

    manager.post(new, data=week_sent(**dates))

    assert {slot[1].date() for slot in offered() ^ before} == {date(2026, 11, 9), date(2026, 11, 10)}
    page = manager.get("/manage/templates").text
    assert "Осенняя горячка" in page and "season" in page
    season = db.session.scalars(select(ScheduleTemplate).order_by(ScheduleTemplate.id.desc())).first()
    again = manager.get(f"/manage/templates/{season.id}").text
    assert 'value="2026-11-09"' in again and "Вернуть обычную неделю" in again
    manager.post(f"/manage/templates/{season.id}/delete")
    assert offered() == before


def test_a_week_of_one_post_leaves_the_others_theirs(manager, station):
    before, post = offered(), station.posts[1]

    manager.post(f"/manage/templates/new?s={station.slug}", data=week_sent(post=str(post.id)))

    assert {slot[0] for slot in offered() ^ before} == {post.id}


def test_seasons_that_cannot_be_are_refused(manager, station, stranger):
    elsewhere = db.session.scalars(select(ServicePost.id).where(ServicePost.service_point_id != station.id)).first()
    ordinary = db.session.scalars(select(ScheduleTemplate)).first()
    before = checksum()
    for wrong in (
        *({"valid_from": "x"}, {"valid_from": "2026-02-30"}, {"valid_until": "1026-01-01"}, {"priority": "x"}),
        *({"valid_from": "2026-11-10", "valid_until": "2026-11-09"}, {"post": "x"}, {"priority": "10"}),
    ):
        for more in ("", "/preview"):
            answer = manager.post(f"/manage/templates/new{more}?s={station.slug}", data=week_sent(**wrong))
            assert answer.status_code == 422, wrong
    assert (
        manager.post(f"/manage/templates/new?s={station.slug}", data=week_sent(post=str(elsewhere))).status_code == 404
    )
    last = manager.post(f"/manage/templates/{ordinary.id}/delete")
    assert last.status_code == 409 and "убрать нельзя" in last.text
    assert checksum() == before

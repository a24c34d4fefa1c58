"""Posts, the week and days off: seen before they are applied, refused in words, and never at a booking's cost."""

import re
from datetime import date

import pytest
from sqlalchemy import select, text

from tests import factories
from tests.factories import ANNA, booking, car_type, service, sign_in
from tirefit.database import db
from tirefit.models import Booking, Reservation, ScheduleException, ScheduleSlot, ScheduleTemplate, ServicePost
from tirefit.schedule.changes import delete_template, preview_post_schedule, preview_template, save_template
from tirefit.web.forms.manage import PostForm, read_row, read_time, rows_of, seen, week_seen
from tirefit.web.preview import arrange, given_up, opened

WEEK = [(day, 540, 1080) for day in range(6)]


@pytest.fixture
def manager(client, olga):
    return sign_in(client, olga)


@pytest.fixture
def post(station):
    return next(found for found in station.posts if found.post_number == 2)


@pytest.fixture
def template(station):
    return db.session.scalars(select(ScheduleTemplate)).one()


def form_of(post, **changes):
    data = {
        "post_number": post.post_number,
        "name": post.name,
        "slot": "other",
        "slot_other": post.slot_duration,
        "description": post.description,
        "active": "1",
        "seen": seen(post),
    } | changes
    return {key: value for key, value in data.items() if value is not None}


def week_of(template, **days):
    windows = [(window.weekday, window.opens, window.closes) for window in template.windows]
    rows = {f"day{weekday}": row for weekday, row in enumerate(rows_of(windows))}
    return rows | {"name": template.name, "seen": week_seen(windows)} | days


def cells(post):
    found = select(ScheduleSlot.starts_at, ScheduleSlot.ends_at).where(ScheduleSlot.service_post_id == post.id)
    return set(db.session.execute(found).all())


def sold(model=Booking):
    """Every booking (or reservation) as the database keeps it."""
    return sorted(map(repr, db.session.execute(text(f"SELECT * FROM {model.__tablename__}")).all()))


def verdict(page):
    """before → after, added, removed, bookings: as the preview says."""
    summary = page.partition('class="diffsum"')[2].partition("</div>\n</div>")[0]
    numbers = [int(found) for found in re.findall(r"<b>\D*(\d+)(?=</b>|&nbsp;)", summary)]
    after = int(re.search(r"→&nbsp;(\d+)", summary)[1])
    before, added, removed, booked = numbers
    return before, after, added, removed, booked


def test_the_list_shows_each_post_with_its_length_and_load(station, manager):
    booking(station, "10:00", services=["Балансировка"])

    page = manager.get("/manage/posts").text

    assert [int(n) for n in re.findall(r"<td[^>]*>(\d+)\D{1,3}мин</td>", page)] == [30, 40, 30]
    assert "1&nbsp;%" in page


def test_the_preview_counts_what_applying_then_does(station, manager, post):
    booking(station, "2026-11-05 09:00", services=["Сезонная переобувка", "Балансировка"], post_number=2)
    before, was_sold = cells(post), sold()

    page = manager.post(f"/manage/posts/{post.id}/preview", data=form_of(post, slot="30")).text
    assert cells(post) == before, "a preview writes nothing"
    difference = preview_post_schedule(post, slot_duration=30, active=True)
    answer = manager.post(f"/manage/posts/{post.id}", data=form_of(post, slot="30"))

    assert answer.status_code == 303
    after = cells(post)
    assert {(start, end) for start, _, end in difference.added} == after - before
    assert {(start, end) for start, _, end in difference.removed} == before - after
    week = arrange(difference, station)
    assert verdict(page) == (week.before, week.after, week.added, week.removed, week.booked)
    assert (week.before - week.removed, week.booked) == (week.kept, 1)
    assert sold() == was_sold
    done = manager.get(answer.location).text
    assert f"добавлено {len(opened(difference))}, убрано {len(given_up(difference))}" in done


def test_the_form_opens_with_what_is_and_a_preview_without_change(station, manager, post):
    page = manager.get(f"/manage/posts/{post.id}").text

    assert 'value="40" checked' in page
    before, after, added, removed, _ = verdict(page)
    assert (before, added, removed) == (after, 0, 0)


def test_htmx_and_a_browser_without_scripts_get_the_same_preview(manager, post):
    plain = manager.post(f"/manage/posts/{post.id}/preview", data=form_of(post, slot="20"))
    htmx = manager.post(
        f"/manage/posts/{post.id}/preview", data=form_of(post, slot="20"), headers={"HX-Request": "true"}
    )

    assert plain.status_code == htmx.status_code == 200
    assert verdict(plain.text) == verdict(htmx.text)
    assert 'value="20" checked' in plain.text, "what was typed is kept"


def test_a_new_post_is_previewed_and_then_offered(station, manager):
    data = {"post_number": 4, "name": "Ворота", "slot": "60", "active": "1"}
    assert 'value="4"' in manager.get(f"/manage/posts/new?s={station.slug}").text
    previewed = manager.post(f"/manage/posts/new/preview?s={station.slug}", data=data)
    assert db.session.scalars(select(ServicePost).where(ServicePost.post_number == 4)).first() is None

    answer = manager.post(f"/manage/posts/new?s={station.slug}", data=data)

    made = db.session.scalars(select(ServicePost).where(ServicePost.post_number == 4)).one()
    assert answer.status_code == 303
    assert verdict(previewed.text)[:4] == (0, 54, 54, 0)
    assert len([start for start, _ in cells(made) if start.date() == date(2026, 11, 10)]) == 9


@pytest.mark.parametrize(
    "changes",
    [
        {"slot_other": "0"},
        {"slot_other": "-5"},
        {"slot_other": "4"},
        {"slot_other": "481"},
        {"slot_other": "1441"},
        {"slot_other": "30.5"},
        {"slot_other": "1e2"},
        {"slot_other": "٣٠"},
        {"slot_other": "NaN"},
        {"slot_other": ""},
        {"slot_other": "3" * 10_000},
        {"slot": "31 or 1=1"},
        {"slot": None},
        {"post_number": "0"},
        {"post_number": "-1"},
        {"post_number": "1000"},
        {"post_number": "2147483648"},
        {"post_number": ""},
        {"post_number": "two"},
        {"post_number": None},
        {"name": "x" * 61},
        {"name": "nul\0"},
        {"name": "\u202eabc"},
        {"description": "x" * 121},
    ],
)
def test_a_post_that_cannot_be_is_refused_in_words_and_nothing_changes(station, manager, post, changes):
    before = cells(post)

    for url in (f"/manage/posts/{post.id}", f"/manage/posts/{post.id}/preview"):
        answer = manager.post(url, data=form_of(post, **changes))
        assert answer.status_code == 422
        assert "Проверьте поля" in answer.text
        assert "Исправьте поля" in answer.text

    db.session.expire_all()
    assert db.session.get(ServicePost, post.id).slot_duration == 40
    assert cells(post) == before


def test_a_name_that_is_a_template_is_only_text(manager, post):
    manager.post(f"/manage/posts/{post.id}", data=form_of(post, name="{{7*7}}<b>"))

    page = manager.get("/manage/posts").text
    assert "{{7*7}}&lt;b&gt;" in page
    assert "49" not in page.partition("<main")[2]


def test_a_number_that_is_taken_names_who_has_it(station, manager, post):
    answer = manager.post(f"/manage/posts/{post.id}", data=form_of(post, post_number=3))
    assert answer.status_code == 409
    assert "Номер 3 занят" in answer.text

    new = manager.post(f"/manage/posts/new?s={station.slug}", data={"post_number": 3, "slot": "30", "active": "1"})
    assert new.status_code == 409
    assert "Номер 3 занят" in new.text
    assert len(db.session.scalars(select(ServicePost.id)).all()) == 3


def test_a_post_with_bookings_is_not_switched_off_but_lists_them(station, manager, post):
    made = booking(station, "2026-11-05 10:20", post_number=2)
    off = form_of(post, active=None)

    answer = manager.post(f"/manage/posts/{post.id}", data=off)

    assert answer.status_code == 409
    assert f"/board/zimnyaya-5/2026-11-05?b={made.number}" in answer.text
    assert ANNA.name in answer.text
    db.session.expire_all()
    assert db.session.get(ServicePost, post.id).active


def test_a_post_without_bookings_is_switched_off_and_offers_nothing(station, manager, post):
    assert manager.post(f"/manage/posts/{post.id}", data=form_of(post, active=None)).status_code == 303

    assert cells(post) == set()
    assert "выключен" in manager.get("/manage/posts").text


def test_two_managers_do_not_overwrite_each_other(manager, post):
    first, second = form_of(post, slot="30"), form_of(post, name="Ворота")
    assert manager.post(f"/manage/posts/{post.id}", data=first).status_code == 303

    answer = manager.post(f"/manage/posts/{post.id}", data=second)

    assert answer.status_code == 409
    assert "Пока вы правили" in answer.text
    db.session.expire_all()
    assert (post.name, post.slot_duration) == ("", 30)


def test_the_week_is_shown_changed_and_cut_again_around_what_is_reserved(station, manager, template):
    saturday = booking(station, "2026-11-07 17:00", services=["Балансировка"])
    was_sold, reserved = sold(), sold(Reservation)
    change = week_of(template, day5=["10:00", "15:00", "12:00", "13:00", "", ""])

    previewed = manager.post(f"/manage/templates/{template.id}/preview", data=change)
    difference = preview_template(station, [*WEEK[:5], (5, 600, 720), (5, 780, 900)], template.id)
    before = {post.id: cells(post) for post in station.posts}
    answer = manager.post(f"/manage/templates/{template.id}", data=change)

    assert previewed.status_code == 200
    assert "1 запись вне часов работы" in previewed.text
    assert saturday.number in previewed.text
    assert answer.status_code == 303
    for post in station.posts:
        now = cells(post)
        assert now - before[post.id] == {(start, end) for start, id, end in difference.added if id == post.id}
        assert before[post.id] - now == {(start, end) for start, id, end in difference.removed if id == post.id}
    assert (sold(), sold(Reservation)) == (was_sold, reserved)
    page = manager.get(f"/manage/templates?s={station.slug}").text
    assert "10:00–12:00" in page
    assert "13:00–15:00" in page


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["18:00", "09:00"], "Конец раньше начала"),
        (["09:00", "09:00"], "Конец раньше начала"),
        (["09:00", ""], "Укажите и начало, и конец дня"),
        (["", "18:00"], "Укажите и начало, и конец дня"),
        (["09:00", "18:00", "08:00", "10:00"], "Перерыв пересекается"),
        (["09:00", "18:00", "17:00", "19:00"], "Перерыв пересекается"),
        (["09:00", "18:00", "12:00", "14:00", "13:00", "15:00"], "Перерыв пересекается"),
        (["09:00", "18:00", "14:00", "13:00"], "Перерыв кончается раньше"),
        (["09:00", "18:00", "13:00", ""], "Укажите и начало, и конец перерыва"),
        (["25:61", "18:00"], "Введите время"),
        (["09:00", "49:00"], "Введите время"),
        (["24:00", "26:00"], "День начинается до полуночи"),
        (["nine", "18:00"], "Введите время"),
        (["٠٩:٠٠", "18:00"], "Введите время"),
        (["-1:00", "18:00"], "Введите время"),
        (["\0", "18:00"], "Введите время"),
        (["9" * 5000, "18:00"], "Введите время"),
    ],
)
def test_hours_that_cannot_be_are_refused_in_words(manager, template, row, words):
    for url in (f"/manage/templates/{template.id}", f"/manage/templates/{template.id}/preview"):
        answer = manager.post(url, data=week_of(template, day0=row))
        assert answer.status_code == 422
        assert words in answer.text

    db.session.expire_all()
    assert [(w.weekday, w.opens, w.closes) for w in template.windows] == WEEK


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "nul\0"])
def test_a_week_needs_a_name(manager, template, name):
    assert manager.post(f"/manage/templates/{template.id}", data=week_of(template, name=name)).status_code == 422


def test_a_form_with_other_fields_or_none_does_no_harm(manager, template):
    assert manager.post(f"/manage/templates/{template.id}").status_code == 422
    twice = week_of(template, day0=["09:00"] * 40, day7=["09:00", "10:00"])
    assert manager.post(f"/manage/templates/{template.id}", data=twice).status_code == 422


def test_a_week_that_was_changed_meanwhile_is_not_overwritten(station, manager, template):
    mine = week_of(template, day0=["10:00", "18:00"])
    save_template(station.id, [(0, 480, 1080)], name=template.name, template_id=template.id)

    answer = manager.post(f"/manage/templates/{template.id}", data=mine)

    assert answer.status_code == 409
    assert "Пока вы правили" in answer.text
    db.session.expire_all()
    assert [(w.opens, w.closes) for w in template.windows] == [(480, 1080)]


def test_the_first_week_of_a_station_can_be_made(app, client):
    bare = factories.station(slug="novaya", name="Новая", posts=(30,))
    delete_template(db.session.scalars(select(ScheduleTemplate.id)).one())
    sign_in(client, factories.user("Админ", "admin@example.com", "admin"))
    assert f"/manage/templates/new?s={bare.slug}" in client.get(f"/manage/templates?s={bare.slug}").text
    assert client.get(f"/manage/templates/new?s={bare.slug}").status_code == 200
    data = {"name": "Обычная неделя", "day0": ["9:00", "18.00"], "day6": ["", ""]}

    assert client.post(f"/manage/templates/new/preview?s={bare.slug}", data=data).status_code == 200
    assert client.post(f"/manage/templates/new?s={bare.slug}", data=data).status_code == 303

    made = db.session.scalars(select(ScheduleTemplate)).one()
    assert [(w.weekday, w.opens, w.closes) for w in made.windows] == [(0, 540, 1080)]


def test_a_day_off_is_closed_with_its_reason_and_opened_again(station, manager, post):
    made = booking(station, "2026-11-04 10:20", post_number=2)
    before = cells(post)

    sent = {"first": "2026-11-04", "how": "closed", "reason": "День города"}
    shown = manager.post(f"/manage/{station.slug}/exceptions/preview", data=sent).text
    assert "1 запись" in shown and cells(post) == before, "seen before it is done"
    closed = manager.post(f"/manage/{station.slug}/exceptions", data=sent)
    page = manager.get(f"/manage/templates?s={station.slug}").text

    assert closed.status_code == 303
    assert "День города" in page
    assert "1 запись в силе" in page
    assert not [start for start, _ in cells(post) if start.date() == date(2026, 11, 4)]
    assert db.session.get(Booking, made.id).status == "confirmed"

    opened = manager.post(f"/manage/{station.slug}/exceptions/2026-11-04/as-usual")

    assert opened.status_code == 303
    assert db.session.scalars(select(ScheduleException)).all() == []
    assert cells(post) == before


def test_times_are_read_as_people_write_them():
    assert [read_time(typed) for typed in ("8:00", "08.00", "0800", "8", "26:00", "48:00")] == [
        480,
        480,
        480,
        480,
        1560,
        2880,
    ]
    for typed in ("", "24:60", "48:01", "8:0", "8:000", "eight"):
        with pytest.raises(ValueError):
            read_time(typed)


def test_a_week_is_the_same_after_being_shown_and_read():
    windows = [
        (0, 540, 780),
        (0, 840, 1080),
        (2, 0, 1440),
        (5, 1200, 1560),
        (6, 540, 600),
        (6, 660, 720),
        (6, 780, 900),
    ]

    rows = rows_of(windows)

    assert [(day, *window) for day, row in enumerate(rows) for window in read_row(row)] == windows


def test_the_form_of_a_post_says_what_the_post_is(app, post):
    with app.test_request_context():
        form = PostForm.of(post, [car_type()], [service()], date(2026, 11, 2))

    assert (form.post_number.data, form.slot_duration, form.active.data) == (2, 40, True)

"""The customer's way, page by page, without JavaScript: what is shown, kept and refused, and in which words."""

import io
import re
from datetime import date, timedelta
from urllib.parse import urlsplit

import pytest
from sqlalchemy import select

from tests import factories
from tests.customer import (
    CONTACTS,
    action,
    alternatives,
    book,
    checked,
    count,
    fields,
    hold_form,
    html,
    post_hold,
    soonest,
    take_all,
    tap,
    times,
    times_url,
    token_in,
    value,
)
from tests.factories import car_type, kyiv, service
from tirefit.database import command, db
from tirefit.models import Booking, BookingEvent, Notification, Reservation, ScheduleTemplate, ServicePoint
from tirefit.schedule import reservations
from tirefit.schedule.blocks import block_time
from tirefit.schedule.changes import save_template
from tirefit.schedule.reservations import new_token

# --- the stations


def test_one_station_is_gone_to_at_once(client, station):
    assert client.get("/").location == "/s/zimnyaya-5"


def test_of_several_stations_each_shows_its_hours_and_its_soonest_time(client, station):
    factories.station(slug="letnyaya-7", name="Летняя, 7", posts=(45,))
    page = client.get("/")
    assert page.status_code == 200
    assert "Зимняя, 5" in page.text
    assert page.text.count("открыто до 18:00") == 2
    assert page.text.count("Ближайшее время — сегодня в 09:00") == 2


def test_without_a_station_the_first_page_says_so(client, app):
    factories.user("Ольга", "olga@example.com", "admin")  # with nobody at all it would lead to the setup
    page = client.get("/")
    assert page.status_code == 200
    assert "Станций пока нет" in page.text


def test_a_station_that_is_closed_for_booking_gives_its_phone(client, station):
    switch_off(station.id)
    page = client.get("/s/zimnyaya-5")
    assert "Онлайн-запись закрыта" in page.text
    assert "tel:+380442000505" in page.text
    assert post_hold(client, "2026-11-02T10:00+02:00").status_code == 409


# --- what and when


def test_the_first_service_is_chosen_in_advance_and_no_car_is(client, station):
    page = client.get("/s/zimnyaya-5")
    assert checked(page) == [("svc", str(service().id))]
    assert "Ближайшее время — сегодня в 09:00" in page.text


def test_the_soonest_time_is_that_of_what_is_ticked(client, app):
    point = factories.station(posts=(30,))
    factories.booking(point, "09:30", services=("Ремонт прокола",))

    assert "Ближайшее время — сегодня в 10:00" in client.get("/s/zimnyaya-5").text
    puncture = client.get(f"/s/zimnyaya-5?svc={service('Ремонт прокола').id}")
    assert "Ближайшее время — сегодня в 09:00" in puncture.text


def test_a_form_sent_without_a_car_asks_for_it(client, station):
    address = f"/s/zimnyaya-5?svc={service().id}"
    assert "Выберите, какая у вас машина" in client.get(address).text
    ticking = client.get(address, headers={"HX-Request": "true"})  # with scripts, before there was time to choose one
    assert "Выберите, какая у вас машина" not in ticking.text


def test_the_plans_example_stands_on_the_page_to_the_minute(client, station):
    """Posts 30/40/30 from nine: a job of one slot can start at exactly these times."""
    page = client.get(times_url("Ремонт прокола"))
    assert times(page)[:7] == ["09:00", "09:30", "09:40", "10:00", "10:20", "10:30", "11:00"]


def test_several_services_add_up(client, station):
    page = client.get(times_url("Сезонная переобувка", "Балансировка"))
    assert "70 мин".replace(" ", "\N{NO-BREAK SPACE}") in page.text
    assert "1\N{NO-BREAK SPACE}900\N{NO-BREAK SPACE}₴" in page.text


def test_several_services_are_ticked_as_a_list_with_their_total(client, station):
    page = client.get(f"/s/zimnyaya-5?many=1&svc={service().id}&svc={service('Балансировка').id}")
    assert len(checked(page)) == 2
    assert "от 70\N{NO-BREAK SPACE}мин" in page.text


def test_sunday_is_shut_and_leads_to_the_soonest_time(client, station):
    page = client.get(times_url(day="2026-11-08"))
    assert "В этот день свободного времени нет" in page.text
    assert times(page) == []
    assert soonest(page) == "2026-11-02T09:00+02:00"


def test_a_closed_season_says_when_it_ends(app, client):
    point = factories.station()
    week = db.session.scalars(select(ScheduleTemplate.id)).one()
    weekdays = [(day, 9 * 60, 18 * 60) for day in range(5)]
    save_template(point.id, weekdays, name="Весна", template_id=week, valid_from=date(2027, 3, 1))

    page = client.get(times_url())

    assert "Станция сейчас закрыта. Откроется: понедельник, 1 марта." in page.text
    assert "с этого дня: пятница, 19 февраля." in page.text  # ten days ahead can be booked


def test_a_station_without_a_free_minute_says_so(client, station):
    for post in station.posts:
        for day in range(11):
            opens = factories.kyiv("09:00") + timedelta(days=day)
            block_time(station.id, post.id, opens, opens + timedelta(hours=9))

    page = client.get(times_url())

    assert "Свободного времени сейчас нет ни на один день" in page.text


def test_the_day_opens_that_has_free_time(client, station, at):
    at("2026-11-07 17:50")  # Saturday, ten minutes before closing; Sunday is shut
    page = client.get(times_url())
    assert "Понедельник, 9 ноября" in page.text
    assert soonest(page) == "2026-11-09T09:00+02:00"


@pytest.mark.parametrize(
    "query",
    [
        "svc=0&car=-1",
        "svc=1e3&svc=999999999&car=2",
        "svc=99999999999999999999&car=١٢٣",
        "svc=&car=&d=",
        "svc=%00&car=%ff&d=2026-02-30",
        "car=1&" + "&".join(f"svc={n}" for n in range(300)),
        "svc=" + "9" * 10_000,
        "d=0001-01-01",
        "d=9999-12-31&m=9999-12",
        "many=&edit=&d=" + "x" * 5000,
    ],
)
def test_an_address_with_nonsense_shows_the_nearest_sense(client, station, query):
    assert client.get(f"/s/zimnyaya-5?{query}").status_code == 200
    assert client.get(f"/s/zimnyaya-5/calendar?{query}").status_code in (200, 302)


@pytest.mark.parametrize(
    ("wished", "shown"),
    [("2026-10-01", "2 ноября"), ("2027-01-01", "12 ноября"), ("2026-02-30", "2 ноября"), ("24:00", "2 ноября")],
)
def test_a_day_that_cannot_be_booked_becomes_the_nearest_one_that_can(client, station, wished, shown):
    heading = html(client.get(times_url(day=wished))).find(".//section/h2")
    assert shown in heading.text


def test_the_month_counts_free_times_and_leads_to_the_day(client, station):
    page = client.get(times_url().replace("?", "/calendar?"))
    day = next(a for a in html(page).iter("a") if "d=2026-11-03" in a.get("href", ""))
    assert re.search(r"\d+\s(место|места|мест)", "".join(day.itertext()))
    assert "d=2026-11-08" not in page.text  # Sunday
    assert "d=2026-11-13" not in page.text  # beyond the horizon


# --- holding a time


def test_tapping_a_time_holds_it_and_asks_who_comes(client, station):
    answer = tap(client, "10:00")
    assert answer.status_code == 303
    page = client.get(answer.location)
    assert "Держим время за вами" in page.text
    assert "до 09:15" in page.text  # said without scripts too
    held = db.session.scalars(select(Reservation)).one()
    assert (held.kind, held.starts_at) == ("hold", kyiv("10:00"))


def test_a_double_tap_is_one_hold(client, station):
    page = client.get(times_url())
    form = hold_form(page, "10:00")
    first = client.post("/s/zimnyaya-5/hold", data=form)
    second = client.post("/s/zimnyaya-5/hold", data=form)
    assert first.location == second.location
    assert count(Reservation) == 1


def test_a_browser_keeps_one_time_at_once(client, station):
    tap(client, "10:00")
    tap(client, "11:00")
    assert db.session.scalars(select(Reservation)).one().starts_at == kyiv("11:00")


def test_whoever_comes_back_to_the_times_may_go_on(client, station):
    location = tap(client, "10:00").location
    page = client.get(times_url())
    assert "Вы держите сегодня в 10:00" in page.text
    assert location.partition("?")[0] in page.text


def test_looking_changes_nothing(client, station):
    hold = tap(client, "10:00").location
    booking = book(client, tap(client, "11:00").location)
    before = rows()
    for url in (hold, hold.replace("?", "/strip?"), booking, f"{booking}/cancel", f"{booking}/calendar.ics"):
        for _ in range(2):
            client.get(url.replace("?new=1/", "/"))
            client.head(url.replace("?new=1/", "/"))
    assert rows() == before


def test_letting_go_frees_the_time_and_keeps_what_was_typed(client, station):
    page = client.get(tap(client, "10:00").location)
    answer = client.post(action(page, "release"), data=fields(page) | CONTACTS)
    assert answer.status_code == 303
    assert count(Reservation) == 0
    assert "d=2026-11-02" in answer.location
    again = client.get(tap(client, "10:30").location)
    assert value(again, "name") == "Анна"
    assert value(again, "phone") == "067 123-45-67"


def test_a_hold_can_be_extended_ten_times(client, station, at):
    location = tap(client, "12:00").location
    for n in range(10):
        at(f"09:{n + 1:02d}")
        page = client.get(location)
        assert client.post(action(page, "extend"), data=fields(page) | CONTACTS).status_code == 303
    assert value(client.get(location), "name") == "Анна"
    assert client.post(action(page, "extend"), data=fields(page)).status_code == 409


def test_when_the_hold_ends_the_form_stays_and_still_books(client, station, at):
    location = tap(client, "10:00").location
    at("09:20")
    page = client.get(location)
    assert "Время больше не держим, но пока свободно" in page.text
    assert client.get(book(client, location)).status_code == 200
    assert db.session.scalars(select(Booking)).one().starts_at == kyiv("10:00")


def test_the_strip_alone_is_for_htmx_and_a_whole_page_for_everybody_else(client, station, at):
    location = tap(client, "10:00").location
    strip = location.replace("?", "/strip?")
    assert client.get(strip).location == location
    at("09:20")
    fragment = client.get(strip, headers={"HX-Request": "true"})
    assert "<html" not in fragment.text
    assert "но пока свободно" in fragment.text
    reservations.release_reservation(token_in(location))
    assert "Это время больше не держим" in client.get(strip, headers={"HX-Request": "true"}).text


def test_a_hold_that_is_gone_leads_back_with_the_same_choices(client, station):
    location = tap(client, "10:00").location
    reservations.release_reservation(token_in(location))
    page = client.get(location)
    assert page.status_code == 410
    assert f"/s/zimnyaya-5?svc={service().id}&amp;car={car_type().id}" in page.text


# --- somebody was quicker


def test_a_time_taken_at_the_tap_is_answered_with_three_others_one_tap_each(client, station):
    page = client.get(times_url())
    form = hold_form(page, "10:30")
    take_all("10:30")
    answer = client.post("/s/zimnyaya-5/hold", data=form)
    assert answer.status_code == 409
    assert "10:30 только что заняли" in answer.text
    others = alternatives(answer)
    assert len(others) == 3
    assert "2026-11-03T10:30+02:00" in others  # tomorrow, the same time
    assert all(other != "2026-11-02T10:30+02:00" for other in others)
    for other in others:
        assert client.post("/s/zimnyaya-5/hold", data=hold_form(answer) | {"at": other}).status_code == 303


def test_a_time_taken_while_typing_costs_one_tap_and_no_word(client, station, at):
    location = tap(client, "10:30").location
    page = client.get(location)
    at("09:20")
    take_all("10:30")
    answer = client.post(location.partition("?")[0], data=fields(page) | CONTACTS | {"email": "anna@example.com"})
    assert answer.status_code == 409
    assert "10:30 только что заняли" in answer.text
    assert "Ваши данные на месте" in answer.text
    other = alternatives(answer)[0]
    again = client.get(client.post("/s/zimnyaya-5/hold", data=hold_form(answer) | {"at": other}).location)
    assert [value(again, name) for name in ("name", "phone", "email")] == ["Анна", "067 123-45-67", "anna@example.com"]


def test_extending_a_hold_whose_time_is_taken_offers_others(client, station, at):
    location = tap(client, "10:30").location
    page = client.get(location)
    at("09:20")
    take_all("10:30")
    answer = client.post(action(page, "extend"), data=fields(page) | CONTACTS)
    assert answer.status_code == 409
    assert len(alternatives(answer)) == 3


@pytest.mark.parametrize(
    ("moment", "status", "words"),
    [
        ("2026-11-02T08:00+02:00", 422, "Это время уже прошло"),
        ("2026-11-02T20:00+02:00", 409, "На это время записи нет"),
        ("2026-11-02T10:07+02:00", 409, "В это время никто не начинает"),
        ("2026-11-02T17:30+02:00", 422, "Работы не помещаются в это время"),
        ("2026-12-24T10:00+02:00", 422, "Так далеко вперёд запись ещё не открыта"),
        ("2026-11-08T10:00+02:00", 409, "На это время записи нет"),
    ],
)
def test_a_time_that_cannot_be_had_says_why_and_offers_others(client, station, moment, status, words):
    answer = post_hold(client, moment)
    assert answer.status_code == status
    assert words in answer.text
    assert alternatives(answer)
    assert count(Reservation) == 0


@pytest.mark.parametrize(
    "moment",
    [
        "",
        "2026-02-30T10:00+02:00",
        "2026-11-02T24:00+02:00",
        "2026-11-02T25:61+02:00",
        "2026-11-02T10:00",
        "2026-11-02T10:00:60+02:00",
        "2026-11-02T10:00+99:99",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
        "10000-01-01T10:00Z",
        "\x00",
        "завтра",
        "1" * 10_000,
    ],
)
def test_a_moment_that_is_none_is_asked_for_again(client, station, moment):
    answer = post_hold(client, moment)
    assert answer.status_code == 422
    assert "Выберите время ещё раз" in answer.text
    assert count(Reservation) == 0


@pytest.mark.parametrize("choice", [{}, {"svc": "0"}, {"svc": ["1"] * 300}, {"car": "1"}, {"svc": "abc", "car": "def"}])
def test_a_hold_without_services_or_car_is_refused_in_words(client, station, choice):
    answer = client.post("/s/zimnyaya-5/hold", data={"at": "2026-11-02T10:00+02:00", **choice})
    assert 400 <= answer.status_code < 500
    assert count(Reservation) == 0


@pytest.mark.parametrize("nonce", [None, "", "x", "x" * 5000, "ключ", "../" * 7 + "x", "a" * 21 + "\n"])
def test_an_odd_nonce_becomes_a_fresh_one(client, station, nonce):
    form = hold_form(client.get(times_url()), "10:00") | {"nonce": nonce}
    answer = client.post("/s/zimnyaya-5/hold", data={key: value for key, value in form.items() if value is not None})
    assert answer.status_code == 303
    assert re.fullmatch(r"[A-Za-z0-9_-]{22}", token_in(answer.location))


# --- who comes


@pytest.mark.parametrize(
    "typed",
    ["067 123-45-67", "0671234567", "+38 (067) 123 45 67", "+380671234567", "38/067/1234567", " 067.123.45.67 "],
)
def test_a_phone_may_be_written_in_any_way(client, station, typed):
    book(client, tap(client, "10:00").location, phone=typed)
    assert db.session.scalars(select(Booking)).one().customer_phone == "+380671234567"


BAD = {
    "name": [
        *("", "   ", "\x00", "А\x00нна", "a" * 10_000, "123", "👩\u200d👩\u200d👧"),
        *("\u202eаннА", "А" + "\u0301" * 50, "Анна\r\nBcc: x@example.com"),
    ],
    "phone": ["", "067 12", "007", "8900", "067 АБВ 45 67", "0" * 30, "+" * 5000, "\x00", "067\u202e1234567"],
    "email": [
        *("a@b", "a@b..c", "-f@example.com", "a@example.com,b@example.com", '"a b"@example.com'),
        *("a" * 300 + "@example.com", "я@example.com", "a@example.com\r\nBcc: b@example.com"),
    ],
}


@pytest.mark.parametrize(("name", "typed"), [(name, each) for name in BAD for each in BAD[name]])
def test_what_cannot_be_kept_is_asked_for_again_and_the_rest_stays(client, station, name, typed):
    location = tap(client, "10:00").location
    sent = CONTACTS | {"email": "anna@example.com"} | {name: typed}
    page = client.post(location.partition("?")[0], data=fields(client.get(location)) | sent)
    assert page.status_code == 422
    assert "Проверьте поля" in page.text
    assert html(page).find(".//title").text.startswith("Ошибка: ")
    bad = [each.get("name") for each in html(page).iter("input") if each.get("aria-invalid")]
    assert bad == [name]
    for other in {"name", "phone", "email"} - {name}:
        assert value(page, other) == sent[other]
    assert count(Booking) == 0
    assert count(Reservation) == 1  # the hold is still there


@pytest.mark.parametrize("raw", [b"\xed\xa0\x80", b"\xff\xfe\xd0", b"\xd0\x90\xd0\xbd\xd0"])
def test_bytes_that_are_no_text_are_refused(client, station, raw):
    """A lone surrogate, no UTF-8 at all, half a letter."""
    location = tap(client, "10:00").location
    sent = fields(client.get(location)) | CONTACTS
    parts = [
        f'--edge\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode()
        + (raw if name == "name" else each.encode())
        for name, each in sent.items()
    ]
    answer = client.post(
        location.partition("?")[0],
        data=b"\r\n".join([*parts, b"--edge--\r\n"]),
        content_type="multipart/form-data; boundary=edge",
    )
    assert answer.status_code == 422
    assert count(Booking) == 0


def test_what_looks_like_code_is_only_text(client, station):
    ticket = book(client, tap(client, "10:00").location, name="<script>alert(1)</script> {{7*7}}")
    page = client.get(ticket)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; {{7*7}}" in page.text


def test_the_field_for_robots_is_refused_when_filled(client, station):
    location = tap(client, "10:00").location
    page = client.post(location.partition("?")[0], data=fields(client.get(location)) | CONTACTS | {"more": "http://"})
    assert page.status_code == 422
    assert count(Booking) == 0


def test_unknown_fields_change_nothing(client, station):
    ticket = book(client, tap(client, "10:00").location, price="1", status="completed", point_id="7")
    booking = db.session.scalars(select(Booking)).one()
    assert (booking.status, booking.total_price) == ("confirmed", 120000)
    assert client.get(ticket).status_code == 200


def test_one_phone_keeps_as_many_bookings_as_the_station_allows(client, app):
    factories.station(max_open_bookings_per_contact=1)
    book(client, tap(client, "10:00").location)
    location = tap(client, "12:00").location
    page = client.post(location.partition("?")[0], data=fields(client.get(location)) | CONTACTS)
    assert page.status_code == 409
    assert "Больше записей пока нельзя" in page.text
    assert value(page, "name") == "Анна"


# --- the ticket


def test_booking_gives_a_ticket_and_nothing_more_to_do(client, station):
    page = client.get(book(client, tap(client, "10:00").location))
    assert "Вы записаны" in page.text
    assert "Понедельник, 2 ноября" in page.text
    assert "067\N{NO-BREAK SPACE}123\N{NO-BREAK SPACE}4567" in page.text
    assert "отправьте себе ссылку" in page.text  # no e-mail was given


def test_a_booking_needs_no_consent_and_claims_none(client, station, at):
    """What goes beyond it is a box of its own, not ticked; when it was ticked is kept."""
    page = client.get(tap(client, "10:00").location)
    assert checked(page) == []
    assert "соглаша" not in page.text and "/privacy?s=zimnyaya-5" in page.text
    book(client, tap(client, "10:00").location)
    assert db.session.scalars(select(Booking.consent_at)).all() == [None]

    agreed = at("09:07")
    book(client, tap(client, "12:00").location, remember="1")
    assert db.session.scalars(select(Booking.consent_at).order_by(Booking.id)).all() == [None, agreed]


def test_the_same_form_twice_is_one_booking(client, station):
    location = tap(client, "10:00").location
    page = client.get(location)
    first = client.post(location.partition("?")[0], data=fields(page) | CONTACTS)
    second = client.post(location.partition("?")[0], data=fields(page) | CONTACTS)
    assert first.location == second.location
    assert count(Booking) == 1
    assert client.get(location).location == second.location.partition("?")[0]


def test_a_booking_that_waits_for_approval_says_so(client, app):
    point = factories.station(auto_confirm=False)
    token = new_token()
    factories.booking(point, "10:00", token=token)
    assert "Станция подтвердит время" in client.get(f"/b/{token}?new=1", follow_redirects=True).text


def test_the_plate_is_kept_in_the_alphabet_it_was_typed_in(client, station):
    ticket = book(client, tap(client, "10:00").location).partition("?")[0]
    assert client.post(f"{ticket}/plate", data={"plate": " аа  1234 вс "}).location == ticket
    assert "АА 1234 ВС" in client.get(ticket).text
    for bad in ("<b>", "А" * 13, "\x00", "А;Б"):
        assert client.post(f"{ticket}/plate", data={"plate": bad}).status_code == 422
    assert db.session.scalars(select(Booking)).one().plate == "АА 1234 ВС"


@pytest.mark.parametrize(
    "token",
    [
        *("", "x" * 21, "x" * 23, "x" * 22 + "/", "x" * 22 + ".", "x" * 22 + "%0a"),
        *("%2e%2e/%2e%2e", "x" * 21 + "й", "%00" * 22, "x" * 10_000),
    ],
)
def test_what_is_no_link_of_ours_is_not_found(client, station, token):
    for page in ("/b/", "/h/"):
        assert client.get(page + token).status_code in (404, 410)
        assert client.post(page + token + "/cancel").status_code in (308, 404, 405, 410)  # 308: two slashes are one


def test_a_dead_link_says_so_and_a_changed_one_opens_nothing(client, station):
    link = tap(client, "10:00").location.partition("?")[0].replace("/h/", "/b/")
    book(client, link.replace("/b/", "/h/"))
    changed = link[:-1] + ("A" if link[-1] != "A" else "B")
    for path in ("", "/calendar.ics"):
        assert client.get(link + path).status_code in (200, 303)
        answer = client.get(changed + path)
        assert answer.status_code == 410
        assert "Ссылка больше не работает" in answer.text
    assert count(Reservation) == 1


def test_the_same_form_with_other_contacts_says_that_one_is_booked_already(client, station):
    location = tap(client, "10:00").location
    sent = fields(client.get(location)) | CONTACTS
    link = client.post(location.partition("?")[0], data=sent).location
    again = client.post(location.partition("?")[0], data=sent | {"phone": "050 123 45 67"})
    assert again.status_code == 422
    assert "Вы уже записаны с другими данными" in again.text
    assert f'href="{link.partition("?")[0]}"' in again.text
    assert value(again, "phone") == "050 123 45 67"
    assert count(Booking) == 1


@pytest.mark.parametrize("slug", ["nowhere", "0", "-1", "1;drop", "%00", "Зимняя", "x" * 10_000, "../../etc/passwd"])
def test_a_station_that_is_none_is_not_found(client, station, slug):
    for path in ("", "/calendar"):
        page = client.get(f"/s/{slug}{path}")
        assert page.status_code == 404
        assert "Такой страницы нет" in page.text
    assert client.post(f"/s/{slug}/hold", data={"at": "2026-11-02T10:00+02:00"}).status_code in (404, 405)


# --- languages


def test_the_browsers_language_is_spoken_then_the_stations(client, station, app):
    assert "Запис на шиномонтаж" in client.get("/s/zimnyaya-5", headers={"Accept-Language": "uk, en;q=0.5"}).text
    assert "Book a tyre change" in client.get("/s/zimnyaya-5", headers={"Accept-Language": "en-GB"}).text
    factories.station(slug="kyivska", name="Київська", locale="uk")
    page = client.get("/s/kyivska", headers={"Accept-Language": "de"})
    assert html(page).get("lang") == "uk"
    assert html(client.get("/s/zimnyaya-5", headers={"Accept-Language": "de"})).get("lang") == "ru"


def test_a_language_once_chosen_is_kept_and_the_address_is_clean_again(client, station):
    answer = client.get(f"{times_url()}&lang=en")
    assert answer.status_code == 303
    assert answer.location == times_url()
    page = client.get(answer.location, headers={"Accept-Language": "uk"})
    assert html(page).get("lang") == "en"
    assert "When suits you?" in page.text


@pytest.mark.parametrize("url", ["/s/zimnyaya-5?lang=xx", "/s/zimnyaya-5?lang=", "/s/zimnyaya-5?lang=%00"])
def test_an_unknown_language_is_ignored(client, station, url):
    answer = client.get(url)
    assert answer.location == "/s/zimnyaya-5"
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["//evil.example/", "/%5Cevil.example", "/%2F%2Fevil.example", "/\\evil.example"])
def test_choosing_a_language_leads_nowhere_else(client, station, path):
    location = client.get(f"{path}?lang=uk").location
    assert location is None or urlsplit(location).hostname in (None, "localhost")
    assert location is None or not re.match(r"[/\\]{2}", location)


def test_a_page_that_answered_a_form_offers_languages_where_they_can_be_had(client, station):
    page = post_hold(client, "2026-11-02T20:00+02:00")
    links = [a.get("href") for a in html(page).iter("a") if a.get("hreflang")]
    assert len(links) == 3
    for link in links:
        assert client.get(link).status_code == 303
        assert client.get(client.get(link).location).status_code == 200


def test_the_booking_remembers_the_language_it_was_made_in(client, station):
    client.set_cookie("lang", "uk")
    page = client.get(book(client, tap(client, "10:00").location))
    assert db.session.scalars(select(Booking)).one().locale == "uk"
    assert "Вас записано" in page.text


# --- failures in words


def test_a_form_without_its_token_is_answered_in_words(client, station, app, monkeypatch):
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)
    form = hold_form(client.get(times_url()), "10:00")
    assert client.post("/s/zimnyaya-5/hold", data=form).status_code == 303  # with the page's own token it works
    for token in ("", "x", "х" * 5000):
        answer = client.post("/s/zimnyaya-5/hold", data=form | {"csrf_token": token})
        assert answer.status_code == 400
        assert "Страница устарела" in answer.text
        assert 'href="/s/zimnyaya-5"' in answer.text
    elsewhere = app.test_client()
    assert elsewhere.post("/s/zimnyaya-5/hold", data=form).status_code == 400  # somebody else's session
    as_json = client.post("/s/zimnyaya-5/hold", json=form)
    assert as_json.status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "Такой страницы нет"),
        ("GET", "/s/zimnyaya-5/hold", 405, "Так страница не открывается"),
        ("DELETE", "/", 405, "Так страница не открывается"),
        ("PUT", "/b/AAAAAA/cancel", 405, "Так страница не открывается"),
        ("TRACE", "/b/AAAAAA/cancel", 405, "Так страница не открывается"),
    ],
)
def test_each_status_has_its_words(client, station, method, path, status, words):
    answer = client.open(path, method=method)
    assert answer.status_code == status
    assert words in answer.text
    assert (status == 405) == ("Allow" in answer.headers)


def test_too_much_is_refused(client, station):
    page = client.post("/s/zimnyaya-5/hold", data={"at": "x" * 300_000})
    assert page.status_code == 413
    assert "Слишком много данных" in page.text
    parts = {"svc": ["1"] * 2000, "file": (io.BytesIO(b"x"), "x")}
    many = client.post("/s/zimnyaya-5/hold", data=parts, content_type="multipart/form-data")
    assert many.status_code == 413
    assert count(Reservation) == 0


def test_a_failure_of_ours_is_a_page_with_a_code_and_without_a_secret(app, station, monkeypatch):
    monkeypatch.setattr("tirefit.web.picker.read_menu", lambda *_: 1 / 0)
    monkeypatch.setattr(app, "testing", False)
    page = app.test_client().get("/s/zimnyaya-5")
    assert page.status_code == 500
    assert "Что-то сломалось у нас" in page.text
    assert re.search(r"500 · [0-9a-f]{8}", page.text)
    assert "ZeroDivisionError" not in page.text


# --- headers


def test_every_answer_says_what_it_may_load_and_that_it_is_not_to_be_kept(client, station):
    for path in ("/s/zimnyaya-5", times_url(), "/nowhere", "/privacy?s=zimnyaya-5", "/accessibility"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
        )
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "HX-Request" in headers["Vary"]


def test_static_files_are_kept_for_ever_under_the_address_of_their_content(client, station):
    page = html(client.get("/s/zimnyaya-5"))
    styles = next(link.get("href") for link in page.iter("link") if link.get("rel") == "stylesheet")
    assert "?v=" in styles
    for address, kept in ((styles, True), (styles.partition("?")[0], False)):
        with client.get(address) as answer:
            assert ("immutable" in answer.headers["Cache-Control"]) == kept


# --- what the tests are made of


@command
def switch_off(point_id: int) -> None:
    db.session.get_one(ServicePoint, point_id).active = False


def rows() -> list[object]:
    """Everything that a request could have changed."""
    return [
        [tuple(row) for row in db.session.execute(select(model.__table__).order_by(*model.__table__.primary_key))]
        for model in (Reservation, Booking, BookingEvent, Notification)
    ]

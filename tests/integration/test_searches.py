"""Other ways to a time: any evening; and what is said to whoever has asked too often or books too much."""

from datetime import datetime

import pytest
from sqlalchemy import func, select

from tests import factories
from tests.customer import CONTACTS, fields, hold_form, html, soonest, take_all, tap, times, times_url, value
from tests.factories import ANNA, booking, kyiv
from tirefit import limits
from tirefit.accounts import network_of
from tirefit.database import command, db
from tirefit.models import Booking, Reservation, ScheduleTemplate, ServicePoint
from tirefit.schedule import changes
from tirefit.schedule.reservations import MOST_HOLDS, hash_of, new_token, reserve_slot_temporarily

MINE = hash_of(network_of("127.0.0.1"))  # the network that the test's browser comes from, as the limits know it
LATE = [(day, 12 * 60, 26 * 60) for day in range(7)]  # noon to two at night


def evenings_url(*names):
    return times_url(*names).replace("?", "/evenings?")


def offered(page):
    return [each.get("value") for each in html(page).iter("button") if each.get("class") == "time"]


def open_late(point, week=LATE):
    template = db.session.scalars(select(ScheduleTemplate).where(ScheduleTemplate.service_point_id == point.id)).one()
    changes.save_template(point.id, week, name="Допоздна", template_id=template.id)


# --- any evening


def test_the_evenings_of_a_week_stand_on_one_page(client, station):
    page = client.get(evenings_url())
    assert page.status_code == 200
    days = [heading.text for heading in html(page).iter("h2")]
    assert days[0] == "Понедельник, 2 ноября"
    assert len(days) == 6  # Sunday is shut, and the station closes at six
    assert set(times(page)) == {"17:00"}
    assert evenings_url().replace("&", "&amp;") in client.get(times_url()).text


def test_an_evening_is_one_tap_away(client, station):
    page = client.get(evenings_url())
    answer = client.post("/s/zimnyaya-5/hold", data=hold_form(page) | {"at": offered(page)[-1]})
    assert answer.status_code == 303
    assert client.get(answer.location).status_code == 200
    assert db.session.scalars(select(Reservation)).one().starts_at == kyiv("2026-11-07 17:00")


def test_an_evening_ends_at_the_station_s_midnight(client, app):
    """What begins after midnight is of the next day's night, and no evening."""
    point = factories.station(horizon_days=10)
    open_late(point)
    hours = {int(time[:2]) for time in times(client.get(evenings_url()))}
    assert hours == set(range(17, 24))
    assert "00:00" in times(client.get(times_url(day="2026-11-03")))


@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Kolkata", "Pacific/Auckland"])
def test_five_o_clock_is_the_station_s(client, app, zone):
    point = factories.station(time_zone=zone)
    open_late(point)
    assert {int(time[:2]) for time in times(client.get(evenings_url()))} == set(range(17, 24))


def test_the_clock_s_change_moves_no_evening(client, app, at):
    at("2026-10-23 09:00")  # two days before the clock goes back
    point = factories.station()
    open_late(point)
    page = client.get(evenings_url())
    assert "2026-10-24T17:00+03:00" in offered(page)
    assert "2026-10-25T17:00+02:00" in offered(page)


def test_evenings_without_a_free_time_say_so(client, station):
    open_late(station, [(day, 9 * 60, 12 * 60) for day in range(6)])
    page = client.get(evenings_url())
    assert times(page) == []
    assert "На ближайшие семь вечеров свободного времени нет" in page.text
    assert "/calendar?" in page.text
    assert "tel:+380442000505" in page.text


def test_evenings_of_nothing_chosen_lead_to_the_choice(client, station):
    assert client.get("/s/zimnyaya-5/evenings").location == "/s/zimnyaya-5"


# --- too often


def test_too_many_holds_from_one_network_are_told_when_to_come_again(client, station):
    for n in range(MOST_HOLDS):
        reserve_slot_temporarily(station.id, kyiv(f"2026-11-0{3 + n % 3} {10 + n // 3}:00"), 30, str(n), origin=MINE)
    answer = tap(client, "10:00")
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "900"
    assert "Слишком много попыток" in answer.text
    assert "Попробуйте снова через 15\N{NO-BREAK SPACE}мин" in answer.text
    assert soonest(answer)  # the times stay in sight, with what was chosen
    assert db.session.scalar(select(func.count()).select_from(Reservation)) == MOST_HOLDS


def test_too_many_bookings_from_one_network_keep_every_word(client, station, monkeypatch):
    monkeypatch.setattr(limits, "BOOKINGS", limits.Limit("booking", 1, limits.BOOKINGS.within))
    booking(station, "2026-11-03 10:00", origin=MINE)
    location = tap(client, "10:00").location
    typed = CONTACTS | {"email": "anna@example.com", "remember": "1"}
    answer = client.post(location.partition("?")[0], data=fields(client.get(location)) | typed)
    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "3600"
    assert "Попробуйте снова через 1\N{NO-BREAK SPACE}ч" in answer.text
    assert "tel:+380442000505" in answer.text
    assert {name: value(answer, name) for name in typed} == typed
    assert db.session.scalar(select(func.count()).select_from(Booking)) == 1
    assert db.session.scalars(select(Reservation).where(Reservation.kind == "hold")).one()  # still held


def test_a_phone_with_enough_bookings_is_told_how_many_and_whom_to_call(client, app):
    point = factories.station(max_open_bookings_per_contact=2)
    for time in ("2026-11-03 10:00", "2026-11-03 12:00"):
        booking(point, time, ANNA)
    location = tap(client, "10:00").location
    answer = client.post(location.partition("?")[0], data=fields(client.get(location)) | CONTACTS)
    assert answer.status_code == 409
    assert "На этот телефон здесь уже 2 записи" in answer.text
    assert "Отмените одну из прежних записей или позвоните" in answer.text
    assert value(answer, "phone") == CONTACTS["phone"]


def test_the_eleventh_extension_leaves_the_form_and_says_why(client, station):
    location = tap(client, "12:00").location
    extend = location.partition("?")[0] + "/extend"
    for _ in range(10):
        page = client.get(location)
        assert client.post(extend, data=fields(page) | CONTACTS).status_code == 303
    last = client.get(location)
    assert "Продлить больше нельзя" in last.text
    assert extend not in last.text
    answer = client.post(extend, data=fields(page) | CONTACTS)
    assert answer.status_code == 409
    assert "Продлить больше нельзя" in answer.text
    assert "Больше записей пока нельзя" not in answer.text
    assert value(answer, "name") == "Анна"


# --- states of the pages before the booking that have no other test (ux.md 4.6)


def test_a_closed_station_gives_its_hours_and_a_phone_to_press(client, station):
    switch_off(station.id)
    page = client.get("/s/zimnyaya-5")
    assert "Онлайн-запись закрыта" in page.text
    assert "tel:+380442000505" in page.text
    assert "до 18:00" in page.text


def test_a_full_horizon_gives_the_phone(client, app):
    point = factories.station(posts=(480,), horizon_days=1)
    while (page := client.get(times_url())) and soonest(page):
        reserve_slot_temporarily(point.id, datetime.fromisoformat(soonest(page)), 40, new_token())
    assert "Свободного времени сейчас нет ни на один день" in page.text
    assert "Ничего не подходит? Позвоните" in page.text


def test_the_title_names_the_time_that_is_gone(client, station):
    form = hold_form(client.get(times_url()), "10:30")
    take_all("10:30")
    answer = client.post("/s/zimnyaya-5/hold", data=form)
    assert html(answer).find(".//title").text.startswith("10:30 только что заняли — ")


def test_a_time_is_named_whole_to_who_does_not_see(client, station):
    button = next(each for each in html(client.get(times_url())).iter("button") if each.get("class") == "time")
    assert button.get("aria-label") == "Понедельник, 2 ноября, 09:00"


@command
def switch_off(point_id):
    db.session.get_one(ServicePoint, point_id).active = False

"""The customer whom their own phone remembers: two taps and no field, because they asked for it.

And the rule beside it: a number plate, which anybody can read off a car, opens nothing.
"""

import re
from datetime import timedelta

import pytest
from itsdangerous import URLSafeTimedSerializer
from sqlalchemy import select

from tests import factories
from tests.customer import book, checked, fields, hold_form, html, soonest, tap, times_url, value
from tests.factories import booking, car_type, service
from tirefit import clock, create_app
from tirefit.booking.commands import set_plate
from tirefit.config import ROOT
from tirefit.database import command, db
from tirefit.models import Booking, ServicePointService
from tirefit.schedule.reservations import new_token
from tirefit.web.remembered import A_LONG_TIME

START = "/s/zimnyaya-5"


def remember(client, time="10:00", **contacts):
    """Book, with the box ticked."""
    return book(client, tap(client, time).location, remember="1", **contacts)


def cookie(client):
    return client.get_cookie("remembered")


def newest():
    return db.session.scalars(select(Booking).order_by(Booking.id.desc())).first()


def test_nobody_is_remembered_who_did_not_ask(client, station):
    page = client.get(tap(client, "10:00").location)
    assert ("remember", "1") not in checked(page)
    book(client, tap(client, "10:00").location)
    assert cookie(client) is None
    assert soonest(client.get(START)) is None


def test_who_asked_comes_back_to_the_soonest_time_and_a_filled_form(client, station):
    remember(client, email="anna@example.com")
    page = client.get(START)
    assert soonest(page) == "2026-11-02T09:00+02:00"
    assert "Изменить" in page.text  # the choices may be others today
    contacts = client.get(client.post(f"{START}/hold", data=hold_form(page, "12:00")).location)
    assert [value(contacts, name) for name in ("name", "phone", "email")] == [
        "Анна",
        "067 123 4567",
        "anna@example.com",
    ]
    assert ("remember", "1") in checked(contacts)
    made_before = newest().id
    action = html(contacts).find(".//form[@id='contacts']").get("action")
    assert client.post(action, data=fields(contacts)).status_code == 303  # as it stands, not a field touched
    made = newest()
    assert made.id != made_before
    assert (made.customer_name, made.customer_phone) == ("Анна", "+380671234567")


def test_the_cookie_is_kept_from_scripts_and_other_sites_for_400_days(client, station):
    location = tap(client, "10:00").location
    sent = fields(client.get(location)) | {"name": "Анна", "phone": "0671234567", "remember": "1"}
    answer = client.post(location.partition("?")[0], data=sent)
    (header,) = [each for each in answer.headers.getlist("Set-Cookie") if each.startswith("remembered=")]
    assert {"HttpOnly", "SameSite=Lax", "Max-Age=34560000", "Path=/"} <= set(header.split("; "))
    assert timedelta(days=400).total_seconds() == A_LONG_TIME
    assert not {"Secure", "Domain"} & set(re.split("[;=] ?", header))


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_over_https_it_is_secure_and_this_host_s_alone(app, station, tmp_path):
    over_https = create_app(
        TESTING=True, DATABASE_URL=app.config["DATABASE_URL"], INSTANCE_PATH=str(tmp_path), HTTPS=True
    )
    over_https.config["WTF_CSRF_ENABLED"] = False
    browser = over_https.test_client()
    page = browser.get(times_url(), base_url="https://localhost")
    held = browser.post(f"{START}/hold", data=hold_form(page, "10:00"), base_url="https://localhost").location
    sent = fields(browser.get(held, base_url="https://localhost"))
    answer = browser.post(
        held.partition("?")[0],
        data=sent | {"name": "Анна", "phone": "0671234567", "remember": "1"},
        base_url="https://localhost",
    )
    (header,) = [each for each in answer.headers.getlist("Set-Cookie") if "remembered=" in each]
    assert header.startswith("__Host-remembered=")
    assert {"Secure", "HttpOnly", "Path=/"} <= set(header.split("; "))


@pytest.mark.parametrize("where", ["contacts", "ticket"])
def test_it_can_be_forgotten_where_it_is_used_and_where_it_was_made(client, station, where):
    ticket = remember(client).partition("?")[0]
    if where == "ticket":
        assert "Забыть меня" in client.get(ticket).text
        assert client.post(f"{ticket}/forget").location == ticket
        assert "Забыть меня" not in client.get(ticket).text
    else:
        location = tap(client, "12:00").location
        page = client.get(location)
        assert client.get(f"{location.partition('?')[0]}/forget").status_code == 405
        answer = client.post(f"{location.partition('?')[0]}/forget", data=fields(page))
        assert answer.location == location
        assert [value(client.get(location), name) for name in ("name", "phone", "email")] == ["", "", ""]
    assert cookie(client) is None
    assert soonest(client.get(START)) is None
    assert newest().customer_name == "Анна"  # what is booked stays booked


def test_booking_without_the_tick_forgets(client, station):
    remember(client)
    location = tap(client, "12:00").location
    sent = fields(client.get(location))
    del sent["remember"]
    assert client.post(location.partition("?")[0], data=sent).status_code == 303
    assert cookie(client) is None


def test_what_was_typed_today_goes_before_what_is_remembered(client, station):
    remember(client)
    location = tap(client, "12:00").location
    client.post(f"{location.partition('?')[0]}/release", data=fields(client.get(location)) | {"name": "Анна-Мария"})
    assert value(client.get(tap(client, "12:00").location), "name") == "Анна-Мария"


def test_it_ends_after_400_days(client, station, at):
    remember(client)
    at((clock.now() + timedelta(days=399)).strftime("%Y-%m-%d %H:%M"))
    assert cookie(client) is not None
    mine = cookie(client).value
    at((clock.now() + timedelta(days=2)).strftime("%Y-%m-%d %H:%M"))
    client.set_cookie("remembered", mine)  # a browser that keeps it longer
    assert soonest(client.get(START)) is None


def test_a_forged_or_foreign_cookie_is_as_good_as_none(client, station, app):
    remember(client)
    mine = cookie(client).value
    content, _, signature = mine.rpartition(".")
    sign = app.session_interface.get_signing_serializer(app).dumps
    bad = [
        "",
        "x",
        f"{content}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}",
        mine.partition(".")[0],
        "." * 5,
        "я",
        "A" * 4000,
    ]
    bad += [sign({"name": "Ева"}), sign([1]), f"{mine}.{mine}"]
    for value_of_cookie in bad:
        client.set_cookie("remembered", value_of_cookie)
        page = client.get(START)
        assert page.status_code == 200
        assert soonest(page) is None, value_of_cookie


@pytest.mark.parametrize("content", [[], "x", 7, None, {}, {"name": "Анна"}, {"service_ids": 5}, {"service_ids": None}])
def test_one_of_another_make_is_as_good_as_none(client, station, app, content):
    """Signed by us, but by an older or a newer program."""
    signed = URLSafeTimedSerializer(app.config["SECRET_KEY"], salt="remembered").dumps(content)
    client.set_cookie("remembered", signed)
    assert soonest(client.get(START)) is None


def test_what_the_station_no_longer_does_is_chosen_anew(client, station):
    remember(client)
    withdraw(service().id)
    page = client.get(START)
    assert soonest(page) is None
    assert "Выберите, какая у вас машина" not in page.text
    assert ("car", str(car_type().id)) in checked(page)


def test_the_plate_comes_along_for_the_same_person_s_same_car(client, station):
    ticket = remember(client).partition("?")[0]
    client.post(f"{ticket}/plate", data={"plate": "АА 1234 ВС"})
    book(client, tap(client, "11:00").location, remember="1")
    assert newest().plate == "АА 1234 ВС"
    book(client, tap(client, "12:00").location, phone="050 123 45 67", remember="1")
    assert newest().plate == ""  # somebody else's booking, made on this phone


def test_a_plate_given_on_another_one_s_ticket_is_not_taken_for_mine(client, station):
    remember(client)
    before = cookie(client).value
    foreign = new_token()
    booking(station, "14:00", factories.BORIS, token=foreign)
    assert client.post(f"{client.get(f'/b/{foreign}').location}/plate", data={"plate": "ВВ 9999 ВВ"}).status_code == 303
    assert cookie(client).value == before


# --- a plate opens nothing


def test_nothing_is_ever_looked_up_by_a_plate(client, station, statements):
    """Through every page before the booking, with the plate of somebody who has booked in every field and address."""
    plate = "АА 1234 ВС"
    set_plate(booking(station, "14:00", factories.BORIS).id, plate)
    with statements() as seen:
        for path in ("/", START, times_url(), times_url().replace("?", "/calendar?"), "/privacy"):
            page = client.get(path, query_string=None if "?" in path else {"plate": plate, "q": plate})
            assert "Борис" not in page.text
        location = tap(client, "10:00").location
        page = client.get(f"{location}&plate={plate}")
        ticket = book(client, location, plate=plate, name=plate + " Анна").partition("?")[0]
        client.post(f"{ticket}/plate", data={"plate": plate})
        shown = client.get(ticket)
    assert "Борис" not in page.text + shown.text
    assert newest().plate == plate
    asked = [each for each in seen if re.search(r"\bplate\b", each.partition(" WHERE ")[2])]
    assert asked == []


def test_the_rule_is_written_down():
    assert "by a plate" in (ROOT / "docs" / "how-it-works.md").read_text()


def test_the_privacy_page_tells_what_the_phone_keeps(client, station):
    page = client.get("/privacy?s=zimnyaya-5").text
    for words in ("Запомнить меня на этом телефоне", "400 дней", "госномер", "Забыть"):
        assert words in page


@command
def withdraw(service_id: int) -> None:
    for each in db.session.scalars(select(ServicePointService).where(ServicePointService.service_id == service_id)):
        db.session.delete(each)

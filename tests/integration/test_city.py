"""The soonest time at any station of a city, from one choice and with one tap."""

import re

import pytest
from sqlalchemy import select

from tests import factories
from tests.customer import book, checked, html, tap
from tests.factories import car_type, kyiv, service
from tirefit.database import command, db
from tirefit.models import Reservation, ServicePrice, WheelSurcharge
from tirefit.schedule.blocks import block_time


@pytest.fixture
def city(station):
    """Two stations in Kyiv, and one elsewhere. «Зимняя» is taken until noon, «Летняя» until ten."""
    summer = factories.station(slug="letnyaya-7", name="Летняя, 7", posts=(40,))
    factories.station(slug="lvov", name="Львов", city="Львов")
    for point, until in ((station, "12:00"), (summer, "10:00")):
        for post in point.posts:
            block_time(point.id, post.id, kyiv("09:00"), kyiv(until))
    return station, summer


def url(**more):
    query = {"city": "Киев", "svc": service().id, "car": car_type().id} | more
    return "/soonest?" + "&".join(f"{name}={value}" for name, value in query.items() if value is not None)


def offers(page):
    """Station's address of holding → the moment on its button, in the page's order."""
    return {
        form.get("action"): form.find(".//button").get("value")
        for form in html(page).iter("form")
        if form.get("method") == "post"
    }


def test_the_stations_of_the_city_stand_by_their_soonest_time(client, city):
    page = client.get(url())
    assert list(offers(page).items()) == [
        ("/s/letnyaya-7/hold", "2026-11-02T10:00+02:00"),
        ("/s/zimnyaya-5/hold", "2026-11-02T12:00+02:00"),
    ]
    assert "Львов" not in page.text


def test_one_tap_holds_the_time_of_a_station(client, city):
    page = client.get(url())
    form = next(each for each in html(page).iter("form") if each.get("action") == "/s/letnyaya-7/hold")
    sent = {each.get("name"): each.get("value") for each in form.iter("input")}
    answer = client.post("/s/letnyaya-7/hold", data=sent | {"at": form.find(".//button").get("value")})
    assert answer.status_code == 303
    held = db.session.scalars(select(Reservation).where(Reservation.kind == "hold")).one()
    assert held.service_point_id == city[1].id
    assert client.get(answer.location).status_code == 200


def test_each_station_has_its_own_price(client, city):
    price(city[1], 99900)
    page = client.get(url()).text
    assert page.index("999\N{NO-BREAK SPACE}₴") < page.index("1\N{NO-BREAK SPACE}200\N{NO-BREAK SPACE}₴")


def test_what_is_not_chosen_yet_is_asked_for(client, city):
    page = client.get("/soonest?city=Киев")
    assert page.status_code == 200
    assert checked(page) == [("svc", str(service().id))]
    assert "Выберите, какая у вас машина" not in page.text
    assert "Выберите, какая у вас машина" in client.get(url(car=None)).text
    assert checked(client.get(url(edit=1))) == [("svc", str(service().id)), ("car", str(car_type().id))]


def test_sizes_of_wheels_are_told_apart_as_finely_as_any_station_does(client, city):
    for point, size in zip(city, (16, 18), strict=True):
        charge(point, size)
    page = client.get(url())
    assert [each.get("value") for each in html(page).iter("input") if each.get("name") == "wheel"] == ["15", "16", "18"]
    assert "Выберите размер колёс" in page.text
    told = client.get(url(wheel=17)).text
    assert "50\N{NO-BREAK SPACE}мин = 40 + 10 за R16" in told  # «Зимняя» counts from sixteen inches on
    assert re.search(r"Летняя, 7.*?\b40\N{NO-BREAK SPACE}мин ·", told, re.DOTALL)


def test_a_station_that_does_not_do_it_is_named_with_its_phone(client, city):
    drop_price(city[1])
    page = client.get(url())
    assert list(offers(page)) == ["/s/zimnyaya-5/hold"]
    assert "Здесь времени нет или такой работы не делают" in page.text
    assert "tel:+380442000505" in page.text


def test_a_city_without_a_free_time_gives_the_phones(client, app):
    for slug in ("odin", "dva"):
        factories.station(slug=slug, name=slug, posts=())
    page = client.get(url())
    assert "Ни на одной станции города свободного времени нет" in page.text
    assert page.text.count("tel:+380442000505") == 2


@pytest.mark.parametrize("name", ["", "Атлантида", "%00", "x" * 5000, "Киев' OR 1=1", "%ED%A0%80"])
def test_a_city_that_is_none_leads_to_all_stations(client, city, name):
    assert client.get(f"/soonest?city={name}").location == "/"
    assert client.get("/soonest").location == "/"


@pytest.mark.parametrize("query", ["svc=0&car=-1", "svc=999999&car=1", "svc=1&car=999", "svc=%00&car=%ff&wheel=x"])
def test_nonsense_is_asked_for_again(client, city, query):
    assert client.get(f"/soonest?city=Киев&{query}").status_code == 200


def test_it_is_found_from_the_list_of_stations_and_from_the_times(client, city):
    assert client.get("/").text.count("Где раньше: ") == 1
    assert "Где раньше: Киев" in client.get("/").text
    times = client.get(f"/s/zimnyaya-5?svc={service().id}&car={car_type().id}")
    link = next(a.get("href") for a in html(times).iter("a") if "/soonest" in a.get("href", ""))
    assert list(offers(client.get(link))) == ["/s/letnyaya-7/hold", "/s/zimnyaya-5/hold"]
    alone = client.get(f"/s/lvov?svc={service().id}&car={car_type().id}")
    assert "/soonest" not in alone.text


def test_whom_the_phone_remembers_is_asked_nothing(client, city):
    book(client, tap(client, "14:00").location, remember="1")
    assert list(offers(client.get("/soonest?city=Киев"))) == ["/s/letnyaya-7/hold", "/s/zimnyaya-5/hold"]


@command
def price(point, amount):
    for each in db.session.scalars(select(ServicePrice).where(ServicePrice.service_point_id == point.id)):
        each.amount = amount


@command
def drop_price(point):
    for each in db.session.scalars(select(ServicePrice).where(ServicePrice.service_point_id == point.id)):
        db.session.delete(each)


@command
def charge(point, size):
    db.session.add(WheelSurcharge(service_point_id=point.id, from_inches=size, minutes=10))

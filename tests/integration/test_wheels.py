"""Large wheels take longer: where a station says so, its customers choose the size, and everybody sees what it adds."""

import pytest
from sqlalchemy import select

from tests import factories
from tests.customer import book, checked, hold_form, html, times, times_url
from tests.factories import car_type, service
from tirefit import clock
from tirefit.booking.durations import WheelSizes, wheel_sizes, wheel_surcharges
from tirefit.database import command, db
from tirefit.leases import LEASE
from tirefit.models import Booking, Reservation, ServicePoint, ServicePost, WheelSurcharge
from tirefit.notifications import letters
from tirefit.notifications.outbox import ClaimedLetter
from tirefit.web import filters

NBSP = "\N{NO-BREAK SPACE}"


@command
def let_wheels_take_longer(point: ServicePoint, steps: dict[int, int], largest: int | None = None) -> None:
    db.session.add_all(
        WheelSurcharge(service_point_id=point.id, from_inches=size, minutes=more) for size, more in steps.items()
    )
    if largest is not None:
        db.session.get_one(ServicePost, point.posts[0].id).largest_wheel = largest


@pytest.fixture
def wide(station):
    """«Зимняя, 5», where R16 takes ten minutes more and R18 twenty."""
    let_wheels_take_longer(station, {16: 10, 18: 20})
    return station


def sizes(page):
    return [each.get("value") for each in html(page).iter("input") if each.get("name") == "wheel"]


@pytest.mark.parametrize(
    ("steps", "largest", "found"),
    [
        ({}, 17, []),
        ({16: 10}, None, [(None, 15), (16, None)]),
        ({16: 10, 18: 20}, None, [(None, 15), (16, 17), (18, None)]),
        ({16: 10}, 17, [(None, 15), (16, 17), (18, None)]),  # the narrow post takes no larger ones
        ({16: 10}, 40, [(None, 15), (16, None)]),
        ({8: 5}, None, [(None, None)]),
        ({40: 5}, None, [(None, 39), (40, None)]),
    ],
)
def test_the_sizes_to_choose_from_are_those_that_make_a_difference(station, steps, largest, found):
    let_wheels_take_longer(station, steps, largest)
    assert wheel_sizes(station, wheel_surcharges(station)) == [WheelSizes(*each) for each in found]
    for each in wheel_sizes(station, wheel_surcharges(station)):
        assert each.inches in each
        assert 8 <= each.inches <= 40


def test_their_names(app):
    with app.test_request_context():
        named = [filters.wheels(WheelSizes(*each)) for each in ((None, 15), (16, 17), (18, 18), (19, None))]
    assert named == ["до R15", "R16–17", "R18", "R19+"]


def test_a_station_without_surcharges_does_not_ask(client, station):
    assert sizes(client.get("/s/zimnyaya-5")) == []
    assert times(client.get(times_url() + "&wheel=20"))


def test_where_it_matters_the_size_is_asked_for_and_nothing_is_chosen_in_advance(client, wide):
    page = client.get("/s/zimnyaya-5")
    assert sizes(page) == ["15", "16", "18"]
    assert "wheel" not in dict(checked(page))
    assert "Выберите размер колёс" not in page.text
    without = client.get(times_url())
    assert times(without) == []
    assert "Выберите размер колёс" in without.text
    assert "Выберите размер колёс" not in client.get(times_url(), headers={"HX-Request": "true"}).text
    assert client.get(times_url().replace("?", "/calendar?")).location.startswith("/s/zimnyaya-5?")


@pytest.mark.parametrize(
    ("wheel", "total"),
    [("15", "40 мин · "), ("13", "40 мин · "), ("17", "50 мин = 40 + 10 за R16"), ("18", "60 мин = 40 + 20 за R18")],
)
def test_the_times_fit_the_size(client, wide, wheel, total):
    page = client.get(f"{times_url()}&wheel={wheel}")
    assert total.replace(" мин", f"{NBSP}мин") in page.text
    assert times(page)


@pytest.mark.parametrize("wheel", ["", "0", "7", "41", "R16", "999999999", "16.5", "%00"])
def test_a_size_that_is_none_is_asked_for_again(client, wide, wheel):
    assert times(client.get(f"{times_url()}&wheel={wheel}")) == []


def test_one_breakdown_stands_on_every_page_and_in_the_letter(client, wide):
    url = times_url("Сезонная переобувка", "Балансировка") + "&wheel=19"
    told = f"90{NBSP}мин = Сезонная переобувка 40 + Балансировка 30 + 20 за R18"
    page = client.get(url)
    assert told in page.text
    answer = client.post("/s/zimnyaya-5/hold", data=several(page, "10:00"))
    assert "wheel=18" in answer.location
    contacts = client.get(answer.location)
    assert told in contacts.text
    ticket = book(client, answer.location, email="anna@example.com")
    assert told in client.get(ticket).text
    made = db.session.scalars(select(Booking)).one()
    assert (made.total_duration, made.wheel_inches, made.wheel_minutes) == (90, 18, 20)
    claimed = ClaimedLetter(
        1, "booking_created", made.id, "anna@example.com", "ru", "0123abcd", "lease", clock.now() + LEASE, "A" * 22
    )
    letter = letters.compose(claimed)
    assert told in letter.body
    assert told in letter.html.replace("&nbsp;", NBSP)


def test_booking_again_keeps_the_size(client, wide):
    location = client.post("/s/zimnyaya-5/hold", data=several(client.get(f"{times_url()}&wheel=18"), "15:00")).location
    ticket = book(client, location).partition("?")[0]
    client.post(f"{ticket}/cancel")
    assert "wheel=18" in client.get(ticket).text


def test_a_hold_is_as_long_as_the_wheels_take(client, wide):
    client.post("/s/zimnyaya-5/hold", data=several(client.get(f"{times_url()}&wheel=18"), "10:00"))
    held = db.session.scalars(select(Reservation)).one()
    assert (held.ends_at - held.starts_at).total_seconds() / 60 >= 60
    assert held.wanted["wheel_inches"] == 18


def test_a_hold_without_the_size_is_refused_where_it_matters(client, wide):
    form = {"svc": service().id, "car": car_type().id, "at": "2026-11-02T10:00+02:00"}
    assert client.post("/s/zimnyaya-5/hold", data=form).status_code == 409
    assert db.session.scalars(select(Reservation)).all() == []


def test_wheels_too_large_for_a_post_are_not_offered_it(client, app):
    point = factories.station(posts=(30, 40))
    let_wheels_take_longer(point, {16: 0}, largest=18)
    small, large = (times(client.get(f"{times_url()}&wheel={size}")) for size in ("16", "19"))
    assert "09:30" in small  # of the first post's half hours
    assert "09:30" not in large


def test_the_phone_remembers_the_size_for_its_own_station_only(client, wide):
    other = factories.station(slug="letnyaya-7", name="Летняя, 7")
    let_wheels_take_longer(other, {17: 5})
    location = client.post("/s/zimnyaya-5/hold", data=several(client.get(f"{times_url()}&wheel=18"), "10:00")).location
    book(client, location, remember="1")
    assert times(client.get("/s/zimnyaya-5"))
    there = client.get("/s/letnyaya-7")
    assert times(there) == []
    assert ("car", str(car_type().id)) in checked(there)


def several(page, time):
    """The form of the times, with each of its services."""
    services = [
        each.get("value")
        for each in html(page).find(".//form[@method='post']").iter("input")
        if each.get("name") == "svc"
    ]
    return hold_form(page, time) | {"svc": services}

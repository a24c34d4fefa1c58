"""Shorter and other ways to a booking, in taps: a phone that remembers, wheels that matter, evenings, the city."""

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import Arrive, Visitor, hold, only_booking, open_station
from tests.e2e.test_booking import anna, book_button, choose_car, fill_contacts, heading, js, soonest, times
from tirefit.database import command, db
from tirefit.models import Booking, WheelSurcharge

__all__ = ["anna", "js"]


@pytest.fixture
def wide(app):
    """A station where wheels from R18 on take ten minutes more."""
    point = open_station()
    charge(point.id)
    return point


def test_who_comes_back_needs_two_taps_and_no_field(anna: Visitor, js, station):
    book_and_be_remembered(anna, js)
    anna.taps, anna.filled = 0, []
    anna.go("/")
    anna.tap(soonest(anna.page))
    expect(anna.page.get_by_label("Имя")).to_have_value("Анна")
    anna.tap(book_button(anna.page))

    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert (anna.taps, anna.filled) == (2, [])
    assert [made.customer_phone for made in everybody()] == ["+380671234567"] * 2


@pytest.mark.parametrize("where", ["contacts", "ticket"])
def test_the_phone_forgets_when_told(anna: Visitor, js, station, where):
    book_and_be_remembered(anna, js)
    if where == "contacts":
        anna.go("/")
        anna.tap(soonest(anna.page))
    anna.tap(anna.page.get_by_role("button", name="Забыть меня"))
    expect(anna.page.get_by_role("button", name="Забыть меня")).to_have_count(0)
    if where == "contacts":
        expect(anna.page.get_by_label("Имя")).to_have_value("")
        expect(anna.page.get_by_label("Запомнить меня на этом телефоне")).not_to_be_checked()
        assert hold().kind == "hold"
    anna.go("/")
    expect(heading(anna.page)).to_have_text("Запись на шиномонтаж")


def test_another_browser_knows_nothing(anna: Visitor, js, station, arrive: Arrive):
    book_and_be_remembered(anna, js)
    stranger = arrive(js)
    stranger.go("/")
    expect(heading(stranger.page)).to_have_text("Запись на шиномонтаж")


def test_the_size_of_wheels_costs_one_tap_where_it_matters(anna: Visitor, js, wide):
    anna.go("/")
    anna.tap(anna.page.locator("label.tile.car", has_text="Легковая"))
    anna.tap(anna.page.locator("label.tile.chip", has_text="R18+"))
    if not js:
        anna.tap(anna.page.get_by_role("button", name="Показать время"))
    expect(heading(anna.page)).to_have_text("Когда приехать?")
    expect(anna.page.locator(".chosen")).to_contain_text("50 мин = 40 + 10 за R18")
    anna.tap(soonest(anna.page))
    fill_contacts(anna)
    anna.tap(book_button(anna.page))

    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == (4 if js else 5)
    expect(anna.page.locator(".ticket")).to_contain_text("50 мин = 40 + 10 за R18")
    assert (only_booking().wheel_inches, only_booking().total_duration) == (18, 50)


def test_without_the_size_the_button_asks_for_it(arrive: Arrive, wide):
    anna = arrive(js=False)
    anna.go("/")
    anna.tap(anna.page.locator("label.tile.car", has_text="Легковая"))
    anna.tap(anna.page.get_by_role("button", name="Показать время"))
    expect(anna.page.get_by_role("alert")).to_have_text("Выберите размер колёс")
    expect(anna.page.get_by_role("radio", name="Легковая")).to_be_checked()


def test_an_evening_costs_one_tap_more(anna: Visitor, js, station):
    anna.go("/")
    choose_car(anna, js)
    anna.tap(anna.page.get_by_role("link", name="Вечером, после 17:00"))
    expect(heading(anna.page)).to_have_text("Вечером, после 17:00")
    assert all(int(each[:2]) >= 17 for each in times(anna.page).all_inner_texts())
    anna.tap(times(anna.page).last)
    fill_contacts(anna)
    anna.tap(book_button(anna.page))
    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == (4 if js else 5)


def test_the_soonest_in_the_city_costs_one_tap_more(anna: Visitor, js, station):
    open_station(slug="letnyaya-7", name="Летняя, 7", posts=(45,))
    anna.go("/")
    anna.tap(anna.page.get_by_role("link", name="Где раньше: Киев"))
    anna.tap(anna.page.locator("label.tile.car", has_text="Легковая"))
    if not js:
        anna.tap(anna.page.get_by_role("button", name="Показать время"))
    expect(soonest(anna.page)).to_have_count(2)
    if js:
        expect(anna.focus).to_have_text("Где раньше: Киев")
        expect(anna.page).to_have_url(re.compile(r"/soonest\?.*car="))
    anna.tap(soonest(anna.page).first)
    fill_contacts(anna)
    anna.tap(book_button(anna.page))
    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == (4 if js else 5)


def book_and_be_remembered(visitor: Visitor, js: bool) -> None:
    visitor.go("/")
    choose_car(visitor, js)
    visitor.tap(soonest(visitor.page))
    fill_contacts(visitor)
    visitor.tap(visitor.page.get_by_label("Запомнить меня на этом телефоне"))
    visitor.tap(book_button(visitor.page))
    expect(heading(visitor.page)).to_have_text("Вы записаны")


def everybody() -> list[Booking]:
    db.session.rollback()
    return db.session.query(Booking).all()


@command
def charge(point_id: int) -> None:
    db.session.add(WheelSurcharge(service_point_id=point_id, from_inches=18, minutes=10))

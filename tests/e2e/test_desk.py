"""The manager's forms at a keyboard: prices like a spreadsheet, Ctrl+S, a warning before what was typed is lost."""

import pytest
from playwright.sync_api import Locator, expect

from tests import factories
from tests.e2e.conftest import DESK, Arrive, Visitor
from tests.e2e.test_station import sign_in
from tirefit.booking.durations import calculate_booking_duration
from tirefit.database import db
from tirefit.models import ServicePoint, User


@pytest.fixture
def olga(station: ServicePoint) -> User:
    return factories.user("Ольга", "olga@example.com", "manager", station)


def cell(desk: Visitor, service: str, car: str, kind: str) -> Locator:
    ids = factories.service(service).id, factories.car_type(car).id
    return desk.page.locator(f"[data-matrix] [name='{kind}-{ids[0]}-{ids[1]}']")


def test_prices_are_filled_in_by_keyboard_alone(arrive: Arrive, olga, station):
    desk = arrive(**DESK)
    sign_in(desk, next_page="/manage/zimnyaya-5/services")
    first = cell(desk, "Сезонная переобувка", "car", "m")
    first.select_text()  # as whoever comes to it with Tab has it
    key = desk.page.keyboard

    key.press("ArrowRight")
    expect(cell(desk, "Сезонная переобувка", "car", "p")).to_be_focused()
    key.press("ArrowLeft")
    key.type("55")  # over what stood there: a cell that is reached is selected
    expect(first).to_have_value("55")
    key.press("Escape")
    expect(first).not_to_have_value("55")
    key.type("50")
    key.press("ArrowDown")
    second = desk.focus.get_attribute("name")
    assert second.startswith("m-") and second.split("-")[2] == str(factories.car_type("car").id)
    key.press("ArrowUp")
    expect(first).to_be_focused()
    with desk.page.expect_navigation():
        key.press("Control+KeyS")
    expect(first).to_have_value("50")
    db.session.rollback()
    seasonal, car = factories.service("Сезонная переобувка").id, factories.car_type("car").id
    assert calculate_booking_duration([seasonal], car, station).lines[0].minutes == 50


def test_what_was_typed_is_not_lost_by_a_wrong_tap(arrive: Arrive, olga):
    desk = arrive(**DESK)
    sign_in(desk, next_page="/manage/zimnyaya-5/settings/station")
    asked = []

    def stay(dialog):
        asked.append(dialog.type)
        dialog.dismiss()

    desk.page.on("dialog", stay)
    name = desk.page.get_by_label("Название станции")
    name.click()
    name.press("End")
    name.press_sequentially(" и дальше")
    with desk.page.expect_event("dialog"):
        desk.page.get_by_role("link", name="Отчёты").click(no_wait_after=True)
    assert asked == ["beforeunload"]
    expect(name).to_have_value("Зимняя, 5 и дальше")

    with desk.page.expect_navigation():
        desk.page.keyboard.press("Control+KeyS")
    assert asked == ["beforeunload"]  # saving is not leaving
    desk.tap(desk.page.get_by_role("link", name="Отчёты"))
    expect(desk.page.locator("h1")).to_have_text("Отчёты")
    assert asked == ["beforeunload"]  # and now there is nothing to lose


def test_a_slow_preview_is_seen_and_heard_to_be_on_its_way(arrive: Arrive, olga):
    desk = arrive(**DESK)
    sign_in(desk, next_page="/manage/posts/new")
    held = []
    desk.page.route("**/manage/**preview**", lambda route: held.append(route))

    desk.tap(desk.page.locator(".seg label", has_text="45"))
    expect(desk.page.locator("[aria-busy=true]")).to_have_count(1)
    while held:
        held.pop().continue_()
    expect(desk.page.locator("[aria-busy=true]")).to_have_count(0)

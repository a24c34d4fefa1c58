"""The day at the board: move by tap, drag and keyboard, cars at the gate, closed time, two screens, no network."""

import re
from datetime import date, datetime, time, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests import factories
from tests.e2e.conftest import DESK, PHONE, Arrive, Visitor, only_booking
from tests.e2e.test_station import panel, sign_in
from tests.factories import KYIV
from tirefit import clock
from tirefit.booking.steps import transition_booking
from tirefit.models import ServicePoint, User
from tirefit.schedule.windows import local_day

IN_FIVE_DAYS = timedelta(days=5)


@pytest.fixture(params=[True, False], ids=["js", "no-js"])
def js(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def olga(station: ServicePoint) -> User:
    return factories.user("Ольга", "olga@example.com", "manager", station)


@pytest.fixture
def day(station: ServicePoint) -> date:
    """A quiet one ahead."""
    return local_day(station.time_zone, clock.now()) + IN_FIVE_DAYS


@pytest.fixture
def anna(station: ServicePoint, day: date):
    """At ten on post 1."""
    return factories.booking(station, at_wall(day, "10:00"), post_number=1)


@pytest.fixture
def desk(arrive: Arrive, olga: User, js: bool) -> Visitor:
    return signed_in(arrive, js)


def signed_in(arrive: Arrive, js: bool = True, **options) -> Visitor:
    visitor = arrive(js, **(DESK | options))
    sign_in(visitor)
    visitor.taps = 0
    return visitor


def at_wall(day: date, wall: str) -> datetime:
    return datetime.combine(day, time.fromisoformat(wall), KYIV)


def card(page: Page) -> Locator:
    return page.locator("a.ev", has_text="Анна")


def place(page: Page, post: int, wall: str) -> Locator:
    return page.locator(f".col:nth-of-type({post}) button.fr.to", has_text=f"{wall} сюда")


def test_moved_by_tap_and_brought_back(desk, station, day, anna):
    desk.go(f"/board/{station.slug}/{day}?b={anna.number}")
    desk.tap(panel(desk.page).get_by_role("link", name="Переместить"))
    expect(desk.page.locator("form.moving")).to_contain_text("Перемещаем: Анна, 40 мин")
    desk.tap(place(desk.page, 2, "12:00"))

    expect(panel(desk.page)).to_contain_text("Перемещено на 12:00, пост 2")
    assert (only_booking().starts_at, only_booking().post.post_number) == (at_wall(day, "12:00"), 2)
    desk.tap(panel(desk.page).get_by_role("button", name=re.compile(r"^Вернуть\s*: 10:00")))
    expect(panel(desk.page)).to_contain_text("Перемещено на 10:00, пост 1")
    assert only_booking().starts_at == at_wall(day, "10:00")


def test_moved_by_drag(arrive, olga, station, day, anna):
    desk = signed_in(arrive)
    desk.go(f"/board/{station.slug}/{day}")
    source = card(desk.page)
    source.scroll_into_view_if_needed()
    box = source.bounding_box()
    desk.page.mouse.move(box["x"] + 30, box["y"] + 10)
    desk.page.mouse.down()
    desk.page.mouse.move(box["x"] + 60, box["y"] + 30)
    target = place(desk.page, 3, "11:00")
    expect(target).to_be_visible()
    for _ in range(20):  # a hand follows the place, should the page still move under it
        there = target.bounding_box()
        desk.page.mouse.move(there["x"] + 20, there["y"] + 10)
        if "over" in target.get_attribute("class").split():
            break
        desk.page.wait_for_timeout(100)
    expect(target).to_have_class(re.compile(r"\bover\b"))
    desk.page.mouse.up()

    expect(panel(desk.page)).to_contain_text("Перемещено на 11:00, пост 3")
    assert only_booking().starts_at == at_wall(day, "11:00")


def test_a_drag_that_ends_nowhere_changes_nothing(arrive, olga, station, day, anna):
    desk = signed_in(arrive)
    desk.go(f"/board/{station.slug}/{day}")
    card(desk.page).scroll_into_view_if_needed()
    box = card(desk.page).bounding_box()
    desk.page.mouse.move(box["x"] + 30, box["y"] + 10)
    desk.page.mouse.down()
    desk.page.mouse.move(box["x"] + 60, box["y"] + 30)
    expect(desk.page.locator("form.moving")).to_be_visible()
    desk.page.mouse.move(box["x"] + 30, 5)
    desk.page.mouse.up()

    expect(desk.page.locator("form.moving")).to_have_count(0)
    assert only_booking().starts_at == at_wall(day, "10:00")


def test_moved_by_keyboard_alone(arrive, olga, station, day, anna):
    desk = signed_in(arrive)
    desk.go(f"/board/{station.slug}/{day}?b={anna.number}")
    card(desk.page).focus()
    desk.page.keyboard.press("m")
    expect(desk.page.locator("form.moving")).to_be_visible()
    expect(desk.page.locator("#bkh")).to_be_focused()  # the answer has come, and has said where it is
    place(desk.page, 1, "11:00").focus()
    desk.page.keyboard.press("ArrowRight")
    expect(desk.focus).to_have_text(re.compile("сюда"))
    chosen = desk.focus.get_attribute("value")
    assert chosen.startswith("2 ")
    desk.page.keyboard.press("Enter")

    expect(panel(desk.page)).to_contain_text("Перемещено на")
    assert only_booking().post.post_number == 2


def test_escape_moves_nothing_and_letters_can_be_switched_off(arrive, olga, station, day, anna):
    desk = signed_in(arrive)
    desk.go(f"/board/{station.slug}/{day}?move={anna.number}")
    desk.page.keyboard.press("Escape")
    expect(desk.page.locator("form.moving")).to_have_count(0)

    desk.page.locator(".keys summary").click()
    desk.page.get_by_label("Выключить клавиши-буквы").check()
    card(desk.page).focus()
    asked: list[str] = []
    desk.page.on("request", lambda request: asked.append(request.url))
    desk.page.keyboard.press("m")
    desk.page.keyboard.press("Enter")  # what this asks for comes after whatever the letter asked for
    expect(panel(desk.page)).to_be_visible()
    assert not [url for url in asked if "move=" in url]
    expect(desk.page.locator("form.moving")).to_have_count(0)
    assert only_booking().version == 1


def test_a_car_at_the_gate_takes_three_taps(desk, js, station):
    desk.tap(desk.page.get_by_role("link", name="Без записи"))
    desk.tap(desk.page.locator(".gate label", has_text="Легковая"))
    if not js:
        desk.tap(desk.page.get_by_role("button", name="Показать места"))
    desk.tap(desk.page.locator(".places button").first)

    expect(panel(desk.page).locator(".st")).to_contain_text("Приехал")
    assert (only_booking().source, only_booking().status) == ("walk_in", "arrived")
    assert desk.taps == (3 if js else 4)


def test_closing_time_tells_first_whom_it_touches(desk, js, station, day, anna):
    desk.go(f"/board/{station.slug}/{day}")
    desk.tap(desk.page.get_by_role("link", name="Закрыть время"))
    desk.page.get_by_label("С", exact=True).fill("09:00")
    desk.page.get_by_label(re.compile("^До")).fill("12:00")
    desk.tap(desk.page.locator("#block label", has_text="1").first)
    if js:
        expect(desk.page.locator("#block .note")).to_contain_text("10:00 Анна")
        assert "csrf_token" not in desk.page.url, "what is only looked at needs no token"
    desk.page.get_by_label(re.compile("^Причина")).fill("Ремонт")
    desk.tap(desk.page.locator("#block").get_by_role("button", name="Закрыть время"))

    expect(desk.page.locator(".ev.block", has_text="Ремонт").first).to_be_visible()
    expect(desk.page.locator("#att")).to_contain_text("Пост закрыт, переместите")
    desk.tap(desk.page.locator(".ev.block", has_text="Ремонт").first.get_by_role("button", name=re.compile("^Открыть")))
    expect(desk.page.locator(".ev.block", has_text="Ремонт")).to_have_count(0)
    assert only_booking().status == "confirmed"


def test_a_wrong_tap_is_taken_back(desk, station, day, anna):
    desk.go(f"/board/{station.slug}/{day}?b={anna.number}")
    desk.tap(panel(desk.page).get_by_role("button", name="Приехал", exact=True))
    expect(panel(desk.page).locator("h2 .st")).to_contain_text("Приехал")
    desk.tap(panel(desk.page).get_by_role("button", name=re.compile("^Вернуть")))
    expect(panel(desk.page).locator("h2 .st")).to_contain_text("Записан")
    assert (only_booking().status, only_booking().arrived_at) == ("confirmed", None)


def test_what_one_screen_does_the_other_shows_within_ten_seconds(arrive, olga, station, day, anna):
    desk = signed_in(arrive, timed=True)
    desk.go(f"/board/{station.slug}/{day}?b={anna.number}")
    desk.page.locator("summary", has_text="История").click()
    transition_booking(anna.id, "arrive")

    desk.wait(10)
    expect(card(desk.page)).to_contain_text("Приехал")
    expect(panel(desk.page).locator("h2 .st")).to_contain_text("Приехал")
    expect(panel(desk.page).locator(".hist")).to_be_visible()  # what was open stays open


def test_without_a_network_the_day_stays_and_says_of_when_it_is(arrive, olga, station, day, anna):
    desk = signed_in(arrive, expects="ERR_INTERNET_DISCONNECTED|Failed to fetch", timed=True)
    desk.go(f"/board/{station.slug}/{day}?b={anna.number}")
    desk.page.context.set_offline(True)
    desk.wait(10)
    said = desk.page.locator("#sys")
    expect(said).to_be_visible()
    expect(said).to_contain_text(re.compile(r"Нет связи.*Показано на \d\d:\d\d"))
    expect(card(desk.page)).to_be_visible()

    desk.page.context.set_offline(False)
    desk.wait(10)
    expect(said).to_be_hidden()


def test_on_a_phone_the_day_is_a_list_with_the_same_verbs(arrive, olga, station, day, anna):
    phone = signed_in(arrive, **PHONE)
    expect(phone.page).to_have_url(re.compile("view=list"))
    phone.go(f"/board/{station.slug}/{day}")
    expect(phone.page).to_have_url(re.compile("view=list"))
    phone.tap(phone.page.locator(".agenda a", has_text="Анна"))
    phone.tap(panel(phone.page).get_by_role("button", name="Приехал", exact=True))
    expect(panel(phone.page).locator("h2 .st")).to_contain_text("Приехал")


def test_the_day_is_one_sheet_of_paper(arrive, olga, station, day, anna):
    desk = signed_in(arrive)
    desk.go(f"/board/{station.slug}/{day}")
    paper = desk.page.pdf(format="A4", landscape=True, prefer_css_page_size=True)

    assert len(re.findall(rb"/Type\s*/Page\b", paper)) == 1

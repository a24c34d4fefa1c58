"""The tablet at a post, with gloves on: paired with a code, one tap for each step, true within five seconds."""

import itertools
import re
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests import factories
from tests.e2e.conftest import DESK, Arrive, Visitor, only_booking
from tests.e2e.faults import AXE, LANGUAGES, LOOKS, THEMES, TRIALS, TWO_FRAMES, violations
from tirefit import bays, clock
from tirefit.booking.at_the_gate import book_walk_in
from tirefit.booking.steps import transition_booking
from tirefit.database import command, db
from tirefit.models import Booking, ServicePoint
from tirefit.schedule.reservations import new_token

TABLET = {"viewport": {"width": 1280, "height": 800}, "has_touch": True, "is_mobile": False}
PLATE = "АА 1234 ВС"
VIEWS = [(1280, 800), (800, 1280), (390, 844)]


@pytest.fixture(params=[True, False], ids=["js", "no-js"])
def js(request: pytest.FixtureRequest) -> bool:
    return request.param


def at_the_bay(arrive: Arrive, station: ServicePoint, js: bool = True, **options: object) -> Visitor:
    """A tablet that its manager has just paired with post 1."""
    code = bays.offer_code(station.posts[0].id)
    visitor = arrive(js, timed=js, **(TABLET | options))
    visitor.go("/bay")
    visitor.page.locator("#code").fill(code.lower())
    visitor.land(visitor.page.locator("main button"))
    expect(visitor.page.locator("#bay")).to_be_visible()
    visitor.taps = 0
    return visitor


def car(station: ServicePoint, plate: str = PLATE, minutes: int = 0) -> Booking:
    """A car that is here, or comes in so many minutes, on post 1."""
    service, car_type = factories.service("Ремонт прокола").id, factories.car_type().id
    made = book_walk_in(
        station.id,
        [service],
        car_type,
        post_number=1,
        starts_at=clock.now().replace(second=0) + timedelta(minutes=minutes),
        token=new_token(),
        plate=plate,
    )
    return expect_it(made.id) if minutes else made


@command
def expect_it(booking_id: int) -> Booking:
    """Turn a walk-in into one who has booked and is still on the way."""
    found = db.session.get_one(Booking, booking_id)
    found.status, found.arrived_at, found.source = "confirmed", None, "online"
    return found


def button(page: Page, name: str) -> Locator:
    return page.locator("#bay").get_by_role("button", name=re.compile(f"^{re.escape(name)}"))


def press(visitor: Visitor, name: str) -> None:
    visitor.wait(0.75)  # whoever taps sooner has tapped twice
    visitor.tap(button(visitor.page, name))


def test_each_step_is_one_tap_and_the_last_can_be_taken_back(arrive, station, js):
    made = car(station)
    tablet = at_the_bay(arrive, station, js)
    expect(tablet.page.locator(".now .plate")).to_have_text(PLATE)
    for verb, status in (
        ("Начать", "in_progress"),
        ("Готово", "completed"),
        ("Отменить", "in_progress"),
        ("Готово", "completed"),
    ):
        taps = tablet.taps
        press(tablet, verb)
        expect(tablet.page.locator(".stripe")).to_contain_text(
            {"Начать": "В работе:", "Готово": "Готово:", "Отменить": "Отменено:"}[verb]
        )
        assert (only_booking().status, tablet.taps - taps) == (status, 1)
    expect(tablet.page.locator(".stripe")).to_contain_text(PLATE)
    expect(tablet.page.locator("h1")).to_contain_text("Свободно")
    db.session.refresh(made)
    assert made.arrived_at <= made.started_at <= made.completed_at


def test_ten_minutes_more_say_first_whom_they_delay(arrive, station, js):
    car(station)
    car(station, "КА 5050 НН", minutes=20)
    tablet = at_the_bay(arrive, station, js)
    press(tablet, "Начать")
    expect(button(tablet.page, "+10 минут")).to_contain_text("следующая начнётся в")
    expect(button(tablet.page, "+10 минут")).to_contain_text(re.compile(r"на\s10\sмин\sпозже"))
    press(tablet, "+10 минут")
    expect(tablet.page.locator("a.nx").first).to_contain_text(re.compile(r"начнётся на 10\sмин позже"))


def test_a_problem_is_two_taps_and_is_solved_with_one(arrive, station, js):
    car(station)
    tablet = at_the_bay(arrive, station, js)
    tablet.wait(0.75)
    tablet.tap(tablet.page.get_by_role("link", name="Проблема"))
    press(tablet, "Нет запчасти")
    expect(tablet.page.locator(".note.bad")).to_contain_text("Проблема: нет запчасти")
    assert (only_booking().problem, tablet.taps) == ("no_part", 2)
    press(tablet, "Решена")
    expect(tablet.page.locator(".note.bad")).to_have_count(0)
    assert only_booking().problem == ""


def test_a_name_signs_for_the_taps(arrive, station, js):
    ivan = factories.user("Иван Бондарь", "ivan@example.com", "staff", station)
    made = car(station)
    tablet = at_the_bay(arrive, station, js)
    tablet.tap(tablet.page.get_by_role("link", name="Кто работает?"))
    press(tablet, "Иван Б.")
    expect(tablet.page.locator(".fitter")).to_have_text("Иван Б.")
    press(tablet, "Начать")
    expect(tablet.page.locator(".stripe")).to_contain_text("В работе:")
    db.session.rollback()
    assert [event.user_id for event in db.session.get_one(Booking, made.id).events][-1] == ivan.id


def test_a_double_tap_is_one_tap(arrive, station):
    """The second tap of a pair would land on the next step's button; a tap after a breath is a tap."""
    car(station)
    tablet = at_the_bay(arrive, station)
    tablet.wait(0.75)
    tablet.page.locator("[data-main]").dblclick()
    expect(button(tablet.page, "Готово")).to_be_visible()
    tablet.page.wait_for_timeout(300)
    assert only_booking().status == "in_progress"


def test_a_pedal_that_sends_enter_is_the_main_button(arrive, station):
    car(station)
    tablet = at_the_bay(arrive, station)
    for status, word in (("in_progress", "В работе:"), ("completed", "Готово:")):
        tablet.wait(0.75)
        tablet.page.keyboard.press("Enter")
        expect(tablet.page.locator(".stripe")).to_contain_text(word)
        assert only_booking().status == status
        expect(tablet.page.locator("#nh")).to_be_focused()


def test_the_screen_hears_within_five_seconds_and_keeps_asking(arrive, station):
    tablet = at_the_bay(arrive, station)
    expect(tablet.page.locator("h1")).to_contain_text("Свободно")
    made = car(station)
    tablet.wait(5)
    expect(tablet.page.locator(".now .plate")).to_have_text(PLATE)
    transition_booking(made.id, "start")
    tablet.wait(5)
    expect(button(tablet.page, "Готово")).to_be_visible()


def test_an_open_question_stays_open_while_the_screen_asks(arrive, station):
    made = car(station)
    tablet = at_the_bay(arrive, station)
    tablet.wait(0.75)
    tablet.tap(tablet.page.get_by_role("link", name="Проблема"))
    expect(button(tablet.page, "Поломка")).to_be_visible()
    transition_booking(made.id, "start")
    tablet.wait(5)
    expect(tablet.page.locator("h1")).to_have_text("Сейчас")
    expect(button(tablet.page, "Поломка")).to_be_visible()


def test_without_a_network_the_last_state_stays_and_taps_say_so(arrive, station):
    car(station)
    tablet = at_the_bay(arrive, station, expects="ERR_INTERNET_DISCONNECTED|Failed to fetch|htmx")
    tablet.page.context.set_offline(True)
    tablet.wait(0.75)
    tablet.tap(button(tablet.page, "Начать"))
    expect(tablet.page.locator("#sys")).to_contain_text("Нет связи")
    expect(tablet.page.locator("#sys")).to_contain_text(re.compile(r"Показано на \d\d:\d\d"))
    expect(tablet.page.locator(".now .plate")).to_have_text(PLATE)
    assert only_booking().status == "arrived"
    tablet.page.context.set_offline(False)
    tablet.wait(5)
    expect(tablet.page.locator("#sys")).to_be_hidden()
    press(tablet, "Начать")
    expect(button(tablet.page, "Готово")).to_be_visible()


def test_a_session_that_is_gone_costs_one_tap_and_not_the_screen(arrive, station):
    """A tap without the token of this browser's session is refused; the screen comes back with a new one."""
    car(station)
    tablet = at_the_bay(arrive, station, expects="status of 400")
    tablet.page.context.clear_cookies(name="tirefit")
    press(tablet, "Начать")
    tablet.page.wait_for_load_state()
    press(tablet, "Начать")
    expect(button(tablet.page, "Готово")).to_be_visible()


def test_a_tablet_that_is_cut_off_asks_for_a_code(arrive, station):
    tablet = at_the_bay(arrive, station)
    bays.disconnect(bays.devices_of(station)[0].id)
    tablet.wait(5)
    expect(tablet.page.locator("#code")).to_be_visible()


def test_the_manager_pairs_a_tablet_with_what_the_screen_says(arrive, station):
    factories.user("Ольга", "olga@example.com", "manager", station)
    desk, tablet = arrive(**DESK), arrive(**TABLET)
    desk.go("/manage/bays")
    desk.page.locator("#email").fill("olga@example.com")
    desk.page.locator("#password").fill(factories.PASSWORD)
    desk.land(desk.page.get_by_role("button", name="Войти"))
    desk.tap(desk.page.get_by_role("button", name="Подключить планшет").first)
    code = desk.page.locator(".pairing .code").inner_text()
    tablet.go("/bay")
    tablet.page.locator("#code").fill(code)
    tablet.land(tablet.page.locator("main button"))
    expect(tablet.page.locator("header b")).to_have_text("Пост 1")


@pytest.mark.parametrize("languages", [[each] for each in LANGUAGES] if TRIALS else [LANGUAGES], ids="-".join)
def test_it_is_big_enough_and_fits_in_every_state(arrive, station, languages):
    """axe, nothing cut, nothing sideways, every target 64 px, every text 6:1; by day and by night, three sizes.

    In the short form languages, themes and the size on which axe looks take turns.
    """
    factories.user("Олександра Константинопольська", "ivan@example.com", "staff", station)
    tablet = at_the_bay(arrive, station)
    page, faults, turn = tablet.page, [], itertools.count()

    def look(name: str, query: str = "") -> None:
        number = next(turn)
        language = languages[number % len(languages)]
        page.context.add_cookies([{"name": "lang", "value": language, "url": tablet.site.url}])
        tablet.go(f"/bay/{station.slug}/1{query}")
        page.evaluate(AXE)
        for size, (width, height) in enumerate(VIEWS):
            for theme in THEMES if TRIALS else (THEMES[(number + size) % 2],):
                page.set_viewport_size({"width": width, "height": height})
                page.emulate_media(color_scheme=theme)
                page.evaluate(TWO_FRAMES)
                found = page.evaluate(LOOKS, 64) + page.evaluate(FAINT, 6)
                if TRIALS or size == number % len(VIEWS):
                    found += violations(page)
                faults.extend(f"{name}, {width} px, {theme}, {language}: {fault}" for fault in found)

    look("free")
    made = car(station)
    for number, minutes in ((7, 20), (8, 50)):
        car(station, f"КА 505{number} НН", minutes=minutes)
    look("arrived")
    transition_booking(made.id, "start")
    look("work")
    look("problem", "?ask=problem")
    look("name", "?ask=name")
    assert not faults, "\n".join(faults)


# Text against the colour behind it, as WCAG counts; 6:1 is this screen's own rule.
FAINT = """(least) => {
  const channel = (value) => value <= .03928 ? value / 12.92 : ((value + .055) / 1.055) ** 2.4;
  const read = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => .2126 * channel(r / 255) + .7152 * channel(g / 255) + .0722 * channel(b / 255);
  const behind = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = read(getComputedStyle(each).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll("body *")].flatMap((element) => {
    const own = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!own || !element.checkVisibility() || element.closest(".vh, .skip")) return [];
    const [a, b] = [light(read(getComputedStyle(element).color)), light(behind(element))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    return ratio < least ? [`faint: ${ratio.toFixed(1)} «${element.textContent.trim().slice(0, 30)}»`] : [];
  });
}"""

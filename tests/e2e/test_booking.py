"""A customer books: what it costs in taps and fields, and what happens when something comes between."""

import re
from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.conftest import (
    DESK,
    Arrive,
    Visitor,
    booking_of,
    everything,
    forget_holds,
    hold,
    let_holds_last,
    letter_about,
    only_booking,
    open_station,
)
from tests.factories import BORIS, booking, car_type, service
from tirefit.models import ServicePoint

A_MINUTE_AGO, SOON = timedelta(minutes=-1), timedelta(seconds=90)


@pytest.fixture(params=[True, False], ids=["js", "no-js"])
def js(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def anna(arrive: Arrive, js: bool) -> Visitor:
    """Anna with her phone; once with JavaScript and once without."""
    return arrive(js)


@pytest.fixture
def one_post(app) -> ServicePoint:
    """A station where a time that is taken is taken: it has one post."""
    return open_station(posts=(40,))


# --- what it costs


def test_the_soonest_time_takes_three_taps_and_two_fields(anna, js, station):
    anna.go("/")
    choose_car(anna, js)
    anna.tap(soonest(anna.page))
    fill_contacts(anna)
    anna.tap(book_button(anna.page))

    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == (3 if js else 4)
    assert anna.filled == ["Имя", "Телефон"]
    made = only_booking()
    assert (made.customer_name, made.customer_phone) == ("Анна", "+380671234567")
    expect(anna.focus).to_have_text("Вы записаны")


def test_another_day_takes_four_taps(anna, js, station):
    anna.go("/")
    choose_car(anna, js)
    turn_to_another_day(anna)
    wanted = time_of(times(anna.page).nth(20))
    anna.tap(times(anna.page).nth(20))
    fill_contacts(anna)
    anna.tap(book_button(anna.page))

    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == (4 if js else 5)
    assert len(anna.filled) == 2
    assert only_booking().starts_at == wanted


def test_only_name_and_phone_are_required_and_the_browser_may_fill_all(arrive, station):
    anna = arrive()
    reach_contacts(anna, station)
    fields = anna.page.locator("form#contacts input.input:visible")
    attributes = fields.evaluate_all("all => all.map(each => [each.name, each.required, each.autocomplete])")
    assert attributes == [["name", True, "name"], ["phone", True, "tel"], ["email", False, "email"]]


def test_several_jobs_at_once_take_the_time_of_all(anna, js, station):
    anna.go("/")
    anna.tap(anna.page.get_by_role("link", name="Несколько работ сразу"))
    anna.tap(anna.page.locator("label.tile", has_text="Балансировка"))
    anna.tap(anna.page.locator("label.tile.car", has_text="Легковая"))
    if js:
        expect(anna.page.locator("#total")).to_have_text(re.compile(r"^\s*70\s"))
    anna.tap(anna.page.get_by_role("button", name="Показать время"))
    anna.tap(soonest(anna.page))
    fill_contacts(anna)
    anna.tap(book_button(anna.page))

    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert only_booking().total_duration == 70
    assert [line.names["ru"] for line in only_booking().lines] == ["Сезонная переобувка", "Балансировка"]


def test_three_taps_faster_than_the_answers_are_all_counted(arrive, station):
    anna = arrive(True)
    anna.go("/s/zimnyaya-5?many=1&svc=" + str(service().id))
    anna.page.evaluate("""() => {
        const not_ticked = document.querySelectorAll("#pick [name=svc]:not(:checked)");
        for (const each of [...not_ticked, document.querySelector("#pick [name=car]")]) each.click();
    }""")

    expect(anna.page.locator("#total")).to_have_text(re.compile(r"^\s*90\s"))


def test_a_date_can_be_taken_from_the_month_or_typed(anna, js, station):
    anna.go("/")
    choose_car(anna, js)
    last_day = other_days(anna.page).last.get_attribute("id").removeprefix("day-")
    anna.tap(anna.page.get_by_role("link", name="Другая дата"))
    anna.page.get_by_label("Дата").fill(last_day)
    anna.tap(anna.page.get_by_role("button", name="Показать"))
    expect(anna.page.locator(f"#day-{last_day}")).to_have_attribute("aria-current", "date")
    anna.tap(anna.page.get_by_role("link", name="Другая дата"))
    in_table = anna.page.locator("table.month a").first
    day = re.search(r"d=(20\d\d-\d\d-\d\d)", in_table.get_attribute("href"))[1]
    anna.tap(in_table)
    expect(anna.page.locator(f"#day-{day}")).to_have_attribute("aria-current", "date")


# --- somebody was quicker


def test_a_time_taken_at_the_tap_costs_one_tap_more(anna, js, one_post):
    anna.go("/")
    choose_car(anna, js)
    turn_to_another_day(anna)
    wanted = times(anna.page).nth(15)
    boris_books(one_post, time_of(wanted))
    assert anna.land(wanted) == 409

    expect(anna.focus).to_have_role("alert")
    expect(anna.focus).to_contain_text("только что заняли")
    expect(alternatives(anna.page)).to_have_count(3)
    for words in ("раньше", "позже", "в то же время"):
        expect(alternatives(anna.page).filter(has_text=words)).to_have_count(1)
    instead = time_of(alternatives(anna.page).first)
    assert anna.land(alternatives(anna.page).first) == 200
    fill_contacts(anna)
    anna.tap(book_button(anna.page))

    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == (5 if js else 6)  # another day costs four, without JavaScript five
    assert booking_of("Анна").starts_at == instead


def test_a_time_lost_while_typing_loses_no_words(anna, js, one_post):
    reach_contacts(anna, one_post)
    fill_contacts(anna)
    anna.fill("Email", "anna@example.com")
    let_holds_last(A_MINUTE_AGO)
    boris_books(one_post, hold().starts_at)
    taps = anna.taps
    assert anna.land(book_button(anna.page)) == 409

    expect(anna.focus).to_have_role("alert")
    expect(anna.focus).to_contain_text("Ваши данные на месте")
    expect(alternatives(anna.page)).to_have_count(3)
    assert anna.land(alternatives(anna.page).nth(1)) == 200
    expect(anna.page.get_by_label("Имя")).to_have_value("Анна")
    expect(anna.page.get_by_role("textbox", name="Телефон")).to_have_value("+38 (067) 123-45-67")
    expect(anna.page.get_by_label("Email")).to_have_value("anna@example.com")
    anna.tap(book_button(anna.page))
    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == taps + 3
    assert booking_of("Анна").customer_email == "anna@example.com"


def test_a_bad_phone_is_explained_and_everything_stays(anna, js, station):
    reach_contacts(anna, station)
    fill_contacts(anna, phone="067 12")
    taps = anna.taps
    assert anna.land(book_button(anna.page)) == 422

    expect(anna.page).to_have_title(re.compile("^Ошибка: "))
    expect(anna.focus).to_have_role("alert")
    expect(anna.focus).to_contain_text("Проверьте поля")
    expect(anna.page.get_by_label("Имя")).to_have_value("Анна")
    phone = anna.page.get_by_role("textbox", name="Телефон")
    expect(phone).to_have_value("067 12")
    expect(phone).to_have_attribute("aria-invalid", "true")
    expect(phone).to_have_accessible_description(re.compile("Введите номер полностью — например, 067 123 45 67"))
    anna.page.get_by_role("link", name=re.compile("Введите номер полностью")).click()
    expect(phone).to_be_focused()
    anna.fill("Телефон", "067 123 45 67")
    anna.tap(book_button(anna.page))
    expect(heading(anna.page)).to_have_text("Вы записаны")
    assert anna.taps == taps + 2
    assert only_booking().customer_phone == "+380671234567"


# --- the hold


def test_the_countdown_is_seen_spoken_and_can_be_extended(arrive, station):
    anna = arrive()
    anna.page.clock.install()
    reach_contacts(anna, station)
    left, extend = anna.page.locator("[data-shown]"), anna.page.get_by_role("button", name="Продлить ещё на 15 минут")
    expect(left).to_have_text("ещё 15 мин")
    expect(extend).to_be_hidden()
    spoken = anna.page.locator("[data-spoken]")
    expect(spoken).to_be_empty()

    anna.page.clock.fast_forward("10:30")
    expect(left).to_have_text("ещё 5 мин")
    expect(spoken).to_have_text("Время держим ещё 5 минут")
    anna.page.clock.fast_forward("03:00")
    expect(left).to_have_text(re.compile(r"^ещё 1:[0-3]\d$"))
    expect(spoken).to_have_text("Осталось 2 минуты. Ниже можно продлить.")
    fill_contacts(anna)
    let_holds_last(SOON)
    before = hold().expires_at
    anna.tap(extend)
    expect(left).to_have_text("ещё 15 мин")
    expect(anna.page.get_by_label("Имя")).to_have_value("Анна")
    assert hold().expires_at > before
    assert hold().extensions == 1


def test_without_javascript_the_hold_says_until_when(arrive, station):
    anna = arrive(js=False)
    reach_contacts(anna, station)
    expect(anna.page.locator("#holdbox")).to_contain_text(re.compile(r"Держим время за вами, до \d\d:\d\d"))
    anna.tap(anna.page.get_by_role("button", name="Продлить ещё на 15 минут"))
    expect(heading(anna.page)).to_have_text("Ваши контакты")
    assert hold().extensions == 1


def test_an_expired_hold_that_nobody_wanted_still_books(anna, js, station):
    if js:
        anna.page.clock.install()
    reach_contacts(anna, station)
    fill_contacts(anna)
    let_holds_last(A_MINUTE_AGO)
    if js:
        anna.page.clock.fast_forward("15:01")
        strip = anna.page.locator("#holdbox")
        expect(strip.locator("small")).to_have_text("Время больше не держим, но пока свободно")
        expect(anna.page.get_by_label("Имя")).to_have_value("Анна")
    anna.tap(book_button(anna.page))
    expect(heading(anna.page)).to_have_text("Вы записаны")


def test_an_expired_hold_that_somebody_took_says_so_before_the_button(arrive, one_post):
    anna = arrive()
    anna.page.clock.install()
    reach_contacts(anna, one_post)
    fill_contacts(anna)
    let_holds_last(A_MINUTE_AGO)
    boris_books(one_post, hold().starts_at)
    anna.page.clock.fast_forward("15:01")
    expect(anna.page.locator("#holdbox small")).to_have_text("Это время больше не держим")
    assert anna.land(book_button(anna.page)) == 409
    expect(alternatives(anna.page)).to_have_count(3)


def test_back_from_the_hold_shows_no_time_that_is_gone(anna, js, one_post):
    reach_times(anna, one_post)
    mine, boris = times(anna.page).nth(3), time_of(times(anna.page).nth(5))
    held = mine.inner_text()
    anna.land(mine)
    boris_books(one_post, boris)
    anna.page.go_back()

    shown = times(anna.page).evaluate_all("all => all.map(each => each.value)")
    assert shown
    assert boris not in [datetime.fromisoformat(value) for value in shown]
    expect(times(anna.page).get_by_text(held, exact=True)).to_have_count(0)
    expect(anna.page.locator(".note")).to_contain_text("Вы держите")
    anna.tap(anna.page.get_by_role("link", name="Продолжить"))
    expect(book_button(anna.page)).to_have_text(f"Записаться на {held}")


def test_another_time_frees_the_first_one_and_keeps_what_was_typed(anna, js, one_post):
    reach_contacts(anna, one_post)
    fill_contacts(anna)
    freed = hold().starts_at
    anna.tap(anna.page.get_by_role("button", name="Другое время"))
    expect(heading(anna.page)).to_have_text("Когда приехать?")
    assert freed in [time_of(each) for each in times(anna.page).all()]
    anna.tap(times(anna.page).nth(2))
    expect(anna.page.get_by_label("Имя")).to_have_value("Анна")


def test_a_dead_hold_says_how_to_go_on(arrive, station):
    anna = arrive()
    reach_contacts(anna, station)
    forget_holds()
    assert anna.go(anna.path).status == 410
    expect(heading(anna.page)).to_have_text("Время больше не держим")
    anna.tap(anna.page.get_by_role("link", name="Выбрать время"))
    expect(heading(anna.page)).to_have_text("Когда приехать?")


def test_a_double_tap_books_once(anna, station):
    reach_contacts(anna, station)
    fill_contacts(anna)
    book_button(anna.page).dblclick()
    expect(heading(anna.page)).to_have_text(re.compile("Вы записаны|Ваша запись"))
    assert only_booking().customer_name == "Анна"


def test_a_double_tap_on_a_time_holds_once(anna, station):
    reach_times(anna, station)
    times(anna.page).nth(4).dblclick()
    expect(heading(anna.page)).to_have_text("Ваши контакты")
    assert hold().kind == "hold"


# --- afterwards


def test_the_link_of_the_letter_cancels(anna, js, station):
    reach_contacts(anna, station)
    fill_contacts(anna)
    anna.fill("Email", "anna@example.com")
    anna.tap(book_button(anna.page))
    expect(anna.page.locator("main")).to_contain_text("Подтверждение отправим на anna@example.com")
    link = re.search(r"http\S+/b/[\w-]{22}", letter_about(only_booking()).get_body(("plain",)).get_content())[0]

    anna.page.goto(link)
    expect(heading(anna.page)).to_have_text("Ваша запись")
    anna.tap(anna.page.get_by_role("link", name="Отменить запись"))
    expect(heading(anna.page)).to_have_text(re.compile("^Отменить запись на .*\\?$"))
    anna.tap(anna.page.get_by_role("button", name="Отменить запись"))
    expect(heading(anna.page)).to_have_text("Запись отменена")
    assert only_booking().status == "cancelled_by_customer"
    assert only_booking().reservation_id is None
    anna.tap(anna.page.get_by_role("link", name="Записаться снова"))
    expect(heading(anna.page)).to_have_text("Когда приехать?")


def test_a_plate_can_be_given_later(arrive, station):
    anna = arrive()
    reach_contacts(anna, station)
    fill_contacts(anna)
    anna.tap(book_button(anna.page))
    anna.fill("Госномер", "аа 1234 вс")
    anna.tap(anna.page.get_by_role("button", name="Сохранить"))
    expect(anna.page.locator(".ticket .plate")).to_have_text("АА 1234 ВС")


def test_looking_changes_nothing(arrive, station):
    """Mail scanners and previews follow every link they see."""
    anna = arrive()
    reach_contacts(anna, station)
    held = anna.path.partition("?")[0]
    before = everything()
    for path in (held, f"{held}/strip", held):
        anna.go(path)
    assert everything() == before

    fill_contacts(anna)
    anna.tap(book_button(anna.page))
    expect(heading(anna.page)).to_have_text("Вы записаны")
    ticket = anna.path.partition("?")[0]
    before = everything()
    for path in (ticket, f"{ticket}?new=1", f"{ticket}/cancel", f"{ticket}/cancel", held):
        assert anna.go(path).status == 200
    assert everything() == before


# --- around it


@pytest.mark.parametrize(
    ("language", "name", "asks", "choose", "contacts"),
    [
        ("uk", "Українська", "Запис на шиномонтаж", "Коли приїхати?", "Ваші контакти"),
        ("en", "English", "Book a tyre change", "When suits you?", "Your details"),
    ],
    ids=["uk", "en"],
)
def test_the_language_can_be_changed_on_every_page(anna, js, station, language, name, asks, choose, contacts):
    def change(wanted: str) -> None:
        anna.tap(anna.page.locator("details.lang summary"))
        anna.tap(anna.page.locator("details.lang").get_by_role("link", name=wanted))

    anna.go("/")
    change(name)
    expect(anna.page.locator("html")).to_have_attribute("lang", language)
    expect(heading(anna.page)).to_have_text(asks)
    change("Русский")
    choose_car(anna, js)
    path = anna.path
    change(name)
    expect(heading(anna.page)).to_have_text(choose)
    assert anna.path == path
    anna.land(soonest(anna.page))
    expect(heading(anna.page)).to_have_text(contacts)
    anna.land(anna.page.locator("form#contacts button.big"))
    expect(anna.focus).to_have_role("alert")
    change("Русский")
    expect(heading(anna.page)).to_have_text("Ваши контакты")
    assert hold().kind == "hold"


def test_a_lost_connection_is_told_and_the_page_stays(arrive, station):
    anna = arrive(expects="ERR_INTERNET_DISCONNECTED|Failed to fetch")
    reach_times(anna, station)
    expect(anna.page.locator("#sys")).to_be_hidden()
    anna.page.context.set_offline(True)
    anna.tap(other_days(anna.page).first)
    expect(anna.page.locator("#sys")).to_be_visible()
    expect(heading(anna.page)).to_have_text("Когда приехать?")
    anna.page.context.set_offline(False)
    anna.tap(other_days(anna.page).first)
    expect(anna.page.locator("#sys")).to_be_hidden()


def test_a_browser_in_another_zone_is_told_whose_clock_it_is(arrive, station):
    at_home, abroad = arrive(), arrive(timezone_id="Asia/Tokyo", **DESK)
    reach_times(at_home, station)
    reach_times(abroad, station)
    expect(at_home.page.locator("[data-zone]")).to_be_hidden()
    expect(abroad.page.locator("[data-zone]")).to_be_visible()


# --- the ways


def choose_car(visitor: Visitor, js: bool, name: str = "Легковая") -> None:
    visitor.tap(visitor.page.locator("label.tile.car", has_text=name))
    if not js:
        visitor.tap(visitor.page.get_by_role("button", name="Показать время"))
    expect(heading(visitor.page)).to_have_text("Когда приехать?")


def reach_times(visitor: Visitor, point: ServicePoint) -> None:
    """The times of the second day that has some: all of it lies ahead."""
    visitor.go(f"/s/{point.slug}?svc={service().id}&car={car_type().id}")
    days = visitor.page.locator("a.day")
    visitor.go(days.nth(1).get_attribute("href"))


def reach_contacts(visitor: Visitor, point: ServicePoint) -> None:
    reach_times(visitor, point)
    visitor.land(times(visitor.page).nth(15))
    expect(heading(visitor.page)).to_have_text("Ваши контакты")


def fill_contacts(visitor: Visitor, name: str = "Анна", phone: str = "+38 (067) 123-45-67") -> None:
    visitor.fill("Имя", name)
    visitor.fill("Телефон", phone)


def boris_books(point: ServicePoint, starts_at: datetime) -> None:
    booking(point, starts_at, BORIS)


# --- what is on the page


def heading(page: Page) -> Locator:
    return page.locator("h1")


def soonest(page: Page) -> Locator:
    return page.locator("button.nearest")


def turn_to_another_day(visitor: Visitor) -> None:
    """Tap the first of the other days, and wait until its times are there."""
    day = visitor.page.locator("#" + other_days(visitor.page).first.get_attribute("id"))
    visitor.tap(day)
    expect(day).to_have_attribute("aria-current", "date")
    expect(visitor.page).to_have_url(re.compile(r"[?&]d=20"))


def other_days(page: Page) -> Locator:
    return page.locator("a.day:not([aria-current])")


def times(page: Page) -> Locator:
    return page.locator("button.time")


def time_of(button: Locator) -> datetime:
    return datetime.fromisoformat(button.get_attribute("value"))


def alternatives(page: Page) -> Locator:
    return page.get_by_role("alert").locator("button.alt")


def book_button(page: Page) -> Locator:
    return page.get_by_role("button", name=re.compile(r"^Записаться на \d\d:\d\d$"))

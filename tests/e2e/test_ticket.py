"""What a customer does with a booking, in a real browser: with JavaScript and without, on a phone."""

import re

import pytest
from playwright.sync_api import Locator, expect

from tests.e2e.conftest import (
    DESK,
    Visitor,
    booking_of,
    everything,
    letter_about,
    letters_about,
    only_booking,
    open_station,
)
from tests.e2e.test_booking import (  # noqa: F401
    alternatives,
    anna,
    heading,
    js,
    reach_contacts,
    time_of,
    times,
    turn_to_another_day,
)
from tests.factories import BORIS, booking
from tirefit.models import ServicePoint

TIME = re.compile(r"\d\d:\d\d")


@pytest.fixture
def one_post(app) -> ServicePoint:
    """A station where a time that is taken is taken: it has one post."""
    return open_station(posts=(40,))


def test_a_letters_link_becomes_a_clean_address(anna, arrive, station):  # noqa: F811
    link = book(anna, station, email="anna@example.com")
    assert re.fullmatch(r"/b/[2-9A-Z]{6}\?new=1", anna.path)
    clean = anna.path.partition("?")[0]
    (key,) = [each for each in anna.page.context.cookies() if each["name"] == "tirefit-tickets"]
    assert (key["httpOnly"], key["sameSite"], key["value"] in link) == (True, "Lax", False)

    elsewhere = arrive(**DESK)
    assert elsewhere.go(clean).status == 403
    expect(heading(elsewhere.page)).to_have_text("Откройте ссылку из письма")
    elsewhere.page.goto(link)
    expect(heading(elsewhere.page)).to_have_text("Ваша запись")
    assert elsewhere.path == clean


def test_moving_takes_three_taps(anna, station):  # noqa: F811
    book(anna, station)
    taps = anna.taps
    anna.land(link_to(anna, "Перенести"))
    expect(anna.page.locator(".yours")).to_have_text(re.compile("сейчас у вас"))
    wanted = time_of(times(anna.page).nth(20))
    anna.land(times(anna.page).nth(20))
    expect(heading(anna.page)).to_have_text("Перенести запись?")
    assert only_booking().starts_at != wanted
    anna.land(button(anna, re.compile("^Перенести на ")))
    assert anna.taps - taps == 3
    expect(heading(anna.page)).to_have_text("Запись перенесена")
    expect(anna.focus).to_have_text("Запись перенесена")
    expect(anna.page.get_by_role("status")).to_contain_text("Было: ")
    assert only_booking().starts_at == wanted


def test_moving_to_another_day_and_other_work(anna, js, station):  # noqa: F811
    book(anna, station)
    price = only_booking().total_price
    anna.land(link_to(anna, "Перенести"))
    anna.land(anna.page.get_by_role("link", name="Изменить работу"))
    expect(heading(anna.page)).to_have_text("Что изменить?")
    anna.tap(anna.page.locator("label.tile", has_text="Ремонт прокола"))
    if not js:
        anna.tap(button(anna, "Показать время"))
    expect(heading(anna.page)).to_have_text("Когда приехать?")
    expect(anna.page.locator("button.yours")).to_have_text(re.compile("сейчас у вас"))  # the same time, for other work
    turn_to_another_day(anna)
    anna.land(times(anna.page).last)  # of today's there are few in the evening
    expect(anna.page.locator(".was")).to_contain_text("Сезонная переобувка")
    expect(anna.page.locator(".becomes")).to_contain_text("Ремонт прокола")
    anna.land(button(anna, re.compile("^Перенести на ")))
    expect(heading(anna.page)).to_have_text("Запись перенесена")
    after = only_booking()
    assert [line.names["ru"] for line in after.lines] == ["Ремонт прокола"]
    assert after.total_price != price


def test_a_time_taken_meanwhile_offers_others(anna, one_post):  # noqa: F811
    book(anna, one_post)
    mine = only_booking().starts_at
    anna.land(link_to(anna, "Перенести"))
    wanted = times(anna.page).nth(20)
    starts_at = time_of(wanted)
    anna.land(wanted)
    booking(one_post, starts_at, BORIS)
    assert anna.land(button(anna, re.compile("^Перенести на "))) == 409
    expect(anna.focus).to_contain_text("только что заняли")
    expect(alternatives(anna.page)).to_have_count(3)
    assert booking_of("Анна").starts_at == mine

    anna.land(alternatives(anna.page).first)
    anna.land(button(anna, re.compile("^Перенести на ")))
    expect(heading(anna.page)).to_have_text("Запись перенесена")


def test_a_double_tap_moves_once(anna, station):  # noqa: F811
    book(anna, station)
    anna.land(link_to(anna, "Перенести"))
    anna.land(times(anna.page).nth(20))
    button(anna, re.compile("^Перенести на ")).dblclick()
    expect(heading(anna.page)).to_have_text("Запись перенесена")
    assert [event.event for event in only_booking().events] == ["created", "rescheduled"]


def test_cancelling_with_a_reason_and_having_it_back(anna, station):  # noqa: F811
    book(anna, station)
    anna.land(link_to(anna, "Отменить запись"))
    anna.tap(anna.page.get_by_label("Планы изменились"))
    anna.land(button(anna, "Отменить запись"))
    expect(heading(anna.page)).to_have_text("Запись отменена")
    cancelled = only_booking()
    assert (cancelled.cancel_reason, cancelled.reservation_id) == ("plans", None)
    anna.land(button(anna, "Вернуть запись"))
    expect(heading(anna.page)).to_have_text("Запись снова ваша")
    assert only_booking().status == "confirmed"


def test_a_place_taken_meanwhile_is_not_given_back(anna, one_post):  # noqa: F811
    book(anna, one_post)
    anna.land(link_to(anna, "Отменить запись"))
    anna.land(button(anna, "Отменить запись"))
    booking(one_post, booking_of("Анна").starts_at, BORIS)
    assert anna.land(button(anna, "Вернуть запись")) == 409
    expect(anna.focus).to_contain_text("только что заняли")
    anna.land(link_to(anna, "Записаться снова"))
    expect(heading(anna.page)).to_have_text("Когда приехать?")


def test_shortly_before_one_says_that_one_is_late(anna, app):  # noqa: F811
    point = open_station(cancel_cutoff_minutes=7 * 24 * 60)
    book(anna, point)
    for way in ("Перенести", "Отменить запись"):
        assert anna.land(link_to(anna, way)) == 409
        expect(heading(anna.page)).to_have_text("Изменить можно по телефону")
        anna.land(link_to(anna, "Вернуться к записи"))
    anna.land(button(anna, re.compile("на 20")))
    expect(anna.page.get_by_role("status")).to_contain_text("вы опоздаете на 20")
    assert only_booking().late_minutes == 20


def test_a_lost_link_comes_by_letter(anna, arrive, station):  # noqa: F811
    first = book(anna, station, email="anna@example.com")
    elsewhere = arrive()
    elsewhere.go(f"/s/{station.slug}")
    elsewhere.land(elsewhere.page.get_by_role("link", name="Найти мою запись"))
    elsewhere.fill("Email", "anna@")
    assert elsewhere.land(button(elsewhere, "Прислать ссылку")) == 422
    elsewhere.fill("Email", "Anna@example.com")
    elsewhere.land(button(elsewhere, "Прислать ссылку"))
    expect(heading(elsewhere.page)).to_have_text("Проверьте почту")
    again = link_in(letters_about(only_booking(), 2)[-1])
    assert again != first
    elsewhere.page.goto(again)
    expect(heading(elsewhere.page)).to_have_text("Ваша запись")


def test_a_link_without_a_letter_is_sent_and_made_anew(anna, arrive, station):  # noqa: F811
    book(anna, station)
    anna.fill("Email", "anna@example.com")
    anna.land(button(anna, "Прислать"))
    expect(anna.page.get_by_role("status").first).to_contain_text("anna@example.com")
    sent = link_in(letter_about(only_booking()))

    anna.tap(anna.page.locator("#link summary"))
    anna.land(button(anna, "Сделать новую ссылку"))
    copied = anna.page.get_by_label("Скопировать").input_value()
    elsewhere = arrive()
    assert elsewhere.page.goto(sent).status == 410
    elsewhere.page.goto(copied)
    expect(heading(elsewhere.page)).to_have_text("Ваша запись")


def test_prefetching_every_page_of_the_ticket_changes_nothing(anna, station):  # noqa: F811
    book(anna, station)
    ticket = anna.path.partition("?")[0]
    before = everything()
    for page in ("", "/move", "/move?edit=1", "/move/calendar", "/cancel"):
        assert anna.go(ticket + page).status == 200
    assert everything() == before


# --- the ways


def book(visitor: Visitor, point: ServicePoint, email: str = "") -> str:
    """A booking on the second day ahead; → the link of its letter, if there is one."""
    reach_contacts(visitor, point)
    visitor.fill("Имя", "Анна")
    visitor.fill("Телефон", "+38 (067) 123-45-67")
    if email:
        visitor.fill("Email", email)
    visitor.land(button(visitor, re.compile(r"^Записаться на \d\d:\d\d$")))
    expect(heading(visitor.page)).to_have_text("Вы записаны")
    return link_in(letter_about(booking_of("Анна"))) if email else ""


def link_in(letter) -> str:
    return re.search(r"http\S+/b/[\w-]{22}", letter.get_body(("plain",)).get_content())[0]


def link_to(visitor: Visitor, name: str) -> Locator:
    return visitor.page.get_by_role("main").get_by_role("link", name=name, exact=True)


def button(visitor: Visitor, name: str | re.Pattern[str]) -> Locator:
    return visitor.page.get_by_role("button", name=name, exact=isinstance(name, str))

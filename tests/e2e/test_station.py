"""The station's people: sign in, see the day, move a booking on with one tap each, change lengths and hours."""

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests import factories
from tests.e2e.conftest import DESK, Arrive, Visitor, everything, only_booking
from tests.factories import PASSWORD
from tirefit.models import ServicePoint, User
from tirefit.schedule.availability import nearest
from tirefit.schedule.windows import local_day


@pytest.fixture(params=[True, False], ids=["js", "no-js"])
def js(request: pytest.FixtureRequest) -> bool:
    return request.param


@pytest.fixture
def olga(station: ServicePoint) -> User:
    return factories.user("Ольга", "olga@example.com", "manager", station)


@pytest.fixture
def desk(arrive: Arrive, olga: User, js: bool) -> Visitor:
    """Ольга at her desk, signed in; once with JavaScript and once without."""
    visitor = arrive(js, **DESK)
    visitor.go("/board")
    expect(visitor.page.locator("h1")).to_have_text("Вход для станции")
    sign_in(visitor)
    expect(visitor.page).to_have_url(re.compile(r"/board/zimnyaya-5/20\d\d-\d\d-\d\d$"))
    visitor.taps = 0
    return visitor


def test_the_board_shows_now_and_who_comes(desk, js, station):
    expected = next_booking(station)
    see_day_of(desk, station, expected)
    card = desk.page.locator("a.ev", has_text="Анна")
    expect(card).to_have_count(1)
    expect(card).to_contain_text("Записан")
    expect(desk.page.get_by_role("region", name="Посты и время")).to_be_visible()
    desk.go("/board")
    expect(desk.page.locator(".nowline")).to_have_count(1)
    if js:
        expect(desk.page.locator(".nowpill")).to_be_in_viewport()


def test_arrived_start_done_with_one_tap_each(desk, station):
    see_day_of(desk, station, next_booking(station))
    desk.tap(desk.page.locator("a.ev", has_text="Анна"))
    expect(panel(desk.page).locator("h2")).to_contain_text("Анна")
    assert "?b=" in desk.path
    for verb, status, word in (
        ("Приехал", "arrived", "Приехал"),
        ("Начать", "in_progress", "В работе"),
        ("Готово", "completed", "Готово"),
    ):
        taps = desk.taps
        desk.tap(panel(desk.page).get_by_role("button", name=verb, exact=True))
        expect(panel(desk.page).locator("h2 .st")).to_contain_text(word)
        assert (only_booking().status, desk.taps - taps) == (status, 1)
        if status != "completed":  # done before its time began, it takes no time of the day any more
            expect(desk.page.locator("a.ev", has_text="Анна")).to_contain_text(word)
    expect(desk.page.locator("#kpis")).to_contain_text(re.compile(r"1\s+готово"))
    expect(panel(desk.page).get_by_role("button", name=re.compile("^(Приехал|Начать|Готово)$"))).to_have_count(0)


def test_a_booking_can_be_cancelled_from_the_board(desk, station):
    see_day_of(desk, station, next_booking(station))
    desk.tap(desk.page.locator("a.ev", has_text="Анна"))
    desk.tap(panel(desk.page).locator("summary", has_text="Отменить запись"))
    desk.fill("Причина", "Сломался компрессор")
    desk.tap(panel(desk.page).get_by_role("button", name="Отменить запись"))
    expect(panel(desk.page).locator(".st")).to_contain_text("Отмен")
    assert (only_booking().status, only_booking().cancel_reason) == ("cancelled_by_station", "Сломался компрессор")
    expect(desk.page.locator("a.ev", has_text="Анна")).to_have_count(0)


def test_the_preview_of_a_length_is_what_applying_does(desk, js, station):
    next_booking(station)
    desk.tap(desk.page.get_by_role("link", name="Посты и расписание"))
    desk.tap(desk.page.locator("table a.row", has_text="Пост 2"))
    before = everything()
    desk.tap(desk.page.locator(".seg label", has_text="45"))
    if not js:
        desk.tap(desk.page.get_by_role("button", name="Пересчитать"))
    expect(totals(desk.page).nth(1)).not_to_have_text(re.compile(r"^\s*0"))
    shown = [totals(desk.page).nth(n).locator("b").inner_text() for n in range(4)]
    assert everything() == before  # looking changes nothing

    desk.tap(desk.page.get_by_role("button", name="Применить"))
    said = desk.page.locator(".said")
    expect(said).to_contain_text("Применено")
    after = everything()
    was, now = offer(before), offer(after)
    expect(said).to_contain_text(f"добавлено {len(now - was)}, убрано {len(was - now)}")
    assert after["reservations"] == before["reservations"]
    assert after["bookings"] == before["bookings"]
    first, then = (int(number) for number in re.findall(r"\d+", shown[0]))
    assert then - first == int(shown[1]) - abs(int(shown[2].replace("−", "-")))
    expect(totals(desk.page).first.locator("b")).to_have_text(f"{then}\xa0→\xa0{then}")


def test_half_typed_is_no_error_yet(arrive, olga):
    """With JavaScript the preview follows each key; the field keeps its focus and what is in it."""
    desk = arrive(**DESK)
    sign_in(desk, next_page="/manage/posts/new")
    other = desk.page.get_by_label("Сколько минут")
    desk.tap(desk.page.locator(".seg label", has_text="другая"))
    other.press_sequentially("55")
    expect(totals(desk.page).nth(1).locator("b")).to_have_text(re.compile(r"\+\d+"))
    expect(other).to_be_focused()
    expect(other).to_have_value("55")


def test_the_week_can_be_changed(desk, js, station):
    desk.go("/manage/templates")
    desk.tap(desk.page.get_by_role("link", name="Круглосуточно"))
    desk.page.get_by_label("Вс, с", exact=True).fill("")
    desk.page.get_by_label("Вс, до", exact=True).fill("")
    if not js:
        desk.tap(desk.page.get_by_role("button", name="Пересчитать"))
    expect(totals(desk.page).nth(2).locator("b")).to_have_text(re.compile(r"^−\d+$"))
    before = everything()["schedule_slots"]
    desk.tap(desk.page.get_by_role("button", name="Применить"))
    expect(desk.page.locator(".said")).to_contain_text("Применено: добавлено 0, убрано")
    removed = int(re.search(r"убрано (\d+)", desk.page.locator(".said").inner_text())[1])
    assert len(before) - len(everything()["schedule_slots"]) == removed > 0
    expect(desk.page.locator(".weekdays dd").last).to_have_text("выходной")


def test_a_week_that_makes_no_sense_is_explained_and_kept(desk, station):
    desk.go("/manage/templates")
    desk.tap(desk.page.get_by_role("link", name="Круглосуточно"))
    desk.page.get_by_label("Ср, до", exact=True).fill("25")
    desk.page.get_by_label("Чт, до", exact=True).fill("часа в два")
    assert desk.land(desk.page.get_by_role("button", name="Применить")) == 422
    expect(desk.page.get_by_role("alert").filter(has_text="Проверьте поля")).to_be_focused()
    expect(desk.page.get_by_label("Чт, до", exact=True)).to_have_attribute("aria-invalid", "true")
    expect(desk.page.get_by_label("Ср, до", exact=True)).to_have_value("25")


def test_signing_out_ends_it(desk, station):
    desk.tap(desk.page.locator("summary.ava"))
    desk.tap(desk.page.get_by_role("button", name="Выйти"))
    expect(desk.page.locator("h1")).to_have_text("Вход для станции")
    desk.go("/board")
    expect(desk.page.locator("h1")).to_have_text("Вход для станции")


def test_another_station_does_not_exist(desk, station):
    other = factories.station(slug="letnyaya-7", name="Летняя, 7")
    assert desk.go(f"/board/{other.slug}/2026-11-24").status == 404
    assert desk.go(f"/manage/posts/{other.posts[0].id}").status == 404


def offer(rows: dict[str, list[dict[str, Any]]]) -> set[tuple[Any, ...]]:
    """The slots that could be booked: what lies under a reservation is on offer to nobody."""
    (taken,) = rows["reservations"]
    return {
        (slot["service_post_id"], slot["starts_at"], slot["ends_at"])
        for slot in rows["schedule_slots"]
        if slot["service_post_id"] != taken["service_post_id"]
        or slot["ends_at"] <= taken["starts_at"]
        or slot["starts_at"] >= taken["ends_at"]
    }


# --- the ways


def sign_in(visitor: Visitor, next_page: str = "/board") -> None:
    if "/login" not in visitor.page.url:
        visitor.go(next_page)
    visitor.fill("Email", "olga@example.com")
    visitor.page.locator("#password").fill(PASSWORD)
    visitor.land(visitor.page.get_by_role("button", name="Войти"))


def next_booking(point: ServicePoint):
    """Anna, at the soonest time there is."""
    soonest = nearest(point, 40)
    assert soonest
    return factories.booking(point, soonest.starts_at)


def see_day_of(visitor: Visitor, point: ServicePoint, made) -> None:
    """At five to midnight the soonest time is tomorrow's."""
    visitor.go(f"/board/{point.slug}/{local_day(point.time_zone, made.starts_at)}")


def panel(page: Page) -> Locator:
    return page.locator("#bk")


def totals(page: Page) -> Locator:
    return page.locator("#preview .diffsum > div")

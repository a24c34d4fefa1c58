"""As a new manager does it: from an empty database to the first booking, in a browser, without reading the code."""

import re
import time

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import DESK, PHONE, only_booking
from tests.e2e.faults import Faults
from tirefit import founding

THREE_MINUTES = 180  # seconds, of which a person needs most for typing


@pytest.mark.parametrize("js", [True, False], ids=["js", "no-js"])
def test_from_an_empty_database_to_the_first_booking(arrive, app, js):
    began = time.monotonic()
    oleg = arrive(js, **DESK)
    page = oleg.page
    oleg.go("/")
    expect(page.locator("h1")).to_have_text("Ваша станция")
    oleg.fill("Код установки", founding.setup_code(app.config["SECRET_KEY"]))
    oleg.fill("Название станции", "Шины у Олега")
    page.locator("#time_zone").select_option("Europe/Kyiv")
    oleg.fill("Ваш email", "oleg@example.com")
    page.locator("#password").fill("длинный и новый пароль")
    oleg.tap(page.get_by_role("button", name="Дальше: посты"))
    expect(page.locator("h1")).to_have_text("Сколько машин сразу?")
    oleg.tap(page.get_by_role("button", name="Дальше: часы"))
    expect(page.locator("h1")).to_have_text("Когда вы работаете?")
    oleg.tap(page.get_by_role("button", name="Дальше: услуги"))
    expect(page.locator("h1")).to_have_text("Что вы делаете и за сколько?")
    oleg.tap(page.get_by_role("button", name="Открыть запись"))
    expect(page.locator("h1")).to_have_text("Запись открыта")
    expect(page.locator(".qr img")).to_have_js_property("complete", True)
    assert page.locator(".qr img").evaluate("image => image.naturalWidth > 0")
    oleg.tap(page.get_by_role("link", name="Посмотреть глазами клиента"))
    assert time.monotonic() - began < THREE_MINUTES
    assert oleg.taps == 5

    anna = arrive(js, **PHONE)
    anna.go(re.sub(r"^https?://[^/]+", "", page.url))
    anna.tap(anna.page.locator(".tile:has(input[name=car])").first)
    if not js:
        anna.tap(anna.page.locator("#pick button.big"))
    anna.tap(anna.page.locator("button.nearest, button.time").first)
    anna.fill("Имя", "Анна")
    anna.fill("Телефон", "067 123 45 67")
    anna.tap(anna.page.locator("#contacts button.big"))
    expect(anna.page.locator("h1")).to_have_text("Вы записаны")
    assert only_booking().customer_name == "Анна"


def test_the_first_page_of_all_can_be_used_by_everybody(arrive, app):
    visitor = arrive(**DESK)
    faults = Faults(visitor, target=24)
    visitor.go("/setup")
    faults.look_at("setup")
    visitor.page.locator("main form").evaluate("form => form.submit()")
    visitor.page.wait_for_selector(".errsum")
    faults.look_at("setup, with errors")
    assert not faults.found, "\n".join(faults.found)

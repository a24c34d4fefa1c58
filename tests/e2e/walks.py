"""Ways through states of pages that an address alone does not show: conflicts, errors, previews, before and after."""

import re
from collections.abc import Callable

from playwright.sync_api import Response, expect

from tests.e2e.conftest import Visitor
from tirefit.demo import Login

Show = Callable[[str], object]


def is_preview(answer: Response) -> bool:
    return answer.request.method == "POST" and not answer.request.is_navigation_request()


def walk_as_customer(visitor: Visitor, show: Show) -> None:
    page = visitor.page
    visitor.go("/s/levoberezhnaya?many=1&svc=1&svc=4")
    show("start, several jobs")
    visitor.go("/s/sadovaya?svc=1&car=3")
    show("start, the size of wheels is missing")
    visitor.go("/s/sadovaya?svc=1&svc=4&car=3&wheel=18")
    show("times, with a breakdown")
    visitor.go("/s/levoberezhnaya/evenings?svc=1&car=3")
    show("evenings")
    visitor.go("/soonest?city=Киев")
    show("city, nothing chosen")
    visitor.go("/soonest?city=Киев&svc=1&car=3&wheel=18")
    show("city")
    visitor.go("/s/levoberezhnaya?svc=1&car=3")
    show("times")
    visitor.go("/s/levoberezhnaya/calendar?svc=1&car=3")
    show("month")
    visitor.go("/s/levoberezhnaya?svc=1&car=3")
    page.locator("button.time").last.evaluate("button => { button.value = '2026-01-01T10:00+02:00'; button.click() }")
    page.wait_for_selector("button.alt")
    show("conflict")
    page.locator("button.alt").first.click()
    page.wait_for_selector("#contacts")
    show("contacts")
    hold = page.url
    page.locator("#email").fill("anna@")
    page.locator("#contacts button.big").click()
    page.wait_for_selector("[aria-invalid]")
    show("contacts with errors")
    page.goto(hold)
    page.locator("#name").fill("Александра Константинопольская-Задунайская")
    page.locator("#phone").fill("067 123 45 67")
    page.locator("#email").fill("aleksandra.konstantinopolskaya@example.com")
    page.locator("#remember").check()
    page.locator("#contacts button.big").click()
    page.wait_for_selector(".ticket")
    show("ticket")
    ticket = page.url.partition("?")[0]
    page.goto(f"{ticket}/move")
    show("move")
    page.locator("button.time:not(.yours)").first.click()
    page.wait_for_selector(".swap")
    show("move, before and after")
    page.locator("main form button.big").click()
    page.wait_for_selector(".ticket")
    show("moved")
    page.locator("#link summary").click()
    show("ticket, its link")
    page.goto(f"{ticket}/move?edit=1")
    show("move, other work")
    page.goto(f"{ticket}/cancel")
    show("cancel")
    page.locator("main button.danger").click()
    page.wait_for_selector(".ticket")
    show("cancelled")
    visitor.go("/h/AAAAAAAAAAAAAAAAAAAAAA?s=levoberezhnaya&svc=1&car=3")
    show("gone hold")
    visitor.go("/b/AAAAAAAAAAAAAAAAAAAAAA")
    show("dead link")
    visitor.go("/b/AAAAAA")
    show("ticket of another browser")
    visitor.go("/find?sent=1&s=sadovaya")
    show("lost link, sent")
    visitor.go("/no-such-page")
    show("no such page")


def sign_in(visitor: Visitor, logins: list[Login], email: str) -> None:
    visitor.go("/login")
    visitor.page.locator("#email").fill(email)
    visitor.page.locator("#password").fill(next(login.password for login in logins if login.email == email))
    visitor.page.locator("form.form button").click()
    visitor.page.wait_for_selector("main.day-board")


def sign_in_in_vain(visitor: Visitor, show: Show) -> None:
    page = visitor.page
    visitor.go("/login")
    page.locator("#email").fill("olga@tirefit.example")
    page.locator("#password").fill("не тот")
    page.locator("form.form button").click()
    page.wait_for_selector("section[role=alert]")
    show("login, wrong")


def walk_as_manager(visitor: Visitor, show: Show) -> None:
    page = visitor.page
    visitor.go("/board")
    page.locator("[data-board] a.ev").first.click()
    page.wait_for_selector("#bkh")
    show("board, open booking")
    visitor.go(page.url.removeprefix(visitor.site.url).partition("?")[0] + "?view=list")
    show("board, table")
    visitor.go("/manage/posts?s=levoberezhnaya")
    page.locator("table a.row").nth(1).click()
    page.wait_for_selector("input[name=slot]")
    with page.expect_response(is_preview):
        page.locator("label:has(input[name=slot][value='45'])").click()
    show("post with preview")
    visitor.go("/manage/templates/holidays?s=levoberezhnaya")
    with page.expect_response(is_preview):
        page.locator("input[name=day]").first.check()
    expect(page.locator("#preview .closing")).to_be_visible()
    show("holidays with preview")
    visitor.go("/manage/levoberezhnaya/exceptions")
    page.locator("#first").fill(page.locator("#first").get_attribute("min"))
    page.locator("label:has(input[value=hours])").click()
    page.locator("#new").evaluate("form => form.requestSubmit(form.querySelector('.no-js-only button'))")
    page.wait_for_selector(".errsum")
    show("calendar, with errors")
    visitor.go("/manage/levoberezhnaya/exceptions")
    with page.expect_response(is_preview):
        page.locator("#first").fill(page.locator("#first").get_attribute("min"))
    show("calendar")
    page.locator("#new").evaluate("form => form.requestSubmit()")
    page.wait_for_selector(".said")
    visitor.go("/manage/levoberezhnaya/history")
    show("history")
    visitor.go("/manage/levoberezhnaya/services")
    page.locator("[data-matrix] td .input").first.fill("3")
    page.locator("#matrix").evaluate("form => form.submit()")
    page.wait_for_selector(".errsum")
    show("services, a bad cell")
    visitor.go("/manage/levoberezhnaya/bookings")
    page.locator("#q").fill("анна")
    expect(page).to_have_url(re.compile("q="))
    show("bookings, found")
    visitor.go("/manage/levoberezhnaya/bookings?q=анна&status=no_show&from=2020-01-01&to=2020-01-01")
    show("bookings, none")
    visitor.go("/manage/levoberezhnaya/bookings/new?svc=1&car=1")
    show("booking by phone")
    page.locator("label:has(input[value=other])").click()
    page.locator("#booking button").click()
    page.wait_for_selector(".errsum")
    show("booking by phone, with errors")
    visitor.go("/manage/posts/999999")
    show("station's 404")

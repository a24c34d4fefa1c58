"""Everybody can use it: what axe finds, what fits, what a finger hits, what a keyboard reaches, what does not move.

A walk goes through all pages of one audience in one language, and lists everything that is wrong at once.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import select

from tests.conftest import empty_all_tables
from tests.e2e.conftest import DESK, Arrive, Site, Visitor
from tirefit.database import db
from tirefit.demo import Login, load_demo
from tirefit.models import ScheduleTemplate, ServicePoint, ServicePost

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
LOOKS = Path(__file__).with_name("looks.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BY_DAY = [(390, "light"), (1366, "light")]
BY_NIGHT = [(390, "dark"), (1366, "dark")]  # colours know no language: looked at in one; `make trials` in each
HEIGHT = 900
TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))
LANGUAGES = pytest.mark.parametrize("language", ["ru", "uk", "en"])

Show = Callable[[str], object]


@pytest.fixture(scope="module")
def demo(site: Site) -> Iterator[list[Login]]:
    """The demo network: real names, every state of a booking around now. → who can sign in."""
    with site.app.app_context():
        yield load_demo()
        empty_all_tables()


# --- every page


@LANGUAGES
def test_the_customers_pages(arrive, demo, language):
    visitor, faults = speaking(language, arrive), Faults(language, target=44)
    walk_as_customer(visitor, lambda name: faults.look_at(name, visitor.page))
    assert not faults.found, "\n".join(faults.found)


@LANGUAGES
def test_the_stations_pages(arrive, demo, language):
    visitor, faults = speaking(language, arrive), Faults(language, target=24)
    walk_as_manager(visitor, demo, lambda name: faults.look_at(name, visitor.page))
    assert not faults.found, "\n".join(faults.found)


def walk_as_customer(visitor: Visitor, show: Show) -> None:
    page = visitor.page
    visitor.go("/")
    show("stations")
    visitor.go("/s/levoberezhnaya")
    show("start")
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
    visitor.go("/find?s=sadovaya")
    show("lost link")
    visitor.go("/find?sent=1&s=sadovaya")
    show("lost link, sent")
    for path in ("/privacy?s=sadovaya", "/accessibility?s=sadovaya", "/no-such-page", "/dev/mail"):
        visitor.go(path)
        show(path)


def walk_as_manager(visitor: Visitor, logins: list[Login], show: Show) -> None:
    page = visitor.page
    visitor.go("/login")
    page.locator("#email").fill("olga@tirefit.example")
    page.locator("#password").fill("не тот")
    page.locator("form.form button").click()
    page.wait_for_selector("section[role=alert]")
    show("login, wrong")
    sign_in(visitor, logins)
    show("board")
    page.locator("[data-board] a.ev").first.click()
    page.wait_for_selector("#bkh")
    show("board, open booking")
    visitor.go(page.url.removeprefix(visitor.site.url).partition("?")[0] + "?view=list")
    show("board, table")
    visitor.go("/manage/posts?s=levoberezhnaya")
    show("posts")
    post, week = db.session.execute(
        select(ServicePost.id, ScheduleTemplate.id)
        .join(ServicePoint, ServicePoint.id == ServicePost.service_point_id)
        .join(ScheduleTemplate, ScheduleTemplate.service_point_id == ServicePoint.id)
        .where(ServicePoint.slug == "levoberezhnaya", ServicePost.post_number == 2)
    ).one()
    visitor.go(f"/manage/posts/{post}")
    show("post")
    page.locator("label:has(input[name=slot][value='45'])").click()
    expect(page.locator("#preview .add, #preview .del").first).to_be_visible()
    show("post with preview")
    visitor.go("/manage/posts/new?s=levoberezhnaya")
    show("new post")
    visitor.go("/manage/templates?s=levoberezhnaya")
    show("templates")
    visitor.go(f"/manage/templates/{week}")
    show("week")
    visitor.go("/manage/templates/holidays?s=levoberezhnaya")
    show("holidays")
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
    page.locator("#first").fill(page.locator("#first").get_attribute("min"))
    expect(page.locator("#preview li, #preview .muted").first).to_be_visible()
    show("calendar")
    page.locator("#new").evaluate("form => form.requestSubmit()")
    page.wait_for_selector(".said")
    visitor.go("/manage/levoberezhnaya/history")
    show("history")
    visitor.go("/manage/levoberezhnaya/services")
    show("services")
    page.locator("[data-matrix] td .input").first.fill("3")
    page.locator("#matrix").evaluate("form => form.submit()")
    page.wait_for_selector(".errsum")
    show("services, a bad cell")
    visitor.go("/manage/levoberezhnaya/bookings")
    show("bookings")
    page.locator("#q").fill("анна")
    expect(page).to_have_url(re.compile("q="))
    show("bookings, found")
    visitor.go("/manage/levoberezhnaya/bookings?q=анна&status=no_show&from=2020-01-01&to=2020-01-01")
    show("bookings, none")
    visitor.go("/manage/levoberezhnaya/bookings")
    page.locator("#rows a.row").first.click()
    page.wait_for_selector("#facts")
    show("a booking's card")
    visitor.go("/manage/levoberezhnaya/bookings/new?svc=1&car=1")
    show("booking by phone")
    page.locator("label:has(input[value=other])").click()
    page.locator("#booking button").click()
    page.wait_for_selector(".errsum")
    show("booking by phone, with errors")
    for path in (
        "audit",
        "staff",
        "reports?range=7",
        "settings/station",
        "settings/booking",
        "settings/widget",
        "poster",
    ):
        visitor.go(f"/manage/levoberezhnaya/{path}")
        show(path)
    for path in ("setup/services", "setup/done"):
        visitor.go(f"/manage/levoberezhnaya/{path}")
        show(path)
    visitor.go("/account")
    show("account")
    visitor.go("/manage/posts/999999")
    show("station's 404")


# --- without a mouse, without motion, without colours


def test_the_whole_booking_by_keyboard(arrive, demo):
    anna = arrive(**DESK)
    page = anna.page
    anna.go("/s/levoberezhnaya")
    tab_to(page, "input[name=svc]:checked")
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[name=svc]").nth(1)).to_be_focused()
    tab_to(page, "input[name=car]")
    for number in (1, 2):  # walking over the answers goes nowhere by itself
        page.keyboard.press("ArrowDown")
        expect(page.locator("input[name=car]").nth(number)).to_be_focused()
    tab_to(page, "#pick button.big")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Когда приехать?")
    tab_to(page, "button.nearest")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.matches('a.day')")
    tab_to(page, "a.day:not([aria-current])")
    page.keyboard.press("Enter")
    expect(page.locator("a.day[aria-current]")).to_be_focused()
    tab_to(page, "button.time")
    page.keyboard.press("Enter")
    page.wait_for_selector("#contacts")
    tab_to(page, "#name")
    page.keyboard.type("Анна")
    page.keyboard.press("Tab")
    page.keyboard.type("0671234567")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Вы записаны")
    expect(page.locator("h1")).to_be_focused()


def test_the_focus_is_never_covered_by_what_sticks(arrive, demo):
    """Backwards through the form, under the strip of the hold; and forwards, over the running total."""
    for path in ("/s/levoberezhnaya?many=1&svc=1", "/s/levoberezhnaya?svc=1&car=1"):
        anna = arrive(**DESK | {"viewport": {"width": 390, "height": 500}})
        anna.go(path)
        if "many" not in path:
            anna.page.locator("button.time").last.click()
            anna.page.wait_for_selector("#contacts")
            anna.page.locator("#contacts button.big").focus()
        for _ in range(20):
            anna.page.keyboard.press("Tab" if "many" in path else "Shift+Tab")
            assert anna.page.evaluate(IS_IN_SIGHT), anna.page.evaluate("document.activeElement.outerHTML")


def test_reduced_motion_is_respected(arrive, demo):
    still, moving = arrive(**DESK), arrive(**DESK, reduced_motion="no-preference")
    assert motion(still.page, still) == 0
    assert motion(moving.page, moving) > 0


def test_forced_colours_show_what_is_chosen(arrive, demo):
    anna = arrive(**DESK, forced_colors="active")
    anna.go("/s/levoberezhnaya")
    chosen, other = (anna.page.locator(f".tile:has(input{which})").first for which in (":checked", ":not(:checked)"))
    outline = "each => getComputedStyle(each).outlineStyle"
    assert (chosen.evaluate(outline), other.evaluate(outline)) == ("solid", "none")
    anna.go("/s/levoberezhnaya?svc=1&car=1")
    assert anna.page.locator(".day[aria-current]").evaluate(outline) == "solid"


# --- how


IS_IN_SIGHT = """() => {
  const focused = document.activeElement.closest("label") ?? document.activeElement;
  if (focused === document.body || focused.matches(".skip")) return true;
  const box = focused.getBoundingClientRect();
  const x = box.left + box.width / 2;
  return [box.top + 4, box.bottom - 4].some((y) => {
    const seen = document.elementFromPoint(x, Math.min(innerHeight - 1, Math.max(0, y)));
    return seen && (focused.contains(seen) || seen.contains(focused));
  });
}"""


def speaking(language: str, arrive: Arrive) -> Visitor:
    visitor = arrive(**DESK, expects="Viewport size changed")  # a cross-fade that our change of width cuts short
    visitor.page.context.add_cookies([{"name": "lang", "value": language, "url": visitor.site.url}])
    return visitor


def sign_in(visitor: Visitor, logins: list[Login], email: str = "olga@tirefit.example") -> None:
    password = next(login.password for login in logins if login.email == email)
    visitor.go("/login")
    visitor.page.locator("#email").fill(email)
    visitor.page.locator("#password").fill(password)
    visitor.page.locator("form.form button").click()
    visitor.page.wait_for_selector("main.day-board")


class Faults:
    """What is wrong with pages, on a phone and on a desk, by day and by night."""

    def __init__(self, language: str, target: int) -> None:
        self.target = target
        self.views = BY_DAY + (BY_NIGHT if language == "ru" or TRIALS else [])
        # What axe reads is the same on both widths; in one language it looks at both all the same.
        self.only_looks = [] if language == "ru" or TRIALS else BY_DAY[1:]
        self.found: list[str] = []

    def look_at(self, name: str, page: Page) -> None:
        page.evaluate(AXE)
        page.set_viewport_size({"width": 320, "height": HEIGHT})
        self._note(f"{name}, 320 px", page.evaluate(LOOKS, 24))
        for width, theme in self.views:
            page.set_viewport_size({"width": width, "height": HEIGHT})
            page.emulate_media(color_scheme=theme)
            page.evaluate(TWO_FRAMES)
            view = f"{name}, {width} px, {theme}"
            if (width, theme) not in self.only_looks:
                self._note(view, page.evaluate(VIOLATIONS, RULES))
            self._note(view, page.evaluate(LOOKS, self.target))

    def _note(self, where: str, faults: list[str]) -> None:
        self.found += [f"{where}: {fault}" for fault in faults]


TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

# Of cards and rows that look alike, three are examined: a day has hundreds.
VIOLATIONS = """async (rules) => {
  const seen = {};
  for (const each of document.querySelectorAll(".ev, .fr, .agenda tr, .week .sl")) {
    const looks = [...each.classList].filter((name) => !/^[tdo][0-9]/.test(name));
    const key = [each.tagName, ...looks, each.querySelector(".st")?.className].join(" ");
    seen[key] = (seen[key] ?? 0) + 1;
    each.toggleAttribute("data-alike", seen[key] > 3);
  }
  const page = { include: [["html"]], exclude: [["[data-alike]"]] };
  const type = rules.includes("wcag2a") ? "tag" : "rule";
  const report = await axe.run(page, { runOnly: { type, values: rules }, resultTypes: ["violations"], iframes: false });
  return report.violations.flatMap(({ id, nodes }) => nodes.map(({ html, any, all, none }) =>
    `${id}: ${html.slice(0, 120)} ${[...any, ...all, ...none][0]?.message ?? ""}`));
}"""


def tab_to(page: Page, selector: str, at_most: int = 40) -> None:
    for _ in range(at_most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{selector} is not reached with {at_most} tabs")


def motion(page: Page, visitor: Visitor) -> float:
    """The longest animation, in ms, while a day is chosen; the page's cross-fade is one of them."""
    page.add_init_script(
        """window.longest = 0;
        const start = document.startViewTransition.bind(document);
        document.startViewTransition = (change) => {
          const transition = start(change);
          transition.ready.then(() => {
            for (const each of document.getAnimations())
              longest = Math.max(longest, each.effect.getComputedTiming().endTime);
          }, () => {});
          return transition;
        };"""
    )
    visitor.go("/s/levoberezhnaya?svc=1&car=1")
    page.locator("a.day:not([aria-current])").first.click()
    expect(page).to_have_url(re.compile("d=20"))
    page.wait_for_function("() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling')")
    page.wait_for_timeout(300)
    longest = page.evaluate("longest")
    return 0 if longest < 1 else longest

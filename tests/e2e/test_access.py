"""Everybody can use it: what axe finds, what fits, what a finger hits, what a keyboard reaches, what does not move.

Two walks lead through the states of pages; a third takes its pages from the routes, so that a new one cannot be
forgotten. Each lists everything that is wrong at once. How a page is looked at stands in faults.py.
"""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.conftest import empty_all_tables
from tests.e2e.conftest import DESK, Arrive, Site, Visitor
from tests.e2e.faults import LANGUAGES, TRIALS, Faults
from tests.e2e.walks import sign_in, sign_in_in_vain, walk_as_customer, walk_as_manager
from tests.every_page import addresses, things_of_the_demo
from tirefit.demo import Login, load_demo

IN_EACH_LANGUAGE = pytest.mark.parametrize(
    "language", LANGUAGES if TRIALS else [""], ids=lambda name: name or "in turn"
)


@pytest.fixture(scope="module")
def demo(site: Site) -> Iterator[list[Login]]:
    """The demo network: real names, every state of a booking around now. → who can sign in."""
    with site.app.app_context():
        yield load_demo()
        empty_all_tables()


# test_bay.py: on tablets, by the rules of a screen for gloves; test_widget.py: in its frame
LOOKED_AT_ELSEWHERE = ("bay.show", "embed.show")
ENTRANCES = ("account.", "forgotten.", "bay.pair")  # open to anybody, made for the stations' people


# --- every page


@IN_EACH_LANGUAGE
def test_the_states_of_the_customers_pages(arrive, demo, language):
    visitor = at_a_desk(arrive)
    faults = Faults(visitor, target=44, language=language)
    walk_as_customer(visitor, faults.look_at)
    assert not faults.found, "\n".join(faults.found)


@IN_EACH_LANGUAGE
def test_the_states_of_the_stations_pages(arrive, demo, language):
    visitor = at_a_desk(arrive)
    faults = Faults(visitor, target=24, language=language)
    sign_in_in_vain(visitor, faults.look_at)
    sign_in(visitor, demo, "olga@tirefit.example")
    walk_as_manager(visitor, faults.look_at)
    assert not faults.found, "\n".join(faults.found)


@IN_EACH_LANGUAGE
def test_every_page_there_is(arrive, demo, site, language):
    """Of a station with years behind it and of one that has nothing yet, as customers and as whoever may see all."""
    things = things_of_the_demo()
    customer, admin = at_a_desk(arrive), at_a_desk(arrive)
    customer.go(f"/b/{things.links['ticket.open_link']}")
    sign_in(admin, demo, "admin@tirefit.example")
    found, seen = [], set()
    for visitor, target in ((customer, 44), (admin, 24)):
        faults = Faults(visitor, target, language)
        for name, address in addresses(site.app, things, for_customers=visitor is customer):
            if name.startswith(LOOKED_AT_ELSEWHERE):
                continue
            faults.target = 24 if name.startswith(ENTRANCES) else target
            answer = visitor.go(address)
            if visitor.page.url in seen:
                continue  # it leads on to a page that was there already
            assert answer is not None and answer.status == 200, name
            seen.add(visitor.page.url)
            faults.look_at(name)
        found += faults.found
    assert not found, "\n".join(found)


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


def at_a_desk(arrive: Arrive) -> Visitor:
    return arrive(**DESK, expects="Viewport size changed")  # a cross-fade that our change of width cuts short


def tab_to(page: Page, selector: str) -> None:
    been = []
    while len(been) < 40:
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
        been.append(page.evaluate("document.activeElement.outerHTML.replace(/\\s+/g, ' ').slice(0, 90)"))
    raise AssertionError("\n".join([f"the keys do not come to {selector}, but to", *been]))


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

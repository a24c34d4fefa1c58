"""What is wrong with a page, whoever looks: what axe finds, what fits no screen, what no finger hits, no key reaches.

A page is loaded once and looked at on every width. axe is slow, so in the short form it looks at each page in one
combination of language, theme and width, and the combinations take turns; TIREFIT_TRIALS=1 looks at all of them.
"""

import itertools
import os
from pathlib import Path
from typing import NamedTuple

import axe_playwright_python
from playwright.sync_api import Page

from tests.e2e.conftest import Visitor

AXE = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text()
LOOKS = Path(__file__).with_name("looks.js").read_text()
REACH = Path(__file__).with_name("reach.js").read_text()
TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))
LANGUAGES = ("ru", "uk", "en")
THEMES = ("light", "dark")
WIDTHS = (320, 390, 768, 1366)
ENDS = (390, 1366)  # between them axe reads the same
HEIGHT = 900
DESK_WIDTH = WIDTHS[-1]  # where the walks go on


class View(NamedTuple):
    language: str
    theme: str
    width: int


# One after the other every part changes, and twelve pages see all of them.
IN_TURN = [
    View(language, theme, width)
    for (theme, width), language in itertools.product(itertools.product(THEMES, ENDS), LANGUAGES)
]
assert len(set(IN_TURN)) == len(LANGUAGES) * len(THEMES) * len(ENDS)


class Faults:
    """What was found, and in which views axe has looked. The visitor's pages are in the language of the next view."""

    def __init__(self, visitor: Visitor, target: int, language: str = "") -> None:
        """`target` is how many px a finger must find. With a language, every view in it."""
        self.page, self.target = visitor.page, target
        self._visitor, self._language, self._number = visitor, language, 0
        self.found: list[str] = []
        self.seen: set[View] = set()
        self._turn()

    def look_at(self, name: str) -> None:
        """At the page as it stands there; it stands as wide as before afterwards."""
        self.page.wait_for_function(HAS_COME_TO_REST)
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            target = self.target if width >= ENDS[0] else 24
            self._note(f"{name}, {width} px", self.page.evaluate(LOOKS, target))
            if width == ENDS[0]:
                self._note(f"{name}, {width} px, without scripts", self.page.evaluate(WITHOUT_SCRIPTS % LOOKS, target))
        self.page.keyboard.press("Tab")
        self._note(f"{name}, by keyboard", self.page.evaluate(REACH))
        self.page.wait_for_function(HAS_COME_TO_REST)  # a field that was left may have asked for something
        self.page.evaluate(AXE)
        for view in self._views():
            self.page.set_viewport_size({"width": view.width, "height": HEIGHT})
            self.page.emulate_media(color_scheme=view.theme)
            self.page.evaluate(TWO_FRAMES)
            self._note(f"{name}, {', '.join(map(str, view))}", violations(self.page))
            self.seen.add(view)
        self.page.set_viewport_size({"width": DESK_WIDTH, "height": HEIGHT})
        self._number += 1
        self._turn()

    def _views(self) -> list[View]:
        if self._language:
            return [view for view in IN_TURN if view.language == self._language]
        return [self._next()]

    def _next(self) -> View:
        return IN_TURN[self._number * 5 % len(IN_TURN)]  # five: no two neighbours are alike in language or width

    def _turn(self) -> None:
        language = self._language or self._next().language
        self.page.context.add_cookies([{"name": "lang", "value": language, "url": self._visitor.site.url}])

    def _note(self, where: str, faults: list[str]) -> None:
        self.found += [f"{where}: {fault}" for fault in faults]


def violations(page: Page) -> list[str]:
    """What axe finds in a page that has `AXE`."""
    return page.evaluate(VIOLATIONS)  # type: ignore[no-any-return]


HAS_COME_TO_REST = """() => !document.querySelector('.htmx-request, .htmx-swapping, .htmx-settling, [aria-busy=true]')
  && document.getAnimations().every(({ playState }) => playState !== "running")"""
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

WITHOUT_SCRIPTS = """(target) => {
  document.documentElement.classList.remove("js");
  const found = (%s)(target);
  document.documentElement.classList.add("js");
  return found;
}"""

# Colours are slow to read: of leaves that stand in the same place of the same things, three are read; a day has
# hundreds. Where a thing stands on the time line (t12, d3, o1) makes it no other thing.
VIOLATIONS = """async () => {
  const keys = new WeakMap(), seen = {};
  for (const each of document.body.querySelectorAll("*")) {
    const looks = [...each.classList].filter((name) => !/^[tdo][0-9]/.test(name)).join(".");
    const state = ["aria-current", "aria-invalid", "disabled", "type"].map((name) => each.getAttribute(name));
    const key = [keys.get(each.parentElement), each.tagName, looks, ...state].join("|");
    keys.set(each, key);
    seen[key] = (seen[key] ?? 0) + 1;
    each.toggleAttribute("data-alike", !each.firstElementChild && seen[key] > 3);
  }
  axe.configure({ rules: [{ id: "color-contrast", selector: "*:not([data-alike])" }] });
  const values = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];
  const runOnly = { type: "tag", values };
  const report = await axe.run({ runOnly, resultTypes: ["violations"], iframes: false, preload: false });
  return report.violations.flatMap(({ id, nodes }) => nodes.map(({ html, any, all, none }) =>
    `${id}: ${html.slice(0, 120)} ${[...any, ...all, ...none][0]?.message ?? ""}`));
}"""

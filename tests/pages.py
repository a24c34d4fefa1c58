"""What must be true of every page, whatever it shows. The test client looks at each one it fetches."""

import re
from functools import lru_cache
from xml.etree.ElementTree import Element

import html5lib
from html5lib.constants import E as WORDS_OF_ERRORS
from werkzeug.test import TestResponse

SCRIPTS = "default-src 'none'; script-src 'self'"
_were_fine: set[int] = set()  # pages that have been examined


def examine(response: TestResponse) -> None:
    """Fail the test when the page is not one that every browser reads alike, or does what our CSP forbids."""
    if response.mimetype != "text/html" or response.status_code in (301, 302, 303, 308):
        return
    if response.request.method in ("HEAD", "OPTIONS"):
        return
    if "sandbox" in response.headers.get("Content-Security-Policy", ""):
        return  # a letter in a frame of its own: test_letters.py looks at those
    text, is_for_htmx = response.get_data(as_text=True), "HX-Request" in response.request.headers
    page_and_policy = hash((text, is_for_htmx, response.headers.get("Content-Security-Policy")))
    if page_and_policy in _were_fine:
        return  # walks over all routes see many pages again and again
    where = f"{response.request.method} {response.request.path}"
    if not text.lstrip().lower().startswith("<!doctype"):
        if response.request.headers.get("HX-Request"):
            _refuse_inline(html5lib.parseFragment(text, namespaceHTMLElements=False), where)
            _were_fine.add(page_and_policy)
            return
        raise AssertionError(f"{where}: not a whole page: {text[:80]!r}")
    page, errors = parsed(text)
    assert not errors, f"{where}: {errors}"
    headings = page.findall(".//h1")
    assert len(headings) == 1, f"{where}: {len(headings)} h1"
    assert page.get("lang"), f"{where}: the page does not say its language"
    assert "".join(page.find("head/title").itertext()).strip(), f"{where}: no title"
    ids = [element.get("id") for element in page.iter() if isinstance(element.tag, str) and element.get("id")]
    assert len(ids) == len(set(ids)), f"{where}: the same id twice: {sorted(i for i in set(ids) if ids.count(i) > 1)}"
    _refuse_inline(page, where)
    _refuse_foreign(page, where)
    assert response.headers["Content-Security-Policy"].startswith(SCRIPTS), where
    _were_fine.add(page_and_policy)


@lru_cache(maxsize=8)  # whoever asks after the examination need not wait for the same page again
def parsed(text: str) -> tuple[Element, list[str]]:
    """A page's tree, and what a strict reader finds wrong with it. Nobody changes the tree."""
    parser = html5lib.HTMLParser(namespaceHTMLElements=False)
    page = parser.parse(text)
    return page, [f"line {line}: {WORDS_OF_ERRORS.get(code, code) % facts}" for (line, _), code, facts in parser.errors]


def _refuse_inline(root: Element, where: str) -> None:
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue
        assert element.tag != "style", f"{where}: a <style> in the page"
        assert element.tag != "script" or element.get("src"), f"{where}: a script in the page"
        for name in element.attrib:
            assert name != "style", f"{where}: style={element.get(name)!r}"
            assert not re.match(r"on|hx-on", name), f"{where}: {name}={element.get(name)!r}"


def _refuse_foreign(root: Element, where: str) -> None:
    """No page makes the browser ask another host for anything."""
    for element in root.iter():
        if element.tag in ("script", "img", "link", "iframe", "source"):
            for name in ("src", "href", "srcset"):
                value = element.get(name) or ""
                canonical = element.tag == "link" and element.get("rel") in ("canonical", "alternate")
                assert canonical or not re.match(r"(https?:)?//", value), f"{where}: {element.tag} asks {value}"

"""The files that browsers load: they are what they say they are, and small."""

import gzip
import hashlib
import json
import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = ROOT / "static"
TEMPLATES = sorted(path for path in (ROOT / "templates").rglob("*") if path.is_file())


def test_the_positions_on_the_board_are_what_their_script_makes():
    script = runpy.run_path(str(ROOT / "scripts" / "timeline_css.py"))
    assert (STATIC / "timeline.css").read_text(encoding="utf-8") == script["timeline_css"]()


def test_what_was_vendored_is_unchanged_and_has_its_licence():
    for line in (STATIC / "vendor" / "CHECKSUMS").read_text().splitlines():
        checksum, name = line.split()
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == checksum
    assert "htmx" in (STATIC / "vendor" / "htmx.LICENSE").read_text()
    assert "SIL OPEN FONT LICENSE" in (STATIC / "fonts" / "OFL.txt").read_text()


def test_htmx_asks_us_alone_and_makes_no_styles():
    """Nor does it evaluate what an attribute says: the policy of every page has no unsafe-eval (test_headers.py)."""
    head = (ROOT / "templates" / "layouts" / "_head.html").read_text()
    config = json.loads(re.search(r"name=\"htmx-config\" content='([^']+)'", head)[1])
    assert (config["mode"], config["includeIndicatorCSS"]) == ("same-origin", False)
    for name in (*config, "includeIndicatorCSS"):  # a newer htmx may call it otherwise
        assert f"{name}:" in (STATIC / "vendor" / "htmx.min.js").read_text(), name
    evaluates = re.compile(
        r"""\bhx-on\b|hx-on:|hx-(vals|headers|config)[^=]*=\s*["']?(js|javascript):|hx-trigger="[^"]*\["""
    )
    assert [path.name for path in TEMPLATES if evaluates.search(path.read_text())] == []


def test_what_people_typed_is_never_taken_for_html():
    """Letters join their lines with a break of ours; nothing else stands outside the escaping."""
    allowed = re.compile(r'join\("<br>"\|safe\)')
    unescaped = re.compile(
        r"\|\s*safe\b|autoescape|Markup\(|\bMarkup\b|render_template_string|innerHTML|insertAdjacentHTML"
    )
    files = [*TEMPLATES, *(ROOT / "tirefit").rglob("*.py"), *STATIC.glob("*.js")]
    found = {path.name for path in files if unescaped.search(allowed.sub("", path.read_text()))}
    assert len(files) > 200 and not found


def test_fonts_are_asked_for_under_the_address_of_their_content():
    found = re.findall(r"url\((fonts/[^?)]+)\?v=(\w+)\)", (STATIC / "tirefit.css").read_text())
    assert len(found) == 3
    for name, version in found:
        assert hashlib.sha256((STATIC / name).read_bytes()).hexdigest().startswith(version), name


@pytest.mark.parametrize(
    ("names", "kilobytes"),
    [
        (["tirefit.css"], 14),
        (["tirefit.css", "station.css", "timeline.css"], 20),
        (["tirefit.js"], 5),
        (["vendor/htmx.min.js"], 14),
        (["tirefit.css", "bay.css"], 18),
        (["bay.js"], 1),
    ],
)
def test_a_poor_connection_is_enough(names, kilobytes):
    assert sum(len(gzip.compress((STATIC / name).read_bytes())) for name in names) <= kilobytes * 1024


def test_fonts_weigh_no_more_than_a_picture():
    assert sum(path.stat().st_size for path in (STATIC / "fonts").glob("*.woff2")) <= 45 * 1024


@pytest.mark.parametrize(
    "name",
    ["tirefit.css", "station.css", "timeline.css", "bay.css", "bay.js", "icons.svg", "favicon.svg", "tirefit.js"],
)
def test_nothing_asks_another_host(name):
    text = (STATIC / name).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[\w.]+", text)) <= {"http://www.w3.org"}  # the name of SVG, not an address

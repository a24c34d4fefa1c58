"""A real browser before a real server: Debian's Chromium, `flask web` in processes of its own, a database of its own.

The server's clock is the real one, so the station of these tests is open round the clock and every time that a test
uses is read off the page. `visitor` counts what people count: taps and fields. After each test the browser must have
asked no other host for anything, and must have found nothing to complain about.
"""

import email
import email.policy
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    WebError,
    expect,
    sync_playwright,
)
from playwright.sync_api import (
    Error as PlaywrightError,
)
from sqlalchemy import ScalarResult, Select, delete, select, update

from tests import factories
from tests.conftest import empty_all_tables
from tests.services import chromium, free_port
from tirefit import clock, create_app
from tirefit.config import ROOT
from tirefit.database import command, db
from tirefit.models import (
    Booking,
    BookingEvent,
    BookingLink,
    Notification,
    Reservation,
    ScheduleSlot,
    ScheduleTemplate,
    ServicePoint,
)
from tirefit.notifications import delivery
from tirefit.schedule import changes

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
DESK = {"viewport": {"width": 1366, "height": 900}, "has_touch": False, "is_mobile": False}
QUIET = [  # a browser that asks nobody for anything by itself
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SLOTS_BEGIN_EVERY, NOTICE = 10, 5  # minutes
FROM_THE_LIST_TO_THE_HOLD = 45  # seconds, on a machine that has much else to do
PATIENCE = 20_000  # milliseconds: with -n several browsers share two cores
ROUND_THE_CLOCK = [(weekday, 0, 24 * 60) for weekday in range(7)]
A_SLOW_MACHINE = "Transition was aborted because of timeout in DOM update"  # Chromium waits four seconds for one
HAS_FAILED = pytest.StashKey[bool]()
A_REFUSAL = re.compile(r"the server responded with a status of (403|404|409|410|422)\b")  # the tests look at those


# --- the server


@dataclass
class Site:
    """TireFit as it is served, and the same database from inside."""

    url: str
    app: Flask


@pytest.fixture(autouse=True)
def at() -> None:
    """The clock runs: the server is another process and knows nothing of ours."""


@pytest.fixture(scope="session")
def site(new_database: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = {
        "TIREFIT_DATABASE_URL": new_database("sqlite"),
        "TIREFIT_INSTANCE_PATH": str(tmp_path_factory.mktemp("instance")),
        "TIREFIT_PORT": str(port := free_port()),
        "TIREFIT_DEMO": "1",  # letters go to the mailbox page
    }
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    for name in ("DATABASE_URL", "REDIS_URL", "PORT"):
        clean.pop(name, None)
    app = create_app(
        DATABASE_URL=settings["TIREFIT_DATABASE_URL"], INSTANCE_PATH=settings["TIREFIT_INSTANCE_PATH"], PORT=port
    )
    serve = [sys.executable, "-m", "flask", "--app", "app", "web"]
    server = subprocess.Popen(serve, cwd=ROOT, env=clean | settings)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health/live", server)
        yield Site(f"http://127.0.0.1:{port}", app)
    finally:
        server.terminate()
        try:
            server.wait(15)
        finally:
            server.kill()
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(site: Site) -> Iterator[Flask]:
    """Inside the program, on the served database: empty before the test's cast comes in, and again after it."""
    with site.app.app_context():
        yield site.app
        empty_all_tables()


@pytest.fixture
def station(app: Flask) -> ServicePoint:
    """«Зимняя, 5», open day and night, so that there is a soonest time whenever the tests run."""
    return open_station()


def open_station(**settings: Any) -> ServicePoint:
    """Not in the seconds before the soonest time stops being offered; whoever holds it then has minutes to book it."""
    left = 60 * SLOTS_BEGIN_EVERY - (time.time() + 60 * NOTICE) % (60 * SLOTS_BEGIN_EVERY)
    if left < FROM_THE_LIST_TO_THE_HOLD:
        time.sleep(left)
    point = factories.station(**({"cancel_cutoff_minutes": 0, "lead_minutes": NOTICE} | settings))
    week = db.session.scalars(select(ScheduleTemplate).where(ScheduleTemplate.service_point_id == point.id)).one()
    changes.save_template(point.id, ROUND_THE_CLOCK, name="Круглосуточно", template_id=week.id)
    return point


# --- the database, as it is now


def only_booking() -> Booking:
    return _now(select(Booking)).one()


def booking_of(name: str) -> Booking:
    return _now(select(Booking).where(Booking.customer_name == name)).one()


def hold() -> Reservation:
    return _now(select(Reservation).where(Reservation.kind == "hold")).one()


def everything() -> dict[str, list[dict[str, Any]]]:
    """Every row of what customers change. Of letters only which there are: the jobs send them meanwhile."""
    db.session.rollback()
    columns = {model.__tablename__: model.__table__.c for model in (Reservation, Booking, BookingEvent, ScheduleSlot)}
    columns["notifications"] = [Notification.id, Notification.kind, Notification.recipient, Notification.revision]
    columns["booking_links"] = [BookingLink.booking_id, BookingLink.revoked_at]
    return {
        name: [dict(row) for row in db.session.execute(select(*wanted)).mappings()] for name, wanted in columns.items()
    }


@command
def let_holds_last(left: timedelta) -> None:
    """Move the end of every hold: to in a minute, to a minute ago."""
    db.session.execute(update(Reservation).where(Reservation.kind == "hold").values(expires_at=clock.now() + left))


@command
def forget_holds() -> None:
    db.session.execute(delete(Reservation).where(Reservation.kind == "hold"))


def letter_about(booking: Booking) -> EmailMessage:
    """The customer's letter in the demo's mailbox; the server's own thread brings it there."""
    return letters_about(booking, 1)[0]


def letters_about(booking: Booking, count: int) -> list[EmailMessage]:
    """As many of the customer's letters, in the order of their arrival."""
    deadline = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < deadline:
        folder = delivery.demo_mailbox()
        every = [
            email.message_from_bytes(bytes(folder[key]), policy=email.policy.default)
            for key in sorted(folder.keys(), key=lambda key: folder.get_message(key).get_date())
        ]
        mine = [
            letter
            for letter in every
            if letter["To"] == booking.customer_email and booking.number in letter.get_body(("plain",)).get_content()
        ]
        if len(mine) >= count:
            return mine
        time.sleep(0.05)
    raise AssertionError(f"no letter about {booking.number} has arrived")


def _now(query: Select[Any]) -> ScalarResult[Any]:
    db.session.rollback()
    return db.session.scalars(query.execution_options(populate_existing=True))


# --- the browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=QUIET)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """Somebody with a phone or at a desk, and what it costs them."""

    page: Page
    site: Site
    touches: bool
    scripts: bool = True
    taps: int = 0
    filled: list[str] = field(default_factory=list)

    def go(self, path: str) -> Response | None:
        return self.page.goto(self.site.url + path)

    def tap(self, what: Locator) -> None:
        """A press on something that is there: waiting and scrolling are part of it."""
        self.taps += 1
        if self.touches:
            what.tap()
        else:
            what.click()

    def land(self, what: Locator) -> int:
        """A tap that leads to another page; → that page's status."""
        with self.page.expect_response(_is_page) as landed:
            self.tap(what)
        self.page.wait_for_load_state()
        return landed.value.status

    def wait(self, seconds: float) -> None:
        """Time goes by for the page's scripts, if there are any; for a visitor who arrived with `timed=True`."""
        if self.scripts:
            self.page.clock.fast_forward(round(seconds * 1000))

    def fill(self, label: str, value: str) -> None:
        self.filled.append(label)
        self.page.get_by_role("textbox", name=label).fill(value)

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.site.url)

    @property
    def focus(self) -> Locator:
        return self.page.locator(":focus")


Arrive = Callable[..., Visitor]


@pytest.fixture
def arrive(browser: Browser, site: Site, request: pytest.FixtureRequest) -> Iterator[Arrive]:
    """`arrive(js=False, **DESK)` is a visitor with a browser of their own: a Russian phone, unless said otherwise.

    `expects` is what the browser may complain about; anything else, and any request to another host, fails the test.
    With `timed` the page's clock can be put forward.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def open_browser(js: bool = True, expects: str = "^$", timed: bool = False, **options: Any) -> Visitor:
        wishes = PHONE | {"locale": "ru-RU", "timezone_id": "Europe/Kyiv", "reduced_motion": "reduce"} | options
        context = browser.new_context(java_script_enabled=js, **wishes)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        if timed:
            context.clock.install()
        _listen(context, site.url, re.compile(expects), complaints)
        return Visitor(context.new_page(), site, touches=wishes["has_touch"], scripts=js)

    yield open_browser
    if request.node.stash.get(HAS_FAILED, False):
        for page in (page for context in contexts for page in context.pages):
            with suppress(PlaywrightError):
                print(f"{clock.now():%H:%M:%S} {page.url}\n{page.inner_text('body', timeout=PATIENCE)[:1500]}")
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """So that `arrive` can show what was on the pages."""
    report = yield
    item.stash[HAS_FAILED] = item.stash.get(HAS_FAILED, False) or report.failed
    return report


def _listen(context: BrowserContext, home: str, expected: re.Pattern[str], complaints: list[str]) -> None:
    """Note requests to other hosts, what the console warns of (violations of the policy are there), and what throws."""

    def hear_request(request: Request) -> None:
        if not request.url.startswith((f"{home}/", "data:", "blob:")):
            complaints.append(f"asked another host: {request.url}")

    def hear_message(message: ConsoleMessage) -> None:
        is_news = not A_REFUSAL.search(message.text) and not expected.search(message.text)
        if message.type in ("error", "warning") and is_news:
            complaints.append(f"console: {message.text}")

    def hear_throw(thrown: WebError) -> None:
        if A_SLOW_MACHINE not in str(thrown.error) and not expected.search(str(thrown.error)):
            complaints.append(f"thrown: {thrown.error}")

    context.on("request", hear_request)
    context.on("console", hear_message)
    context.on("weberror", hear_throw)


def _is_page(answer: Response) -> bool:
    return answer.request.is_navigation_request() and not 300 <= answer.status < 400


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except OSError:
            assert server.poll() is None, "the server ended before it answered"
            assert time.monotonic() < deadline, "the server does not answer"
            time.sleep(0.05)

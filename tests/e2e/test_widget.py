"""The widget in a real frame: a listed site shows it, another does not, and nothing can be changed from inside."""

from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import PATIENCE, Site
from tests.factories import booking
from tirefit import sites
from tirefit.database import db
from tirefit.models import Booking, ServicePoint
from tirefit.schedule import availability
from tirefit.schedule.reservations import new_token


@pytest.fixture
def framed(site: Site, browser: Browser, station: ServicePoint):
    """A site of somebody's own, with the station's code in it: listed under one name of its host, not under another.

    A real server, for a browser keeps pages from elsewhere out of this machine.
    """
    code = f'<!doctype html><title>Shop</title><iframe src="{site.url}/embed/{station.slug}" width="400" height="700">'

    class Shop(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(code.encode())

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Shop)
    Thread(target=server.serve_forever, daemon=True).start()
    sites.save_sites(station.id, [f"http://localhost:{server.server_port}"])
    context = browser.new_context(locale="ru")
    context.set_default_timeout(PATIENCE)

    def open_on(host: str) -> Page:
        page = context.new_page()
        page.goto(f"http://{host}:{server.server_port}/")
        return page

    yield open_on
    context.close()
    server.shutdown()
    server.server_close()


def test_a_listed_site_shows_it_and_a_time_opens_in_a_window_of_its_own(framed):
    page = framed("localhost")
    frame = page.frame_locator("iframe")
    frame.get_by_label("Легковая").check()
    frame.get_by_role("button", name="Показать время").click()
    time = frame.locator("a.time").first
    with page.context.expect_page() as opened:
        time.click()

    top = opened.value
    expect(top.get_by_role("heading", name="Когда приехать?")).to_be_visible()
    assert top.url.startswith("http://127.0.0.1") and top.evaluate("window.opener") is None
    assert page.url.startswith("http://localhost")
    assert not [cookie for cookie in page.context.cookies() if cookie["domain"] == "localhost"]


def test_another_site_shows_nothing_and_no_other_page_is_framed_at_all(framed, site, station):
    page = framed("127.0.0.1")
    expect(page.frame_locator("iframe").get_by_text("Что сделать?")).to_have_count(0)
    assert not [frame for frame in page.frames[1:] if "/embed/" in frame.url]

    page = framed("localhost")
    page.evaluate("address => { document.querySelector('iframe').src = address }", f"{site.url}/s/{station.slug}")
    page.wait_for_timeout(500)
    expect(page.frame_locator("iframe").get_by_text("Что сделать?")).to_have_count(0)


# Until it is there, if only Chromium's refusal to show it: a click on a frame that is just going is never answered.
SHOW = """at => new Promise(shown => {
    const frame = document.querySelector("iframe");
    frame.onload = () => shown();
    frame.src = at;
})"""


def test_a_click_in_the_frame_cancels_nothing(framed, site, station):
    """Even in a browser that may cancel, and on the very spot where the page itself would."""
    token = new_token()
    soonest = availability.nearest(station, 40)
    booked = booking(station, soonest.starts_at + timedelta(days=1), token=token)
    shop = framed("localhost")
    own = shop.context.new_page()
    own.set_viewport_size({"width": 400, "height": 700})  # as large as the frame
    own.goto(f"{site.url}/b/{token}")
    own.goto(f"{site.url}/b/{booked.number}/cancel")
    button = own.get_by_role("button", name="Отменить запись").bounding_box()
    x, y = button["x"] + button["width"] / 2, button["y"] + button["height"] / 2

    shop.bring_to_front()
    for framed_page in (f"/b/{booked.number}/cancel", f"/b/{booked.number}", f"/b/{token}"):
        with shop.expect_response(lambda answer, path=framed_page: answer.url.endswith(path)):
            shop.evaluate(SHOW, f"{site.url}{framed_page}")
        frame = shop.locator("iframe").bounding_box()
        shop.mouse.click(frame["x"] + x, frame["y"] + y)
        shop.keyboard.press("Tab")
        shop.keyboard.press("Enter")
        expect(shop.frame_locator("iframe").get_by_role("button")).to_have_count(0)
    assert status_of(booked.id) == "confirmed"

    own.bring_to_front()
    own.mouse.click(x, y)
    expect(own.get_by_role("heading", name="Запись отменена")).to_be_visible()
    assert status_of(booked.id) == "cancelled_by_customer"


def status_of(booking_id: int) -> str:
    db.session.rollback()
    return db.session.get_one(Booking, booking_id, populate_existing=True).status

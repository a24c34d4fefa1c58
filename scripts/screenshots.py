"""Take the pictures of README and docs anew: python scripts/screenshots.py (needs a Chromium, see make e2e).

Starts a demo of its own in a temporary folder, walks through it as a customer and as a manager, and stops it again.
"""

import base64
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.services import chromium, free_port  # noqa: E402

PICTURES = ROOT / "docs" / "images"
PHONE, GAP = {"width": 390, "height": 844}, 24


def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with demo() as (url, password), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-gpu"])
        picture_of_booking(browser, url)
        pictures_of_the_station(browser, url, password)
        browser.close()
    for picture in sorted(PICTURES.glob("*.png")):
        print(f"{picture.relative_to(ROOT)}  {picture.stat().st_size // 1024} KB")


@contextmanager
def demo() -> Iterator[tuple[str, str]]:
    """A running demo: its address, and the password of Ольга, who manages the station that is always open."""
    password = ""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"TIREFIT_INSTANCE_PATH": folder, "TIREFIT_DEMO": "1", "PORT": str(free_port())}
        serve = [sys.executable, "-u", "-m", "flask", "--app", "app", "serve"]
        server = subprocess.Popen(serve, cwd=ROOT, env=os.environ | settings, stdout=subprocess.PIPE, text=True)
        try:
            for line in server.stdout or ():
                if "olga@" in line:
                    password = line.split()[2]
                if line.startswith("TireFit is at "):
                    yield line.split()[3], password
                    return
            raise SystemExit("the demo did not start")
        finally:
            server.terminate()
            server.wait(20)


def picture_of_booking(browser: Browser, url: str) -> None:
    """The customer's way on a phone, four steps beside each other."""
    page = new_page(browser, PHONE, is_mobile=True, has_touch=True)
    steps = []
    page.goto(f"{url}/s/levoberezhnaya")
    steps.append(page.screenshot())
    page.locator(".tile.car").nth(1).tap()
    page.wait_for_selector("button.nearest")
    steps.append(page.screenshot())
    page.locator("button.nearest").tap()
    page.wait_for_selector("#contacts")
    page.locator("#name").fill("Олег")
    page.locator("#phone").fill("067 123 45 67")
    page.locator("#email").fill("oleg@example.com")
    page.locator("h1").click()
    steps.append(page.screenshot())
    page.locator("#contacts button.big").tap()
    page.wait_for_selector(".ticket")
    steps.append(page.screenshot())
    page.context.close()
    beside_each_other(browser, steps, PICTURES / "booking.png")


def pictures_of_the_station(browser: Browser, url: str, password: str) -> None:
    page = new_page(browser, {"width": 1366, "height": 850})
    page.goto(f"{url}/login")
    page.get_by_label("Email").fill("olga@tirefit.example")
    page.locator("#password").fill(password)
    page.get_by_role("button", name="Войти").click()
    page.locator("a.ev.arrived, a.ev.work, a.ev.booked").first.click()
    page.wait_for_selector("#bk")
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURES / "board.png")
    page.get_by_role("link", name="Посты и расписание").click()
    page.locator("table a.row").nth(1).click()
    page.locator("label:has(input[name=slot][value='45'])").click()
    page.wait_for_selector("#preview .add")
    page.wait_for_timeout(500)
    page.screenshot(path=PICTURES / "post.png")
    page.goto(f"{url}/manage/levoberezhnaya/services")
    page.wait_for_timeout(300)
    page.screenshot(path=PICTURES / "services.png")
    page.set_viewport_size({"width": 1024, "height": 768})
    page.goto(f"{url}/bay/levoberezhnaya/1")
    page.wait_for_timeout(300)
    page.screenshot(path=PICTURES / "bay.png")
    page.context.close()


def new_page(browser: Browser, viewport: dict[str, int], **options: bool) -> Page:
    context = browser.new_context(
        viewport=viewport,
        device_scale_factor=1.5,
        locale="ru-RU",
        timezone_id="Europe/Kyiv",
        color_scheme="light",
        reduced_motion="reduce",
        **options,
    )
    return context.new_page()


def beside_each_other(browser: Browser, pictures: list[bytes], target: Path) -> None:
    width = len(pictures) * (PHONE["width"] + GAP) + GAP
    page = new_page(browser, {"width": width, "height": PHONE["height"] + 2 * GAP})
    images = "".join(
        f'<img width="{PHONE["width"]}" src="data:image/png;base64,{base64.b64encode(each).decode()}">'
        for each in pictures
    )
    page.set_content(
        f'<body style="margin: 0; padding: {GAP}px; display: flex; gap: {GAP}px; background: #8b887e">{images}</body>'
    )
    page.screenshot(path=target)
    page.context.close()


if __name__ == "__main__":
    main()

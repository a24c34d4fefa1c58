"""The production server with one station behind it, and a browser that asks it over a connection that stays open."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import flask_migrate

from tests import factories
from tests.history import app_on
from tests.services import free_port
from tirefit.config import ROOT
from tirefit.jobs import runner
from tirefit.models import ServicePoint
from tirefit.schedule.availability import days

SLUG, POSTS = "zimnyaya-5", (30, 40, 30, 30)
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Served:
    """`times` are free ones, `day` is that of the first; `cookies` are those of somebody of the station."""

    port: int
    process: subprocess.Popen[bytes]
    choice: str
    times: list[str]
    day: date
    station_id: int
    services: list[int]
    car: int
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def workers(self) -> list[int]:
        """The processes that answer: granian's children that have loaded the program."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in listed if self.memory_of(int(pid)) > 40.0]

    def cpu(self) -> float:
        """Seconds that the workers have computed for."""
        return sum(sum(map(int, _stat(pid)[11:13])) for pid in self.workers) / TICK

    @staticmethod
    def memory_of(pid: int) -> float:
        """Megabytes that a process keeps."""
        with contextlib.suppress(OSError):
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE / 2**20
        return 0.0


@contextlib.contextmanager
def serve(url: str, folder: Path, workers: int = 1, program: str = "app:app") -> Iterator[Served]:
    """Four posts, sixty days ahead; the command of docs/deploy.md, behind one trusted proxy, without a queue."""
    with app_on(url, folder):
        flask_migrate.upgrade()
        point = factories.station(posts=POSTS, horizon_days=60)
        choice, services, car = _choice()
        free = free_times(point)
        manager = factories.user("Ольга", "olga@example.com", "manager", point)
        cookies = _cookies_of(manager)
    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    settings = {"DATABASE_URL": url, "TIREFIT_INSTANCE_PATH": str(folder), "TIREFIT_PROXY_HOPS": "1"}
    command = ["granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    process = subprocess.Popen(
        [str(Path(sys.executable).parent / command[0]), *command[1:], "--blocking-threads", "1", program],
        cwd=ROOT,
        env=clean | settings,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=runner.die_with(os.getpid(), signal.SIGTERM),
    )
    try:
        _until_it_answers(process, port)
        times = [each.isoformat() for each in free]
        yield Served(port, process, choice, times, free[0].date(), point.id, services, car, cookies)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def free_times(point: ServicePoint) -> list[datetime]:
    first = datetime.now(factories.KYIV).date() + timedelta(days=1)
    return [each.starts_at.astimezone(factories.KYIV) for day in days(point, first, 50, 30) for each in day.times]


class Browser:
    """Of a network of its own each: limits are counted by network."""

    def __init__(self, port: int, network: int, cookies: dict[str, str] | None = None) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self.cookies = dict(cookies or {})
        self.address = f"10.{network >> 16 & 255}.{network >> 8 & 255}.{network & 255}"

    def __del__(self) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, fields: Sequence[tuple[str, str]] | None = None, **headers: str):  # type: ignore[no-untyped-def]
        """→ status, text, where to go next, and milliseconds."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {"X-Forwarded-For": self.address, "Cookie": cookie, "Accept-Encoding": "identity"} | headers
        body = None
        if fields is not None:
            body, sent["Content-Type"] = urlencode(fields), "application/x-www-form-urlencoded"
        begun = time.perf_counter()
        try:
            self.connection.request(method, path, body, sent)
            answer = self.connection.getresponse()
        except http.client.RemoteDisconnected:  # a connection that was open too long: browsers ask again, on a new one
            if method != "GET":
                raise
            self.connection.request(method, path, body, sent)
            answer = self.connection.getresponse()
        text = answer.read().decode()
        took = (time.perf_counter() - begun) * 1000
        for each in answer.headers.get_all("Set-Cookie", []):
            name, _, value = each.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, text, answer.headers.get("Location", ""), took


def hidden(page: str, action: str) -> list[tuple[str, str]]:
    """The hidden fields of the form whose address has this in it."""
    form = page.partition(action)[2].partition("</form>")[0]
    return re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form)


def _choice() -> tuple[str, list[int], int]:
    service, car = factories.service().id, factories.car_type().id
    return f"svc={service}&car={car}", [service], car


def _cookies_of(user) -> dict[str, str]:  # type: ignore[no-untyped-def]
    from flask import current_app

    client = factories.sign_in(current_app.test_client(), user)
    cookie = client.get_cookie("tirefit")
    assert cookie
    return {"tirefit": cookie.value}


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _until_it_answers(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if Browser(port, 1).ask("GET", "/health/ready")[0] == 200:
                return
        assert process.poll() is None and time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.1)

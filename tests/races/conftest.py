"""Crowds: a real server of several processes on a database of its own, and customers who all come at once."""

import contextlib
import http.client
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Barrier
from urllib.parse import urlencode

import pytest

from tests.history import app_on
from tests.services import free_port
from tirefit.config import ROOT
from tirefit.jobs import runner

# `make trials` asks for the long form of a test: a minute instead of seconds, and times that must be kept.
TRIALS = bool(os.environ.get("TIREFIT_TRIALS"))


@pytest.fixture(autouse=True)
def at() -> None:
    """Servers in other processes go by the real clock, and so does everybody here."""


@dataclass
class Answer:
    customer: "Customer"
    status: int
    location: str
    text: str


@dataclass(eq=False)
class Customer:
    """A browser with a cookie jar of its own."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    page: str = ""  # the last one, whose forms are used

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, fields: Sequence[tuple[str, str]]) -> Answer:
        return self.ask("POST", path, urlencode(fields))

    def ask(self, method: str, path: str, body: str | None = None) -> Answer:
        headers = self.headers | {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, headers)
            with connection.getresponse() as response:  # closed, too, when it breaks off half-way
                text = response.read().decode()
        for cookie in response.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        if "Location" not in response.headers:
            self.page = text
        return Answer(self, response.status, response.headers.get("Location", ""), text)

    def form(self, action: str) -> list[tuple[str, str]]:
        """The hidden fields of the first form of the last page that is sent to `action`."""
        fields = self.page.partition(f'action="{action}"')[2].partition("</form>")[0]
        return re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', fields)

    def same_browser_again(self) -> "Customer":
        return Customer(self.port, dict(self.cookies), dict(self.headers), self.page)


def all_at_once(
    customers: Sequence[Customer], do: Callable[[Customer], Answer], pool: ThreadPoolExecutor
) -> list[Answer]:
    """What everybody was answered. Nobody begins before all are ready; whoever got no answer at all is left out."""
    ready = Barrier(len(customers), timeout=30)

    def wait_and_do(customer: Customer) -> Answer | None:
        ready.wait()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return do(customer)
        return None

    return [answer for answer in pool.map(wait_and_do, customers) if answer is not None]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as threads:
        yield threads


@dataclass
class Station:
    """A server that runs, and the database behind it."""

    port: int
    url: str


@pytest.fixture
def serving(
    new_database: Callable[[str], str], redis_url: str, tmp_path: Path
) -> Callable[..., contextlib.AbstractContextManager[Station]]:
    """`with serving("sqlite", prepare, program) as station:` fills a new database and serves it.

    Further settings are given as they stand in the environment.
    """

    @contextlib.contextmanager
    def serve(dialect: str, prepare: Callable[[], None], program: str, **more: str) -> Iterator[Station]:
        url, port = new_database(dialect), free_port()
        with app_on(url, tmp_path):
            prepare()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
        settings = {
            "DATABASE_URL": url,
            "REDIS_URL": redis_url,
            "PORT": str(port),
            "TIREFIT_INSTANCE_PATH": str(tmp_path),
        }
        server = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=clean | settings | more,
            start_new_session=True,
            preexec_fn=runner.die_with(os.getpid(), signal.SIGTERM),
        )
        try:
            _wait_until_it_answers(server, port)
            yield Station(port, url)
        finally:  # whatever was asked of it has been answered: nothing to wait for
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()

    return serve


def _wait_until_it_answers(server: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + 90
    while True:
        with contextlib.suppress(OSError, http.client.HTTPException):
            if Customer(port).get("/health/live").status == 200:
                return
        assert server.poll() is None, "the server has ended"
        assert time.monotonic() < deadline, "the server does not answer"
        time.sleep(0.1)

"""A whole site as docs/deploy.md describes it: web units of the production server, behind nginx with our nginx.conf.

with site(url, redis_url, folder) as it, load(it, choice, times) as told:
    it.roll(CODE)          # a new version without a pause
assert told.failed == []
"""

import contextlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.services import free_port
from tirefit.config import ROOT
from tirefit.jobs import runner

CONF = ROOT / "docs" / "deploy" / "nginx.conf"
UNIT = ROOT / "docs" / "deploy" / "tirefit-web@.service"
CLIENTS = 6
PAUSE = 0.3  # seconds from one tap of a customer to the next: twenty taps a second, unless answers come later than that
DOES_NOT_FIT = "Работы не помещаются"  # between what others hold: an answer, and no fault
PATIENCE = 60  # seconds for a unit to be ready, on a busy machine


@dataclass
class Unit:
    """One `tirefit-web@PORT`: exactly the command of its systemd unit."""

    port: int
    environment: dict[str, str]
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path) -> None:
        line = re.search(r"ExecStart=\S+/(granian .*)", UNIT.read_text())[1].replace("%i", str(self.port))
        command = [str(Path(sys.executable).parent / line.split()[0]), *line.split()[1:]]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=runner.die_with(os.getpid(), signal.SIGTERM),
            )

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def signal(self, what: signal.Signals) -> None:
        """Tell all its processes."""
        assert self.process
        os.killpg(self.process.pid, what)

    def last_worker(self) -> int:
        """The process that began last."""
        assert self.process
        tasks = Path(f"/proc/{self.process.pid}/task")
        return max(int(pid) for task in tasks.iterdir() for pid in (task / "children").read_text().split())

    def health(self, question: str, patience: float = 10) -> tuple[int, dict[str, Any]]:
        """→ status and what it says; (0, {}) when nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patience)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", f"/health/{question}")
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        return 0, {}

    def is_ready(self) -> bool:
        return self.health("ready")[0] == 200

    def becomes_ready(self) -> bool:
        """Wait for it; False when it has ended instead."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if self.is_ready():
                return True
            if self.process is None or self.process.poll() is not None:
                return False
            time.sleep(0.1)
        return False


@dataclass
class Site:
    port: int  # of https; the next one is that of http
    units: list[Unit]
    proxy: subprocess.Popen[bytes]
    conf: Path

    def ask(self, method: str, path: str, *lines: str, host: str = "book.example.com") -> str:
        """One request, written line by line as a stranger may write it; → the whole answer."""
        head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""])
        with self.line() as line:
            return send_raw(line, head.encode())

    @contextlib.contextmanager
    def line(self) -> Iterator[socket.socket]:
        """A connection to the proxy, over which anything may be written."""
        trust = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", self.port), 20) as plain, trust.wrap_socket(plain) as line:
            yield line

    def logged(self) -> str:
        """What the units have said so far: a line for each request, with its route."""
        return "".join(unit.log.read_text() for unit in self.units)

    @contextlib.contextmanager
    def proxy_says(self, old: str, new: str) -> Iterator[None]:
        """The proxy goes by another line for a while."""
        whole = self.conf.read_text()
        assert old in whole
        try:
            self._proxy_goes_by(whole.replace(old, new))
            yield
        finally:
            self._proxy_goes_by(whole)

    def _proxy_goes_by(self, configuration: str) -> None:
        self.conf.write_text(configuration)
        self.proxy.send_signal(signal.SIGHUP)
        time.sleep(0.5)

    def roll(self, release: Path) -> bool:
        """Put another release in, one unit after the other, as docs/deploy.md says; → did it take over?"""
        for unit in self.units:
            unit.stop()
            unit.start(release)
            if not unit.becomes_ready():
                return False
        return True

    def versions(self) -> set[str]:
        """What the workers of all units say they are. Each answer may come from another worker."""
        return {str(unit.health("live")[1].get("version")) for unit in self.units for _ in range(10)}

    def restart_all(self, release: Path) -> bool:
        """What one must not do; → is it there again?"""
        for unit in self.units:
            unit.stop()
        for unit in self.units:
            unit.start(release)
        return all(unit.becomes_ready() for unit in self.units)


def send_raw(line: socket.socket, request: bytes) -> str:
    """→ the whole answer, until the other side hangs up or says nothing for long."""
    line.sendall(request)
    answer = b""
    with contextlib.suppress(OSError):
        while part := line.recv(65536):
            answer += part
    return answer.decode(errors="replace")


@contextlib.contextmanager
def site(url: str, redis_url: str, folder: Path) -> Iterator[Site]:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH')}:/usr/sbin")
    assert nginx, "this needs nginx (scripts/install-system nginx)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    settings = {"DATABASE_URL": url, "REDIS_URL": redis_url, "TIREFIT_INSTANCE_PATH": str(folder)}
    settings |= {"TIREFIT_HTTPS": "1", "TIREFIT_PROXY_HOPS": "1", "TIREFIT_BASE_URL": "https://book.example.com"}
    settings |= {"TIREFIT_LOG_REQUESTS": "1"}
    first = free_port(in_a_row=4)  # two units, https and http
    units = [Unit(port, clean | settings, folder / f"unit-{port}.log") for port in (first, first + 1)]
    front = first + 2
    conf = write_configuration(folder, front, [unit.port for unit in units])
    subprocess.run([nginx, "-t", "-c", conf], check=True, capture_output=True)
    proxy = subprocess.Popen(
        [nginx, "-c", conf, "-g", "daemon off;"], preexec_fn=runner.die_with(os.getpid(), signal.SIGTERM)
    )
    try:
        for unit in units:
            unit.start(ROOT)
        assert all(unit.becomes_ready() for unit in units)
        yield Site(front, units, proxy, conf)
    finally:
        proxy.terminate()
        proxy.wait(10)
        for unit in units:
            unit.stop()


def write_configuration(folder: Path, port: int, units: list[int]) -> Path:
    """The documented file, with the ports, the certificate and the folders of this machine, and without the limit of
    requests: the whole load comes from one address.
    """
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subject = ["-subj", "/CN=book.example.com", "-days", "2", "-nodes"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", *subject, "-keyout", key, "-out", certificate]
    subprocess.run(command, check=True, capture_output=True)
    text = CONF.read_text()
    for old, new in (
        ("listen 443 ssl http2", f"listen 127.0.0.1:{port} ssl http2"),
        ("listen 80", f"listen 127.0.0.1:{port + 1}"),
        ("127.0.0.1:5001", f"127.0.0.1:{units[0]}"),
        ("127.0.0.1:5002", f"127.0.0.1:{units[1]}"),
        ("/etc/letsencrypt/live/book.example.com/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/book.example.com/privkey.pem", str(key)),
        ("rate=10r/s", "rate=10000r/s"),
        ("/srv/tirefit", str(ROOT)),
    ):
        assert old in text, f"docs/deploy/nginx.conf no longer says {old!r}"
        text = text.replace(old, new)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    whole = (
        f"pid {folder}/nginx.pid;\nerror_log stderr crit;\nevents {{}}\nhttp {{\naccess_log off;\n{places}{text}\n}}\n"
    )
    conf = folder / "nginx.conf"
    conf.write_text(f"user {'root' if os.geteuid() == 0 else 'nobody'};\n{whole}")
    return conf


@dataclass
class Told:
    """What the customers saw."""

    planned: int = 0  # how often they would have tapped, had nobody waited longer than the pause between two taps
    asked: int = 0
    held: int = 0
    failed: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, part: float) -> float:
        """Milliseconds within which this part of the answers came."""
        return round(sorted(self.waits)[int(part * (len(self.waits) - 1))] * 1000, 1) if self.waits else 0.0


@contextlib.contextmanager
def load(where: Site, choice: str, times: list[str]) -> Iterator[Told]:
    """Customers look (four of five taps) and hold times (the fifth), over connections that stay open."""
    told, stop, begun = Told(), threading.Event(), time.monotonic()
    threads = [threading.Thread(target=_customer, args=(where, choice, times, n, told, stop)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
        told.planned = int((time.monotonic() - begun) / PAUSE) * CLIENTS
        for thread in threads:
            thread.join(60)


def _customer(where: Site, choice: str, times: list[str], number: int, told: Told, stop: threading.Event) -> None:
    draw, browser = random.Random(number), _Browser(where.port)
    while not stop.is_set():
        begun, writes, bad = time.monotonic(), draw.random() < 0.2, ""
        try:
            status, page = browser.ask("GET", f"/s/zimnyaya-5?{choice}")
            if writes and status == 200:
                fields = [*_hidden(page), ("at", draw.choice(times))]
                status, page = browser.ask("POST", "/s/zimnyaya-5/hold", urlencode(fields))
            if status not in (200, 303, 409, 429) and DOES_NOT_FIT not in page:
                bad = f"{status} {_title_of(page)}"
        except (OSError, http.client.HTTPException) as error:
            bad = repr(error)
            browser.hang_up()
        waited = time.monotonic() - begun
        with told.lock:
            told.asked += 1
            told.held += writes and status == 303
            told.waits.append(waited)
            if bad:
                told.failed.append(f"{'POST' if writes else 'GET'}: {bad}")
        stop.wait(PAUSE - waited)
    browser.hang_up()


class _Browser:
    """A cookie jar and one connection that stays open."""

    def __init__(self, port: int) -> None:
        trust = ssl._create_unverified_context()
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=35, context=trust)
        self.cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        headers = {"Host": "book.example.com", "Cookie": "; ".join(f"{name}={it}" for name, it in self.cookies.items())}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": "https://book.example.com"}
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        for cookie in answer.headers.get_all("Set-Cookie", []):
            name, _, value = cookie.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.status, text

    def hang_up(self) -> None:
        self.connection.close()


def _title_of(page: str) -> str:
    return page.partition("<title>")[2].partition("</title>")[0] or page[:80]


def _hidden(page: str) -> list[tuple[str, str]]:
    """The hidden fields of the form that holds a time."""
    form = page.partition('/hold"')[2].partition("</form>")[0]
    return re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form)

"""A whole site as docs/deploy.md describes it: web units of the production server, behind nginx with our nginx.conf.

with site(url, redis_url, folder) as it, load(it) as told:
    it.roll(CODE)          # a new version without a pause
assert told.failed == []
"""

import contextlib
import http.client
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
from urllib.parse import urlencode

from tests.services import free_port
from tirefit.config import ROOT
from tirefit.jobs import runner

CONF = ROOT / "docs" / "deploy" / "nginx.conf"
UNIT = ROOT / "docs" / "deploy" / "tirefit-web@.service"
CLIENTS = 6
DOES_NOT_FIT = "Работы не помещаются"  # between what others hold: an answer, and no fault
PATIENCE = 60  # seconds for a unit to be ready, on a busy machine


@dataclass
class Unit:
    """One `tirefit-web@PORT`: exactly the command of its systemd unit."""

    port: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self, folder: Path) -> None:
        line = re.search(r"ExecStart=\S+/(granian .*)", UNIT.read_text())[1].replace("%i", str(self.port))
        command = [str(Path(sys.executable).parent / line.split()[0]), *line.split()[1:]]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
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

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health/ready")
            return connection.getresponse().status == 200
        return False

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
    port: int
    units: list[Unit]

    def ask(self, method: str, path: str, *lines: str, host: str = "book.example.com") -> str:
        """One request, written line by line as a stranger may write it; → the whole answer."""
        head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""])
        trust = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", self.port), 20) as plain, trust.wrap_socket(plain) as line:
            line.sendall(head.encode())
            answer = b""
            with contextlib.suppress(OSError):
                while part := line.recv(65536):
                    answer += part
        return answer.decode(errors="replace")

    def roll(self, release: Path) -> bool:
        """Put another release in, one unit after the other, as docs/deploy.md says; → did it take over?"""
        for unit in self.units:
            unit.stop()
            unit.start(release)
            if not unit.becomes_ready():
                return False
        return True

    def restart_all(self, release: Path) -> None:
        """What one must not do."""
        for unit in self.units:
            unit.stop()
        for unit in self.units:
            unit.start(release)
        assert all(unit.becomes_ready() for unit in self.units)


@contextlib.contextmanager
def site(url: str, redis_url: str, folder: Path) -> Iterator[Site]:
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH')}:/usr/sbin")
    assert nginx, "this needs nginx (scripts/install-system nginx)"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    settings = {"DATABASE_URL": url, "REDIS_URL": redis_url, "TIREFIT_INSTANCE_PATH": str(folder)}
    settings |= {"TIREFIT_HTTPS": "1", "TIREFIT_PROXY_HOPS": "1", "TIREFIT_BASE_URL": "https://book.example.com"}
    first = free_port(in_a_row=4)  # two units, https and http
    units, front = [Unit(port, clean | settings) for port in (first, first + 1)], first + 2
    conf = write_configuration(folder, front, [unit.port for unit in units])
    subprocess.run([nginx, "-t", "-c", conf], check=True, capture_output=True)
    proxy = subprocess.Popen(
        [nginx, "-c", conf, "-g", "daemon off;"], preexec_fn=runner.die_with(os.getpid(), signal.SIGTERM)
    )
    try:
        for unit in units:
            unit.start(ROOT)
        assert all(unit.becomes_ready() for unit in units)
        yield Site(front, units)
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
    """Customers look (four of five requests) and hold times (the fifth), over connections that stay open."""
    told, stop = Told(), threading.Event()
    threads = [threading.Thread(target=_customer, args=(where, choice, times, n, told, stop)) for n in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        stop.set()
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
        with told.lock:
            told.asked += 1
            told.held += writes and status == 303
            told.waits.append(time.monotonic() - begun)
            if bad:
                told.failed.append(f"{'POST' if writes else 'GET'}: {bad}")
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

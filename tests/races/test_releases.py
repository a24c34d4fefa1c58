"""New versions come without a pause, and a bad one never takes the old one down. Behind nginx, over https.

For `make trials`. One site of each database, with 200,000 visits behind it, stands for all of it.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, func, select, text

from tests import factories
from tests.conftest import DIALECTS
from tests.factories import KYIV, car_type, service
from tests.history import VERSIONS, app_on, revisions
from tests.integration.test_headers import PROTECTION
from tests.races.conftest import TRIALS
from tests.races.site import Site, Told, load, send_raw, site
from tirefit.config import ROOT
from tirefit.database import WRITE, db, engine_options
from tirefit.models import Booking, Reservation, ServicePoint
from tirefit.schedule.availability import days

pytestmark = pytest.mark.skipif(not TRIALS, reason="half a minute of load each: make trials")

ON_ONE_DATABASE = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
BOOKINGS = 200_000
# Milliseconds that customers wait while something is exchanged under their feet: a page is rendered beside units that
# start, on two cores. reliability.md's 500 ms are those of a page of a few lines.
P99, LONGEST = 1500, 3500

Crowd = Callable[[], AbstractContextManager[Told]]


@pytest.fixture(scope="module", params=DIALECTS)
def database(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def open_site(database, new_database, redis_url, tmp_path_factory) -> Iterator[tuple[Site, str, list[str], str]]:
    """(the site, the address of the times, the times, the database)."""
    folder, url = tmp_path_factory.mktemp("site"), new_database(database)
    with app_on(url, folder):
        point = factories.station(posts=(30,) * 4)
        choice = f"svc={service().id}&car={car_type().id}"
        times = [each.starts_at.astimezone(KYIV).isoformat() for each in free_times(point)]
    fill(url, folder)
    with site(url, redis_url, folder) as it:
        yield it, choice, times, url


@pytest.fixture
def it(open_site) -> Site:
    """Both units answer, and nobody holds a time from before."""
    it, _, _, url = open_site
    for unit in it.units:
        if not unit.is_ready():
            unit.stop()
            unit.start(ROOT)
    assert all(unit.becomes_ready() for unit in it.units)
    engine = create_engine(url, **engine_options(url))
    with engine.connect().execution_options(**WRITE) as connection, connection.begin():
        connection.execute(delete(Reservation.__table__).where(Reservation.kind == "hold"))
    engine.dispose()
    return it


@pytest.fixture
def crowd(it, open_site) -> Crowd:
    _, choice, times, _ = open_site
    return partial(load, it, choice, times)


def release(folder: Path, name: str) -> Path:
    """Another copy of the program, as a new release lies beside the old one, with a version of its own."""
    new = folder / name
    shutil.copytree(ROOT, new, ignore=shutil.ignore_patterns(".git", ".venv", "instance", "tests", "docs", "bench"))
    config = new / "tirefit" / "config.py"
    changed, times = re.subn(r'^VERSION = ".*"$', f'VERSION = "{name}"', config.read_text(), flags=re.MULTILINE)
    assert times == 1
    config.write_text(changed)
    return new


def tell(what: str, told: Told, **more: object) -> None:
    line = {"trial": what, "planned": told.planned, "requests": told.asked, "holds": told.held}
    line |= {"failed": len(told.failed), "p50 ms": told.at(0.5), "p99 ms": told.at(0.99), "max ms": told.at(1.0)}
    print("\n" + json.dumps(line | more), told.failed[:3])


def nobody_failed(what: str, told: Told, **more: object) -> None:
    """And nobody waited long, and there were many who asked and held."""
    tell(what, told, **more)
    assert told.failed == []
    assert told.asked >= 0.7 * told.planned, "too little load to say anything"
    assert told.held > 0.05 * told.asked, "too few held a time to say anything"
    assert told.at(0.99) < P99
    assert told.at(1.0) < LONGEST


# --- nginx: docs/deploy/nginx.conf itself, but for ports, certificate and folders


@ON_ONE_DATABASE
def test_nginx_in_front_does_what_its_file_says(it, open_site):
    page = it.ask("GET", f"/s/zimnyaya-5?{open_site[1]}")
    assert page.startswith("HTTP/1.1 200")
    assert page.lower().count("strict-transport-security: max-age=63072000; includesubdomains") == 1
    assert all(page.count(f"{name.lower()}: {value}\r\n") == 1 for name, value in PROTECTION.items())
    assert it.ask("GET", "/static/../app.py").startswith("HTTP/1.1 40")
    assert it.ask("GET", "/", host="evil.example").startswith("HTTP/1.1 400")
    assert "evil.example" not in it.ask("GET", "/login", "X-Forwarded-Host: evil.example", host="book.example.com")


AWAY = ROOT / "docs" / "deploy" / "away.html"


@ON_ONE_DATABASE
def test_what_nginx_answers_by_itself_is_protected_like_a_page(it):
    style = re.search(r"<style>(.*?)</style>", AWAY.read_text(), re.DOTALL)[1]
    its_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{its_hash}'; form-action 'none'; base-uri 'none'; "
    expected = PROTECTION | {"Content-Security-Policy": policy + "frame-ancestors 'none'"}
    expected["Strict-Transport-Security"] = "max-age=63072000; includeSubDomains"

    def check(answer: str, status: int) -> None:
        assert answer.startswith(f"HTTP/1.1 {status} "), answer[:200]
        found = headers_of(answer)
        assert {name: found.get(name.lower()) for name in expected} == {name: [it] for name, it in expected.items()}
        assert found["server"] == ["nginx"]

    check(it.ask("GET", "/static/favicon.svg"), 200)
    check(it.ask("GET", "/static/nothing.css"), 404)
    check(it.ask("GET", "/metrics"), 403)
    check(it.ask("POST", "/login", "Content-Length: 2000000"), 413)
    check(it.ask("GET", "/", "X-Evil : 1"), 400)
    with it.proxy_says("rate=10000r/s", "rate=1r/m"), it.proxy_says("burst=40", "burst=1"):
        asked = [it.ask("POST", "/nowhere", "Content-Length: 0") for _ in range(3)]
        check(asked[-1], 429)
    with socket.create_connection(("127.0.0.1", it.port + 1), 20) as line:
        moved = send_raw(line, b"GET /login HTTP/1.1\r\nHost: book.example.com\r\nConnection: close\r\n\r\n")
    assert moved.startswith("HTTP/1.1 301 ") and "\r\nLocation: https://book.example.com/login\r\n" in moved
    assert headers_of(moved)["x-content-type-options"] == ["nosniff"]
    assert headers_of(moved)["referrer-policy"] == ["same-origin"]
    assert "strict-transport-security" not in headers_of(moved)  # over http nobody may say that
    for unit in it.units:
        unit.stop()
    gone = it.ask("GET", "/")
    check(gone, 502)
    assert AWAY.read_text() in gone


def headers_of(answer: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in answer.partition("\r\n\r\n")[0].split("\r\n")[1:]:
        name, _, value = line.partition(": ")
        found.setdefault(name.lower(), []).append(value)
    return found


SECOND = "GET /privacy HTTP/1.1\r\nHost: book.example.com\r\n\r\n"  # hidden in the body of another request
LENGTH = len(SECOND)
SMUGGLED = {
    "two ways to end": f"Content-Length: {LENGTH + 5}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}",
    "turned round": f"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n{LENGTH:x}\r\n{SECOND}\r\n0\r\n\r\n",
    "two lengths": f"Content-Length: {LENGTH}\r\nContent-Length: 0\r\n\r\n{SECOND}",
    "two lengths in one": f"Content-Length: {LENGTH}, 0\r\n\r\n{SECOND}",
    "a length that is none": f"Content-Length: +{LENGTH}\r\n\r\n{SECOND}",
    "two encodings": f"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{SECOND}",
    "an encoding in disguise": f"Content-Length: {LENGTH}\r\nTransfer-Encoding : chunked\r\n\r\n{SECOND}",
    "a folded line": f"X-Note: 1\r\n Content-Length: 0\r\nContent-Length: {LENGTH}\r\n\r\n{SECOND}",
    "a bare line feed": f"X-Note: 1\nContent-Length: {LENGTH}\r\n\r\n{SECOND}",
    "a bare carriage return": f"X-Note: 1\rContent-Length: 0\r\nContent-Length: {LENGTH}\r\n\r\n{SECOND}",
}


@ON_ONE_DATABASE
@pytest.mark.parametrize("front", ["nginx", "a unit"])
def test_no_request_is_smuggled_in_the_body_of_another(it, front):
    def send(whole: str) -> str:
        way = it.line() if front == "nginx" else socket.create_connection(("127.0.0.1", it.units[0].port), 20)
        with way as line:
            line.settimeout(1)  # the connection stays open for whatever may follow
            return send_raw(line, whole.encode())

    def seen() -> int:
        return it.logged().count("GET /privacy")

    before = seen()
    for odd, rest in SMUGGLED.items():
        answer = send(f"POST /login HTTP/1.1\r\nHost: book.example.com\r\n{rest}")
        assert re.findall(r"^HTTP/1.1 (\d+)", answer, re.MULTILINE) in (["400"], ["501"]), (odd, answer)
    assert seen() == before
    assert send(SECOND).startswith("HTTP/1.1 200")
    assert seen() == before + 1, "the log would tell"


# --- what is slow, and what hangs


@ON_ONE_DATABASE
def test_fifty_who_send_a_byte_a_second_hold_up_nobody(it, crowd):
    head = "POST /s/zimnyaya-5/hold HTTP/1.1\r\nHost: book.example.com\r\n"
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(it.line()) for _ in range(50)]
        for line in lines[25:]:  # half of them are slow with a body
            line.sendall(f"{head}Content-Length: 1000\r\n\r\n".encode())
        with crowd() as told:
            for byte in head[:8]:
                for line in lines:
                    line.sendall(byte.encode())
                time.sleep(1)
        for line in lines:
            line.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):  # neither answered nor hung up on
                line.recv(1)
    nobody_failed("fifty slow ones", told)


@ON_ONE_DATABASE
def test_a_worker_that_takes_two_seconds_longer_fails_nobody(it, crowd):
    worker = it.units[0].last_worker()
    with crowd() as told:
        for _ in range(3):
            os.kill(worker, signal.SIGSTOP)
            time.sleep(2)
            os.kill(worker, signal.SIGCONT)
            time.sleep(0.2)
    tell("a slow worker", told)
    assert told.failed == []
    assert told.at(0.5) < 500 and told.held, "the others go on"
    assert 1500 < told.at(1.0) < 6000, "some were with the slow one, twice at most: a page and a hold"


@ON_ONE_DATABASE
def test_a_unit_that_hangs_costs_whoever_asks_it_the_patience_of_the_proxy(it, crowd):
    """The other one serves; a page is asked of it in the end, and what was sent is not sent twice. Its health tells.

    With three seconds' patience instead of the thirty in the file.
    """
    hung, other = it.units
    with it.proxy_says("proxy_read_timeout 30s", "proxy_read_timeout 3s"):
        hung.signal(signal.SIGSTOP)
        try:
            with crowd() as told:
                time.sleep(8)
                assert hung.health("live", patience=1) == (0, {})
                assert other.is_ready()
        finally:
            hung.signal(signal.SIGCONT)
        tell("a unit that hangs", told)
        assert not [each for each in told.failed if not each.startswith("POST: 504")]
        assert told.asked > told.planned / 3, "the others go on: few more are sent to a unit that does not answer"
        assert told.held
        assert 3000 < told.at(1.0) < 8000, "a page and a hold wait three seconds each, at most"
        assert hung.becomes_ready()
        with crowd() as told:
            time.sleep(2)
        assert told.failed == []


# --- new releases


def test_four_releases_under_load_fail_nobody(it, crowd, database, tmp_path):
    releases = [release(tmp_path, f"trial-{n}") for n in range(4)]
    with crowd() as told:
        for each in releases:
            time.sleep(1)
            assert it.roll(each)
            deadline = time.monotonic() + 5
            while it.versions() != {each.name}:
                assert time.monotonic() < deadline, it.versions()
    nobody_failed("four releases", told, database=database)


def test_a_release_that_cannot_be_imported_never_takes_the_old_one_down(it, crowd, database, tmp_path):
    bad = broken(tmp_path)
    with crowd() as told:
        time.sleep(1)
        check = [sys.executable, "-m", "flask", "--app", "app", "deploy-check"]
        refused = subprocess.run(check, cwd=bad, env=it.units[0].environment, capture_output=True)
        assert refused.returncode != 0
        assert not it.roll(bad), "whoever does not ask first finds it out at the first unit"
        time.sleep(1)
        assert it.units[1].is_ready()
        it.units[0].stop()
        it.units[0].start(ROOT)
        assert it.units[0].becomes_ready()
    nobody_failed("bad release", told, database=database)


def test_a_bad_release_put_in_everywhere_is_seen_by_the_same_load(it, crowd, database, tmp_path):
    """The control, and of the four releases too: not even a good one may be put in everywhere at once."""
    bad = broken(tmp_path)
    with crowd() as told:
        time.sleep(1)
        assert not it.restart_all(bad)
    tell("bad release everywhere (control)", told, database=database)
    assert told.failed
    with crowd() as told:
        assert it.restart_all(ROOT)
    tell("plain restart (control)", told, database=database)
    assert told.failed


def broken(folder: Path) -> Path:
    bad = release(folder, "bad")
    (bad / "tirefit" / "__init__.py").write_text("raise RuntimeError('a bad release')\n")
    return bad


# --- new schemas


ALL_AT_ONCE = """
import time
import sqlalchemy as sa
from alembic import op

def upgrade():
    for table in ("reservations", "bookings"):
        op.add_column(table, sa.Column("trial", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE bookings SET trial = id")
    time.sleep(6)
    raise RuntimeError("nothing of it is kept")
"""
EXPAND = """
import sqlalchemy as sa
from alembic import op

def upgrade():
    for table in ("reservations", "bookings"):
        op.add_column(table, sa.Column("trial", sa.Integer, nullable=False, server_default="0"))
"""
FILL = """
import sqlalchemy as sa
from alembic import op

def upgrade():
    bookings = sa.table("bookings", sa.column("id"), sa.column("trial"))
    last = op.get_bind().scalar(sa.select(sa.func.max(bookings.c.id)))
    for first in range(0, last + 1, 2000):
        batch = bookings.c.id.between(first, first + 1999)
        op.execute(bookings.update().where(batch).values(trial=bookings.c.id))
"""
INDEX = """
from alembic import op

def upgrade():
    op.create_index("ix_bookings_trial", "bookings", ["trial", "starts_at"])
"""


def test_a_migration_that_keeps_its_tables_is_seen_by_the_same_load(it, crowd, database, tmp_path):
    """The control: everything in one transaction that takes its time. Readers wait on PostgreSQL, on SQLite writers."""
    new = with_migrations(release(tmp_path, "all-at-once"), ALL_AT_ONCE)
    with crowd() as told:
        assert migrate(new, it).returncode != 0
    tell("migration that keeps its tables (control)", told, database=database)
    assert told.failed or told.at(1.0) > LONGEST
    assert not [each for each in told.failed if "503" not in each], "whoever waits in vain is told so"


def test_a_migration_in_steps_of_many_bookings_fails_nobody(it, crowd, database, tmp_path):
    """As the policy says: what locks is short, rows move by thousands, each step a migration."""
    new = with_migrations(release(tmp_path, "expanded"), EXPAND, FILL, INDEX)
    with crowd() as told:
        time.sleep(1)
        begun = time.monotonic()
        ended = migrate(new, it)
        seconds = round(time.monotonic() - begun, 1)
        assert ended.returncode == 0, ended.stderr
        time.sleep(1)
        assert it.units[0].health("ready")[1]["schema"] == "ahead", "the code of before goes on"
        assert it.roll(new)
    nobody_failed("migration in steps", told, database=database, bookings=BOOKINGS, seconds=seconds)


def with_migrations(folder: Path, *sources: str) -> Path:
    before = revisions()[-1]
    for number, source in enumerate(sources, start=9001):
        numbered = f'{source}\nrevision, down_revision = "{number}", "{before}"\n'
        (folder / "migrations" / "versions" / f"{number}_trial.py").write_text(numbered)
        before = str(number)
    return folder


def migrate(folder: Path, it: Site) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "flask", "--app", "app", "db", "upgrade"]
    return subprocess.run(command, cwd=folder, env=it.units[0].environment, capture_output=True)


def test_the_release_before_works_on_the_schema_of_today(tmp_path):
    """Its own tests of pages and bookings, with its own code, on what today's migrations make: on both databases.

    The release before is what stood before the newest migration came. That needs the repository's history.
    """
    if git("rev-parse", "--is-shallow-repository").strip() == b"true":
        pytest.skip("a shallow clone has no release before this one: git fetch --unshallow")
    newest = max(VERSIONS.glob("*.py"))
    came = git("log", "-1", "--diff-filter=A", "--format=%H", "--", str(newest)).decode().strip()
    subprocess.run(["tar", "-x"], cwd=tmp_path, input=git("archive", f"{came}^" if came else "HEAD"), check=True)
    theirs = tmp_path / "migrations" / "versions"
    assert not (theirs / newest.name).exists()
    shutil.rmtree(theirs)
    shutil.copytree(VERSIONS, theirs, ignore=shutil.ignore_patterns("__pycache__"))
    files = [f"tests/integration/test_{name}.py" for name in ("bookings", "public", "board")]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *files,
        "-k",
        "test_bookings or hold or tap",
    ]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("TIREFIT_", "PYTEST_"))}
    ended = subprocess.run(command, cwd=tmp_path, env=clean, capture_output=True, text=True)
    print("\n" + json.dumps({"trial": "the release before", "said": ended.stdout.splitlines()[-1]}))
    assert ended.returncode == 0, ended.stdout[-5000:]


def git(*words: str) -> bytes:
    ended = subprocess.run(["git", *words], cwd=ROOT, capture_output=True)
    assert ended.returncode == 0, f"this needs the repository with its history: {ended.stderr.decode()}"
    return ended.stdout


# --- two hundred thousand visits


def fill(url: str, folder: Path) -> None:
    """Two hundred thousand visits of the past, which own no time any more."""
    with app_on(url, folder):
        point = db.session.get_one(ServicePoint, 1)
        factories.booking(point, free_times(point)[0].starts_at)
        names = [column.name for column in Booking.__table__.columns if column.name not in ("id", "number")]
        changed = {"status": "'completed'", "reservation_id": "NULL", "version": "1"}
        values = ", ".join(changed.get(name, name) for name in names)
    engine = create_engine(url, **engine_options(url))
    series = (
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < :many)"
        if engine.dialect.name == "sqlite"
        else "WITH n AS (SELECT n FROM generate_series(1, :many) AS n)"
    )
    copy = f"INSERT INTO bookings (number, {', '.join(names)}) {series} SELECT 'X' || n, {values} FROM bookings, n"
    with engine.connect().execution_options(**WRITE) as connection, connection.begin():
        connection.execute(text(copy), {"many": BOOKINGS})
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(Booking.__table__)) > BOOKINGS
    engine.dispose()


def free_times(point: ServicePoint):
    today = datetime.now(KYIV).date()
    return [each for day in days(point, today + timedelta(days=1), 8, 30) for each in day.times]

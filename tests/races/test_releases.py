"""New versions come without a pause, and a bad one never takes the old one down. Behind nginx, over https.

For `make trials`: each takes half a minute of load.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select, text

from tests import factories
from tests.factories import KYIV, car_type, service
from tests.history import app_on
from tests.races.conftest import TRIALS
from tests.races.site import load, site
from tirefit.config import ROOT
from tirefit.database import WRITE, db, engine_options
from tirefit.models import Booking, ServicePoint
from tirefit.schedule.availability import days

pytestmark = pytest.mark.skipif(not TRIALS, reason="half a minute of load each: make trials")

BOOKINGS = 200_000


@pytest.fixture
def open_site(database, new_database, redis_url, tmp_path):
    """(address of the times, the times, the database) of a station, made anew."""
    url = new_database(database)
    with app_on(url, tmp_path):
        point = factories.station(posts=(30,) * 4)
        choice = f"svc={service().id}&car={car_type().id}"
        times = [each.starts_at.astimezone(KYIV).isoformat() for each in free_times(point)]
    return choice, times, url


def release(folder: Path, name: str) -> Path:
    """Another copy of the program, as a new release lies beside the old one."""
    new = folder / name
    shutil.copytree(ROOT, new, ignore=shutil.ignore_patterns(".git", ".venv", "instance", "tests", "docs", "bench"))
    return new


def report(what, database, told, least=200, **more):
    line = {"trial": what, "database": database, "requests": told.asked, "holds": told.held, "failed": len(told.failed)}
    line |= {"p50 ms": told.at(0.5), "p99 ms": told.at(0.99), "max ms": told.at(1.0)} | more
    print("\n" + json.dumps(line), told.failed[:3])
    assert told.asked >= least, "too little load to say anything"


def test_four_releases_under_load_fail_nobody(open_site, database, redis_url, tmp_path):
    choice, times, url = open_site
    releases = [release(tmp_path, f"release-{n}") for n in range(4)]
    with site(url, redis_url, tmp_path) as it, load(it, choice, times) as told:
        for each in releases:
            time.sleep(1)
            assert it.roll(each)
    report("four reloads", database, told)
    assert told.failed == []


def test_stopping_both_at_once_is_seen_by_the_same_load(open_site, database, redis_url, tmp_path):
    """The control: a plain restart loses requests, and the load says so."""
    choice, times, url = open_site
    with site(url, redis_url, tmp_path) as it, load(it, choice, times) as told:
        time.sleep(3)
        it.restart_all(ROOT)
        time.sleep(3)
    report("plain restart (control)", database, told)
    assert told.failed


def test_a_release_that_cannot_be_imported_never_takes_the_old_one_down(open_site, database, redis_url, tmp_path):
    choice, times, url = open_site
    bad = release(tmp_path, "bad")
    (bad / "tirefit" / "__init__.py").write_text("raise RuntimeError('a bad release')\n")
    with site(url, redis_url, tmp_path) as it, load(it, choice, times) as told:
        time.sleep(2)
        check = [sys.executable, "-m", "flask", "--app", "app", "deploy-check"]
        refused = subprocess.run(check, cwd=bad, env=it.units[0].environment, capture_output=True)
        assert refused.returncode != 0
        assert not it.roll(bad), "whoever does not ask first finds it out at the first unit"
        time.sleep(2)
        assert it.units[1].is_ready()
        assert it.roll(ROOT)
    report("bad release", database, told)
    assert told.failed == []


def test_nginx_in_front_does_what_its_file_says(open_site, redis_url, tmp_path):
    """docs/deploy/nginx.conf itself, but for ports, certificate and folders."""
    choice, _, url = open_site
    with site(url, redis_url, tmp_path) as it:
        page = it.ask("GET", f"/s/zimnyaya-5?{choice}")
        assert page.startswith("HTTP/1.1 200")
        assert "strict-transport-security: max-age=63072000; includesubdomains" in page.lower()
        assert "default-src 'none'" in page and "nosniff" in page
        assert it.ask("GET", "/static/favicon.svg").startswith("HTTP/1.1 200")
        assert it.ask("GET", "/static/../app.py").startswith("HTTP/1.1 40")
        assert it.ask("GET", "/metrics").startswith("HTTP/1.1 403")
        assert it.ask("POST", "/login", "Content-Length: 2000000").startswith("HTTP/1.1 413")
        for odd in (
            "Content-Length: 4\r\nTransfer-Encoding: chunked",
            "Content-Length: 4\r\nContent-Length: 5",
            "Transfer-Encoding: chunked, identity",
            "X-Evil : 1\r\nContent-Length: x",
        ):
            assert it.ask("POST", "/login", odd).startswith(("HTTP/1.1 400", "HTTP/1.1 501")), odd
        assert it.ask("GET", "/", host="evil.example").startswith("HTTP/1.1 400")
        assert "evil.example" not in it.ask("GET", "/login", "X-Forwarded-Host: evil.example", host="book.example.com")
        for unit in it.units:
            unit.stop()
        gone = it.ask("GET", "/")
        assert gone.startswith("HTTP/1.1 502")
        assert (ROOT / "docs" / "deploy" / "away.html").read_text().split("<title>")[1][:10] in gone


EXPAND = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9999", "{newest}"

def upgrade():
    op.add_column("bookings", sa.Column("trial", sa.Integer, nullable=False, server_default="0"))
    op.create_index("ix_bookings_trial", "bookings", ["trial", "starts_at"])

def downgrade():
    op.drop_column("bookings", "trial")
"""
LOCK = """op.execute("LOCK TABLE reservations IN ACCESS EXCLUSIVE MODE")
    op.execute("SELECT pg_sleep(20)")
    """
HOG = EXPAND.replace("op.create_index(", f"{LOCK}op.create_index(")


def test_an_expand_migration_of_many_bookings_fails_nobody(open_site, database, redis_url, tmp_path):
    choice, times, url = open_site
    fill(url, tmp_path)
    new = release(tmp_path, "expanded")
    with site(url, redis_url, tmp_path) as it, load(it, choice, times) as told:
        time.sleep(2)
        seconds = migrate(new, EXPAND, it.units[0].environment)
        time.sleep(2)
        assert it.units[0].is_ready(), "the code of before goes on"
        assert it.roll(new)
    report("expand migration", database, told, bookings=BOOKINGS, seconds=seconds)
    assert told.failed == []


def test_a_migration_that_keeps_its_table_is_seen_by_the_same_load(open_site, database, redis_url, tmp_path):
    """The control: twenty seconds of an exclusive lock are longer than anybody waits."""
    if database == "sqlite":
        pytest.skip("a migration of SQLite holds the only writer in any case; readers never wait")
    choice, times, url = open_site
    new = release(tmp_path, "hog")
    with site(url, redis_url, tmp_path) as it, load(it, choice, times) as told:
        migrate(new, HOG, it.units[0].environment)
    report("migration that locks (control)", database, told, least=50)
    assert told.failed
    assert not [each for each in told.failed if "500" in each], "whoever waits in vain is told so, with 503"


def migrate(folder: Path, source: str, environment: dict[str, str]) -> float:
    versions = folder / "migrations" / "versions"
    newest = max(path.stem[:4] for path in versions.glob("*.py"))
    (versions / "9999_trial.py").write_text(source.format(newest=newest))
    begun = time.monotonic()
    command = [sys.executable, "-m", "flask", "--app", "app", "db", "upgrade"]
    subprocess.run(command, cwd=folder, env=os.environ | environment, check=True, capture_output=True)
    return round(time.monotonic() - begun, 1)


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

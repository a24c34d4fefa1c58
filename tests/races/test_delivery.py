"""Letters when everything dies: workers and the queue are killed between the commit and the sending.

Real processes, a real Valkey that loses its data, a real mail server. What a lease's ninety seconds would do in time is
done by writing the lease's end into the past.
"""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from redis import Redis
from sqlalchemy import func, select, update

from tests import factories
from tests.factories import Customer
from tests.load import told
from tests.races import naive
from tests.races.chaos import NAIVE
from tests.races.conftest import TRIALS
from tests.services import MailServer, valkey
from tirefit import clock, create_app, jobs
from tirefit.config import ROOT
from tirefit.database import command, db
from tirefit.models import Notification
from tirefit.notifications import outbox
from tirefit.schedule import availability
from tirefit.schedule.windows import local_day

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes through /proc")

DRAIN = """
from app import app
from tirefit.jobs import tasks
print("ready", flush=True)
input()
with app.app_context():
    tasks.drain_letters()
"""
WITHOUT_LEASES = """
from datetime import timedelta
from tirefit import leases
leases.LEASE = timedelta()
"""


class SlowServer(MailServer):
    """Takes its time with each letter; with the first ones, so long that the sender does not live to see the answer."""

    def __init__(self, seconds: float, stalled: int = 0) -> None:
        self.seconds, self.stalled, self.begun = seconds, stalled, 0
        super().__init__()

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 (aiosmtpd calls it so)
        self.begun += 1
        await asyncio.sleep(3600 if self.begun <= self.stalled else self.seconds)
        return await super().handle_DATA(server, session, envelope)


@contextmanager
def mail_server(seconds: float = 0.0, stalled: int = 0) -> Iterator[SlowServer]:
    server = SlowServer(seconds, stalled)
    try:
        yield server
    finally:
        server.close()


class Installation:
    """A database with a station in it, and the settings that its processes are started with."""

    def __init__(self, app: Flask, redis_url: str) -> None:
        names = ("DATABASE_URL", "INSTANCE_PATH", "MAIL_SERVER", "MAIL_PORT")
        settings = {f"TIREFIT_{name}": str(app.config[name]) for name in names}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
        self.environment = clean | settings | {"TIREFIT_REDIS_URL": redis_url}
        self.point = factories.station(horizon_days=30)

    def book(self, count: int) -> None:
        tomorrow = local_day(self.point.time_zone, clock.now()) + timedelta(days=1)
        times = [time for day in availability.days(self.point, tomorrow, 7, minutes=30) for time in day.times]
        for chosen in times[:count]:
            anna = Customer("Анна", "+380671234567", f"anna{chosen.starts_at:%H%M}@example.com")  # no address gets many
            factories.booking(self.point, chosen.starts_at, anna, services=("Балансировка",))

    def start(self, code: str, **pipes: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=self.environment, **pipes)

    def drain_at_once(self, count: int, prelude: str = "") -> None:
        """So many processes, each with one job; they begin together."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        senders = [self.start(prelude + DRAIN, **pipes) for _ in range(count)]
        for sender in senders:
            assert sender.stdout
            assert sender.stdout.readline() == b"ready\n"
        for sender in senders:
            assert sender.stdin
            sender.stdin.write(b"\n")
            sender.stdin.flush()
        for sender in senders:
            sender.communicate(timeout=90)
            assert sender.returncode == 0

    @contextmanager
    def running(self, *names: str, prelude: str = "") -> Iterator[list[subprocess.Popen[bytes]]]:
        processes = [self.start(f"{prelude}from app import app\napp.cli.main([{name!r}])") for name in names]
        try:
            yield processes
        finally:
            for process in processes:
                kill_with_children(process)


@pytest.fixture
def installation(database: str, new_database: Callable[[str], str], tmp_path: Path):
    @contextmanager
    def install(server: MailServer, redis_url: str = "") -> Iterator[Installation]:
        app = create_app(
            DATABASE_URL=new_database(database),
            INSTANCE_PATH=str(tmp_path),
            REDIS_URL=redis_url,
            MAIL_SERVER=server.host,
            MAIL_PORT=server.port,
        )
        with app.app_context():
            try:
                yield Installation(app, redis_url)
            finally:
                db.session.remove()
                db.engine.dispose()

    return install


@pytest.mark.parametrize("database", ["postgresql"])  # on SQLite: test_chaos.py
def test_a_letter_arrives_once_though_its_worker_and_the_queue_are_killed(installation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("v")
    with mail_server(stalled=1) as server, installation(server, f"unix://{folder}/valkey.sock") as house:
        book_while_all_dies(house, server, folder)
        assert (server.messages, states()) == ([], {"pending": 8})
        let_leases_end()

        with valkey(folder), house.running("worker", "scheduler"):
            until(lambda: states() == {"sent": 8})

        told("deaths of a worker and the queue", "postgresql", planned=8, made=len(server.messages))
        assert Counter(message["Message-ID"] for message in server.messages) == promised()


@pytest.mark.skipif(not TRIALS, reason="the control, of two processes more: make trials")
@pytest.mark.parametrize("database", ["postgresql"])
def test_letters_that_only_the_queue_knew_are_known_to_nobody(installation, tmp_path_factory, monkeypatch):
    """The control: put into the queue after the commit, and the same deaths. Nothing is left to send them from."""
    folder = tmp_path_factory.mktemp("v")
    monkeypatch.setattr(outbox, "_insert", naive.into_the_queue_after_the_commit)
    with mail_server(stalled=1) as server, installation(server, f"unix://{folder}/valkey.sock") as house:
        book_while_all_dies(house, server, folder, NAIVE)

        with valkey(folder) as (_, url), Redis.from_url(url) as redis:
            assert (server.messages, states(), jobs.queue(jobs.LETTERS, redis).count) == ([], {}, 0)


@pytest.mark.parametrize("database", ["sqlite"])
def test_without_a_worker_letters_wait_and_the_next_one_sends_them(installation, tmp_path_factory):
    folder = tmp_path_factory.mktemp("v")
    with mail_server() as server, valkey(folder) as (_, url), installation(server, url) as house:
        house.book(1)
        with Redis.from_url(url) as redis:
            redis.flushall()  # as if the ring had never been heard

        with house.running("worker"):
            until(lambda: states() == {"sent": 2})

        assert Counter(message["Message-ID"] for message in server.messages) == promised()


@pytest.mark.parametrize("database", ["postgresql"])  # on SQLite: test_chaos.py
def test_several_workers_share_the_letters_and_send_each_once(installation):
    with mail_server(0.05) as server, installation(server) as house:
        house.book(10)
        house.drain_at_once(3)

        told("workers together", "postgresql", planned=20, made=len(server.messages))
        assert states() == {"sent": 20}
        assert Counter(message["Message-ID"] for message in server.messages) == promised()


@pytest.mark.parametrize("database", ["postgresql"])
def test_without_leases_they_would_send_some_twice(installation):
    """The control: the same crowd, and a lease that is over at once."""
    with mail_server(0.05) as server, installation(server) as house:
        house.book(10)
        house.drain_at_once(3, WITHOUT_LEASES)

    assert len(server.messages) > 20


def book_while_all_dies(house: Installation, server: SlowServer, folder: Path, prelude: str = "") -> None:
    """Two booked while the first letter is on its way, two after; the worker is killed between, and the queue with all
    that it held.
    """
    with valkey(folder) as (queue, _), house.running("worker", prelude=prelude) as (worker,):
        house.book(2)
        until(lambda: server.begun == 1)  # committed and claimed, and just now on its way out
        kill_with_children(worker)
        queue.kill()
        house.book(2)  # the doorbell is dead: nobody hears of these
        queue.wait()
    shutil.rmtree(folder / "appendonlydir")


def states() -> dict[str, int]:
    db.session.rollback()
    found = db.session.execute(select(Notification.state, func.count()).group_by(Notification.state))
    return dict(found.all())


def promised() -> Counter[str]:
    """One of each Message-ID that the outbox has written down."""
    return Counter(f"<{id}@localhost>" for id in db.session.scalars(select(Notification.message_id)))


@command
def let_leases_end() -> None:
    db.session.execute(update(Notification).where(Notification.lease.is_not(None)).values(leased_until=clock.now()))


def until(happens: Callable[[], object]) -> None:
    """Two processes start in a few seconds; on a machine with much else to do, in many more."""
    deadline = time.monotonic() + 45
    while not happens():
        assert time.monotonic() < deadline, f"it did not happen in time; letters: {states()}"
        time.sleep(0.05)


def kill_with_children(process: subprocess.Popen[bytes]) -> None:
    """kill -9, for the worker and for the fork that is sending."""
    if process.poll() is None:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGSTOP)  # or it might start another one meanwhile
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        process.kill()
    process.wait()

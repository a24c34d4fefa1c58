"""Letters in the worst of half minutes: bookings come in, the mail server fails three times in ten, and whatever runs
is killed, the queue with all that it held. Nothing that was promised may be lost. The long form is for `make trials`.
"""

import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg
import pytest

from tests.conftest import migrate
from tests.history import app_on
from tests.races import chaos
from tests.races.chaos import Crowd, Found, House, MoodyServer
from tests.races.conftest import TRIALS
from tests.services import PostgreSQL
from tirefit.database import db

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes through /proc")
long_form = pytest.mark.skipif(not TRIALS, reason="half a minute of chaos on each database: make trials")

SEED = random.SystemRandom().randrange(10**6)
CHAOS = 25  # seconds
PER_SECOND = 24  # customers
VICTIMS = {"horse": 12, "worker": 5, "web process": 4, "web": 1, "scheduler": 2, "valkey": 3}
OF_POSTGRESQL = {"postgresql session": 2, "postgresql": 1}
DRAINED_WITHIN = 60.0  # seconds after the faults have stopped
IN_TIME = 5.0  # seconds from a request to its letter, for 95 in 100, without faults


@pytest.fixture
def stage(database: str, new_database: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> Callable:
    """`with stage(seed, 100) as (house, wanted):` a house that is alive, and a hundred customers yet to come."""
    monkeypatch.delenv("TIREFIT_TRIALS", raising=False)

    @contextmanager
    def build(seed: int, customers: int, **ways) -> Iterator[tuple[House, list[chaos.Order]]]:
        with ExitStack() as end:
            mail = MoodyServer(seed, moody=ways.pop("moody", True))
            end.callback(mail.close)
            url, server = new_database(database), None
            if database == "postgresql":  # one of its own, for it is going to be killed
                server = PostgreSQL(_folder(end), durable=True)
                server.start()
                end.callback(server.stop)
                url = _migrated(server, _folder(end))
            folder = _folder(end)
            end.enter_context(app_on(url, folder))
            chaos.two_stations()
            wanted = chaos.orders(customers, mail.dice)
            db.session.remove()
            db.engine.dispose()  # or our own connection would be among those that are killed
            house = House(url, folder, mail, postgresql=server, **ways)
            end.enter_context(house.alive())
            yield house, wanted

    return build


def play(stage: Callable, seed: int, seconds: float, per_second: float, victims: dict[str, int], **ways) -> Found:
    """Customers and deaths for so many seconds; then all is well, and the letters that wait may leave."""
    with stage(seed, int(seconds * per_second), **ways) as (house, wanted):
        crowd = Crowd(house.port, wanted, seconds)
        try:
            house.live(crowd.is_served, chaos.IMPATIENCE, chaos.kills(house.mail.dice, seconds, victims))
        finally:
            crowd.go_home()
        house.mail.moody = False
        drained = house.live(house.has_nothing_to_send, DRAINED_WITHIN, insist=not house.naive)
        found = chaos.look(crowd, house.mail)
        if house.naive:  # slow is not lost
            waiting = house.waiting_jobs()
            found.unheard = [order for order in found.unheard if order.email not in waiting]
        copies, ambiguous = found.arrived.total(), house.mail.ambiguous
        print(
            f"\nseed {seed}: {len(wanted)} customers came at {found.per_second:.1f}/s;"
            f" {len(found.acknowledged)} bookings acknowledged within {found.spent:.1f} s,"
            f" without an answer {found.unanswered}, bookings missing {len(found.missing)};"
            f" letters {dict(found.rows)}, owed {len(found.owed)},"
            f" arrived {len(found.arrived)} in {copies} copies ({ambiguous} answers were lost),"
            f" unheard customers {len(found.unheard)}; drained in {drained:.1f} s; p50 {found.delay(50):.1f} s,"
            f" p95 {found.delay(95):.1f} s; faults {dict(house.mail.faults)}; killed {dict(house.killed)}"
        )
        return found


def victims_on(database: str) -> dict[str, int]:
    return VICTIMS | (OF_POSTGRESQL if database == "postgresql" else {})


def nothing_is_lost(found: Found) -> None:
    assert (found.unanswered, found.missing) == (0, set())
    assert found.rows.keys() <= {"sent", "failed"}
    assert found.rows.total() == found.promised
    assert found.owed == set(found.arrived), "letters lost, or sent that were not owed"
    assert all(address.startswith("bad") for address in found.failed)
    assert found.unheard == []


@long_form
def test_no_letter_is_lost_while_everything_dies(stage, database):
    found = play(stage, SEED, CHAOS, PER_SECOND, victims_on(database))

    nothing_is_lost(found)
    assert 20 <= found.per_second <= 36, "not the load that was promised"
    assert len(found.failed) > 0


@long_form
def test_letters_that_only_the_queue_knows_are_lost(stage, database):
    """The control: put into the queue after the commit. The same seed, the same deaths."""
    found = play(stage, SEED, CHAOS, PER_SECOND, victims_on(database), naive=True)

    assert (found.unanswered, found.missing) == (0, set())
    assert len(found.unheard) > 0


@long_form
def test_without_faults_letters_are_handed_over_in_seconds(stage):
    found = play(stage, SEED, CHAOS, 20, {}, moody=False)

    nothing_is_lost(found)
    assert found.per_second > 19
    assert found.spent < CHAOS + IN_TIME
    assert found.delay(95) < IN_TIME


@pytest.mark.parametrize("database", ["sqlite"])
def test_for_some_seconds(stage):
    """The short form."""
    victims = {"horse": 2, "worker": 1, "web process": 1, "scheduler": 1, "valkey": 1}

    found = play(stage, SEED, 3, 10, victims, waits=(1,))

    nothing_is_lost(found)


def _folder(end: ExitStack) -> Path:
    folder = tempfile.mkdtemp(prefix="tirefit-chaos-")  # short: a socket's path has at most 107 bytes
    end.callback(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def _migrated(server: PostgreSQL, instance: Path) -> str:
    server.wait_until_it_answers()
    with psycopg.connect(server.url.format("postgres").replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE tirefit_chaos")
    url = server.url.format("tirefit_chaos")
    migrate(url, instance)
    return url

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
from tests.load import LEAST, told
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
VICTIMS = {"horse": 12, "worker": 5, "web process": 4, "web": 1, "scheduler": 2, "valkey": 3, "valkey hangs": 1}
OF_POSTGRESQL = {"postgresql session": 2, "postgresql": 1}
FAULTS = {"451 to the recipient", "451 to the text", "cut before", "cut after", "stall"}
# How many letters may be just on their way out when somebody dies, so that nobody knows whether they have arrived.
ON_THEIR_WAY = {"horse": 1, "worker": 1, "valkey": 2, "valkey hangs": 2, "postgresql session": 2, "postgresql": 2}
ANSWERS = {chaos.NO_ANSWER, "201", "503, later"}
DRAINED_WITHIN = 60.0  # seconds after the faults have stopped
IN_TIME = 5.0  # seconds from a request to its letter, for 95 in 100, without faults
IN_CHAOS = 60.0  # the same, while everything dies
GREEN_WITHIN = 5.0  # seconds from the first answer of a database that has died to the first booking


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


def play(
    stage: Callable, database: str, seed: int, seconds: float, per_second: float, victims: dict[str, int], **ways
) -> Found:
    """Customers and deaths for so many seconds; then all is well, and the letters that wait may leave."""
    with stage(seed, int(seconds * per_second), **ways) as (house, wanted):
        crowd = Crowd(house.port, wanted, seconds)
        try:
            house.live(crowd.is_served, chaos.IMPATIENCE, chaos.kills(house.mail.dice, seconds, victims))
        finally:
            crowd.go_home()
        house.mail.moody = False
        if house.naive:  # slow is not lost: what is in the queue may still leave
            drained = house.live(house.has_its_queue, DRAINED_WITHIN)
            waiting = house.waiting_jobs()
        else:
            drained, waiting = house.live(house.has_nothing_to_send, DRAINED_WITHIN), set()
        found = chaos.look_twice(crowd, house, waiting)
        told(
            "chaos, the control" if house.naive else "chaos" if victims else "letters without faults",
            database,
            planned=len(wanted),
            made=len(found.acknowledged),
            seed=seed,
            per_second=round(found.per_second, 1),
            seconds=round(found.spent, 1),
            answers=found.answers,
            missing=len(found.missing),
            letters=found.rows,
            owed=len(found.owed),
            arrived=len(found.arrived),
            copies=found.arrived.total(),
            ambiguous=house.mail.ambiguous,
            unheard=len(found.unheard),
            drained=round(drained, 1),
            p50=round(found.delay(50), 1),
            p95=round(found.delay(95), 1),
            green=[round(each, 2) for each in found.green],
            faults=house.mail.faults,
            killed=house.killed,
        )
        assert house.killed.total() >= LEAST * sum(victims.values()), "too few have died"
        assert bool(found.faults) == ways.get("moody", True)
        may_be = house.mail.ambiguous + sum(ON_THEIR_WAY.get(what, 0) * times for what, times in house.killed.items())
        assert found.arrived.total() - len(found.arrived) <= may_be, "letters left twice, and nobody had died"
        return found


def victims_on(database: str) -> dict[str, int]:
    return VICTIMS | (OF_POSTGRESQL if database == "postgresql" else {})


def nothing_is_lost(found: Found) -> None:
    assert (found.unanswered, found.missing) == (0, set())
    assert found.answers.keys() <= ANSWERS
    assert found.is_sound
    assert found.living == found.occupied, "half of a booking"
    assert found.rows.keys() <= {"sent", "failed"}
    assert found.rows.total() == found.promised
    assert found.owed == set(found.arrived), "letters lost, or sent that were not owed"
    assert all(address.startswith("bad") for address in found.failed)
    assert found.unheard == []


@long_form
def test_no_letter_is_lost_while_everything_dies(stage, database):
    victims = victims_on(database)

    found = play(stage, database, SEED, CHAOS, PER_SECOND, victims)

    nothing_is_lost(found)
    assert 20 <= found.per_second <= 36, "not the load that was promised"
    assert len(found.failed) > 0
    assert found.killed.keys() == victims.keys()
    assert found.faults == FAULTS
    assert found.delay(95) < IN_CHAOS
    assert found.delay(99) > IN_TIME, "the control of what is measured without faults: it sees what is late"


@long_form
@pytest.mark.parametrize("database", ["postgresql"])
def test_a_database_that_dies_is_a_try_again_later_and_then_as_before(stage, database):
    """All of it at once, and nothing else. Whoever asks meanwhile is told to come again."""
    found = play(stage, database, SEED, 12, 20, {"postgresql": 1}, moody=False)

    nothing_is_lost(found)
    assert found.answers.keys() == {"201", "503, later"}
    assert len(found.green) == 1
    assert found.green[0] < GREEN_WITHIN


@long_form
def test_letters_that_only_the_queue_knows_are_lost(stage, database):
    """The control: put into the queue after the commit. The same seed, the same deaths. Lost are more than the two
    workers had in hand, and not through the mail server's moods: it has never heard of them.
    """
    found = play(stage, database, SEED, CHAOS, PER_SECOND, victims_on(database), naive=True)

    assert (found.unanswered, found.missing) == (0, set())
    assert len(found.unknown) > 2


@long_form
def test_without_faults_letters_are_handed_over_in_seconds(stage, database):
    found = play(stage, database, SEED, CHAOS, 20, {}, moody=False)

    nothing_is_lost(found)
    assert found.per_second > 19
    assert found.spent < CHAOS + IN_TIME
    assert found.delay(95) < IN_TIME


@pytest.mark.parametrize("database", ["sqlite"])
def test_for_some_seconds(stage, database):
    """The short form."""
    victims = {"horse": 2, "worker": 1, "web process": 1, "scheduler": 1, "valkey": 1}

    found = play(stage, database, SEED, 3, 10, victims, waits=(1,))

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

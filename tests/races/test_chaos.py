"""Letters in the worst of half minutes: bookings come in, the mail server fails three times in ten, workers are killed,
the queue dies with all that it held. Nothing that was promised may be lost. For `make trials`.
"""

import asyncio
import random
import shutil
import smtplib
import sys
import threading
import time
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from tests import factories
from tests.factories import Customer
from tests.races.conftest import TRIALS
from tests.races.test_delivery import (
    Installation,
    installation,  # noqa: F401 (a fixture)
    let_leases_end,
    promised,
    states,
    until,
)
from tests.services import MailServer, valkey
from tirefit import clock
from tirefit.database import command, db
from tirefit.errors import Problem
from tirefit.models import Notification
from tirefit.schedule import availability
from tirefit.schedule.windows import local_day

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes through /proc"),
    pytest.mark.skipif(not TRIALS, reason="half a minute of chaos on each database: make trials"),
]

CHAOS = 25.0  # seconds


class MoodyServer(MailServer):
    """Refuses for a while, hangs up before or after it has taken a letter, or stalls; knows no bad@ addresses."""

    def __init__(self, seed: int) -> None:
        self.dice, self.moody, self.ambiguous = random.Random(seed), True, 0
        super().__init__()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 (aiosmtpd calls it so)
        if address.startswith("bad"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 (aiosmtpd calls it so)
        mood = self.dice.random() if self.moody else 1.0
        if mood < 0.12:
            return "451 4.3.0 later"
        if mood < 0.20:
            server.transport.abort()
            return "451 cut before it was taken"
        answer = await super().handle_DATA(server, session, envelope)
        if mood < 0.26:
            self.ambiguous += 1
            server.transport.abort()
        elif mood < 0.30:
            self.ambiguous += 1
            await asyncio.sleep(3)
        return answer


def book_for_a_while(house: Installation, dice: random.Random) -> int:
    """As many bookings as come through, one customer in fifty with an address that does not exist."""
    tomorrow = local_day(house.point.time_zone, clock.now()) + timedelta(days=1)
    times = [time for day in availability.days(house.point, tomorrow, 28, minutes=30) for time in day.times]
    dice.shuffle(times)
    ends, made = time.monotonic() + CHAOS, 0
    for chosen in times:
        if time.monotonic() > ends:
            break
        name = "bad" if dice.random() < 0.02 else "good"
        anna = Customer("Анна", "+380671234567", f"{name}{made}@example.com")
        try:
            factories.booking(house.point, chosen.starts_at, anna, services=("Балансировка",))
            made += 1
        except Problem:
            continue
        time.sleep(0.02)
    return made


def test_no_letter_is_lost_while_everything_dies(installation, tmp_path_factory):  # noqa: F811
    seed = random.SystemRandom().randrange(10**6)
    dice, folder = random.Random(seed), tmp_path_factory.mktemp("v")
    server = MoodyServer(seed)
    stop = threading.Event()

    def kill_again_and_again() -> None:
        """A worker every few seconds; the queue, with its data, now and then."""
        while not stop.is_set():
            with valkey(folder) as (queue, _):
                ends = time.monotonic() + dice.uniform(6, 10)
                while time.monotonic() < ends and not stop.is_set():
                    with house.running("worker", "scheduler"):
                        stop.wait(dice.uniform(3, 6))
                queue.kill()
                queue.wait()
            shutil.rmtree(folder / "appendonlydir", ignore_errors=True)

    with installation(server, f"unix://{folder}/valkey.sock") as house:
        killer = threading.Thread(target=kill_again_and_again)
        killer.start()
        made = book_for_a_while(house, dice)
        stop.set()
        killer.join()
        server.moody = False
        db.session.rollback()
        let_leases_end()
        bring_forward()
        began = time.monotonic()
        with valkey(folder), house.running("worker", "scheduler"):
            until(lambda: "pending" not in states())  # 45 s at the most
        took = time.monotonic() - began
        owed, found = promised(), states()
        arrived = Counter(message["Message-ID"] for message in server.messages)
        failed = db.session.scalars(select(Notification.recipient).where(Notification.state == "failed")).all()

    print(f"seed {seed}: {made} bookings, {found}, {sum(arrived.values())} copies, drained in {took:.1f} s")
    assert made > 50
    assert sum(owed.values()) == 2 * made
    assert set(failed) == {address for address in failed if address.startswith("bad")}
    assert len(owed) - len(failed) == len(arrived), f"seed {seed}: letters lost"
    assert set(arrived) <= set(owed)


@pytest.mark.parametrize("database", ["sqlite"])
def test_letters_that_only_the_queue_knows_are_lost(database):
    """The control: put into the queue after the commit, sent by whoever takes them out. The same faults."""
    dice, server = random.Random(7), MoodyServer(7)
    owed = 200
    try:
        for number in range(owed):
            if dice.random() < 0.05:
                continue  # killed between the commit and the queue, or the queue died with what it held
            try:
                with smtplib.SMTP(server.host, server.port, timeout=1) as host:
                    host.sendmail("a@example.com", [f"good{number}@example.com"], f"Message-ID: <{number}>\r\n\r\nx")
            except (smtplib.SMTPException, OSError):
                continue  # it was taken out of the queue already
    finally:
        server.close()

    assert len({message["Message-ID"] for message in server.messages}) < owed


@command
def bring_forward() -> None:
    """What a back-off would do in time: everything that waits is due now."""
    waiting = update(Notification).where(Notification.state == "pending")
    db.session.execute(waiting.values(due_at=clock.now()))

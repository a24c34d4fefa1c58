"""Work done behind the scenes: tasks.py does it, periodic.py says how often, runner.py keeps the processes alive.

The queue is a doorbell, never the record of the work: what has to be done stands in the database. A ring that is lost
costs a minute, because the periodic jobs look by themselves. Only this package knows RQ and rq-scheduler.

What goes through the queue is the name of a task, as JSON: no arguments, no personal data, nothing that is unpickled.
"""

import logging
import threading
from typing import Any

import rq
from flask import Flask, current_app
from redis import ConnectionError as RedisGone
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq.serializers import JSONSerializer

from tirefit.database import db
from tirefit.notifications import letters, outbox
from tirefit.webhooks.outbox import deliveries_written

LETTERS, TICKS, WEBHOOKS = "letters", "ticks", "webhooks"
QUEUES = (LETTERS, TICKS, WEBHOOKS)  # the order in which a worker looks after them
ENOUGH_WAITING = 2  # one that may have looked just before our letter was written, and one that surely looks after
JOB_TIMEOUT = 3600  # seconds; a backlog of letters may take a while
DAY = 24 * 3600

# A dead Redis is noticed after 2 ms, a silent one after 0.25 s; a connection that a restart cut off is made once more.
IMPATIENT: dict[str, Any] = {
    "socket_timeout": 0.25,
    "socket_connect_timeout": 0.25,
    "retry": Retry(NoBackoff(), 1, supported_errors=(RedisGone,)),
}

# What a worker or the scheduler waits for an answer: longer than a worker waits for work (its ttl less 15 s), which it
# does in one question. After that it ends, is started again, and asks over a new connection.
PATIENT: dict[str, Any] = {"socket_timeout": 20, "socket_connect_timeout": 5}
WORKER_TTL = 25  # seconds

log = logging.getLogger(__name__)

bell = threading.Event()  # rung where there is no queue; the thread that does the jobs then waits on it


def init_app(app: Flask) -> None:
    url = app.config["REDIS_URL"]
    app.extensions["tirefit-doorbell"] = queue(LETTERS, Redis.from_url(url, **IMPATIENT)) if url else None
    outbox.letters_written.connect(_letters_written)
    deliveries_written.connect(_deliveries_written)


def ring(task: str = "drain_letters", of: str = LETTERS) -> None:
    """Ask for what is due to be sent now. Never fails, and keeps nobody waiting for more than 0.3 s."""
    doorbell: rq.Queue | None = current_app.extensions["tirefit-doorbell"]
    if doorbell is None:
        bell.set()
        return
    try:
        mine = doorbell if of == LETTERS else queue(of, doorbell.connection)
        if mine.count < ENOUGH_WAITING:
            mine.enqueue(f"tirefit.jobs.tasks.{task}", result_ttl=0, failure_ttl=DAY)
    except Exception as error:  # the change is committed: whatever the queue does, the caller has succeeded
        log.warning("the queue was not reached (%s); %s waits for the next minute", type(error).__name__, of)


def queue_state() -> str:
    """What there is behind the doorbell: `ok`, `degraded` (a Redis that does not answer) or `none`."""
    doorbell: rq.Queue | None = current_app.extensions["tirefit-doorbell"]
    if doorbell is None:
        return "none"
    try:
        return "ok" if doorbell.connection.ping() else "degraded"
    except Exception:
        return "degraded"


def work(redis_url: str) -> None:
    """Be a worker until asked to stop. Each job runs in a fork: one that dies takes nothing with it."""
    redis = Redis.from_url(redis_url, **PATIENT)
    worker = rq.Worker(
        [queue(name, redis) for name in QUEUES],
        serializer=JSONSerializer,
        worker_ttl=WORKER_TTL,  # with the next line: what a killed worker left is noticed after 93 s instead of 405
        maintenance_interval=10,
    )
    letters.make_ready()
    ring()  # who started us may have done so because our predecessor died over a letter
    db.session.remove()
    db.engine.dispose()  # a fork must not share a connection with its parent
    worker.work(logging_level="WARNING")


def queue(name: str, redis: Redis) -> rq.Queue:
    return rq.Queue(name, connection=redis, serializer=JSONSerializer, default_timeout=JOB_TIMEOUT)


def _letters_written(_: object) -> None:
    ring()


def _deliveries_written(_: object) -> None:
    ring("deliver_webhooks", WEBHOOKS)

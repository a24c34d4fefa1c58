"""What waits in the queue and what has failed there, for admins. A lost job costs nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import rq
from flask import current_app
from redis import Redis, RedisError
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.registry import FailedJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from tirefit.jobs import QUEUES, queue
from tirefit.jobs.periodic import PERIODIC, Periodic

MOST_SHOWN = 50


class QueueAway(Exception):
    """There is a queue, and it does not answer."""


@dataclass(frozen=True)
class FailedJob:
    id: str
    task: str
    failed_at: datetime | None
    error: str  # the last line of the traceback
    traceback: str


@dataclass(frozen=True)
class Line:
    """One queue: how many jobs wait in it, how many are being done, and which have failed."""

    name: str
    waiting: int
    at_work: int
    failed: list[FailedJob]


@dataclass(frozen=True)
class Overview:
    """`workers`: how many listen. `periodic`: what is rung for, and how often."""

    lines: list[Line]
    workers: int
    periodic: tuple[Periodic, ...] = PERIODIC


def overview() -> Overview | None:
    """The queues as they are now; None where jobs are done without one. Raises QueueAway."""
    redis = _redis()
    if redis is None:
        return None
    try:
        lines = [_line(queue(name, redis)) for name in QUEUES]
        return Overview(lines, workers=rq.Worker.count(connection=redis))
    except RedisError as error:
        raise QueueAway(str(error)) from error


def retry(job_id: str) -> bool:
    """Put a failed job back into its queue; False when it is not there any more. Raises QueueAway."""
    return _with_failed(job_id, lambda registry, job: registry.requeue(job))


def delete(job_id: str) -> bool:
    """Forget a failed job; False when it is not there any more. Raises QueueAway."""
    return _with_failed(job_id, lambda registry, job: registry.remove(job, delete_job=True))


def _with_failed(job_id: str, do: Callable[[FailedJobRegistry, Job], object]) -> bool:
    redis = _redis()
    if redis is None:
        return False
    try:
        for name in QUEUES:
            registry = FailedJobRegistry(queue=queue(name, redis))
            if job_id in registry.get_job_ids():
                do(registry, Job.fetch(job_id, connection=redis, serializer=JSONSerializer))
                return True
    except NoSuchJobError:
        return False
    except RedisError as error:
        raise QueueAway(str(error)) from error
    return False


def _line(of: rq.Queue) -> Line:
    ids = FailedJobRegistry(queue=of).get_job_ids(0, MOST_SHOWN - 1)
    jobs = Job.fetch_many(ids, connection=of.connection, serializer=JSONSerializer)
    at_work = StartedJobRegistry(queue=of).count
    return Line(of.name, of.count, at_work, [_failed(job) for job in jobs if job is not None])


def _failed(job: Job) -> FailedJob:
    result = job.latest_result()
    traceback = (result.exc_string if result else None) or ""
    lines = traceback.strip().splitlines()
    return FailedJob(
        job.id, (job.func_name or "").rpartition(".")[2], job.ended_at, lines[-1] if lines else "", traceback
    )


def _redis() -> Redis | None:
    doorbell: rq.Queue | None = current_app.extensions["tirefit-doorbell"]
    return doorbell.connection if doorbell is not None else None

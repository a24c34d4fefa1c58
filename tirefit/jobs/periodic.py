"""What is done again and again, and the clock that rings for it: rq-scheduler, kept equal to the list below.

The ticks do not carry work, they only make somebody look. So it does no harm when one is late, comes twice or is lost
with the queue: the list is written anew before every round.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import rq_scheduler
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tirefit import clock
from tirefit.jobs import JOB_TIMEOUT, LETTERS, PATIENT, TICKS, WEBHOOKS

ROUND = 5  # seconds between two looks at the list
PREFIX = "periodic-"


@dataclass(frozen=True)
class Periodic:
    """A task and how often it runs. The id says both, so that a changed list replaces what it was."""

    task: str
    every: int  # seconds
    queue: str = TICKS

    @property
    def id(self) -> str:
        return f"{PREFIX}{self.task}-{self.every}"

    @property
    def function(self) -> str:
        return f"tirefit.jobs.tasks.{self.task}"


PERIODIC = (
    Periodic("drain_letters", every=60, queue=LETTERS),
    Periodic("deliver_webhooks", every=60, queue=WEBHOOKS),
    Periodic("booking_reminders", every=60),
    Periodic("daily_summaries", every=900),
    Periodic("look_after_ourselves", every=300),
    Periodic("cleanup_expired_reservations", every=60),
    Periodic("rolling_schedule_generator", every=3600),
    Periodic("save_paper_copies", every=3600),
    Periodic("forget_old_customers", every=6 * 3600),
)


class JsonJob(Job):
    """rq-scheduler makes and loads jobs without saying how they are written, and would get pickles."""

    def __init__(self, id: str | None = None, connection: Redis | None = None, serializer: Any = None) -> None:
        super().__init__(id, connection, JSONSerializer)


class Scheduler(rq_scheduler.Scheduler):
    """Puts the plan right before every round, and does not ring again for a job that still waits."""

    def enqueue_jobs(self) -> Any:
        reconcile(self)
        return super().enqueue_jobs()

    def enqueue_job(self, job: Job) -> None:
        if self.get_queue_for_job(job).get_job_position(job.id) is None:
            super().enqueue_job(job)
        else:  # no worker has come for a whole interval; one waiting job is enough for the day when one comes
            self.change_execution_time(job, _naive_utc(clock.now() + timedelta(seconds=job.meta["interval"])))


def keep_time(redis_url: str) -> None:
    """Ring for the periodic jobs until asked to stop. Of two schedulers, one rings and the other waits its turn."""
    redis = Redis.from_url(redis_url, **PATIENT)
    Scheduler(connection=redis, job_class=JsonJob, interval=ROUND).run()


def reconcile(scheduler: Scheduler, wanted: Iterable[Periodic] = PERIODIC) -> None:
    """Make the plan in Redis equal to `wanted`: write what is missing, remove what is ours and no longer wanted."""
    by_id = {periodic.id: periodic for periodic in wanted}
    planned = {job.id: job for job in scheduler.get_jobs()}
    for id in planned.keys() - by_id.keys():
        if id.startswith(PREFIX):
            scheduler.cancel(planned[id])
            planned[id].delete()
    for id in by_id.keys() - planned.keys():
        periodic = by_id[id]
        scheduler.schedule(
            scheduled_time=_naive_utc(clock.now()),
            func=periodic.function,
            id=id,
            interval=periodic.every,
            queue_name=periodic.queue,
            timeout=JOB_TIMEOUT,
            result_ttl=-1,  # the plan lives in the job: it must not be tidied away after a run
        )


def _naive_utc(moment: datetime) -> datetime:
    """rq-scheduler's own way with time."""
    return moment.replace(tzinfo=None)

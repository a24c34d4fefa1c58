"""What is rung for again and again: the plan in Redis, two schedulers at once, none for hours, and the jobs."""

import time
from collections import Counter
from datetime import timedelta

import pytest
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from sqlalchemy import func, select

from tests.factories import booking, kyiv
from tirefit import clock, jobs
from tirefit.database import db
from tirefit.jobs import periodic, tasks
from tirefit.models import Notification, Reservation, ScheduleSlot
from tirefit.schedule import availability
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily

MINUTE = timedelta(minutes=1)


@pytest.fixture
def redis(redis_url):
    with Redis.from_url(redis_url) as connection:
        connection.flushdb()
        yield connection


@pytest.fixture
def scheduler(app, redis):
    return periodic.Scheduler(connection=redis, job_class=periodic.JsonJob, interval=1)


def plan(scheduler):
    return {job.id for job in scheduler.get_jobs()}


def test_the_plan_in_redis_follows_the_list_in_the_code(scheduler):
    hourly, daily = periodic.Periodic("drain_letters", 3600), periodic.Periodic("drain_letters", 86400)
    periodic.reconcile(scheduler, [hourly])
    periodic.reconcile(scheduler, [hourly])
    assert plan(scheduler) == {hourly.id}

    periodic.reconcile(scheduler, [daily])
    assert plan(scheduler) == {daily.id}

    scheduler.connection.flushdb()
    scheduler.enqueue_jobs()
    assert plan(scheduler) == {job.id for job in periodic.PERIODIC}


def test_a_job_that_nobody_fetches_waits_once(scheduler, at):
    for _ in range(5):
        scheduler.enqueue_jobs()
        at(clock.now() + MINUTE)

    queues = (jobs.LETTERS, jobs.TICKS)
    waiting = [scheduler.connection.lrange(f"rq:queue:{name}", 0, -1) for name in queues]
    once = [sum(each.queue == name for each in periodic.PERIODIC) for name in queues]
    assert [len(queue) for queue in waiting] == once
    assert all(once)


def test_of_two_schedulers_one_rings(scheduler, redis):
    other = periodic.Scheduler(connection=redis, job_class=periodic.JsonJob, interval=1)

    assert scheduler.acquire_lock()
    assert not other.acquire_lock()
    scheduler.remove_lock()
    assert other.acquire_lock()
    other.remove_lock()


def test_a_scheduler_that_is_stopped_while_it_rings_keeps_the_other_waiting_for_seconds(scheduler, redis):
    """Killed, or not woken for a while: its turn ends by itself. When it wakes, both may ring (see below)."""
    other = periodic.Scheduler(connection=redis, job_class=periodic.JsonJob, interval=periodic.ROUND)
    assert scheduler.acquire_lock()
    assert not other.acquire_lock()
    assert 0 < redis.ttl(scheduler.scheduler_lock_key) <= periodic.ROUND + 10

    redis.pexpire(scheduler.scheduler_lock_key, 1)  # these seconds pass
    while redis.exists(scheduler.scheduler_lock_key):
        time.sleep(0.001)
    assert other.acquire_lock()
    other.enqueue_jobs()
    assert plan(other) == {job.id for job in periodic.PERIODIC}
    other.remove_lock()


@pytest.fixture
def work(redis):
    """`work()`: a worker does all that waits."""

    def do() -> None:
        waiting = [jobs.queue(name, redis) for name in (jobs.LETTERS, jobs.TICKS)]
        worker = SimpleWorker(waiting, connection=redis, serializer=JSONSerializer)
        worker.work(burst=True, logging_level="CRITICAL")

    return do


def test_two_schedulers_that_both_ring_do_no_harm(scheduler, redis, work, station, smtp, at):
    """As when the lock between them is lost with the queue, a second before the next round."""
    other = periodic.Scheduler(connection=redis, job_class=periodic.JsonJob, interval=1)
    booking(station, "2026-11-04 10:30")
    for moment in ("2026-11-02 18:05", "2026-11-03 08:01", "2026-11-04 08:31"):
        at(moment)
        for first, second in ((scheduler, other), (other, scheduler)):
            first.enqueue_jobs()
            second.enqueue_jobs()
            work()
            redis.zadd(first.scheduled_jobs_key, dict.fromkeys(redis.zrange(first.scheduled_jobs_key, 0, -1), 0))

    assert Counter(db.session.scalars(select(Notification.kind))) == {
        "booking_created": 1,
        "new_booking": 1,
        "daily_summary": 1,
        "booking_reminder_day": 1,
        "booking_reminder_soon": 1,
    }
    assert set(db.session.scalars(select(Notification.state))) == {"sent"}
    assert set(Counter(message["Message-ID"] for message in smtp.messages).values()) == {1}
    starts = select(ScheduleSlot.service_post_id, ScheduleSlot.starts_at)
    assert len(db.session.execute(starts).all()) == len(set(db.session.execute(starts).all()))


def test_three_hours_without_a_scheduler_do_no_harm(scheduler, work, station, smtp, at):
    tomorrow, early = booking(station, "2026-11-04 10:30"), booking(station, "2026-11-03 09:00")
    at("2026-11-03 06:30")
    scheduler.enqueue_jobs()
    work()
    smtp.forget()
    reserve_slot_temporarily(station.id, kyiv("2026-11-03 12:00"), 30, new_token(), post_number=1)

    at("2026-11-03 09:29")  # the hold has run out and nobody has tidied up: the time is for sale all the same
    free = availability.days(station, kyiv("2026-11-03 12:00").date(), 1, minutes=30)[0].times
    assert kyiv("2026-11-03 12:00") in [time.starts_at for time in free]
    reserve_slot_temporarily(station.id, kyiv("2026-11-03 12:00"), 30, new_token(), post_number=1)
    at("2026-11-03 09:30")
    for _ in range(2):
        scheduler.enqueue_jobs()
        work()

    # What became due at eight leaves now, once. The other visit has begun: its customer is told nothing any more.
    (letter,) = smtp.messages
    assert letter["Message-ID"] == f"<{only_letter(tomorrow.id, 'booking_reminder_day').message_id}@localhost>"
    assert only_letter(early.id, "booking_reminder_soon") is None
    assert db.session.scalar(select(func.count()).where(Reservation.kind == "hold")) == 1


def only_letter(booking_id, kind):
    found = select(Notification).where(Notification.booking_id == booking_id, Notification.kind == kind)
    return db.session.scalars(found).one_or_none()


@pytest.mark.parametrize("job", periodic.PERIODIC, ids=lambda job: job.task)
def test_every_periodic_job_is_there_and_may_come_at_any_time(station, job):
    getattr(tasks, job.task)()
    getattr(tasks, job.task)()


def test_expired_holds_are_tidied_away_and_days_are_opened(station, at):
    reserve_slot_temporarily(station.id, kyiv("10:30"), 30, new_token())
    offered = db.session.scalar(select(func.max(ScheduleSlot.starts_at)))
    at("2026-11-03 09:00")

    assert tasks.cleanup_expired_reservations() == 1
    tasks.rolling_schedule_generator()

    db.session.rollback()
    assert db.session.scalar(select(func.count()).select_from(Reservation)) == 0
    assert db.session.scalar(select(func.max(ScheduleSlot.starts_at))) > offered

"""The days ahead: opened at night, by hand, or by whoever needs them first; never twice, and never half."""

import re
from datetime import date, timedelta

import pytest
import rq
from redis import Redis
from rq.serializers import JSONSerializer
from sqlalchemy import delete, select, update

from tests import factories
from tests.factories import booking, car_type, kyiv, service
from tirefit import clock, jobs
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.states import CUSTOMER
from tirefit.database import command, db
from tirefit.jobs import periodic
from tirefit.models import ScheduleRun, ScheduleSlot, ScheduleTemplate, ServicePoint
from tirefit.schedule import changes
from tirefit.schedule.availability import days
from tirefit.schedule.blocks import block_time
from tirefit.schedule.reasons import by_posts, why_not
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily
from tirefit.schedule.rolling import STATIONS_AT_ONCE, generate_rolling_schedule
from tirefit.schedule.windows import local_day, local_time


@pytest.fixture
def run(app):
    """`run("--days", "5")` is what `flask generate-schedule --days 5` answers."""
    return lambda *arguments: app.test_cli_runner().invoke(args=["generate-schedule", *arguments])


@command
def forget_offers() -> None:
    """As if the job had never run."""
    db.session.execute(update(ServicePoint).values(slots_until=None))
    db.session.execute(delete(ScheduleSlot))


def whole_offer():
    db.session.rollback()
    columns = ScheduleSlot.service_point_id, ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at
    return db.session.execute(select(*columns).order_by(*columns[:3])).all()


def latest_run() -> ScheduleRun:
    db.session.rollback()
    return db.session.scalars(select(ScheduleRun).order_by(ScheduleRun.id.desc())).first()


# --- the command line


def test_the_command_opens_every_day_and_says_how_many_slots_it_wrote(app, run):
    for slug in ("zimnyaya-5", "letnyaya-7"):
        factories.station(slug=slug)
    before = whole_offer()
    forget_offers()

    first, second = run(), run()

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert first.output == f"2 of 2 stations: {len(before)} slots so far\nDone: {len(before)} slots written.\n"
    assert second.output == "Every day is offered already. Nothing to do.\n"
    assert whole_offer() == before
    found = latest_run()
    assert (found.total, found.done, found.added, found.finished_at) == (2, 2, len(before), kyiv("09:00"))


def test_the_command_can_be_about_one_station_and_about_more_days(app, run):
    one, other = factories.station(slug="zimnyaya-5"), factories.station(slug="letnyaya-7")
    until = {point.id: point.slots_until for point in (one, other)}

    assert run("--station", "zimnyaya-5", "--days", "14").exit_code == 0

    db.session.expire_all()
    assert one.slots_until == kyiv("2026-11-16 09:00").date()
    assert other.slots_until == until[other.id]
    assert run("--days", "3").output == "Every day is offered already. Nothing to do.\n"
    db.session.expire_all()
    assert one.slots_until == kyiv("2026-11-16 09:00").date(), "fewer days take nothing back"


def test_days_that_have_lost_slots_are_mended_when_asked(station, run):
    before = whole_offer()
    lose_a_morning()

    assert "Nothing to do" in run().output
    assert run("--again").output.endswith("Done: 3 slots written.\n")
    assert whole_offer() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--station", "nowhere"], 1, "No such station: 'nowhere'"),
        (["--station", ""], 1, "No such station: ''"),
        (["--station", "nul\0"], 1, "No such station"),
        (["--days", "0"], 2, "0 is not in the range 1<=x<=366"),
        (["--days", "-1"], 2, "-1 is not in the range"),
        (["--days", "367"], 2, "367 is not in the range"),
        (["--days", "many"], 2, "'many' is not a valid integer"),
        (["--days", "1e3"], 2, "is not a valid integer"),
        (["everything"], 2, "unexpected extra argument"),
    ],
)
def test_what_the_command_cannot_do_it_says_in_words(station, run, arguments, code, words):
    before = whole_offer()

    answer = run(*arguments)

    assert answer.exit_code == code
    assert words in answer.output
    assert "Traceback" not in answer.output
    assert whole_offer() == before


def test_a_station_that_is_closed_online_is_named(app, run):
    factories.station(active=False)

    answer = run("--station", "zimnyaya-5")

    assert (answer.exit_code, "closed for booking" in answer.output) == (1, True)


def test_stopped_half_way_it_goes_on_where_it_was(app, run, monkeypatch):
    for n in range(STATIONS_AT_ONCE + 2):
        factories.station(slug=f"stantsiya-{n}", posts=(60,), horizon_days=1)
    before = whole_offer()
    forget_offers()

    def stop(done: int, total: int, added: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_rolling_schedule(tell=stop)
    stopped = latest_run()
    assert (stopped.total, stopped.done, stopped.finished_at) == (STATIONS_AT_ONCE + 2, STATIONS_AT_ONCE, None)
    left = len(before) - len(whole_offer())
    assert 0 < left == len(before) - stopped.added

    assert run().output == f"2 of 2 stations: {left} slots so far\nDone: {left} slots written.\n"
    assert whole_offer() == before


@command
def lose_a_morning() -> None:
    gone = db.session.execute(delete(ScheduleSlot).where(ScheduleSlot.starts_at == kyiv("2026-11-04 09:00")))
    assert gone.rowcount == 3


# --- the clock


def test_after_days_of_absence_every_day_is_there_and_none_of_the_past(station, at):
    at("2026-11-09 04:00")
    assert generate_rolling_schedule() > 0

    db.session.expire_all()
    assert station.slots_until == kyiv("2026-11-19 09:00").date()
    days = {start.date() for _, _, start, _ in whole_offer()}
    sundays = {date(2026, 11, 8), date(2026, 11, 15)}
    assert days == {date(2026, 11, 2) + timedelta(days=n) for n in range(18)} - sundays


# --- no page and no customer depends on the job having run


def test_what_customers_see_does_not_depend_on_the_job(station, at):
    """Never run, or days late: the list, the day of each post and the reasons are those of a night that went well."""
    booking(station, "2026-11-05 10:00")
    block_time(station.id, station.posts[1].id, kyiv("2026-11-06 10:10"), kyiv("2026-11-06 11:25"))
    block_time(station.id, station.posts[1].id, kyiv("2026-11-13 10:10"), kyiv("2026-11-13 11:25"))  # a day to come
    at("2026-11-04 09:00")
    generate_rolling_schedule()
    as_it_should_be = what_is_seen(station)

    for last_night in (None, "2026-10-20", "2026-10-26", "2026-10-28", "2026-11-03"):
        forget_offers()
        if last_night:
            at(f"{last_night} 00:10")
            generate_rolling_schedule()
            at("2026-11-04 09:00")
        assert what_is_seen(station) == as_it_should_be, last_night
        assert generate_rolling_schedule() > 0


@pytest.mark.parametrize(
    "windows", [[(1320, 1620)], [(0, 1440)], [(0, 600), (1290, 1530)], [(540, 610), (660, 785)], []]
)
def test_nor_at_a_station_that_works_at_night(app, at, windows):
    station = factories.station(posts=(30, 55), horizon_days=4)
    week = [(day, *window) for day in range(7) for window in windows]
    changes.save_template(station.id, week, name="Неделя", template_id=db.session.scalar(select(ScheduleTemplate.id)))
    at("2026-11-03 00:30")
    generate_rolling_schedule()
    as_it_should_be = what_is_seen(station, count=5)

    for days_of_offer in (None, 1, 2, 3):
        forget_offers()
        if days_of_offer:
            generate_rolling_schedule(days=days_of_offer)
        assert what_is_seen(station, count=5) == as_it_should_be, days_of_offer


def test_a_time_of_a_day_that_no_job_has_opened_is_held_and_booked(station):
    before = whole_offer()
    forget_offers()

    held = reserve_slot_temporarily(station.id, kyiv("2026-11-05 10:00"), 40, new_token())
    made = booking(station, held.starts_at, token=held.token)

    assert made.starts_at == kyiv("2026-11-05 10:00")
    assert whole_offer() == before, "whoever came first has opened the days for all"
    assert generate_rolling_schedule(again=True) == 0


def test_a_booking_is_moved_to_a_day_that_no_job_has_opened(station):
    before = whole_offer()
    made = booking(station, "2026-11-03 10:00")
    forget_offers()

    moved = reschedule_booking(made.id, actor=CUSTOMER, starts_at=kyiv("2026-11-06 10:20"))

    assert moved.starts_at == kyiv("2026-11-06 10:20")
    assert whole_offer() == before


def test_a_page_works_though_no_job_has_ever_run(station, client):
    job = f"svc={service().id}&car={car_type().id}&d=2026-11-05"
    page = client.get(f"/s/zimnyaya-5?{job}").text
    forget_offers()

    def times(text):
        return re.findall(r'class="time" name="at" value="([^"]+)"', text)

    assert times(client.get(f"/s/zimnyaya-5?{job}").text) == times(page) != []
    assert whole_offer() == [], "looking writes nothing"


def test_as_long_as_the_job_comes_nothing_is_asked_for_this(station, statements):
    with statements() as seen:
        days(station, kyiv("09:00").date(), 62, 30)

    assert len(seen) == 3


def what_is_seen(station, count=11):
    db.session.rollback()
    first = local_day("Europe/Kyiv", clock.now())
    every_day = [first + timedelta(days=n) for n in range(count)]
    return (
        days(station, first, count, 50),
        [by_posts(station, day, 30) for day in every_day],
        [
            (answer.post_number, answer.reason, answer.run)
            for day in every_day
            for answer in why_not(station, kyiv(f"{day} 10:20"), 30)
        ],
    )


# --- the nightly job, through a real queue


ZONES = ("Pacific/Apia", "Australia/Lord_Howe", "Asia/Almaty", "Europe/Kyiv", "America/Havana")


@pytest.fixture
def tick(app, redis_url):
    """What the scheduler and a worker do when their minute has come."""
    with Redis.from_url(redis_url) as redis:
        scheduler = periodic.Scheduler(connection=redis, job_class=periodic.JsonJob)
        worker = rq.SimpleWorker([jobs.queue(jobs.TICKS, redis)], connection=redis, serializer=JSONSerializer)

        def ring_and_work() -> None:
            scheduler.enqueue_jobs()
            assert worker.work(burst=True, logging_level="ERROR")
            db.session.rollback()
            db.session.expire_all()

        yield ring_and_work


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # zones are the program's own arithmetic
def test_each_zone_gets_its_days_in_the_first_hour_of_its_own_night(app, at, tick):
    stations = [factories.station(slug=zone.lower().replace("/", "-"), time_zone=zone, posts=(60,)) for zone in ZONES]
    tick()
    until = {point.time_zone: point.slots_until for point in stations}
    opened_at = {}
    for hours in range(1, 25):
        now = at(kyiv("09:07") + timedelta(hours=hours))
        tick()
        for point in stations:
            if point.slots_until != until[point.time_zone]:
                assert point.slots_until == until[point.time_zone] + timedelta(days=1)
                until[point.time_zone] = point.slots_until
                opened_at.setdefault(point.time_zone, []).append(local_time(point.time_zone, now).strftime("%H:%M"))

    assert opened_at == {
        "Pacific/Apia": ["00:07"],
        "Australia/Lord_Howe": ["00:07"],
        "Asia/Almaty": ["00:07"],
        "Europe/Kyiv": ["00:07"],
        "America/Havana": ["00:07"],
    }


def test_a_queue_that_was_away_for_days_catches_up_with_its_first_ring(station, at, tick):
    tick()
    at("2026-11-06 15:20")
    tick()

    assert station.slots_until == kyiv("2026-11-16 09:00").date()
    assert latest_run().added == len([start for _, _, start, _ in whole_offer() if start > kyiv("2026-11-13 00:00")])

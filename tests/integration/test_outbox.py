"""The outbox: written with the booking, claimed by one sender at a time, sent once, given up in the end."""

import contextlib
import json
import logging
import os
import signal
import time
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
from redis import Redis
from sqlalchemy import select

from tests import factories
from tests.factories import ANNA, BORIS, booking, kyiv
from tests.services import valkey
from tirefit import clock, jobs, leases, limits
from tirefit.booking.commands import Customer, reschedule_booking
from tirefit.booking.links import find_by_token
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import command, db
from tirefit.errors import TooManyAttempts
from tirefit.jobs import periodic
from tirefit.models import Booking, BookingLink, Notification
from tirefit.notifications import outbox

MINUTE = timedelta(minutes=1)


def rows(**by):
    return db.session.scalars(select(Notification).filter_by(**by).order_by(Notification.id)).all()


def states():
    return {row.kind: row.state for row in rows()}


def claim_all():
    claimed = []
    while letter := outbox.claim():
        claimed.append(letter)
    return claimed


def test_a_letter_that_somebody_has_deleted_meanwhile_is_not_tried_again(station):
    booking(station, "2026-11-03 10:30")
    letter = outbox.claim()

    @command
    def delete_it():
        db.session.delete(db.session.get_one(Notification, letter.id))

    delete_it()
    assert outbox.retry_later(letter.id, letter.lease, "451 later") is False
    assert letter.id not in [row.id for row in rows()]


# --- writing


def test_a_booking_tells_its_customer_and_its_station_each_in_their_language(app):
    point = factories.station(locale="uk", email="zimnyaya@example.com")
    booked = booking(point, "10:30", ANNA, locale="en")

    to_customer, to_station = rows()
    assert (to_customer.kind, to_customer.recipient, to_customer.locale) == ("booking_created", ANNA.email, "en")
    assert (to_station.kind, to_station.recipient, to_station.locale) == ("new_booking", "zimnyaya@example.com", "uk")
    assert {(row.booking_id, row.revision, row.state) for row in rows()} == {(booked.id, 1, "pending")}


def test_who_left_no_address_gets_no_letter(app):
    booking(factories.station(email=None), "10:30", Customer("Анна", "+380671234567"))

    assert rows() == []


def test_letters_share_the_fate_of_their_change(station):
    @command
    def change_that_fails():
        outbox.write("booking_created", db.session.get_one(Booking, booked.id), "other@example.com", "ru")
        raise RuntimeError("the power goes")

    booked = booking(station, "10:30")
    before = len(rows())

    with pytest.raises(RuntimeError):
        change_that_fails()

    db.session.rollback()
    assert len(rows()) == before


def test_a_letter_written_twice_is_one_letter(station):
    @command
    def write_again():
        outbox.write_booking_created(db.session.get_one(Booking, booked.id))

    booked = booking(station, "10:30")
    write_again()

    assert [row.kind for row in rows()] == ["booking_created", "new_booking"]


# --- how many


def test_an_address_gets_five_letters_an_hour_whoever_books_for_it_and_the_station_sees_what_did_not_leave(station):
    """Nobody has proven that the address is theirs: forty bookings from four networks are no mail bomb."""
    for number in range(40):
        origin, time = (
            f"network {number % 4}",
            f"2026-11-0{3 + number // 17} {9 + number % 17 // 2:02}:{number % 2 * 30:02}",
        )
        booking(station, time, ANNA, services=("Балансировка",), origin=origin)

    ended = Counter((row.state, row.last_error) for row in rows(recipient=ANNA.email))
    assert ended == {("pending", ""): 5, ("failed", outbox.TOO_MANY_LETTERS): 35}


def test_one_network_books_and_moves_so_often_an_hour_and_the_station_gets_no_more_letters(station, monkeypatch):
    monkeypatch.setattr(limits, "MOVES", limits.Limit("move", 2, limits.MOVES.within))
    booked = booking(station, "2026-11-03 09:00", origin="network")
    for when in ("10:00", "11:00"):
        reschedule_booking(booked.id, actor="customer", starts_at=kyiv(f"2026-11-03 {when}"), origin="network")

    for _ in range(2):
        with pytest.raises(TooManyAttempts):
            reschedule_booking(booked.id, actor="customer", starts_at=kyiv("2026-11-03 12:00"), origin="network")

    assert len(rows(kind="booking_rescheduled_by_customer")) == 2


# --- claiming


def test_of_many_senders_at_once_each_letter_goes_to_one(app, station):
    for time_of_day in ("09:00", "10:00", "11:00", "12:00", "13:00"):
        booking(station, time_of_day)
    everybody = Barrier(4)

    def sender(_):
        with app.app_context():
            everybody.wait()
            return [letter.id for letter in claim_all()]

    with ThreadPoolExecutor(4) as pool:
        claimed = [id for found in pool.map(sender, range(4)) for id in found]
    claimed += [letter.id for letter in claim_all()]  # one whose booking was being looked at by another just then

    assert sorted(claimed) == [row.id for row in rows()]


def test_a_letter_whose_sender_died_is_free_again_after_the_lease(station, at):
    booking(station, "10:30", Customer("Борис", "+380501234567"))
    first = outbox.claim()

    at(clock.now() + leases.LEASE - timedelta(seconds=1))
    assert outbox.claim() is None

    at(clock.now() + timedelta(seconds=1))
    assert outbox.claim().message_id == first.message_id


def test_a_sender_that_comes_back_late_changes_nothing(station, at):
    booking(station, "10:30", Customer("Борис", "+380501234567"))
    late = outbox.claim()
    at(clock.now() + leases.LEASE)
    present = outbox.claim()

    assert not outbox.mark_sent(late.id, late.lease)
    assert not outbox.mark_failed(late.id, late.lease, "550 no such user")
    assert not outbox.retry_later(late.id, late.lease, "451 later")
    assert [(row.state, row.lease) for row in rows()] == [("pending", present.lease)]
    assert outbox.mark_sent(present.id, present.lease)


@pytest.mark.parametrize("afterwards", ["mark_failed", "retry_later"])
def test_what_is_sent_stays_sent(station, afterwards):
    booking(station, "10:30")
    letter = outbox.claim()
    outbox.mark_sent(letter.id, letter.lease)

    assert not getattr(outbox, afterwards)(letter.id, letter.lease, "after all")

    (row,) = rows(id=letter.id)
    assert (row.state, row.sent_at, row.last_error) == ("sent", clock.now(), "")


def test_the_customers_letter_opens_the_booking_and_only_its_hash_is_kept(station):
    booked = booking(station, "10:30")
    to_customer, to_station = claim_all()

    assert find_by_token(to_customer.token).id == booked.id
    assert to_station.token is None
    kept = [str(value) for row in [*rows(), *db.session.scalars(select(BookingLink))] for value in vars(row).values()]
    assert not any(to_customer.token in value for value in kept)


def test_a_reminder_waits_for_its_time(station, at):
    @command
    def remind_later():
        outbox.write(
            "booking_created", db.session.get_one(Booking, booked.id), "later@example.com", "ru", kyiv("10:00")
        )

    booked = booking(station, "10:30")
    remind_later()

    assert "later@example.com" not in [letter.recipient for letter in claim_all()]
    at("10:00")
    assert "later@example.com" in [letter.recipient for letter in claim_all()]


# --- what the booking has become meanwhile


def test_a_letter_for_a_cancelled_booking_never_leaves(station):
    booked = booking(station, "2026-11-03 10:30")
    cancel_booking(booked.id, actor="customer")

    assert [letter.kind for letter in claim_all()] == ["booking_cancelled", "booking_cancelled_by_customer"]
    assert states() == {
        "booking_created": "cancelled",
        "new_booking": "cancelled",
        "booking_cancelled": "pending",
        "booking_cancelled_by_customer": "pending",
    }


def test_a_station_that_cancels_tells_the_customer_and_not_itself(station):
    booked = booking(station, "2026-11-03 10:30")
    claim_all()

    cancel_booking(booked.id, actor="user", reason="сломался подъёмник")

    assert [letter.kind for letter in claim_all()] == ["booking_cancelled"]


def test_a_letter_about_an_older_version_is_cancelled_when_its_turn_comes(station):
    @command
    def change_without_voiding_letters():
        db.session.get_one(Booking, booked.id).revision += 1

    booked = booking(station, "10:30")
    change_without_voiding_letters()

    assert claim_all() == []
    assert set(states().values()) == {"cancelled"}


def test_a_car_that_has_arrived_changes_nothing_about_its_letters(station):
    booked = booking(station, "10:30")
    transition_booking(booked.id, "arrive")

    assert len(claim_all()) == 2


def test_one_that_is_void_does_not_hide_the_next(station):
    booked = booking(station, "10:30", ANNA)
    booking(station, "10:30", BORIS)
    for event in ("start", "complete"):
        transition_booking(booked.id, event)

    assert [letter.recipient for letter in claim_all()] == [BORIS.email, station.email]


def test_a_booking_that_waited_for_the_station_is_confirmed_in_a_letter(app):
    booked = booking(factories.station(auto_confirm=False), "10:30")
    claim_all()

    transition_booking(booked.id, "confirm")

    assert [letter.kind for letter in claim_all()] == ["booking_confirmed"]


# --- trying again, and giving up


def test_the_waits_grow_from_a_minute_to_half_an_hour_and_end_after_a_day(station, at):
    booking(station, "2026-11-05 10:30", Customer("Борис", "+380501234567"))
    started, waits = clock.now(), []

    while letter := outbox.claim():
        outbox.retry_later(letter.id, letter.lease, "451 come back later")
        (row,) = rows()
        if row.state == "pending":
            waits.append((row.due_at - clock.now()) // MINUTE)
            at(row.due_at - timedelta(seconds=1))
            assert outbox.claim() is None
            at(row.due_at)

    assert waits[:6] == [1, 2, 5, 10, 30, 30]
    assert set(waits[6:]) == {30}
    assert timedelta(hours=23) < clock.now() - started < timedelta(hours=25)
    assert (row.state, row.last_error) == ("failed", "451 come back later")


def test_nothing_is_tried_again_once_the_visit_has_begun(station, at):
    booking(station, "10:30", Customer("Борис", "+380501234567"))
    at("10:29")
    letter = outbox.claim()

    outbox.retry_later(letter.id, letter.lease, "451 come back later")

    assert states() == {"new_booking": "failed"}


def test_nothing_is_sent_after_the_visit(station, at):
    booked = booking(station, "10:30")
    at(booked.ends_at)

    assert claim_all() == []
    assert {(row.state, row.last_error) for row in rows()} == {("failed", "not sent before the visit was over")}


def test_a_letter_that_kills_every_sender_delays_no_other(station, at):
    booking(station, "12:00", Customer("Борис", "+380501234567"))
    deadly = outbox.claim()
    at(clock.now() + leases.LEASE)
    booking(station, "10:30", ANNA)

    assert [letter.id for letter in claim_all()][-1] == deadly.id


def test_health_can_tell_how_long_letters_have_waited(station, at):
    assert outbox.oldest_due_age() == timedelta()
    booking(station, "10:30")
    at(clock.now() + 7 * MINUTE)

    assert outbox.oldest_due_age() == 7 * MINUTE
    for letter in claim_all():
        outbox.mark_sent(letter.id, letter.lease)
    assert outbox.oldest_due_age() == timedelta()


# --- the doorbell


@pytest.fixture
def redis(redis_url):
    with Redis.from_url(redis_url) as connection:
        connection.flushdb()
        yield connection


def doorbell_of(app, url):
    return jobs.queue(jobs.LETTERS, Redis.from_url(url, **jobs.IMPATIENT))


def everything_in(redis):
    for key in redis.scan_iter():
        yield key
        match redis.type(key):
            case b"string":
                yield redis.get(key)
            case b"hash":
                yield from redis.hgetall(key).values()
            case b"list":
                yield from redis.lrange(key, 0, -1)
            case b"set":
                yield from redis.smembers(key)
            case b"zset":
                yield from redis.zrange(key, 0, -1)


def unpacked(value):
    """RQ presses together what it writes."""
    with contextlib.suppress(zlib.error):
        return zlib.decompress(value)
    return value


def test_however_many_letters_are_written_few_jobs_wait(station, redis):
    for time_of_day in ("09:00", "10:00", "11:00", "12:00"):
        booking(station, time_of_day)

    assert redis.llen("rq:queue:letters") == jobs.ENOUGH_WAITING


def test_the_queue_holds_json_and_nothing_about_a_person(station, redis):
    booked = booking(station, "10:30", ANNA)
    scheduler = periodic.Scheduler(connection=redis, job_class=periodic.JsonJob)
    periodic.reconcile(scheduler)

    jobs_in_redis = [redis.hget(key, "data") for key in redis.keys("rq:job:*")]

    called = [json.loads(unpacked(data)) for data in jobs_in_redis]  # readable without RQ, and without unpickling
    assert {name for name, *_ in called} == {job.function for job in periodic.PERIODIC}
    assert all(arguments == [None, [], {}] for _, *arguments in called)
    personal = [ANNA.name, ANNA.phone, ANNA.email, booked.number, station.email, "@"]
    for value in everything_in(redis):
        assert not [fact for fact in personal if fact.encode() in unpacked(value)]


def test_a_booking_does_not_wait_for_a_queue_that_is_gone(app, station, monkeypatch, tmp_path, caplog):
    monkeypatch.setitem(app.extensions, "tirefit-doorbell", doorbell_of(app, f"unix://{tmp_path}/nobody.sock"))
    caplog.set_level(logging.WARNING)

    assert seconds_of_a_ring() < 0.1
    booking(station, "10:30")

    assert set(states().values()) == {"pending"}
    assert ANNA.email not in caplog.text


def test_a_booking_does_not_wait_for_a_queue_that_says_nothing(app, station, monkeypatch, tmp_path_factory):
    with valkey(tmp_path_factory.mktemp("v")) as (server, url):
        monkeypatch.setitem(app.extensions, "tirefit-doorbell", doorbell_of(app, url))
        jobs.ring()
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert seconds_of_a_ring() < 0.3
        finally:
            os.kill(server.pid, signal.SIGCONT)


def test_a_booking_does_not_wait_for_a_queue_that_is_full(app, station, monkeypatch, tmp_path_factory, caplog):
    with valkey(tmp_path_factory.mktemp("v")) as (_, url), Redis.from_url(url) as redis:
        monkeypatch.setitem(app.extensions, "tirefit-doorbell", doorbell_of(app, url))
        redis.config_set("maxmemory", 1)
        caplog.set_level(logging.WARNING)

        assert seconds_of_a_ring() < 0.3
        assert "OutOfMemoryError" in caplog.text
        booking(station, "10:30")
        assert set(states().values()) == {"pending"}

        redis.config_set("maxmemory", 0)
        jobs.ring()
        assert redis.llen("rq:queue:letters") == 1


def seconds_of_a_ring() -> float:
    """The shortest of three: a busy machine makes some longer, and none shorter."""
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        jobs.ring()
        taken.append(time.perf_counter() - started)
    return min(taken)


def test_a_queue_that_comes_back_is_rung_at_once(app, station, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("v")
    with valkey(folder) as (_, url):
        doorbell = doorbell_of(app, url)
        monkeypatch.setitem(app.extensions, "tirefit-doorbell", doorbell)
        jobs.ring()
    with valkey(folder) as (_, url), Redis.from_url(url) as redis:
        redis.flushall()
        jobs.ring()  # over the connection that the restart has cut off
        assert redis.llen("rq:queue:letters") == 1


def test_without_a_queue_a_bell_rings_in_the_process(app, station, monkeypatch):
    monkeypatch.setitem(app.extensions, "tirefit-doorbell", None)
    jobs.bell.clear()

    booking(station, "10:30")

    assert jobs.bell.is_set()
    jobs.bell.clear()

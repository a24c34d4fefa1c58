"""Only the guard of reservations means "somebody was quicker". Every other error of the database stays an error: 500,
never 409, whatever is wrong and wherever it comes up.

What is wrong is made so by hand, just before the statement; that it is wrong, the real database says.
"""

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from tests import factories
from tests.checksum import checksum
from tests.factories import BORIS, booking, kyiv, service
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.states import CUSTOMER, USER
from tirefit.errors import SlotTaken
from tirefit.models import Booking
from tirefit.schedule import reservations
from tirefit.schedule.blocks import block_time
from tirefit.schedule.reservations import hash_of, new_token, reserve_slot_temporarily

TAKEN = "a token that somebody has"

# What each of the four kinds of constraints says no to, in a row of reservations.
WRONG_RESERVATIONS = {
    "not null": {"created_at": None},
    "foreign key": {"service_post_id": 999_999},
    "check": {"kind": "nonsense"},
    "unique": {"token_hash": hash_of(TAKEN)},
}
# The same of a booking's time that moves: other columns do not change. Nothing there is unique but the id.
WRONG_TIMES = {
    "not null": {"service_post_id": None},
    "foreign key": {"service_post_id": 999_999},
    "check": {"ends_at": kyiv("08:00")},
}
WRONG_BOOKINGS = {
    "not null": {"customer_name": None},
    "foreign key": {"service_post_id": 999_999},
    "check": {"source": "nonsense"},
    "unique": {},  # a number that somebody has
}


@pytest.fixture
def station(app):
    return factories.station(cancel_cutoff_minutes=0)


@pytest.fixture(params=WRONG_RESERVATIONS)
def wrong_reservation(request, station, monkeypatch):
    """Every reservation that is written from now on breaks one constraint."""
    reserve_slot_temporarily(station.id, kyiv("2026-11-04 10:00"), 40, TAKEN)
    insert = reservations._insert
    wrong = WRONG_RESERVATIONS[request.param]
    monkeypatch.setattr(reservations, "_insert", lambda values: insert(values | wrong))


def test_a_hold_that_cannot_be_written_is_not_called_taken(station, wrong_reservation):
    is_an_error(lambda: reserve_slot_temporarily(station.id, kyiv("10:00"), 40, new_token()))


def test_a_booking_whose_time_cannot_be_written_is_not_called_taken(station, wrong_reservation):
    is_an_error(lambda: booking(station, "10:00"))


def test_a_block_that_cannot_be_written_is_not_called_taken(station, wrong_reservation):
    post = station.posts[0]
    is_an_error(lambda: block_time(station.id, post.id, kyiv("10:00"), kyiv("11:00")))


@pytest.mark.parametrize("kind", WRONG_BOOKINGS)
def test_a_booking_that_cannot_be_written_is_not_called_taken(station, kind):
    taken = booking(station, "12:00").number
    wrong = WRONG_BOOKINGS[kind] or {"number": taken}

    def spoil(mapper, connection, made):
        for name, value in wrong.items():
            setattr(made, name, value)

    event.listen(Booking, "before_insert", spoil)
    try:
        is_an_error(lambda: booking(station, "10:00", BORIS))
    finally:
        event.remove(Booking, "before_insert", spoil)


@pytest.mark.parametrize("kind", WRONG_TIMES)
@pytest.mark.parametrize("actor", [CUSTOMER, USER])
def test_a_move_that_cannot_be_written_is_not_called_taken(station, monkeypatch, actor, kind):
    made = booking(station, "10:00")
    move = reservations.move
    wrong = WRONG_TIMES[kind]
    monkeypatch.setattr(reservations, "move", lambda id, run, **how: move(id, run._replace(**wrong), **how))

    is_an_error(lambda: reschedule_booking(made.id, actor=actor, starts_at=kyiv("14:00")))


def test_the_page_says_that_something_broke_and_offers_no_other_time(app, client, station, wrong_reservation):
    app.testing = False
    app.config["PROPAGATE_EXCEPTIONS"] = False
    try:
        about = {"svc": service().id, "car": factories.car_type().id, "at": kyiv("10:00").isoformat()}
        answer = client.post(f"/s/{station.slug}/hold", data=about)
        contacts = about | {"s": station.slug, "name": "Анна", "phone": "067 123 45 67"}
        booked = client.post(f"/h/{new_token()}", data=contacts)
    finally:
        app.testing = True
        app.config["PROPAGATE_EXCEPTIONS"] = None

    assert (answer.status_code, booked.status_code) == (500, 500)
    assert 'class="alt"' not in answer.text + booked.text


def test_somebody_who_was_quicker_is_still_told_so(station, monkeypatch):
    """The control: with nothing wrong, what is taken between the look and the write is called taken."""
    look = reservations.available_at_time

    def look_and_lose(point, starts_at, *job):
        found = look(point, starts_at, *job)
        for run in found:
            reservations.take(point.id, run, "block")
        return found

    monkeypatch.setattr(reservations, "available_at_time", look_and_lose)
    monkeypatch.setattr(reservations, "refusal", lambda *job: SlotTaken())
    with pytest.raises(SlotTaken):
        reserve_slot_temporarily(station.id, kyiv("10:00"), 40, new_token())


def is_an_error(command):
    before = checksum()
    with pytest.raises(IntegrityError):
        command()
    assert checksum() == before

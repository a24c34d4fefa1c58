"""The key of a request is the link that opens its booking: used once for one booking, and never for another."""

import pytest

from tests.checksum import checksum
from tests.factories import BORIS, booking, car_type, kyiv, service
from tirefit.booking.links import renew_link
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking
from tirefit.errors import KeyReused
from tirefit.schedule.reservations import find_hold, new_token, reserve_slot_temporarily

CONTACTS = {"name": "Анна", "phone": "067 123 45 67"}


def about(station):
    at = kyiv("2026-11-03 10:00").isoformat()
    return {"s": station.slug, "svc": service().id, "car": car_type().id, "at": at} | CONTACTS


def test_the_same_form_again_leads_to_the_same_ticket_and_another_one_is_refused(client, station):
    path, form = f"/h/{new_token()}", about(station)
    first = client.post(path, data=form)
    before = checksum()

    again = client.post(path, data=form)
    other = client.post(path, data=form | {"name": "Борис"})

    assert (first.status_code, again.status_code, other.status_code) == (303, 303, 422)
    assert first.location == again.location
    assert "Вы уже записаны с другими данными" in other.text
    assert checksum() == before


def test_a_link_that_was_made_new_books_nothing_any_more(station):
    token = new_token()
    renew_link(booking(station, "2026-11-03 10:00", token=token).id)

    with pytest.raises(KeyReused):
        booking(station, "2026-11-03 10:00", token=token)


def test_a_page_that_was_open_before_the_booking_was_cancelled_still_books(station):
    """Its button carries the key of a booking that is no more: the hold gets one of its own."""
    token = new_token()
    cancel_booking(booking(station, "2026-11-03 10:00", token=token).id, actor=USER)

    held = reserve_slot_temporarily(station.id, kyiv("2026-11-03 12:00"), 40, token)

    assert held.token != token
    assert find_hold(held.token) is not None
    made = booking(station, "2026-11-03 12:00", BORIS, token=held.token)
    assert (made.status, made.starts_at) == ("confirmed", kyiv("2026-11-03 12:00"))

"""Calendar files (.ics): the visit, as the customer's or the station's calendar keeps it.

The UID stays the same for the life of a booking and SEQUENCE grows with it: a calendar that has the visit moves it or
strikes it out, and does not add a second one. It is an announcement (PUBLISH), not an invitation: nobody has to accept.
"""

from collections.abc import Sequence
from datetime import timedelta
from email.utils import parseaddr
from typing import Any
from zoneinfo import ZoneInfo

from flask import current_app, render_template
from icalendar import Alarm, Calendar, Event, vCalAddress

from tirefit import clock
from tirefit.models import LIVE, Booking

CONTENT_TYPE = "text/calendar; charset=utf-8; method=PUBLISH"
REMIND_BEFORE = timedelta(hours=2)
A_YEAR = timedelta(days=366)


def booking_calendar(booking: Booking, *, for_station: bool = False) -> bytes:
    """The booking as a calendar file, in the language of the moment. After a cancellation it strikes the visit out."""
    calendar = Calendar()
    for name, value in {"prodid": "-//TireFit//TireFit//", "version": "2.0", "method": "PUBLISH"}.items():
        calendar.add(name, value)
    calendar.add_component(_visit(booking, reader="station" if for_station else "customer"))
    calendar.add_missing_timezones(
        first_date=(booking.starts_at - A_YEAR).date(), last_date=(booking.starts_at + A_YEAR).date()
    )
    return bytes(calendar.to_ical())


def feed_calendar(name: str, bookings: Sequence[Booking]) -> bytes:
    """Many bookings as a calendar that is followed, in the language of the moment: what and where, but not who."""
    calendar = Calendar()
    facts = {"prodid": "-//TireFit//TireFit//", "version": "2.0", "method": "PUBLISH", "x-wr-calname": name}
    for key, value in facts.items():
        calendar.add(key, value)
    for booking in bookings:
        calendar.add_component(_visit(booking, reader="feed"))
    if bookings:
        calendar.add_missing_timezones(
            first_date=(bookings[0].starts_at - A_YEAR).date(), last_date=(bookings[-1].starts_at + A_YEAR).date()
        )
    return bytes(calendar.to_ical())


def facts_of(booking: Booking) -> dict[str, Any]:
    """What every text about a booking is made of. The templates' filters choose the language."""
    station = booking.service_point
    return {
        "booking": booking,
        "station": station,
        "services": [line.names for line in booking.lines],
        "car": booking.car_type.names,
        "place": ", ".join(part for part in (station.address, station.city) if part),
    }


def _visit(booking: Booking, *, reader: str) -> Event:
    station, zone = booking.service_point, ZoneInfo(booking.service_point.time_zone)
    summary, _, description = (
        render_template(f"mail/calendar/{reader}.txt", **facts_of(booking)).strip().partition("\n")
    )
    visit = Event()
    visit.add("uid", f"{booking.number}-{int(booking.created_at.timestamp())}@tirefit")
    visit.add("sequence", booking.revision)
    visit.add("dtstamp", clock.now())
    visit.add("dtstart", booking.starts_at.astimezone(zone))
    visit.add("dtend", booking.ends_at.astimezone(zone))
    visit.add("summary", summary)
    visit.add("description", description)
    visit.add("location", ", ".join(part for part in (station.name, station.address, station.city) if part))
    visit.add("status", _status(booking))
    visit.add("organizer", _organizer(booking))
    if reader == "customer" and booking.status in LIVE:
        visit.add_component(_reminder(summary))
    return visit


def _status(booking: Booking) -> str:
    if booking.status == "pending":
        return "TENTATIVE"
    return "CANCELLED" if booking.status.startswith("cancelled") else "CONFIRMED"


def _organizer(booking: Booking) -> vCalAddress:
    """Required in an announcement. A station without an e-mail speaks through TireFit's own address."""
    address = booking.service_point.email or parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1]
    organizer = vCalAddress(f"mailto:{address}")
    organizer.params["cn"] = booking.service_point.name
    return organizer


def _reminder(summary: str) -> Alarm:
    reminder = Alarm()
    reminder.add("action", "DISPLAY")
    reminder.add("trigger", -REMIND_BEFORE)
    reminder.add("description", summary)
    return reminder

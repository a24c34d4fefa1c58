"""What letters say: a folder of templates for each kind, filled in when the letter leaves and not before.

A letter speaks its reader's language and goes by the station's clock. Its HTML carries its whole look with it: nothing
is fetched from anywhere.
"""

from datetime import datetime
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

import css_inline
from flask import current_app, render_template
from flask_babel import force_locale
from flask_mail import BadHeaderError, Message
from sqlalchemy import select

from tirefit.database import db
from tirefit.models import Booking, BookingEvent
from tirefit.notifications import calendar
from tirefit.notifications.outbox import KINDS, ClaimedLetter
from tirefit.schedule.windows import local_day

_inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


def compose(letter: ClaimedLetter) -> Message:
    """The letter as it would be read now: subject, text, HTML and a calendar file.

    Its Message-ID is the row's own, the same at every attempt: should two copies arrive, a mailbox sees one letter.
    Raises BadHeaderError when an address or a name would break out of its line.
    """
    booking, to_customer = db.session.get_one(Booking, letter.booking_id), KINDS[letter.kind].to_customer
    facts = calendar.facts_of(booking) | {"links": _links(booking, letter.token), "host": _host(), "was": _was(booking)}
    facts["delay_minutes"] = _delay_of(booking)
    recipient, station = _line(letter.recipient), _line(booking.service_point.name)
    station_address = _line(booking.service_point.email or "")
    with force_locale(letter.locale):
        facts["subject"] = _line(_part(letter.kind, "subject.txt", facts))
        message = Message(
            facts["subject"],
            recipients=[recipient],
            body=_part(letter.kind, "body.txt", facts),
            html=_inliner.inline(_part(letter.kind, "body.html", facts)),
            extra_headers={"Auto-Submitted": "auto-generated"},  # constants only: Flask-Mail does not look at them
        )
        file = calendar.booking_calendar(booking, for_station=not to_customer)
        message.attach("tirefit.ics", calendar.CONTENT_TYPE, file)
    message.msgId = f"<{letter.message_id}@{sender_domain()}>"
    if to_customer:
        message.sender = (station, parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1])
        message.reply_to = station_address or None
    return message


def sender_domain() -> str:
    """The domain we write from: of our Message-IDs, and what we call ourselves to the mail server."""
    return parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1].rpartition("@")[2] or "localhost"


def _part(kind: str, name: str, facts: dict[str, Any]) -> str:
    return render_template(f"mail/{kind}/{name}", **facts).strip()


def _was(booking: Booking) -> datetime | None:
    """When the visit was to begin before it was last moved; None when it has not been."""
    moved = select(BookingEvent.before).where(
        BookingEvent.booking_id == booking.id, BookingEvent.event.in_(("rescheduled", "adjusted"))
    )
    for before in db.session.scalars(moved.order_by(BookingEvent.id.desc()).limit(1)):
        start = datetime.fromisoformat(before["starts_at"])
        return start if start != booking.starts_at else None
    return None


def _delay_of(booking: Booking) -> int:
    """By how many minutes the customer is told to come later; 0 when they are not."""
    told = select(BookingEvent.after).where(BookingEvent.booking_id == booking.id, BookingEvent.event == "delay_told")
    after = db.session.scalar(told.order_by(BookingEvent.id.desc()).limit(1))
    return int(after["minutes"]) if after else 0


def _links(booking: Booking, token: str | None) -> dict[str, str]:
    base, station = current_app.config["BASE_URL"], booking.service_point
    day = local_day(station.time_zone, booking.starts_at)
    return {
        "ticket": f"{base}/b/{token}",
        "calendar": f"{base}/b/{token}/calendar.ics",
        "station": f"{base}/s/{station.slug}",
        "board": f"{base}/board/{station.slug}/{day:%Y-%m-%d}?b={booking.number}",
    }


def _host() -> str:
    return str(urlsplit(current_app.config["BASE_URL"]).netloc)


def _line(text: str) -> str:
    """A text that goes into one line of the letter's head, and does not begin another."""
    if text.splitlines() not in ([], [text]):
        raise BadHeaderError("a line break in an address, a name or a subject")
    return text

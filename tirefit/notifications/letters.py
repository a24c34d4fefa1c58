"""What letters say: a folder of templates for each kind, filled in when the letter leaves and not before.

A letter speaks its reader's language and goes by the station's clock. Its HTML carries its whole look with it: nothing
is fetched from anywhere.
"""

import secrets
from datetime import date, datetime, timedelta
from email.charset import BASE64, SHORTEST, add_charset
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit

import css_inline
from flask import current_app, render_template
from flask_babel import force_locale, gettext
from flask_mail import BadHeaderError, Message
from sqlalchemy import select

from tirefit.database import db
from tirefit.i18n import LANGUAGES
from tirefit.models import Booking, BookingEvent, Invitation, ServicePoint, User
from tirefit.notifications import calendar, summaries
from tirefit.notifications.kinds import EVERY_KIND, KINDS, TO_PEOPLE
from tirefit.notifications.outbox import ClaimedLetter
from tirefit.schedule.windows import local_day

AUTO = {"Auto-Submitted": "auto-generated"}
NO_COST_TO_STOP = "List-Unsubscribe=One-Click"  # RFC 8058

WITHOUT_CALENDAR = ("booking_completed", "booking_delayed")  # over; or to begin later than it was agreed

# Flask-Mail sends UTF-8 as it stands: a comment of five hundred letters is a line that no mail server need take (998
# octets), and not every one takes eight bits.
add_charset("utf-8", SHORTEST, BASE64, "utf-8")

_inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)


def compose(letter: ClaimedLetter) -> Message:
    """The letter as it would be read now: subject, text, HTML and, about a visit, a calendar file.

    Its Message-ID is the row's own, the same at every attempt: should two copies arrive, a mailbox sees one letter.
    Raises BadHeaderError when an address or a name would break out of its line.
    """
    if letter.booking_id is not None:
        return about_booking(letter, db.session.get_one(Booking, letter.booking_id))
    with force_locale(letter.locale):
        if letter.kind == "daily_summary":
            return _message(letter, _facts_of_day(letter))
        if letter.kind in TO_PEOPLE:
            return _message(letter, _facts_for_person(letter))
        if letter.kind == "webhook_off":
            return _message(letter, _facts_of_webhook(letter))
        return _message(letter, {"station": None, "cause": letter.facts or {}, "links": _own_links()})


def about_booking(letter: ClaimedLetter, booking: Booking, **known: Any) -> Message:
    """A letter about this booking, which for a sample need not be in the database; its history is then `known`."""
    kind = KINDS[letter.kind]
    station, reply_to = _line(booking.service_point.name), _line(booking.service_point.email or "")
    history = known or {"was": _was(booking), "delay_minutes": _delay_of(booking)}
    late = timedelta(minutes=history["delay_minutes"] if letter.kind == "booking_delayed" else 0)
    times = {"begins": booking.starts_at + late, "ends": booking.agreed_end + late}
    facts = calendar.facts_of(booking) | {"links": _links(booking, letter.token)} | history | times
    with force_locale(letter.locale):
        message = _message(letter, facts)
        if letter.kind not in WITHOUT_CALENDAR:
            file = calendar.booking_calendar(booking, for_station=not kind.to_customer)
            message.attach("tirefit.ics", calendar.CONTENT_TYPE, file)
    if kind.to_customer:
        message.sender = (station, parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1])
        message.reply_to = reply_to or None
    if kind.may_be_stopped:
        stop = {"List-Unsubscribe": f"<{facts['links']['stop']}>", "List-Unsubscribe-Post": NO_COST_TO_STOP}
        message.extra_headers = AUTO | stop
    return message


def make_ready() -> None:
    """Read templates and languages now. Who forks for each job does so before, or each fork reads them all anew: that
    takes as long as forty letters.
    """
    names = ("subject.txt", "body.txt", "body.html")
    for template in ("_layout.html", "_parts.html", *(f"{kind}/{name}" for kind in EVERY_KIND for name in names)):
        current_app.jinja_env.get_template(f"mail/{template}")
    for locale in LANGUAGES:
        with force_locale(locale):
            gettext("TireFit: проверка почты")


def test_letter(recipient: str, locale: str) -> Message:
    """A few words, to see whether letters arrive."""
    with force_locale(locale):
        subject = gettext("TireFit: проверка почты")
        body = gettext("Если вы это читаете, почта TireFit работает.")
    message = Message(subject, recipients=[_line(recipient)], body=body, extra_headers=dict(AUTO))
    message.msgId = f"<test.{secrets.token_hex(8)}@{sender_domain()}>"
    return message


def sender_domain() -> str:
    """The domain we write from: of our Message-IDs, and what we call ourselves to the mail server."""
    return parseaddr(current_app.config["MAIL_DEFAULT_SENDER"])[1].rpartition("@")[2] or "localhost"


def _message(letter: ClaimedLetter, facts: dict[str, Any]) -> Message:
    facts = facts | {"host": str(urlsplit(current_app.config["BASE_URL"]).netloc)}
    recipient = _line(letter.recipient)
    facts["subject"] = _line(_part(letter.kind, "subject.txt", facts))
    message = Message(
        facts["subject"],
        recipients=[recipient],
        body=_part(letter.kind, "body.txt", facts),
        html=_inliner.inline(_part(letter.kind, "body.html", facts)),
        extra_headers=dict(AUTO),  # constants and our own addresses only: Flask-Mail does not look at them
    )
    message.msgId = f"<{letter.message_id}@{sender_domain()}>"
    return message


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
    ticket = f"{base}/b/{token}"
    return {
        "ticket": ticket,
        "calendar": f"{ticket}/calendar.ics",
        "stop": f"{ticket}/reminders",
        **{way: f"{ticket}?to={way}" for way in ("come", "late", "move", "cancel")},
        "station": f"{base}/s/{station.slug}",
        "board": f"{base}/board/{station.slug}/{day:%Y-%m-%d}?b={booking.number}",
    }


def _facts_of_day(letter: ClaimedLetter) -> dict[str, Any]:
    station = db.session.get_one(ServicePoint, letter.service_point_id)
    day = date.fromisoformat(letter.topic.rpartition(" ")[2])
    board = f"{current_app.config['BASE_URL']}/board/{station.slug}/{day:%Y-%m-%d}"
    return {"station": station, "links": {"board": board}, **summaries.of_day(station, day)}


def _facts_for_person(letter: ClaimedLetter) -> dict[str, Any]:
    """Who invites as what, and what the link opens. A sample, which has no row, is from nobody."""
    page = "invite" if letter.kind == "invitation" else "password"
    facts = letter.facts or {}
    invitation = db.session.get(Invitation, facts.get("invitation_id", 0))
    by = db.session.get(User, invitation.invited_by_id or 0) if invitation else None
    return {
        "station": db.session.get(ServicePoint, letter.service_point_id or 0),
        "role": invitation.role if invitation else "manager",
        "by": by.name if by else "",
        "links": {"open": f"{current_app.config['BASE_URL']}/{page}/{letter.token}"},
    }


def _facts_of_webhook(letter: ClaimedLetter) -> dict[str, Any]:
    station = db.session.get_one(ServicePoint, letter.service_point_id)
    settings = f"{current_app.config['BASE_URL']}/manage/{station.slug}/api/webhooks"
    return {"station": station, "links": {"webhooks": settings}, "url": (letter.facts or {}).get("url", "")}


def _own_links() -> dict[str, str]:
    base = current_app.config["BASE_URL"]
    return {"mail": f"{base}/admin/mail", "queue": f"{base}/admin/queue"}


def _line(text: str) -> str:
    """A text that goes into one line of the letter's head, and does not begin another."""
    if text.splitlines() not in ([], [text]):
        raise BadHeaderError("a line break in an address, a name or a subject")
    return text

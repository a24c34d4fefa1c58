"""What people type, in every field that any letter shows: it stands there as typed, and nothing obeys it.

Every kind of letter is written about one visit whose every text is the same trick, and handed to a real mail server.
The database plays no part in this.
"""

from collections.abc import Iterable
from datetime import date
from email.message import EmailMessage
from types import SimpleNamespace

import html5lib
import icalendar
import pytest
from flask_mail import BadHeaderError, Message
from sqlalchemy import select

from tests import factories
from tests.factories import ANNA, booking
from tirefit import clock, leases
from tirefit.database import command, db
from tirefit.jobs import tasks
from tirefit.models import Booking, Notification, ScheduleException
from tirefit.notifications import delivery, letters, samples
from tirefit.notifications.kinds import EVERY_KIND, KINDS
from tirefit.notifications.outbox import ClaimedLetter

TRICKS = (
    "<script>alert(1)</script>",
    '"><b onclick=alert(1)>',
    "</td></table>&lt;b&gt;",
    "{{7*7}}",
    "{% for x in y %}",
    "${7*7} #{7*7}",
    "%(time)s %s %%",
)
BREAKS = ("\r\nBcc: eve@example.com", "\nX-Evil: 1", "\rBcc: eve@example.com", "\r\n\tX-Evil: 1", "\u2028X-Evil: 1")
HEAD = {"Subject", "From", "To", "Date", "Message-ID", "MIME-Version", "Content-Type", "Auto-Submitted", "Reply-To"}
HEAD |= {"List-Unsubscribe", "List-Unsubscribe-Post"}
TAGS = {"html", "head", "body", "meta", "title", "style", "div", "table", "tbody", "tr", "td"}
TAGS |= {"h1", "h2", "p", "a", "b", "br", "s", "span"}

TOMORROW = date(2026, 11, 3)
FIELDS = ("customer", "phone", "plate", "notes", "reason", "car", "service", "station", "city", "address")
FIELDS += ("station_phone", "answers_to", "to")

ABOUT_STATIONS = {*KINDS, "daily_summary", "system_alert"}

# Texts that the head of a letter shows, and in which kinds.
TO_STATION = {kind for kind, about in KINDS.items() if not about.to_customer}
IN_THE_HEAD = {
    "station": {*KINDS, "daily_summary"},
    "answers_to": set(KINDS),
    "customer": TO_STATION,
    "car": TO_STATION,
    "to": set(EVERY_KIND),
}

pytestmark = pytest.mark.parametrize("database", ["sqlite"])


@pytest.fixture
def visit(app):
    """Tomorrow, at a station that is closed then: so the evening letter gives the reason of that, too."""
    return booking(factories.station(), "2026-11-03 10:30", ANNA).id


@command
def close(booking_id: int, reason: str) -> None:
    visit = db.session.get_one(Booking, booking_id)
    day = ScheduleException(service_point_id=visit.service_point_id, day=TOMORROW, reason=reason)
    db.session.add(day)


def letter(kind: str, booking_id: int, **typed: str) -> Message:
    """Of this kind, about the visit with something more in these of its texts: in memory, where forms do not look."""
    with db.session.no_autoflush:
        return _letter(kind, db.session.get_one(Booking, booking_id), typed)


def _letter(kind: str, visit: Booking, typed: dict[str, str]) -> Message:
    station, line = visit.service_point, visit.lines[0]
    visit.status, visit.cancel_reason = samples.STATUS.get(kind, "confirmed"), "сломался подъёмник"
    for field, more in typed.items():
        owner, name = {
            "customer": (visit, "customer_name"),
            "phone": (visit, "customer_phone"),
            "plate": (visit, "plate"),
            "notes": (visit, "notes"),
            "reason": (visit, "cancel_reason"),
            "car": (visit.car_type, "names"),
            "service": (line, "names"),
            "station": (station, "name"),
            "city": (station, "city"),
            "address": (station, "address"),
            "station_phone": (station, "phone"),
            "answers_to": (station, "email"),
            "to": (SimpleNamespace(), ""),
        }[field]
        if name == "names":
            owner.names = {language: text + more for language, text in owner.names.items()}
        elif name:
            setattr(owner, name, f"{getattr(owner, name)}{more}")
    about = KINDS.get(kind)
    claimed = ClaimedLetter(
        id=1,
        kind=kind,
        booking_id=visit.id if about else None,
        recipient=ANNA.email + typed.get("to", ""),
        locale="ru",
        message_id=f"0123.{kind}",
        lease="",
        leased_until=clock.now() + leases.LEASE,
        token="A" * 22 if about and about.to_customer else None,
        service_point_id=station.id,
        topic=f"{station.slug} {TOMORROW}",
        facts={"cause": "horizon", "count": 1, "stations": [station.name], "url": f"https://{station.name}"},
    )
    return letters.compose(claimed)


def hand_over(messages: Iterable[Message]) -> None:
    with delivery.connect() as connection:
        for message in messages:
            connection.send(message)


def parts(message: EmailMessage) -> tuple[str, str, str]:
    found = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
    return found["text/plain"], found["text/html"], found.get("text/calendar", "")


def test_what_is_typed_into_any_field_stands_in_every_letter_as_typed(visit, smtp):
    all_tricks = " ".join(TRICKS)
    close(visit, f"ремонт {all_tricks}")
    fields = [field for field in FIELDS if field not in ("answers_to", "to")]

    hand_over(letter(kind, visit, **dict.fromkeys(fields, f" {all_tricks} ")) for kind in EVERY_KIND)

    for kind, message in zip(EVERY_KIND, smtp.messages, strict=True):
        plain, html, calendar = parts(message)
        page = html5lib.HTMLParser(strict=False, namespaceHTMLElements=False).parse(html)
        elements = [element for element in page.iter() if isinstance(element.tag, str)]
        words = " ".join("".join(page.itertext()).split())
        assert {element.tag for element in elements} <= TAGS, kind
        assert not [name for element in elements for name in element.attrib if name.startswith("on")], kind
        for text in (plain, words, message["Subject"]):
            close_together = "".join(text.split())  # a long subject is folded, and gets spaces where that is done
            assert close_together.count(TRICKS[0][:6]) == close_together.count("".join(TRICKS).replace(" ", "")), kind
        assert all_tricks in plain or kind == "password_reset", kind  # which names nobody
        assert all_tricks in words, kind
        if calendar:
            assert len(icalendar.Calendar.from_ical(calendar).walk("VEVENT")) == 1
        assert set(message.keys()) <= HEAD, kind
    assert [recipients for _, recipients in smtp.envelopes] == [[ANNA.email]] * len(EVERY_KIND)


@pytest.mark.parametrize("lines", BREAKS)
def test_a_line_break_in_any_text_makes_no_line_of_the_head(visit, smtp, lines):
    """In a text that the head shows the letter does not leave; in any other it leaves, to one person."""
    close(visit, f"ремонт{lines}")
    elsewhere = {field: lines for field in FIELDS if field not in IN_THE_HEAD}
    kinds = EVERY_KIND if lines == BREAKS[0] else ("booking_created", "new_booking", "daily_summary")
    may_leave = []
    for typed in (elsewhere, *({field: lines} for field in IN_THE_HEAD)):
        refused = set()
        for kind in kinds:
            try:
                may_leave.append(letter(kind, visit, **typed))
            except BadHeaderError:
                refused.add(kind)
            db.session.rollback()
        expected = IN_THE_HEAD.get(next(iter(typed)), set())
        assert refused & ABOUT_STATIONS == expected & set(kinds) & ABOUT_STATIONS, typed.keys()

    hand_over(may_leave)

    assert [recipients for _, recipients in smtp.envelopes] == [[ANNA.email]] * len(may_leave)
    for message in smtp.messages:
        assert set(message.keys()) <= HEAD
        assert not [value for value in message.values() if "evil" in value.lower() or "eve@" in value]
        lines_of_calendar = parts(message)[2].replace("\r\n ", "").split("\n")
        assert not [line for line in lines_of_calendar if line.startswith(("Bcc", "X-Evil"))]


def test_a_letter_that_would_get_a_second_line_in_its_head_has_failed_and_stops_no_other(visit, smtp):
    @command
    def write_what_no_form_lets_through():
        db.session.get_one(Booking, visit).customer_name += BREAKS[0]

    write_what_no_form_lets_through()

    assert tasks.drain_letters() == 1

    assert db.session.scalars(select(Notification.state).order_by(Notification.id)).all() == ["sent", "failed"]

"""Letters as they arrive: by a real mail server, in three languages, once, whatever people typed into the fields."""

import logging
import re
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from urllib.parse import urlsplit

import html5lib
import icalendar
import pytest
from flask.testing import FlaskClient
from flask_babel import force_locale
from sqlalchemy import select

from tests import factories
from tests.conftest import ON_ONE_DATABASE
from tests.factories import ANNA, booking, kyiv
from tirefit import clock, i18n, leases
from tirefit.booking.commands import Customer, reschedule_booking
from tirefit.booking.steps import cancel_booking
from tirefit.database import command, db
from tirefit.jobs import tasks
from tirefit.models import Booking, Notification
from tirefit.notifications import calendar, letters, outbox
from tirefit.notifications.kinds import EVERY_KIND, KINDS
from tirefit.notifications.outbox import ClaimedLetter

MINUTE = timedelta(minutes=1)
PLAIN = {"name": "Winter 5", "city": "Kyiv", "address": "5 Zymova St"}  # data without a word to translate
LARGEST = 20_000


@pytest.fixture
def booked(station):
    return booking(station, "2026-11-03 10:30")


def rows():
    db.session.rollback()
    return db.session.scalars(select(Notification).order_by(Notification.id)).all()


def states():
    return [row.state for row in rows()]


@command
def change(booking_id, **values):
    for name, value in values.items():
        setattr(db.session.get_one(Booking, booking_id), name, value)


def compose(kind, booked, locale="ru"):
    token = "A" * 22 if KINDS[kind].to_customer else None
    claimed = ClaimedLetter(
        1, kind, booked.id, "anna@example.com", locale, "0123abcd", "lease", clock.now() + leases.LEASE, token
    )
    return letters.compose(claimed)


def parts_of(message):
    """text, html and calendar of a letter that has arrived."""
    found = {part.get_content_type(): part.get_content() for part in message.walk() if not part.is_multipart()}
    return found["text/plain"], found["text/html"], found["text/calendar"]


# --- what they say


@ON_ONE_DATABASE
@pytest.mark.parametrize("status", ["pending", "confirmed", "cancelled_by_customer", "cancelled_by_station"])
@pytest.mark.parametrize("locale", i18n.LANGUAGES)
def test_every_letter_has_its_parts_in_every_language(app, locale, status):
    anna = Customer("Anna", "+380671234567", "anna@example.com")
    booked = booking(factories.station(**PLAIN), "2026-11-03 10:30", anna)
    if status.startswith("cancelled"):
        cancel_booking(booked.id, actor="customer" if status.endswith("customer") else "user", reason="a flat lift")
    else:
        change(booked.id, status=status)

    for kind in KINDS:
        message = compose(kind, db.session.get_one(Booking, booked.id), locale)
        files = [file.data.decode() for file in message.attachments]
        assert len(files) == (kind not in letters.WITHOUT_CALENDAR)
        for part in (message.subject, message.body, message.html, *files):
            assert part.strip()
            assert "%(" not in part
            assert "{" not in re.sub(r"<style>.*?</style>", "", part, flags=re.S)
            if locale == "en":
                assert not re.search("[а-яё]", part, re.I), part
            if locale == "uk":
                assert not re.search("[ыэъё]", part, re.I), part
        assert "10:30" in message.subject and "10:30" in message.body and "10:30" in message.html
        assert message.html.startswith("<!DOCTYPE html>") and f'lang="{locale}"' in message.html
        assert not message.body.startswith("<")


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("locale", "kind", "subject"),
    [
        ("ru", "booking_created", "Вы записаны: вт, 3 ноября, 10:30 — Зимняя, 5"),
        ("uk", "booking_created", "Вас записано: вт, 3 листопада, 10:30 — Зимняя, 5"),
        ("en", "booking_created", "You are booked: Tue, 3 November, 10:30 — Зимняя, 5"),
        ("ru", "new_booking", "Новая запись: вт, 3 ноября, 10:30 — Анна, Легковая"),
    ],
)
def test_the_subject_begins_with_the_fact(booked, locale, kind, subject):
    assert compose(kind, booked, locale).subject == subject


@ON_ONE_DATABASE
def test_whoever_forks_for_each_letter_can_read_all_of_them_before(app):
    letters.make_ready()

    kinds = {Path(name).parent.name for name in app.jinja_env.list_templates() if name.startswith("mail/")}
    assert set(EVERY_KIND) <= kinds, "each has its templates, and none of them is broken"


@pytest.mark.parametrize("starts_at", ["2026-11-04 12:00", "2026-11-03 10:30"])
def test_a_visit_that_was_moved_says_when_it_was_to_be(booked, starts_at):
    """And one that is where it was, whatever else has changed about it, does not."""
    reschedule_booking(booked.id, actor="user", starts_at=kyiv("2026-11-04 12:00"))
    reschedule_booking(booked.id, actor="user", starts_at=kyiv(starts_at))
    change(booked.id, notes="камера в правом переднем")

    letter = compose("booking_rescheduled", db.session.get_one(Booking, booked.id))

    text = letter.body
    was = "вт, 3 ноября, 10:30" if starts_at.startswith("2026-11-04") else "ср, 4 ноября, 12:00"
    assert f"Было: {was}" in " ".join(text.split())
    assert "Запись перенесена" in text


def test_times_are_those_of_the_stations_clock(app):
    point = factories.station(time_zone="Asia/Almaty")
    booked = booking(point, "2026-11-03 09:00")  # noon in Almaty

    message = compose("booking_created", booked)

    assert ", 12:00 —" in message.subject
    assert "12:00" in message.html and "09:00" not in message.html


@ON_ONE_DATABASE
def test_a_letter_brings_its_whole_look_and_fetches_nothing(booked):
    for kind in KINDS:
        html = compose(kind, booked).html
        page = html5lib.HTMLParser(strict=False, namespaceHTMLElements=False).parse(html)
        assert len(html.encode()) < LARGEST
        assert {element.tag for element in page.iter() if isinstance(element.tag, str)}.isdisjoint(
            {"img", "link", "script", "iframe", "form", "video"}
        )
        assert not re.search(r"url\(|@import|src=", html)
        assert "prefers-color-scheme: dark" in html  # kept for phones that are dark in the evening
        time_of_day = next(line for line in page.iter("p") if line.get("class").startswith("time "))
        assert "font-size: 48px" in time_of_day.get("style")
        styled = [cell for cell in page.iter("td") if not cell.get("style")]
        assert not styled, "a mail program that drops <style> shows it bare"


def test_links_lead_to_pages_of_our_own_that_change_nothing(app, booked):
    tasks.drain_letters()
    before = [(row.state, row.attempts) for row in rows()]
    letter = compose("booking_created", booked)
    claimed = {"booking_created": _real_link(booked), "new_booking": None}
    browser = FlaskClient(app)

    for kind, token in claimed.items():
        html = compose(kind, booked).html.replace("A" * 22, token or "")
        addresses = set(re.findall(r'href="([^"]+)"', html))
        ours = {address for address in addresses if address.startswith("https://tirefit.test/")}
        assert ours
        assert all(re.match(r"tel:\+\d+$|https://www\.google\.com/maps/", address) for address in addresses - ours)
        for address in ours:
            path = urlsplit(address)._replace(scheme="", netloc="").geturl().replace("&amp;", "&")
            for _ in range(3):  # a mail scanner opens what it finds
                assert browser.get(path).status_code in (200, 302, 303)
                assert browser.head(path).status_code in (200, 302, 303)
    assert letter.html.count("https://tirefit.test/b/") >= 3
    assert [(row.state, row.attempts) for row in rows()] == before
    assert db.session.get_one(Booking, booked.id).status == "confirmed"


@command
def _real_link(booked):
    return outbox._new_link(db.session.get_one(Booking, booked.id), clock.now())


# --- the calendar file


def visit_of(content):
    return next(iter(icalendar.Calendar.from_ical(content).walk("VEVENT")))


def calendar_of(booked, locale="ru", **options):
    with force_locale(locale):
        return calendar.booking_calendar(booked, **options)


def test_a_calendar_gets_the_visit_at_the_stations_time(booked):
    content = calendar_of(booked)
    visit = visit_of(content)

    assert visit["DTSTART"].dt == booked.starts_at and visit["DTEND"].dt == booked.ends_at
    assert b"DTSTART;TZID=Europe/Kyiv:20261103T103000" in content
    assert b"BEGIN:VTIMEZONE" in content and b"METHOD:PUBLISH" in content
    assert (visit["SUMMARY"], visit["STATUS"]) == ("Сезонная переобувка — Зимняя, 5", "CONFIRMED")
    assert "ул. Зимняя, 5" in visit["LOCATION"]
    assert all(len(line) <= 75 for line in content.split(b"\r\n"))
    assert b"\n" not in content.replace(b"\r\n", b"")


def test_a_calendar_that_has_the_visit_strikes_it_out_after_a_cancellation(booked):
    before = visit_of(calendar_of(booked))
    cancel_booking(booked.id, actor="customer")
    after = visit_of(calendar_of(db.session.get_one(Booking, booked.id)))

    assert after["UID"] == before["UID"]
    assert after["SEQUENCE"] > before["SEQUENCE"]
    assert after["STATUS"] == "CANCELLED"
    assert before.walk("VALARM") and not after.walk("VALARM")


def test_nobody_writes_lines_into_somebody_elses_calendar(station):
    name = "Анна\r\nATTENDEE:mailto:eve@example.com\nBEGIN:VEVENT;,\\"
    booked = booking(station, "2026-11-03 10:30", Customer(name, "+380671234567", "anna@example.com"))
    content = calendar_of(booked, for_station=True)

    assert not re.search(rb"^(ATTENDEE|BEGIN:VEVENT;)", content, re.M)
    assert len(icalendar.Calendar.from_ical(content).walk("VEVENT")) == 1


# --- on their way


def test_a_letter_leaves_once_and_says_who_writes_to_whom(booked, smtp):
    assert tasks.drain_letters() == 2
    assert tasks.drain_letters() == 0

    to_customer, to_station = smtp.messages
    assert [recipients for _, recipients in smtp.envelopes] == [[ANNA.email], ["zimnyaya-5@example.com"]]
    assert to_customer["From"] == '"Зимняя, 5" <no-reply@localhost>'
    assert to_customer["Reply-To"] == "zimnyaya-5@example.com"
    assert to_station["From"] == "TireFit <no-reply@localhost>"
    for message, row in zip(smtp.messages, rows(), strict=True):
        assert message["Message-ID"] == f"<{row.message_id}@localhost>"
        assert message["Auto-Submitted"] == "auto-generated"
        assert parsedate_to_datetime(message["Date"]) == clock.now()
        assert all(parts_of(message))
    assert states() == ["sent", "sent"]


def test_the_same_letter_tried_again_has_the_same_message_id(booked, smtp, at):
    smtp.refuse_next = ["451 come back later"] * 2
    tasks.drain_letters()
    ids = {row.message_id for row in rows()}
    assert (states(), [row.last_error for row in rows()]) == (["pending"] * 2, ["451 come back later"] * 2)
    assert smtp.messages == []

    at(clock.now() + MINUTE)
    assert tasks.drain_letters() == 2

    assert {message["Message-ID"] for message in smtp.messages} == {f"<{id}@localhost>" for id in ids}


def test_what_the_mail_server_will_never_take_has_failed_and_says_why(booked, smtp):
    smtp.refuse_next = ["550 5.1.1 no such user"]

    assert tasks.drain_letters() == 1

    assert [(row.state, row.last_error) for row in rows()] == [("failed", "550 5.1.1 no such user"), ("sent", "")]


def test_a_letter_that_cannot_be_written_waits_for_its_repair_and_stops_no_other(booked, smtp, monkeypatch, caplog):
    @command
    def write_a_kind_without_templates():
        outbox.write("new_kind", db.session.get_one(Booking, booked.id), "eve@example.com", "ru")

    write_a_kind_without_templates()
    caplog.set_level(logging.INFO)

    assert tasks.drain_letters() == 2

    assert states() == ["sent", "sent", "pending"]
    assert "could not be written" in caplog.text
    for personal in ("eve@example.com", ANNA.email, ANNA.phone):
        assert not [
            line for line in caplog.records if line.name.startswith("tirefit") and personal in line.getMessage()
        ]


def test_without_a_mail_server_letters_wait_and_somebody_is_told(app, booked, monkeypatch, caplog):
    monkeypatch.setitem(app.config, "MAIL_SERVER", None)

    assert tasks.drain_letters() == 0

    assert states() == ["pending", "pending"]
    assert "TIREFIT_MAIL_SERVER is not set" in caplog.text


@ON_ONE_DATABASE
def test_a_long_comment_makes_no_line_that_is_too_long_for_a_mail_server(station, smtp):
    booking(station, "2026-11-03 10:30", notes="щ" * 500)  # a thousand bytes, and 998 are what a server must take

    assert tasks.drain_letters() == 2

    assert "щ" * 500 in parts_of(smtp.messages[1])[0]


# --- the demo's mailbox


@pytest.fixture
def demo(app, monkeypatch, tmp_path):
    monkeypatch.setitem(app.config, "MAIL_SERVER", None)
    monkeypatch.setitem(app.config, "DEMO", True)
    monkeypatch.setitem(app.config, "INSTANCE_PATH", str(tmp_path))


def test_the_letters_of_a_demo_are_read_in_the_browser(app, demo, booked, client):
    assert "Писем ещё нет" in client.get("/dev/mail").text
    assert tasks.drain_letters() == 2

    page = client.get("/dev/mail").text
    assert "Вы записаны: вт, 3 ноября, 10:30 — Зимняя, 5" in page
    key = re.findall(r'href="/dev/mail/([^"]+)"', page)[-1]
    letter = client.get(f"/dev/mail/{key}")
    assert "/b/" in letter.text and f'src="/dev/mail/{key}/html"' in letter.text
    assert "frame-src 'self'" in letter.headers["Content-Security-Policy"]

    framed = FlaskClient(app).get(f"/dev/mail/{key}/html")  # a letter is no page: its look is inline
    assert "Вы записаны" in framed.text
    assert "sandbox" in framed.headers["Content-Security-Policy"]
    assert "script" not in framed.headers["Content-Security-Policy"]
    assert visit_of(client.get(f"/dev/mail/{key}/calendar.ics").data)["STATUS"] == "CONFIRMED"
    for nothing in ("nothing", "..%2f..%2fsecret_key", f"{key}x"):
        assert client.get(f"/dev/mail/{nothing}").status_code == 404


@pytest.mark.parametrize("settings", [{"DEMO": False}, {"MAIL_SERVER": "mail.example.com"}], ids=["no demo", "mail"])
def test_outside_a_demo_there_is_no_mailbox(app, demo, client, monkeypatch, settings):
    for name, value in settings.items():
        monkeypatch.setitem(app.config, name, value)

    for path in ("/dev/mail", "/dev/mail/1", "/dev/mail/1/html", "/dev/mail/1/calendar.ics"):
        assert client.get(path).status_code == 404

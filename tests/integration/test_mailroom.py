"""The station's log of letters, samples of every kind, and for admins the mail server and the queue."""

import re
from dataclasses import replace

import dkim
import pytest
from redis import Redis
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from sqlalchemy import select

from tests import factories
from tests.conftest import ON_ONE_DATABASE
from tests.factories import ANNA, BORIS, booking, sign_in
from tests.keys import rsa_key
from tests.services import MailServer
from tirefit import i18n, jobs
from tirefit.booking.steps import cancel_booking
from tirefit.database import db
from tirefit.jobs import queues, tasks
from tirefit.models import AuditEntry, BookingEvent, Notification
from tirefit.notifications import samples, summaries
from tirefit.notifications.kinds import EVERY_KIND
from tirefit.web import letter_words

LOG = "/manage/zimnyaya-5/notifications"


@pytest.fixture
def manager(client, olga):
    return sign_in(client, olga)


@pytest.fixture
def admin(client, station):
    return sign_in(client, factories.user("Админ", "admin@example.com", "admin"))


@pytest.fixture
def failed(station, smtp):
    """Анна's letter was refused for good; the station's has left."""
    booked = booking(station, "2026-11-03 10:30")
    smtp.refuse_next = ["550 5.1.1 no such user"]
    tasks.drain_letters()
    smtp.forget()
    return booked


def states():
    db.session.rollback()
    return db.session.scalars(select(Notification.state).order_by(Notification.id)).all()


# --- the log


def test_the_log_tells_what_became_of_each_letter_and_to_whom_without_telling_the_address(manager, failed):
    page = manager.get(LOG).text

    assert "a***@example.com" in page and ANNA.email not in page
    assert "такого ящика нет" in page and "550 5.1.1 no such user" in page
    assert f"/manage/zimnyaya-5/bookings/{failed.number}" in page
    counts = re.findall(r'notifications(?:\?state=(\w+))?"[^>]*>[^<]*<span class="muted">(\d+)', page)
    assert dict(counts) == {"": "2", "pending": "0", "sent": "1", "failed": "1", "cancelled": "0"}
    assert "Повторить все" not in page and "Повторить все (1)" in manager.get(f"{LOG}?state=failed").text


def test_a_letter_that_failed_is_sent_once_more_and_only_once(manager, failed, smtp):
    letter = db.session.scalars(select(Notification).where(Notification.state == "failed")).one()

    for _ in range(2):
        assert manager.post(f"{LOG}/resend", data={"letter": letter.id}).status_code == 303
    assert tasks.drain_letters() == 1

    assert smtp.messages[0]["Message-ID"] == f"<{letter.message_id}@localhost>"
    assert states() == ["sent", "sent"]
    events = db.session.scalars(select(BookingEvent.event)).all()
    assert events.count("letter_resent") == 1


def test_a_summary_that_failed_is_sent_once_more_and_the_trail_says_by_whom(client, station, olga, at, smtp):
    at("18:00")
    manager = sign_in(client, olga)
    summaries.write_due_summaries()
    smtp.refuse_next = ["550 5.1.1 no such user"] * 9
    tasks.drain_letters()
    smtp.forget()
    letter = db.session.scalars(select(Notification).where(Notification.state == "failed")).first()

    manager.post(f"{LOG}/resend", data={"letter": letter.id})
    tasks.drain_letters()

    assert [message["To"] for message in smtp.messages] == [letter.recipient]
    (entry,) = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "letter_resent"))
    assert (entry.user_id, entry.label) == (olga.id, letter.topic)


def test_all_that_failed_are_sent_once_more_but_not_what_is_no_longer_true(manager, station, failed, smtp):
    other = booking(station, "2026-11-03 12:00", BORIS)
    smtp.refuse_next = ["550 5.1.1 no such user"] * 2
    tasks.drain_letters()
    cancel_booking(other.id, actor="user")
    tasks.drain_letters()
    smtp.forget()

    manager.post(f"{LOG}/resend")
    tasks.drain_letters()

    assert [message["To"] for message in smtp.messages] == [ANNA.email]
    assert states().count("failed") == 0
    assert "ни одно письмо не ждёт повтора" in manager.post(f"{LOG}/resend", follow_redirects=True).text


def test_letters_of_another_station_cannot_be_reached(client, stranger, failed):
    sign_in(client, stranger)
    letter = db.session.scalars(select(Notification).where(Notification.state == "failed")).one()

    assert client.post("/manage/letnyaya-7/notifications/resend", data={"letter": letter.id}).status_code == 404
    client.post("/manage/letnyaya-7/notifications/resend")
    assert states() == ["failed", "sent"]


def test_a_long_log_has_pages(manager, station, monkeypatch):
    monkeypatch.setattr("tirefit.notifications.log.A_PAGE", 2)
    booking(station, "2026-11-03 10:30")
    booking(station, "2026-11-03 12:00", BORIS)

    first = manager.get(LOG).text
    older = re.search(r'href="([^"]+before=\d+)"', first)[1]

    assert first.count("b***@") == 1 and "a***@" not in first
    assert manager.get(older).text.count("a***@") == 1


def test_log_and_board_say_that_letters_do_not_leave_and_stop_saying_it(manager, station, at):
    booking(station, "2026-11-03 10:30")
    for moment, told in (("09:29", False), ("09:40", True)):
        at(moment)
        for page in (LOG, "/board/zimnyaya-5/2026-11-02"):
            assert ("Письма не уходят уже" in manager.get(page).text) == told, (moment, page)

    tasks.drain_letters()

    assert "Письма не уходят" not in manager.get(LOG).text


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("550 5.1.1 <x> user unknown", "такого ящика нет"),
        ("552 5.2.2 mailbox full", "ящик переполнен"),
        ("451 4.2.0 greylisted", "почтовый сервер просит повторить позже"),
        ("554 5.7.1 rejected as spam", "почтовый сервер счёл письмо нежелательным"),
        ("535 5.7.8 Authentication failed", "почтовый сервер не принял имя или пароль"),
        ("TimeoutError: timed out", "почтовый сервер не отвечает"),
        ("ConnectionRefusedError: [Errno 111] Connection refused", "нет связи с почтовым сервером"),
        ("KeyError", "отправить не получилось"),
    ],
)
def test_errors_are_told_in_words(app, error, words):
    with app.test_request_context():
        assert letter_words.meaning(error) == words


# --- samples


@ON_ONE_DATABASE
@pytest.mark.parametrize("locale", i18n.LANGUAGES)
def test_every_kind_can_be_looked_at_in_every_language(station, locale):
    for kind in EVERY_KIND:
        message = samples.compose(kind, station, locale, "olga@example.com")
        assert message.subject and message.body and f'lang="{locale}"' in message.html
        assert len(message.html.encode()) < 20_000
        if locale == "en":
            own = set(re.findall("[А-Яа-яёЁіїєґ]+", message.body))
            assert own <= {"Зимняя", "ул", "Киев", "АА", "ВС"}, (kind, own)
    assert not db.session.new


def test_managers_see_samples_in_a_frame_that_may_do_nothing(manager, station):
    page = manager.get(f"{LOG}/preview?kind=booking_reminder_day&locale=uk")
    assert "Нагадування:" in page.text and "Администратору" not in page.text
    assert "frame-src 'self'" in page.headers["Content-Security-Policy"]

    answer = manager.get(f"{LOG}/preview.html?kind=booking_reminder_day&locale=uk")
    assert "Приїду" in answer.text and "sandbox" in answer.headers["Content-Security-Policy"]
    assert manager.get(f"{LOG}/preview?kind=%00&locale=../x").status_code == 200


def test_a_sample_goes_to_whoever_asks_and_the_servers_answer_is_shown(manager, smtp):
    page = manager.post(f"{LOG}/preview?kind=booking_reminder_soon&locale=en").text

    assert "Почтовый сервер принял письмо для olga@example.com" in page and "250 kept" in page
    assert [recipients for _, recipients in smtp.envelopes] == [["olga@example.com"]]
    assert smtp.messages[0]["Subject"].startswith("Today at 14:00")


def test_nobody_fills_their_own_mailbox_by_accident(manager, smtp, monkeypatch):
    monkeypatch.setattr(samples, "SAMPLES", replace(samples.SAMPLES, most=2))
    for _ in range(samples.SAMPLES.most):
        manager.post(f"{LOG}/preview")

    assert manager.post(f"{LOG}/preview").status_code == 429
    assert len(smtp.messages) == samples.SAMPLES.most


# --- the mail server


def test_admins_see_what_the_mail_server_really_says(admin, smtp):
    assert "250 kept" in admin.post("/admin/mail").text
    assert smtp.messages[0]["Subject"] == "TireFit: проверка почты"

    smtp.refuse_next = ["554 5.7.1 your domain is on a list"]
    page = admin.post("/admin/mail").text
    assert "554 5.7.1 your domain is on a list" in page and "счёл письмо нежелательным" in page
    smtp.stop()
    try:
        assert "нет связи с почтовым сервером" in admin.post("/admin/mail").text
    finally:
        smtp.start()


def test_the_password_of_the_mail_server_is_shown_nowhere(admin, app, monkeypatch):
    monkeypatch.setitem(app.config, "MAIL_PASSWORD", "swordfish")

    assert "swordfish" not in admin.get("/admin/mail").text


class Keeper(MailServer):
    """Keeps letters as the bytes that they were."""

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 (aiosmtpd calls it so)
        self.raw = envelope.content
        return "250 kept"


@ON_ONE_DATABASE
def test_letters_are_signed_where_there_is_a_key_and_nobody_can_change_them(app, station, monkeypatch, tmp_path):
    key = rsa_key()
    (tmp_path / "dkim.pem").write_text(key.pem)
    monkeypatch.setitem(app.config, "DKIM_KEY_FILE", str(tmp_path / "dkim.pem"))
    server = Keeper()
    monkeypatch.setattr(app.extensions["mail"], "port", server.port)
    asked = []

    def dns(name, timeout=5):
        asked.append(name)
        return f"v=DKIM1; k=rsa; p={key.public_text}".encode()

    booking(station, "2026-11-03 10:30")
    try:
        tasks.drain_letters()
    finally:
        server.close()

    assert dkim.verify(server.raw, dnsfunc=dns, minkey=1024)
    assert asked == [b"tirefit._domainkey.localhost."]
    assert not dkim.verify(
        server.raw.replace(b"Content-Type: text/plain", b"Content-Type: text/html", 1), dnsfunc=dns, minkey=1024
    )


# --- the queue


@pytest.fixture
def broken_job(app, redis_url):
    """A job that has failed in a real queue."""
    with Redis.from_url(redis_url) as redis:
        redis.flushdb()
        queue = jobs.queue(jobs.LETTERS, redis)
        job = queue.enqueue("tirefit.jobs.tasks.nothing_of_that_name", failure_ttl=600)
        SimpleWorker([queue], connection=redis, serializer=JSONSerializer).work(burst=True, logging_level="CRITICAL")
        yield job.id


def test_admins_see_what_has_failed_and_try_it_again_or_forget_it(admin, app, broken_job):
    page = admin.get("/admin/queue").text
    assert "nothing_of_that_name" in page and "с ошибкой: 1" in page
    assert "Ни один worker не слушает" in page

    assert admin.post("/admin/queue", data={"job": broken_job, "do": "retry"}).status_code == 303
    (letters, *_others) = queues.overview().lines
    assert (letters.waiting, letters.failed) == (1, [])
    assert (
        "Этого задания уже нет"
        in admin.post("/admin/queue", data={"job": broken_job, "do": "delete"}, follow_redirects=True).text
    )


def test_a_failed_job_can_be_forgotten(admin, broken_job):
    admin.post("/admin/queue", data={"job": broken_job, "do": "delete"})

    assert queues.overview().lines[0].failed == []


def test_a_queue_that_is_away_is_said_to_be_away(admin, app, monkeypatch, tmp_path):
    away = jobs.queue(jobs.LETTERS, Redis.from_url(f"unix://{tmp_path}/nobody.sock", **jobs.IMPATIENT))
    monkeypatch.setitem(app.extensions, "tirefit-doorbell", away)
    assert "Redis не отвечает" in admin.get("/admin/queue").text
    assert admin.post("/admin/queue", data={"job": "x"}).status_code == 303

    monkeypatch.setitem(app.extensions, "tirefit-doorbell", None)
    assert "Очереди нет" in admin.get("/admin/queue").text

"""Reminders, thanks, the evening letter, alarms: each leaves when its time has come, once, and only if it is true."""

import re
from datetime import date, datetime, timedelta

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from tests import factories
from tests.factories import ANNA, BORIS, booking, kyiv
from tirefit import clock
from tirefit.booking.commands import Customer, reschedule_booking
from tirefit.booking.states import CUSTOMER, USER
from tirefit.booking.steps import cancel_booking, confirm_coming, restore_booking, transition_booking, undo_transition
from tirefit.database import command, db
from tirefit.jobs import tasks
from tirefit.models import Booking, BookingEvent, Notification, ServicePoint
from tirefit.notifications import alerts, outbox, reminders, summaries
from tirefit.schedule import changes

DAY, SOON, THANKS = "booking_reminder_day", "booking_reminder_soon", "booking_completed"
MINUTE = timedelta(minutes=1)


def leave_now():
    """What leaves when the minute's job has run: the kinds, in order."""
    reminders.write_what_is_due()
    left = []
    while letter := outbox.claim():
        outbox.mark_sent(letter.id, letter.lease)
        left.append(letter.kind)
    return left


def courtesies(*kinds):
    return [row.kind for row in rows() if row.kind in (kinds or (DAY, SOON, THANKS))]


def rows(**by):
    db.session.rollback()
    return db.session.scalars(select(Notification).filter_by(**by).order_by(Notification.id)).all()


@command
def change(thing, **values):
    for name, value in values.items():
        setattr(db.session.get_one(type(thing), thing.id), name, value)


@pytest.fixture
def wednesday(station):
    """Booked on Monday at nine for Wednesday, half past ten; what is sent about that has left."""
    made = booking(station, "2026-11-04 10:30")
    leave_now()
    return made


# --- when


def test_the_day_before_at_eight_and_two_hours_before_each_leaves_once(wednesday, at):
    for moment in ("2026-11-03 07:59", "2026-11-03 08:00", "2026-11-03 08:01", "2026-11-04 08:29", "2026-11-04 08:30"):
        at(moment)
        expected = {"2026-11-03 08:00": [DAY], "2026-11-04 08:30": [SOON]}.get(moment, [])
        assert leave_now() == expected, moment
        assert leave_now() == []

    assert [row.due_at for row in rows(kind=DAY) + rows(kind=SOON)] == [
        kyiv("2026-11-03 08:00"),
        kyiv("2026-11-04 08:30"),
    ]


def test_eight_is_eight_by_the_stations_clock(app, at):
    almaty = factories.station(time_zone="Asia/Almaty")  # three hours ahead of Kyiv
    booking(almaty, "2026-11-04 09:00")
    leave_now()

    at("2026-11-03 04:59")
    assert leave_now() == []
    at("2026-11-03 05:00")
    assert leave_now() == [DAY]


@pytest.mark.parametrize(
    ("friday", "sunday", "two_hours_before"),
    [
        ("2027-03-26", "2027-03-28 05:00", "00:00"),  # at three it is four: five o'clock is two in UTC
        ("2027-10-29", "2027-10-31 05:00", "01:00"),  # at four it is three: five o'clock is three
    ],
)
def test_two_hours_before_are_two_hours_when_the_clock_changes_between(app, at, friday, sunday, two_hours_before):
    at(f"{friday} 09:00")
    always = factories.station("kruglosutochnaya")
    day_and_night = [(day, 0, 1440) for day in range(7)]
    changes.save_template(always.id, day_and_night, name="Всегда", valid_from=date.fromisoformat(friday))
    booking(always, sunday)
    leave_now()
    moment = datetime.fromisoformat(f"{sunday.split()[0]}T{two_hours_before}+00:00")

    at(kyiv(f"{sunday.split()[0]} 00:00") - timedelta(hours=16))
    assert leave_now() == [DAY]
    at(moment - MINUTE)
    assert leave_now() == []
    at(moment)
    assert leave_now() == [SOON]


@pytest.mark.parametrize(
    ("made_at", "visit", "gets"),
    [
        ("2026-11-02 09:00", "2026-11-03 10:30", [SOON]),  # its day's eight o'clock has passed
        ("2026-11-02 09:00", "2026-11-02 11:00", [SOON]),  # exactly two hours before
        ("2026-11-02 09:01", "2026-11-02 11:00", []),
        ("2026-11-02 07:59", "2026-11-03 10:30", [DAY, SOON]),
    ],
)
def test_who_books_late_is_not_reminded_of_what_they_have_just_done(station, at, made_at, visit, gets):
    at(made_at)
    booking(station, visit)
    eight = kyiv(f"{visit.split()[0]} 08:00") - timedelta(days=1)
    moments = (eight, eight + MINUTE, kyiv(visit) - timedelta(hours=2), kyiv(visit) - timedelta(hours=1), kyiv(visit))
    for moment in moments:
        if moment >= kyiv(made_at):
            at(moment)
            leave_now()

    assert courtesies() == gets


def test_what_nobody_was_there_to_send_is_sent_later_but_not_after_the_visit_began(station, at):
    booking(station, "2026-11-04 10:30", ANNA)
    booking(station, "2026-11-04 15:00", BORIS)
    leave_now()

    at("2026-11-04 10:31")  # nobody has looked since Monday

    assert leave_now() == [DAY]  # Борис comes in the afternoon; Анна's visit has begun
    at("2026-11-04 13:00")
    assert leave_now() == [SOON]


def test_one_that_waits_for_the_mail_server_does_not_leave_after_the_visit_began(wednesday, at):
    at("2026-11-04 08:30")
    reminders.write_what_is_due()
    at("2026-11-04 10:30")

    assert outbox.claim() is None
    (row,) = rows(kind=SOON)
    assert (row.state, row.last_error) == ("cancelled", outbox.TOO_LATE)


def test_two_that_look_at_once_write_each_letter_once(wednesday, at):
    at("2026-11-03 08:00")
    reminders.write_what_is_due()
    reminders.write_what_is_due()

    assert courtesies() == [DAY]


# --- to whom, and of what


@pytest.mark.parametrize(
    "event",
    [
        lambda made: cancel_booking(made.id, actor=CUSTOMER),
        lambda made: cancel_booking(made.id, actor=USER),
        lambda made: reschedule_booking(made.id, actor=USER, starts_at=kyiv("2026-11-06 12:00")),
        lambda made: transition_booking(made.id, "arrive"),
        lambda made: transition_booking(made.id, "no_show"),
    ],
    ids=["customer cancels", "station cancels", "moved away", "is here", "did not come"],
)
@pytest.mark.parametrize("when", ["before it is written", "before it is claimed"])
def test_nobody_is_reminded_of_what_is_no_longer_so(wednesday, at, event, when):
    at("2026-11-04 08:30")
    if when == "before it is claimed":
        reminders.write_what_is_due()
    event(wednesday)

    assert SOON not in leave_now()


def test_a_visit_that_was_moved_or_restored_is_reminded_of_at_its_new_time(station, wednesday, at):
    reschedule_booking(wednesday.id, actor=CUSTOMER, starts_at=kyiv("2026-11-05 12:00"))
    other = booking(station, "2026-11-05 14:00", BORIS)
    cancel_booking(other.id, actor=CUSTOMER)
    restore_booking(other.id, actor=CUSTOMER)
    leave_now()

    at("2026-11-04 08:00")
    assert leave_now() == [DAY, DAY]
    at("2026-11-04 08:05")
    reschedule_booking(other.id, actor=USER, starts_at=kyiv("2026-11-05 16:00"))
    assert leave_now() == ["booking_rescheduled"]  # they have just been told
    at("2026-11-05 10:00")
    assert leave_now() == [SOON]


def test_a_visit_that_is_shifted_without_a_word_is_reminded_of_when_its_new_time_comes(wednesday, at):
    at("2026-11-03 08:00")
    leave_now()
    at("2026-11-04 08:30")
    reminders.write_what_is_due()
    reschedule_booking(wednesday.id, actor=USER, starts_at=kyiv("2026-11-04 12:00"), tell_customer=False)

    assert leave_now() == []
    at("2026-11-04 10:00")
    assert leave_now() == [SOON]


def test_who_waits_for_the_stations_answer_left_no_address_or_is_not_to_be_reminded_gets_none(app, at):
    asking = factories.station(auto_confirm=False)
    booking(asking, "2026-11-04 10:30")
    quiet = factories.station("quiet", send_reminders=False, send_thanks=False)
    booking(quiet, "2026-11-04 10:30")
    booking(factories.station("other"), "2026-11-04 10:30", Customer("Борис", "+380501234567"))
    leave_now()

    for moment in ("2026-11-03 08:00", "2026-11-04 08:30"):
        at(moment)
        assert leave_now() == []


def test_an_owner_of_many_cars_gets_ten_letters_a_day_and_the_station_is_not_alarmed(station, at):
    for _ in range(2):
        for hour in (10, 11, 12, 13, 14, 15):
            park = Customer("Парк", "+380671234567", "park@example.com")
            booking(station, f"2026-11-05 {hour}:00", park, services=("Ремонт прокола",))
    at("2026-11-04 08:00")
    leave_now()

    park = [row for row in rows(recipient="park@example.com") if row.kind == DAY]
    assert [row.state for row in park].count("sent") == 5
    assert {row.last_error for row in park if row.state == "cancelled"} == {outbox.TOO_MANY_LETTERS}


# --- thanks


def test_thanks_leave_an_hour_after_the_work_was_done(station, at):
    made = booking(station, "09:00")
    leave_now()
    for event in ("start", "complete"):
        transition_booking(made.id, event)

    at("09:59")
    assert leave_now() == []
    at("10:00")
    assert leave_now() == [THANKS]
    assert leave_now() == []


def test_a_tap_that_was_taken_back_thanks_nobody(station, at):
    made = booking(station, "09:00")
    leave_now()
    transition_booking(made.id, "start")
    transition_booking(made.id, "complete")
    undo_transition(made.id)

    at("10:00")
    assert leave_now() == []
    transition_booking(made.id, "complete")
    at("11:00")
    assert leave_now() == [THANKS]


def test_a_review_is_asked_for_where_the_station_wants_one(station, at, smtp):
    done = booking(station, "09:00")
    for event in ("start", "complete"):
        transition_booking(done.id, event)
    tasks.drain_letters()
    smtp.forget()
    change(station, review_url="https://maps.example.com/zimnyaya-5?review=1&x=2")

    at("10:00")
    tasks.booking_reminders()
    tasks.drain_letters()

    (letter,) = smtp.messages
    plain, html = (part.get_content() for part in letter.walk() if part.get_content_maintype() == "text")
    assert "https://maps.example.com/zimnyaya-5?review=1&x=2" in plain
    assert 'href="https://maps.example.com/zimnyaya-5?review=1&amp;x=2"' in html


# --- the customer answers


@pytest.fixture
def reminder(wednesday, at, smtp):
    """The reminder of the day before, as it arrived."""
    tasks.drain_letters()
    smtp.forget()
    at("2026-11-03 08:00")
    tasks.booking_reminders()
    tasks.drain_letters()
    (letter,) = smtp.messages
    return letter


def links_in(letter):
    plain = next(part for part in letter.walk() if part.get_content_type() == "text/plain").get_content()
    return {found[1]: found[0] for found in re.findall(r"https://tirefit\.test(/b/\S+(?:to=|/)(\w+))", plain)}


def test_the_answers_of_a_reminder_are_pages_with_buttons(client, wednesday, reminder):
    links = links_in(reminder)
    assert set(links) == {"come", "late", "move", "cancel", "reminders"}

    for way, words in {"come": "Приеду вовремя", "late": "на 20", "move": "Перенести", "cancel": "Почему?"}.items():
        page = client.get(links[way], follow_redirects=True)
        assert (page.status_code, words in page.text) == (200, True), way
    number = wednesday.number
    assert db.session.get_one(Booking, wednesday.id).coming_revision is None

    for _ in range(2):
        assert client.post(f"/b/{number}/come").status_code == 303
    now = db.session.get_one(Booking, wednesday.id)
    assert now.is_coming
    assert [event.event for event in now.events] == ["created", "come"]
    assert "Станция знает, что вы приедете" in client.get(f"/b/{number}").text


def test_the_board_shows_who_has_confirmed_until_the_visit_is_moved(client, wednesday, olga):
    confirm_coming(wednesday.id)
    factories.sign_in(client, olga)
    page = client.get(f"/board/zimnyaya-5/2026-11-04?b={wednesday.number}").text
    assert "Клиент подтвердил, что приедет" in page and "подтвердил, что приедет, клиент" in page

    reschedule_booking(wednesday.id, actor=USER, starts_at=kyiv("2026-11-04 14:00"))

    page = client.get(f"/board/zimnyaya-5/2026-11-04?b={wednesday.number}").text
    assert "Клиент подтвердил, что приедет" not in page


def test_a_mail_program_turns_reminders_off_with_one_click(app, wednesday, reminder, at):
    assert reminder["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = reminder["List-Unsubscribe"].removeprefix("<https://tirefit.test").removesuffix(">")
    program = FlaskClient(app)
    app.config["WTF_CSRF_ENABLED"] = True
    try:
        assert "Выключить напоминания?" in program.get(path).text
        assert not outbox.is_stopped(wednesday)
        for _ in range(2):
            answer = program.post(path, data={"List-Unsubscribe": "One-Click"})
            assert (answer.status_code, "Напоминания выключены" in answer.text) == (200, True)
    finally:
        app.config["WTF_CSRF_ENABLED"] = False

    at("2026-11-04 08:30")
    assert leave_now() == []
    cancel_booking(wednesday.id, actor=USER)
    assert leave_now() == ["booking_cancelled"]  # what they must know they are told
    events = db.session.scalars(select(BookingEvent.event).where(BookingEvent.booking_id == wednesday.id)).all()
    assert events.count("reminders_off") == 1


def test_reminders_can_be_wanted_again(client, wednesday, reminder, at):
    path = links_in(reminder)["reminders"]
    assert client.post(path).status_code == 303
    assert "Включить снова" in client.get(path).text
    assert client.post(path, data={"reminders": "on"}).status_code == 303

    at("2026-11-04 08:30")
    assert leave_now() == [SOON]


def test_a_reminder_that_was_written_before_the_click_does_not_leave(wednesday, at):
    at("2026-11-03 08:00")
    reminders.write_what_is_due()
    reminders.stop_letters(wednesday.id)

    assert leave_now() == []
    assert [(row.state, row.last_error) for row in rows(kind=DAY)] == [("cancelled", outbox.STOPPED)]


def test_letters_that_must_be_read_cannot_be_stopped(station, smtp):
    booking(station, "2026-11-04 10:30")
    tasks.drain_letters()

    assert [letter["List-Unsubscribe"] for letter in smtp.messages] == [None, None]


# --- the evening letter


def test_the_station_and_its_managers_learn_in_the_evening_who_comes_tomorrow(station, olga, ivan, at, smtp):
    change(olga, locale="en")
    booking(station, "2026-11-03 10:30")
    booking(station, "2026-11-03 09:00", BORIS)
    cancelled = booking(station, "2026-11-03 15:00", BORIS)
    cancel_booking(cancelled.id, actor=USER)
    tasks.drain_letters()
    smtp.forget()

    at("17:59")
    assert tasks.daily_summaries() == 0
    at("18:00")
    assert tasks.daily_summaries() == 2
    assert tasks.daily_summaries() == 0
    tasks.drain_letters()

    by_reader = {str(letter["To"]): letter for letter in smtp.messages}
    assert set(by_reader) == {"olga@example.com", "zimnyaya-5@example.com"}
    assert by_reader["zimnyaya-5@example.com"]["Subject"] == "Вт, 3 ноября: 2 записи — Зимняя, 5"
    assert by_reader["olga@example.com"]["Subject"] == "Tue, 3 November: 2 bookings — Зимняя, 5"
    plain = by_reader["zimnyaya-5@example.com"].get_body(("plain",)).get_content()
    assert plain.index("09:00") < plain.index("10:30") and "15:00" not in plain and "Борис" in plain


@pytest.mark.parametrize("database", ["sqlite"])
def test_the_letter_about_a_full_day_stays_small_and_says_how_many_it_does_not_list(app, at, smtp):
    station = factories.station(posts=(30,) * 3)
    for number in range(summaries.MOST_LISTED + 4):
        time = f"2026-11-03 {9 + number // 6:02}:{number // 3 % 2 * 30:02}"
        booking(station, time, Customer(f"Анна {number}", f"+38067123{number:04}"), services=("Балансировка",))
    at("18:00")
    tasks.daily_summaries()
    tasks.drain_letters()

    letter = smtp.messages[-1]
    html = letter.get_body(("html",)).get_content()
    assert len(html.encode()) < 20_000
    assert "Анна 29" in html and "Анна 30" not in html and "и ещё 4 записи" in html
    assert "Анна 33" in letter.get_body(("plain",)).get_content()


def test_no_letter_about_a_day_off_or_to_who_wants_none(app, at):
    factories.station(send_summary=False)
    sleepy = factories.station("sunday")
    at("2026-11-07 18:00")  # Saturday

    assert summaries.write_due_summaries() == 0
    at("2026-11-08 18:00")  # closed on Sunday, and Monday is open
    assert summaries.write_due_summaries() == 1
    assert [(row.topic, row.service_point_id) for row in rows()] == [("sunday 2026-11-09", sleepy.id)]


def test_an_evening_that_nobody_sent_is_made_good_for_six_hours(station, at):
    at("23:59")
    assert summaries.write_due_summaries() == 1
    at("2026-11-04 00:01")
    assert summaries.write_due_summaries() == 0


# --- alarms


@pytest.fixture
def admin(app):
    return factories.user("Админ", "admin@example.com", "admin")


def test_admins_are_told_once_a_day_that_letters_do_not_leave(station, admin, at, smtp):
    booking(station, "2026-11-05 10:30")
    at("09:29")
    assert tasks.look_after_ourselves() == []
    at("09:30")
    assert tasks.look_after_ourselves() == ["letters"]
    at("09:35")
    assert tasks.look_after_ourselves() == ["letters"]
    assert [(row.recipient, row.topic) for row in rows(kind="system_alert")] == [
        ("admin@example.com", "letters 2026-11-02")
    ]

    tasks.drain_letters()

    alarm = next(letter for letter in smtp.messages if letter["To"] == "admin@example.com")
    assert alarm["Subject"] == "TireFit: письма не уходят"
    assert "2 письма ждут отправки 30 мин, и ни одно не ушло" in alarm.get_body(("plain",)).get_content()
    assert tasks.look_after_ourselves() == []


def test_nobody_is_alarmed_while_letters_leave_however_many_wait(station, admin, at):
    for hour in (10, 12):
        booking(station, f"2026-11-05 {hour}:30")
    at("09:29")
    letter = outbox.claim()
    outbox.mark_sent(letter.id, letter.lease)
    at("09:31")

    assert alerts.write_alerts() == []
    at("10:00")
    assert alerts.write_alerts() == ["letters"]


def test_admins_are_told_when_days_are_not_opened(station, admin, at):
    change(station, slots_until=db.session.get_one(ServicePoint, station.id).slots_until - timedelta(days=2))

    assert alerts.write_alerts() == ["horizon"]
    assert rows()[0].facts == {"cause": "horizon", "count": 1, "stations": ["Зимняя, 5"]}


def test_admins_are_told_when_nothing_keeps_a_time_from_being_sold_twice(station, admin, monkeypatch):
    monkeypatch.setattr(alerts, "overlap_guard_is_there", lambda connection: False)

    assert tasks.look_after_ourselves() == ["guard"]
    letter = outbox.claim()
    assert (letter.kind, letter.facts) == ("system_alert", {"cause": "guard"})


def test_an_alarm_that_is_a_day_old_is_not_sent_any_more(station, admin, at, monkeypatch):
    monkeypatch.setattr(alerts, "overlap_guard_is_there", lambda connection: False)
    alerts.write_alerts()
    at(clock.now() + timedelta(days=1))

    assert outbox.claim() is None
    assert [row.state for row in rows()] == ["failed"]


def test_a_letter_of_no_booking_is_tried_again_like_any_other(station, admin, at, monkeypatch):
    monkeypatch.setattr(alerts, "overlap_guard_is_there", lambda connection: False)
    alerts.write_alerts()
    letter = outbox.claim()
    outbox.retry_later(letter.id, letter.lease, "451 later")

    assert outbox.claim() is None
    at(clock.now() + MINUTE)
    assert outbox.claim().message_id == letter.message_id

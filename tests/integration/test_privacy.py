"""What is kept about a customer, told to them, and forgotten: then they are nowhere, and the visit counts."""

import json
import logging
import re
from datetime import timedelta

import pytest
from flask import current_app
from redis import Redis
from sqlalchemy import select

from tests.conftest import ON_ONE_DATABASE
from tests.factories import booking, kyiv, sign_in
from tirefit.booking import at_the_gate, privacy
from tirefit.booking.commands import Customer
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import db
from tirefit.errors import StillNeeded
from tirefit.finding import Wanted, find_bookings
from tirefit.jobs import tasks
from tirefit.models import Booking, BookingEvent, Notification, WaitingVisit
from tirefit.notifications import reminders
from tirefit.notifications.outbox import claim, is_stopped, mark_failed, mark_sent
from tirefit.schedule.reservations import new_token

CANARY = Customer(name="Канарейка", phone="+380939876543", email="kanareyka@example.com")
PLATE = "КН 9876 РЕ"
TRACES = ("канарейка", "9876543", "3456789", "kanareyka", "9876", "щебечет", "передумала совсем")


@pytest.fixture
def key():
    return new_token()


@pytest.fixture
def visit(station, key):
    return booking(station, "12:00", CANARY, token=key, plate=PLATE, notes="щебечет")


def everywhere():
    """Every value of every row of every table, as one text in small letters."""
    db.session.rollback()
    rows = (row for table in db.metadata.sorted_tables for row in db.session.execute(select(table)).all())
    return json.dumps([[str(value) for value in row] for row in rows], ensure_ascii=False).lower()


def found_in(text):
    return [trace for trace in TRACES if trace in text]


def test_a_forgotten_customer_is_nowhere_and_the_visit_still_counts(station, visit):
    letter = claim()
    mark_failed(letter.id, letter.lease, f"550 no such mailbox: {CANARY.email}")
    reminders.stop_letters(visit.id)
    cancel_booking(visit.id, actor="customer", reason="передумала совсем")
    assert found_in(everywhere())

    privacy.forget(visit.id, actor="customer")
    privacy.forget(visit.id, actor="customer")  # the same wish twice

    assert found_in(everywhere()) == []
    left = db.session.get_one(Booking, visit.id)
    assert (left.status, left.total_price) == ("cancelled_by_customer", visit.total_price)
    assert db.session.scalars(select(BookingEvent.event).order_by(BookingEvent.id)).all()[-1] == "forgotten"
    assert find_bookings(station, Wanted("Канарейка")).total == 0
    assert find_bookings(station, Wanted(visit.number)).total == 1


def test_letters_that_wait_are_not_sent_to_who_is_forgotten_and_sent_ones_stay_sent(station, visit):
    first = claim()
    mark_sent(first.id, first.lease)
    cancel_booking(visit.id, actor="customer")
    of_visit = select(Notification.id, Notification.state).where(Notification.booking_id == visit.id)
    before = dict(db.session.execute(of_visit).all())
    assert {"pending", "sent"} <= set(before.values())

    privacy.forget(visit.id, actor="customer")

    db.session.rollback()
    after = dict(db.session.execute(of_visit).all())
    assert after == {id: "cancelled" if state == "pending" else state for id, state in before.items()}


def test_who_wants_no_reminders_gets_none_while_another_visit_of_theirs_is_known(station, visit):
    other = booking(station, "2026-11-03 12:00", CANARY)
    reminders.stop_letters(visit.id)
    cancel_booking(visit.id, actor="customer")

    privacy.forget(visit.id, actor="customer")

    assert is_stopped(db.session.get_one(Booking, other.id))


def test_a_visit_that_is_ahead_cannot_be_forgotten(visit):
    with pytest.raises(StillNeeded):
        privacy.forget(visit.id, actor="customer")

    assert db.session.get_one(Booking, visit.id).customer_name == CANARY.name


def test_old_visits_lose_their_customers_by_themselves(station, visit, at, olga):
    booking(station, "2026-11-03 10:00", Customer("Боря", "+380501112233", None), plate="АВ 1111 АВ")
    days = current_app.config["RETENTION_DAYS"]
    at(visit.ends_at + timedelta(days=days))
    assert tasks.forget_old_customers() == 0  # not a second too early
    at(visit.ends_at + timedelta(days=days, seconds=1))

    assert tasks.forget_old_customers() == 1
    assert tasks.forget_old_customers() == 0

    assert found_in(everywhere()) == []
    assert "боря" in everywhere()


def test_nothing_is_forgotten_where_it_is_switched_off(visit, at):
    at(visit.ends_at + timedelta(days=20_000))

    assert privacy.forget_old(0) == 0


def test_who_waited_at_the_gate_is_forgotten_too(station, at):
    at_the_gate.let_wait(station.id, [1], 1, nonce=new_token(), plate=PLATE, phone=CANARY.phone)
    at(kyiv("09:00") + timedelta(days=3))

    privacy.forget_old(2)

    assert found_in(everywhere()) == []
    assert db.session.scalars(select(WaitingVisit.plate)).all() == [""]


@pytest.mark.parametrize("known", [{"plate": PLATE}, {"phone": CANARY.phone}], ids=list)
def test_whatever_is_known_of_who_waited_is_forgotten_but_not_too_early(station, at, known):
    at_the_gate.let_wait(station.id, [1], 1, nonce=new_token(), **known)
    at(kyiv("09:00") + timedelta(days=2))
    privacy.forget_old(2)
    assert found_in(everywhere())

    at(kyiv("09:00") + timedelta(days=2, seconds=1))
    privacy.forget_old(2)
    assert found_in(everywhere()) == []


def test_the_customer_takes_everything_along_and_nothing_of_anybody_else(client, station, visit, key):
    other = Customer("Соседка", "+380501112299", "sosedka@example.com")
    booking(station, "12:00", other, plate="ОТ 7777 ЕР", notes="у соседки")
    client.get(f"/b/{key}")

    answer = client.get(f"/b/{visit.number}/data.json")

    assert answer.headers["Content-Disposition"] == f'attachment; filename="tirefit-{visit.number}.json"'
    (told,) = answer.json["bookings"]
    for name in privacy.PERSONAL:
        assert told[name] == getattr(visit, name)
    assert told["starts_at"] == "2026-11-02T10:00:00+00:00"
    assert [change["what"] for change in told["changes"]] == ["created"]
    assert [letter["to"] for letter in told["letters"]] == [CANARY.email]
    by_phone = current_app.test_cli_runner().invoke(args=["customer", "export", CANARY.phone]).output
    for file in (answer.text, by_phone):
        said = json.dumps(json.loads(file), ensure_ascii=False).lower()
        assert "канарейка" in said
        assert [trace for trace in ("сосед", "1112299", "sosedka", "7777") if trace in said] == []


def test_the_customer_erases_a_visit_that_is_over(client, station, visit, key):
    client.get(f"/b/{key}")
    early = client.post(f"/b/{visit.number}/erase")
    assert early.status_code == 409
    assert "Сначала отмените её" in early.text
    cancel_booking(visit.id, actor="customer")

    answer = client.post(f"/b/{visit.number}/erase")

    assert (answer.status_code, answer.location) == (303, "/privacy?s=zimnyaya-5&erased=1")
    assert "Данные удалены" in client.get(answer.location).text
    assert found_in(everywhere()) == []
    assert client.get(f"/b/{key}").status_code == 410


def test_the_station_sees_a_visit_without_a_name(app, client, station, visit, olga):
    for event in ("arrive", "start", "complete"):
        transition_booking(visit.id, event)
    privacy.forget(visit.id, actor="user", user_id=olga.id)

    page = sign_in(client, olga).get(f"/board/zimnyaya-5/2026-11-02?b={visit.number}")

    assert page.status_code == 200
    assert "данные клиента удалены" in page.text
    assert found_in(page.text.lower()) == []


def test_the_command_line_tells_and_forgets(station, visit):
    flask = current_app.test_cli_runner().invoke
    told = json.loads(flask(args=["customer", "export", CANARY.phone]).output)
    assert [each["number"] for each in told["bookings"]] == [visit.number]
    refused = flask(args=["customer", "forget", CANARY.phone])
    assert (refused.exit_code, visit.number in refused.output) == (1, True)
    cancel_booking(visit.id, actor="user")

    assert flask(args=["customer", "forget", CANARY.phone]).exit_code == 0
    assert found_in(everywhere()) == []
    assert json.loads(flask(args=["customer", "export", CANARY.phone]).output)["bookings"] == []


def test_neither_log_nor_strangers_page_names_a_customer(app, client, station, visit, key, caplog):
    caplog.set_level(logging.DEBUG)
    for path in (f"/b/{key}", f"/b/{visit.number}", f"/b/{visit.number}/move", f"/b/{visit.number}/data.json"):
        client.get(path)
    client.post("/find", data={"email": CANARY.email})
    client.post("/find", data={"email": "not an address"})
    client.post(f"/b/{visit.number}/plate", data={"plate": PLATE})
    tasks.drain_letters()
    cancel_booking(visit.id, actor="customer")

    said = [record.getMessage().lower() for record in caplog.records if record.name != "mail.log"]  # the test's server
    assert said and not any(map(found_in, said))
    stranger = app.test_client()
    for path in ("/", "/s/zimnyaya-5", f"/b/{visit.number}", "/find", "/privacy", "/api/v1/service_points"):
        assert found_in(stranger.get(path).text.lower()) == []


@ON_ONE_DATABASE
def test_no_address_that_strangers_may_ask_names_a_customer(app, visit, key, redis_url):
    """Every route, whatever it answers to strangers: pages, refusals, files, calendars, the API; and what Redis has."""
    tasks.drain_letters()
    parts = {
        "slug": "zimnyaya-5",
        "s": "zimnyaya-5",
        "number": visit.number,
        "token": new_token(),
        "section": "station",
    }
    parts |= {"day": "2026-11-02", "date": "2026-11-02", "filename": "tirefit.css", "name": "load", "key": "1"}
    names = ("канарейка", "kanareyka", "9876543", "кн 9876", "щебечет")
    stranger, asked = app.test_client(), 0
    for rule in app.url_map.iter_rules():
        address = re.sub(r"<(?:\w+:)?(\w+)>", lambda part: parts.get(part[1], "1"), rule.rule)
        for method in rule.methods & {"GET", "POST", "PUT", "PATCH", "DELETE"}:
            with stranger.open(address, method=method) as answer:
                told = f"{answer.headers} {answer.get_data(as_text=True)}".lower()
            assert not [name for name in names if name in told], (method, address)
            asked += 1
    assert asked > 100
    with Redis.from_url(redis_url) as redis:
        kept = " ".join(str(redis.dump(name)) for name in redis.scan_iter()).lower()
    assert not [name for name in names if name in kept]


def test_more_are_forgotten_again_than_one_question_can_name(station):
    """SQLite takes 32,766 values in one, PostgreSQL 65,535."""
    made = booking(station, "10:00")
    cancel_booking(made.id, actor=USER)

    again = privacy.forget_again({made.number, *(f"X{number:05}" for number in range(70_000))})

    assert again == (1, [])
    db.session.expire_all()
    assert db.session.get_one(Booking, made.id).customer_name == ""

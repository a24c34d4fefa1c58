"""The journal: every change leaves its trace, in the transaction of the change, readable as a sentence."""

import os
import re
from pathlib import Path

import pytest
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError

from tests.conftest import TRIALS
from tests.factories import booking, kyiv, sign_in, user
from tirefit import audit, bays, tokens
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.states import USER
from tirefit.booking.steps import show_phone
from tirefit.database import WRITE, command, db
from tirefit.errors import PostNumberTaken
from tirefit.models import AuditEntry, Booking, BookingEvent
from tirefit.schedule import changes
from tirefit.web import audit_words
from tirefit.web.settings import FORMS

MANY = 50_000 if TRIALS else 5_000

JOURNAL = "/manage/zimnyaya-5/audit"


def lengthen(post, minutes, by):
    changes.update_post(
        post.id,
        post_number=post.post_number,
        slot_duration=minutes,
        name="",
        description="",
        active=True,
        user_id=by.id,
    )


def words_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page))


def test_a_change_leaves_who_what_and_only_what_differs(station, olga):
    post = station.posts[1]
    lengthen(post, 50, olga)

    entry = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()

    assert (entry.user_id, entry.service_point_id, entry.event, entry.thing_id) == (
        olga.id,
        station.id,
        "post_changed",
        str(post.id),
    )
    assert (entry.before, entry.after) == ({"slot_duration": 40}, {"slot_duration": 50})


def test_what_changes_nothing_or_is_refused_leaves_no_trace(station, olga):
    post = station.posts[1]
    lengthen(post, 40, olga)
    with pytest.raises(PostNumberTaken):
        changes.create_post(station.id, post_number=2, slot_duration=30, user_id=olga.id)

    assert not db.session.scalars(select(AuditEntry.id).where(AuditEntry.kind == "post")).all()


def test_the_page_tells_changes_and_bookings_as_sentences(client, station, olga, at):
    anna = booking(station, "12:00", plate="АА 1234 ВС")
    at("09:24")
    reschedule_booking(anna.id, actor=USER, starts_at=kyiv("14:00"), post_number=2, user_id=olga.id)
    at("09:30")
    lengthen(station.posts[0], 45, olga)
    changes.close_day(station.id, kyiv("2026-11-20 12:00").date(), "Ремонт", user_id=olga.id)
    bays.pair(bays.offer_code(station.posts[0].id, user_id=olga.id), "192.0.2.1")

    page = sign_in(client, olga).get(JOURNAL)

    words = words_of(page.text)
    assert re.search(r"09:24 Ольга: запись АА 1234 ВС перенесена: 12:00, пост \d → 14:00, пост 2", words), words
    assert "Ольга: пост «1» изменён: длительность слота 30 → 45" in words
    assert "Ольга: особый день 2026-11-20 добавлен" in words
    assert "Система: планшет подключён, пост 1" in words
    assert "Клиент: новая запись АА 1234 ВС" in words
    assert words.index("планшет подключён") < words.index("перенесена") < words.index("новая запись")


def test_filters_are_in_the_address_and_the_file_has_the_same_lines(client, station, olga):
    booking(station, "12:00", plate="=1+1")
    lengthen(station.posts[0], 45, olga)
    sign_in(client, olga)

    assert "новая запись" not in client.get(f"{JOURNAL}?who={olga.id}").text
    assert "изменён" not in client.get(f"{JOURNAL}?what=booking").text
    only = client.get(f"{JOURNAL}?what=post&object={station.posts[0].id}").text
    assert "изменён" in only and "новая запись" not in only
    assert "Таких изменений нет" in client.get(f"{JOURNAL}?what=bay").text
    for odd in (
        "who=٣",
        "who=-1",
        "what=%00",
        "object=x",
        "after=x",
        "after=99999999999-1",
        "who=1e9&what=post&object=%FF",
    ):
        assert client.get(f"{JOURNAL}?{odd}").status_code == 200, odd
    file = client.post(f"{JOURNAL}.csv", data={"what": "booking"})
    assert file.mimetype == "text/csv"
    assert "новая запись =1+1" in file.text and ",=1" not in file.text


def test_what_concerns_the_network_is_for_admins(client, station, olga):
    admin = user("Админ", "admin@example.com", "admin")
    note_for_the_network()

    assert "Второй" not in sign_in(client, olga).get(JOURNAL).text
    assert "Второй" in sign_in(client, admin).get(JOURNAL).text


@command
def note_for_the_network():
    audit.record("user_added", "user", 7, label="Второй", point_id=None, after={"role": "admin"})


def test_many_rows_take_six_statements_and_pages_lose_none(client, station, olga, statements):
    fill(station, MANY - 1, olga)
    sign_in(client, olga)
    address, seen, pages = JOURNAL, [], 0

    with statements() as sent:
        client.get(JOURNAL)
    while address and pages < 4:
        page = client.get(address).text
        seen += re.findall(r'href="/manage/posts/1">пост «(\d+)» изменён', page)
        following = re.search(r'href="([^"]+)">Показать раньше', page)
        address, pages = following and following[1].replace("&amp;", "&"), pages + 1

    assert len(sent) <= 6
    assert list(map(int, seen)) == list(range(MANY - 2, MANY - 202, -1))


def fill(station, count, who):
    """Traces of both kinds, told apart by their numbers, all of one second."""
    anna = booking(station, "12:00")
    entry = {
        "at": kyiv("09:00"), "user_id": who.id, "service_point_id": station.id, "event": "post_changed", "kind": "post",
        "thing_id": "1", "before": {"slot_duration": 30}, "after": {"slot_duration": 40},
    }  # fmt: skip
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        connection.execute(insert(AuditEntry), [entry | {"label": "0"}])
        columns = "at, user_id, service_point_id, event, kind, thing_id, before, after"
        numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count - 1})"
        copied = f"SELECT {columns}, CAST(i AS TEXT) FROM n, audit_entries WHERE event = 'post_changed'"
        statement = f"INSERT INTO audit_entries ({columns}, label) {numbers} {copied}"
        connection.exec_driver_sql(statement)
        booked = connection.execute(select(Booking.id)).scalar()
        assert booked == anna.id
        traces = [
            {"booking_id": booked, "at": kyiv("09:00"), "actor": "system", "event": "undo", "before": {}, "after": {}}
        ]
        connection.execute(insert(BookingEvent), traces * 10)


def test_every_event_that_is_recorded_has_words():
    code = "".join(path.read_text() for path in Path("tirefit").rglob("*.py"))
    recorded = set(re.findall(r'audit\.record\(\s*"(\w+)", "(\w+)"', code))

    assert recorded
    assert {event for event, _kind in recorded} <= set(audit_words.EVENTS)
    assert {kind for _event, kind in recorded} <= set(audit_words.KINDS)


def test_every_setting_that_can_be_changed_has_a_word(station):
    forms = [form(station) for form in FORMS.values()]
    changed = {field.name for form in forms for field in form if field.name not in ("csrf_token", "seen")}

    assert len(changed) > 10
    assert changed <= set(audit_words.PARTS)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_entries SET label = 'nothing'",
        "UPDATE booking_events SET event = 'nothing'",
        "UPDATE booking_events SET after = '{}'",
    ],
)
def test_the_schema_itself_refuses_to_alter_what_was_written(station, olga, change):
    """Forgetting a customer is all that may touch a trace, and only of what it tells: test_privacy.py does."""
    lengthen(station.posts[0], 50, olga)
    booking(station, "10:00")
    with (
        pytest.raises(DBAPIError, match="_stay"),
        db.engine.connect().execution_options(**WRITE) as connection,
        connection.begin(),
    ):
        connection.exec_driver_sql(change)


def test_who_saves_the_journal_to_a_file_stands_in_it(client, station, olga):
    sign_in(client, olga).post(f"{JOURNAL}.csv")
    assert "журнал сохранён в файл" in client.get(f"{JOURNAL}?what=export").text
    assert client.get(f"{JOURNAL}.csv").status_code == 405


def test_an_incident_report_lists_who_saw_what_since_then_and_names_no_customer(app, client, station, olga, ivan, at):
    """Through the pages, as it happens; what was before, and what is no such deed, is left out."""
    visit = booking(station, "12:00")
    show_phone(visit.id, user_id=ivan.id)
    at("10:00")
    sign_in(client, ivan)
    show_phone(visit.id, user_id=ivan.id)
    browser = sign_in(app.test_client(), olga)
    for path in ("bookings/export.csv", "bookings/export.xlsx", "audit.csv"):
        assert browser.post(f"/manage/zimnyaya-5/{path}").status_code == 200, path
    at("10:05")
    tokens.add_token("olga@example.com", "manager", "zimnyaya-5", name="касса")
    lengthen(station.posts[1], 50, olga)
    copies = Path(app.config["INSTANCE_PATH"], "backups")
    copies.mkdir(exist_ok=True)
    for name, made in (("old.db", "08:59"), ("new.db", "10:30")):
        (copies / name).touch()
        os.utime(copies / name, (kyiv(made).timestamp(),) * 2)

    told = app.test_cli_runner().invoke(args=["incident-report", "--since", "2026-11-02T08:00:00"]).output

    ten, later = "2026-11-02 08:00:00  ", "2026-11-02 08:05:00  "
    _, *lines = told.splitlines()
    assert sorted(lines[:8]) == [
        f"{ten}ivan@example.com; (network); signed_in; ",
        f"{ten}ivan@example.com; zimnyaya-5; phone_shown; {visit.number}",
        f"{ten}olga@example.com; (network); signed_in; ",
        f"{ten}olga@example.com; zimnyaya-5; bookings_exported; CSV, 1",
        f"{ten}olga@example.com; zimnyaya-5; bookings_exported; XLSX, 1",
        f"{ten}olga@example.com; zimnyaya-5; journal_exported; 5",
        f"{later}olga@example.com; zimnyaya-5; token_made; касса",
        "2026-11-02 08:30:00  (this machine); (network); copied; new.db",
    ]
    assert lines[8:] == [
        "May look at customers now, and so may have:",
        "  ivan@example.com; zimnyaya-5; staff",
        "  olga@example.com; zimnyaya-5; manager",
    ]
    assert not [name for name in ("Анна", "671234567", "anna@") if name in told]

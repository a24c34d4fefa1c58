"""A station's settings: a section at a time, never over what somebody else has saved, never at a booking's cost."""

import re

from sqlalchemy import select

from tests.factories import ANNA, booking, sign_in
from tirefit import settings
from tirefit.database import db
from tirefit.models import AuditEntry, Booking, ScheduleSlot, ServicePoint
from tirefit.schedule.availability import nearest

SETTINGS = "/manage/zimnyaya-5/settings"
FORGET = "/manage/zimnyaya-5/forget"


def form_of(page):
    kept = {}
    for each in re.findall(r"<input[^>]+>", page.text):
        name, value = re.search(r' name="([^"]+)"', each), re.search(r' value="([^"]*)"', each)
        if name and name[1] != "csrf_token" and ('type="checkbox"' not in each or " checked" in each):
            kept[name[1]] = value[1] if value else ""
    for name, options in re.findall(r'<select[^>]+name="([^"]+)"[^>]*>(.*?)</select>', page.text, re.S):
        chosen = re.search(r'value="([^"]*)" selected', options)
        kept[name] = chosen[1] if chosen else ""
    return kept


def test_each_section_saves_what_it_shows_without_changing_anything(client, station, olga):
    sign_in(client, olga)
    assert client.get(SETTINGS).location == f"{SETTINGS}/station"
    for section in ("station", "booking", "letters", "money"):
        page = client.get(f"{SETTINGS}/{section}")
        answer = client.post(f"{SETTINGS}/{section}", data=form_of(page))
        assert answer.status_code == 303, section
    for section in ("widget", "data"):
        assert client.get(f"{SETTINGS}/{section}").status_code == 200
        assert client.post(f"{SETTINGS}/{section}").status_code == 404
    assert client.get(f"{SETTINGS}/secrets").status_code == 404
    assert not db.session.scalars(select(AuditEntry.id).where(AuditEntry.event == "settings_changed")).all()


def test_two_people_do_not_overwrite_each_other(app, client, station, olga):
    sign_in(client, olga)
    mine = form_of(client.get(f"{SETTINGS}/booking")) | {"hold_minutes": "20"}
    theirs = mine | {"hold_minutes": "10"}

    assert client.post(f"{SETTINGS}/booking", data=theirs).status_code == 303
    answer = client.post(f"{SETTINGS}/booking", data=mine)

    assert answer.status_code == 409
    assert "Сейчас сохранено: 10" in answer.text and 'value="20"' in answer.text
    assert client.post(f"{SETTINGS}/booking", data=form_of(answer)).status_code == 303
    assert db.session.scalar(select(ServicePoint.hold_minutes)) == 20


def test_another_zone_and_a_longer_horizon_hurt_no_booking(station, olga):
    anna = booking(station, "2026-11-03 12:00")
    was = (anna.starts_at, anna.ends_at, anna.service_post_id, anna.reservation_id)
    last = db.session.scalars(select(ScheduleSlot.starts_at).order_by(ScheduleSlot.starts_at.desc())).first()

    settings.change(station.id, {"time_zone": "Europe/Warsaw", "horizon_days": 20}, seen=1, user_id=olga.id)

    found = db.session.get_one(Booking, anna.id, populate_existing=True)
    assert (found.starts_at, found.ends_at, found.service_post_id, found.reservation_id) == was
    slots = db.session.scalars(select(ScheduleSlot.starts_at).order_by(ScheduleSlot.starts_at)).all()
    assert slots[-1] > last
    assert slots[0].hour == 8  # nine o'clock in Warsaw
    entry = db.session.scalars(select(AuditEntry).where(AuditEntry.event == "settings_changed")).one()
    assert entry.before == {"time_zone": "Europe/Kyiv", "horizon_days": 10}


def test_what_makes_no_sense_is_said_and_not_kept(client, station, olga):
    sign_in(client, olga)
    for section, field, value in (
        ("station", "name", " "),
        ("station", "phone", "12"),
        ("station", "email", "a@"),
        ("station", "time_zone", "Mars/Base"),
        ("booking", "hold_minutes", "4"),
        ("booking", "horizon_days", "x"),
        ("letters", "review_url", "javascript:alert(1)"),
        ("money", "currency", "XXXX"),
        ("money", "locale", "de"),
    ):
        form = form_of(client.get(f"{SETTINGS}/{section}")) | {field: value}
        assert client.post(f"{SETTINGS}/{section}", data=form).status_code == 422, (section, field)


def test_a_customer_who_asks_is_forgotten_by_phone_where_they_ask(client, station, olga, stranger, at):
    elsewhere = db.session.get_one(ServicePoint, stranger.roles[0].service_point_id)
    over, foreign = booking(station, "10:00"), booking(elsewhere, nearest(elsewhere, 40).starts_at)
    coming = booking(station, "2026-11-05 10:00")
    at("2026-11-03 12:00")
    sign_in(client, olga)

    assert client.post(FORGET, data={"phone": "12"}).status_code == 422
    page = client.post(FORGET, data={"phone": ANNA.phone}).text
    assert over.number in page and coming.number in page and foreign.number not in page
    assert client.post(f"{FORGET}/sure", data={"phone": ANNA.phone, "proof": "0000"}).status_code == 422
    db.session.expire_all()
    assert over.customer_phone == ANNA.phone
    answer = client.post(f"{FORGET}/sure", data={"phone": ANNA.phone, "proof": ANNA.phone[-4:]})

    assert answer.status_code == 303
    assert coming.number in client.get(FORGET).text
    db.session.expire_all()
    assert [each.customer_phone for each in (over, foreign, coming)] == ["", ANNA.phone, ANNA.phone]
    assert "данные клиента" in client.get("/manage/zimnyaya-5/audit").text

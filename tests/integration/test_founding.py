"""From an empty database to the first bookable time, by four short pages; and nobody else's installation is taken."""

import re

import pytest
from sqlalchemy import select

from tests.factories import sign_in, user
from tirefit import founding
from tirefit.database import db
from tirefit.models import AuditEntry, ServicePoint, User
from tirefit.schedule.availability import days
from tirefit.schedule.windows import local_day
from tirefit.web.forms.founding import time_zones

PASSWORD = "длинный и новый пароль"


def first_page(app, **other):
    code = founding.setup_code(app.config["SECRET_KEY"])
    told = {"name": "Шины у Олега", "city": "Львів", "phone": "067 123 45 67", "time_zone": "Europe/Kyiv"}
    return told | {"email": "oleg@example.com", "password": PASSWORD, "code": code} | other


def matrix_of(page):
    inputs = re.findall(r"<input[^>]+>", page.text)
    named = [(re.search(r'name="([mpw]-[^"]+)"', each), re.search(r'value="([^"]*)"', each)) for each in inputs]
    return {name[1]: value[1] for name, value in named if name and value}


def test_an_empty_installation_leads_from_the_front_door_to_the_first_bookable_time(app, client, at):
    assert client.get("/").location == client.get("/login").location == "/setup"
    assert "Код установки" in client.get("/setup").text

    posts = client.post("/setup", data=first_page(app))
    assert posts.location == "/manage/shiny-u-olega/setup/posts"
    assert client.get(posts.location).status_code == 200
    hours = client.post(posts.location, data={"count": "3", "minutes": "30"})
    assert client.get(hours.location).status_code == 200
    week = {"week_from": "9", "week_to": "18:00", "saturday_from": "9", "saturday_to": "15", "sunday_from": ""}
    services = client.post(hours.location, data=week)
    page = client.get(services.location)
    assert client.get("/s/shiny-u-olega").status_code == 200  # closed, in words
    done = client.post(services.location, data=matrix_of(page))

    assert (done.status_code, done.location) == (303, "/manage/shiny-u-olega/setup/done")
    assert "https://tirefit.test/s/shiny-u-olega" in client.get(done.location).text
    assert client.get("/manage/shiny-u-olega/qr.svg").text.startswith("<svg")
    assert client.get("/manage/shiny-u-olega/poster").status_code == 200
    point = db.session.scalars(select(ServicePoint)).one()
    assert (point.active, point.country, point.currency, point.phone) == (True, "UA", "UAH", "+380671234567")
    found = days(point, local_day(point.time_zone, at("09:00")), 7, 30)
    assert [len(day.times) > 0 for day in found] == [True] * 6 + [False]
    assert client.get("/").location == "/s/shiny-u-olega"
    assert "Сезонная переобувка" in client.get("/s/shiny-u-olega").text
    events = set(db.session.scalars(select(AuditEntry.event)))
    assert {"station_added", "post_created", "template_created", "starter_added", "station_opened"} <= events


def test_a_stranger_cannot_claim_an_installation(app, client, at):
    assert client.post("/setup", data=first_page(app, code="AAAABBBBCCCC")).status_code == 422
    assert client.post("/setup", data=first_page(app, code="")).status_code == 422
    for _ in range(9):
        client.post("/setup", data=first_page(app, code="AAAABBBBCCCC"))
    assert client.post("/setup", data=first_page(app)).status_code == 429
    assert founding.is_empty()


def test_once_there_are_people_it_is_over(app, client, station, olga):
    assert client.get("/setup").location == "/login"
    assert client.post("/setup", data=first_page(app)).location == "/login"
    assert db.session.scalars(select(User)).all() == [olga]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "—"),
        ("email", "oleg"),
        ("password", "short"),
        ("password", "oleg@example.com"),
        ("phone", "12"),
        ("time_zone", "Mars/Base"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_made(app, client, field, value):
    answer = client.post("/setup", data=first_page(app, **{field: value}))

    assert answer.status_code == 422
    assert PASSWORD not in answer.text
    assert founding.is_empty()


def test_the_code_is_told_to_who_is_at_the_machine_and_an_admin_made_there_is_led_to_the_first_station(app, client):
    run = app.test_cli_runner().invoke
    told = run(args=["setup-code"])
    assert told.exit_code == 0 and founding.setup_code(app.config["SECRET_KEY"]) in told.output
    admin = user("Админ", "admin@example.com", "admin")

    assert run(args=["setup-code"]).exit_code == 1
    assert sign_in(client, admin).get("/board").location == "/manage/stations/new"
    assert client.get("/manage/posts").location == "/manage/stations/new"


def test_an_admin_adds_a_station_and_a_manager_does_not(app, client, station, olga):
    form = {"name": "Зимняя, 5", "time_zone": "Europe/Warsaw"}
    assert sign_in(app.test_client(), olga).post("/manage/stations/new", data=form).status_code == 403
    sign_in(client, user("Админ", "admin@example.com", "admin"))

    assert client.get("/manage/stations/new").status_code == 200
    assert client.post("/manage/stations/new", data=form).location == "/manage/zimnyaya-5-2/setup/posts"
    new = db.session.scalars(select(ServicePoint).where(ServicePoint.slug == "zimnyaya-5-2")).one()
    assert (new.currency, new.country, new.active) == ("PLN", "PL", False)
    assert client.post("/manage/zimnyaya-5-2/setup/posts", data={"count": "0", "minutes": "3"}).status_code == 422
    assert client.post("/manage/zimnyaya-5-2/setup/hours", data={"week_from": "18", "week_to": "9"}).status_code == 422
    assert client.post("/manage/zimnyaya-5-2/setup/hours", data={}).status_code == 422
    assert client.get("/manage/zimnyaya-5-2/setup/done").status_code == 200


def test_the_zones_offered_are_zones():
    assert {"Europe/Kyiv", "Europe/Warsaw", "Asia/Almaty"} <= set(time_zones())

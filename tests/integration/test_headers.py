"""What every answer carries, whatever it answers: pages, refusals, failures and files.

Databases make no difference here: this file runs on SQLite alone.
"""

import re

import pytest
from flask import session
from sqlalchemy import select

from tests.factories import booking, car_type, kyiv, service, sign_in
from tirefit import create_app
from tirefit.database import db
from tirefit.errors import Busy, TooManyAttempts
from tirefit.models import ServicePost
from tirefit.schedule.reservations import new_token

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; manifest-src 'self'"
)
PROTECTION = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
TOKEN = "T" * 22

# An answer of each kind: (how it is got, its status)
ANSWERS = {
    "the stations": (lambda it: it.get("/"), 302),
    "services": (lambda it: it.get("/s/zimnyaya-5"), 200),
    "times": (lambda it: it.get("/s/zimnyaya-5", query_string=it.choice), 200),
    "times for htmx": (lambda it: it.get("/s/zimnyaya-5", query_string=it.choice, headers={"HX-Request": "true"}), 200),
    "a hold": (lambda it: it.post("/s/zimnyaya-5/hold", data=it.choice | {"at": "2026-11-02T10:00+02:00"}), 303),
    "a time that is gone": (lambda it: it.post("/s/zimnyaya-5/hold", data=it.choice | {"at": it.taken}), 409),
    "a time that is none": (lambda it: it.post("/s/zimnyaya-5/hold", data=it.choice | {"at": "x"}), 422),
    "a link": (lambda it: it.get(f"/b/{TOKEN}"), 303),
    "a ticket": (lambda it: it.get(it.get(f"/b/{TOKEN}").location), 200),
    "a ticket, to others": (lambda it: it.get(f"/b/{it.number}"), 403),
    "a calendar file": (lambda it: it.get(f"/b/{TOKEN}/calendar.ics"), 200),
    "a dead link": (lambda it: it.get(f"/b/{'x' * 22}"), 410),
    "a choice of language": (lambda it: it.get("/privacy?lang=uk"), 303),
    "sign-in": (lambda it: it.get("/login"), 200),
    "a wrong password": (lambda it: it.post("/login", data={"email": "a@example.com", "password": "x" * 12}), 422),
    "the board, to nobody": (lambda it: it.get("/board"), 303),
    "the board": (lambda it: it.by("olga").get("/board/zimnyaya-5/2026-11-02"), 200),
    "a post": (lambda it: it.by("olga").get(f"/manage/posts/{it.post_id}"), 200),
    "a post that is refused": (lambda it: it.by("olga").post(f"/manage/posts/{it.post_id}", data={"slot": "1"}), 422),
    "not for apprentices": (lambda it: it.by("ivan").get("/manage/posts"), 403),
    "a form without its token": (lambda it: it.with_csrf().post("/s/zimnyaya-5/hold"), 400),
    "no such page": (lambda it: it.get("/nowhere"), 404),
    "no such method": (lambda it: it.delete("/"), 405),
    "too much": (lambda it: it.post("/login", data={"email": "x" * 300_000}), 413),
    "too often": (lambda it: it.failing(TooManyAttempts(retry_after=60)).get("/s/zimnyaya-5"), 429),
    "too busy": (lambda it: it.failing(Busy()).get("/s/zimnyaya-5"), 503),
    "a failure": (lambda it: it.failing(ZeroDivisionError()).get("/s/zimnyaya-5"), 500),
    "methods": (lambda it: it.options("/s/zimnyaya-5"), 200),
    "a head": (lambda it: it.head("/s/zimnyaya-5"), 200),
    "alive": (lambda it: it.get("/health/live"), 200),
    "ready": (lambda it: it.get("/health/ready"), 200),
    "a file": (lambda it: it.get("/static/tirefit.css"), 200),
    "no such file": (lambda it: it.get("/static/nothing.css"), 404),
    "out of the folder": (lambda it: it.get("/static/../app.py"), 404),
}

TICKETS = {"a link", "a ticket", "a ticket, to others", "a calendar file", "a dead link"}


class Scene:
    """A client among people and bookings, and ways to make its next request go wrong."""

    def __init__(self, app, station, people, monkeypatch):
        self.app, self.people, self.monkeypatch = app, people, monkeypatch
        self.client = app.test_client()
        self.choice = {"svc": service().id, "car": car_type().id}
        self.post_id = db.session.scalars(select(ServicePost.id)).first()
        self.number = booking(station, "16:20", token=TOKEN).number  # only one post begins a slot then
        self.taken = kyiv("16:20").isoformat()

    def __getattr__(self, method):
        return getattr(self.client, method)

    def by(self, name):
        return sign_in(self.client, self.people[name])

    def with_csrf(self):
        self.monkeypatch.setitem(self.app.config, "WTF_CSRF_ENABLED", True)
        return self.client

    def failing(self, error):
        def fail(*_):
            raise error

        self.monkeypatch.setattr("tirefit.web.picker.read_menu", fail)
        self.monkeypatch.setattr(self.app, "testing", False)
        return self.client


@pytest.fixture
def scene(app, station, olga, ivan, monkeypatch):
    return Scene(app, station, {"olga": olga, "ivan": ivan}, monkeypatch)


@pytest.mark.parametrize("kind", ANSWERS)
def test_every_answer_is_protected(scene, kind):
    ask, status = ANSWERS[kind]

    with ask(scene) as answer:
        assert answer.status_code == status
        is_ticket = kind in TICKETS
        expected = PROTECTION | ({"Referrer-Policy": "no-referrer"} if is_ticket else {})
        assert {name: answer.headers.get(name) for name in PROTECTION} == expected
        assert answer.headers.get("X-Robots-Tag") == ("noindex" if is_ticket else None)
        assert len(answer.headers.getlist("Content-Security-Policy")) == 1
        assert "Strict-Transport-Security" not in answer.headers  # over http it would lock people out of localhost
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert ("no-store" in answer.headers.get("Cache-Control", "")) == (kind != "a file")
        assert "python" not in answer.headers.get("Server", "").lower()
        for cookie in answer.headers.getlist("Set-Cookie"):
            assert re.search(r"HttpOnly", cookie) and "SameSite=Lax" in cookie and "Path=/" in cookie


def test_a_file_may_be_kept_and_knows_no_person(scene):
    scene.by("olga")
    with scene.get("/static/tirefit.css") as file:
        assert "Set-Cookie" not in file.headers
        assert "Cookie" not in file.headers.get("Vary", "")


def test_over_https_cookies_are_bound_to_it_and_browsers_told_to_stay(scene, tmp_path):
    app = create_app(
        TESTING=True,
        HTTPS=True,
        DATABASE_URL=scene.app.config["DATABASE_URL"],
        INSTANCE_PATH=str(tmp_path),
        BASE_URL="https://tirefit.test",
    )

    @app.get("/remember")
    def remember():
        session["it"] = new_token()
        return ""

    remember.policy = lambda: None
    client = app.test_client()
    try:
        for path in ("/s/zimnyaya-5", "/nowhere", "/static/tirefit.css"):
            with client.get(path, base_url="https://tirefit.test") as answer:
                assert answer.headers["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
        cookies = client.get("/remember", base_url="https://tirefit.test").headers.getlist("Set-Cookie")
        language = client.get("/?lang=uk", base_url="https://tirefit.test").headers.getlist("Set-Cookie")
    finally:
        with app.app_context():
            db.engine.dispose()
    (cookie,) = cookies
    assert cookie.startswith("__Host-tirefit=")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert "Secure" in language[0].split("; ")

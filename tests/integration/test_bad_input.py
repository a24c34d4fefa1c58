"""Whatever is sent: a page of ours that says no in words, and not a row that has changed.

Classes of input as in the test matrix: addresses, choices, contacts, forms, links, settings of a station, HTTP itself.
Each test tries many values on one stage, and names the one that got through.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from itertools import cycle
from urllib.parse import quote

import pytest
from flask import g
from sqlalchemy import select
from werkzeug.middleware.proxy_fix import ProxyFix

from tests.conftest import ON_ONE_DATABASE
from tests.customer import hold_form, post_hold, times_url
from tests.factories import booking, car_type, kyiv, service, sign_in
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking
from tirefit.database import command, db
from tirefit.models import Booking, ScheduleTemplate, Service, ServiceCategory, ServicePost
from tirefit.schedule import changes
from tirefit.schedule.reservations import new_token, reserve_slot_temporarily

HOLD = "/s/zimnyaya-5/hold"
TEN = "2026-11-02T10:00+02:00"
LONG = "1" * 10_000
TICKET, HELD = "B" * 22, "H" * 22

NO_IDS = (
    *("0", "-1", str(2**31), str(2**63), str(2**64), "999999", "1e3", "1.0", "1,0", "0x1", "1;drop", "..%2F1", LONG),
    *(
        "%00",
        "%D9%A1",
        "%ED%A0%80",
        "%FF",
        "%20",
        "1%20",
        "1%0A",
        "%7B%7B7*7%7D%7D",
        "null",
        "undefined",
        "true",
        "NaN",
    ),
)
NO_DAYS = (
    "2026-02-30",
    "2026-13-01",
    "2026-1-1",
    "0001-01-01",
    "9999-12-31",
    "10000-01-01",
    "today",
    "2026-11-02T10:00",
)
NO_TEXTS = ("\x00", "a\x00b", "Анна\r\nBcc: eve@example.com", "\u202eannA", "A" + "\u0301" * 60, "x" * 10_000, "\ue000")


@pytest.fixture
def untouched(app):
    """`with untouched():` fails when a row of any table is not as before; notes about failed sign-ins are rows too."""

    @contextmanager
    def compare(*but: str) -> Iterator[None]:
        before = everything()
        yield
        after = everything()
        assert {name for name in before if before[name] != after[name]} <= set(but)

    return compare


@pytest.fixture
def town(station, stranger):
    """«Зимняя, 5» with a booking and a hold, and the stranger's station beside it."""
    booking(station, "12:00", token=TICKET)
    wanted = {"service_ids": [service().id], "car_type_id": car_type().id}
    reserve_slot_temporarily(station.id, kyiv("14:00"), 40, HELD, wanted=wanted)
    return station


# --- addresses


@pytest.mark.parametrize("database", ["postgresql"])  # which would not even compare what no column can hold
def test_no_address_with_a_wrong_part_finds_anything(client, town, olga, untouched):
    sign_in(client, olga)
    stations = [*NO_IDS, "zimnyaya_5", "ZIMNYAYA-5", "zimnyaya-5%00", "зимняя-5", "a" * 81]
    own = f"/board/zimnyaya-5/bookings/{number()}"
    patterns = [
        *((f"/s/{{}}{page}", stations) for page in ("", "/calendar", "/hold")),
        *((f"/manage/{page}/{{}}{more}", NO_IDS) for page in ("posts", "templates") for more in ("", "/preview")),
        *((f"/manage/{page}?s={{}}", NO_IDS) for page in ("posts", "posts/new", "templates")),
        ("/board/{}/2026-11-02", stations),
        *((f"/manage/{{}}/bookings{more}", stations) for more in ("", "/new", "/export.csv", f"/{number()}")),
        *((f"/manage/{{}}/{page}", stations) for page in ("exceptions", "exceptions/preview", "history")),
        *((f"/manage/zimnyaya-5/{page}", NO_IDS) for page in ("history/{}/undo", "exceptions/{}/as-usual")),
        *((f"/manage/{{}}/services{more}", stations) for more in ("", "/new", "/starter", "/1/1")),
        *((f"/manage/zimnyaya-5/services/{ids}", NO_IDS) for ids in ("1/{}", "{}/1")),
        *((f"/manage/zimnyaya-5/bookings/{{}}{more}", NO_IDS) for more in ("", "/cancel")),
        ("/board/zimnyaya-5/{}", [*NO_IDS, *NO_DAYS]),
        ("/board/zimnyaya-5/2026-11-02?b={}", NO_IDS),
        ("/manage/zimnyaya-5/exceptions/{}/as-usual", NO_DAYS),
        *((f"/board/zimnyaya-5/bookings/{{}}/{what}", NO_IDS) for what in ("cancel", "transition")),
        ("/board/{}" + own.removeprefix("/board/zimnyaya-5") + "/cancel", stations),
        *(
            (f"/{page}", [""])
            for page in ("s", "s/", "h/", "b/", "manage", "board/zimnyaya-5", "static/", "health", "dev")
        ),
    ]
    with untouched():
        for pattern, values in patterns:
            for value in values:
                for method in ("GET", "POST"):
                    answer = client.open(pattern.format(value), method=method)
                    assert answer.status_code in (404, 405), (method, pattern, value[:40])
                    assert is_a_page_of_words(answer), (method, pattern, value[:40])


def test_things_of_another_station_do_not_exist(client, town, stranger, untouched):
    sign_in(client, stranger)
    post, week = first(ServicePost).id, first(ScheduleTemplate).id
    addresses = [
        *(f"/manage/posts/{post}{more}" for more in ("", "/preview")),
        *(f"/manage/templates/{week}{more}" for more in ("", "/preview")),
        *(f"/manage/{page}?s=zimnyaya-5" for page in ("posts", "posts/new", "posts/new/preview", "templates")),
        *(f"/manage/templates/{page}?s=zimnyaya-5" for page in ("new", "new/preview")),
        *(f"/manage/templates/{page}?s=zimnyaya-5" for page in ("holidays", "holidays/preview")),
        "/manage/zimnyaya-5/exceptions/2026-11-04/as-usual",
        "/board/zimnyaya-5/2026-11-02",
        *(f"/board/zimnyaya-5/bookings/{number()}/{what}" for what in ("cancel", "transition")),
        *(f"/board/letnyaya-7/bookings/{number()}/{what}" for what in ("cancel", "transition")),
        f"/board/letnyaya-7/2026-11-02?b={number()}",
        *(f"/manage/zimnyaya-5/{page}" for page in ("exceptions", "exceptions/preview", "history", "history/1/undo")),
        *(f"/manage/zimnyaya-5/services{more}" for more in ("", "/new", "/starter", "/car-types", "/1/1", "/1/drop")),
        *(f"/manage/zimnyaya-5/bookings{more}" for more in ("", "/new", "/export.csv", "/export.xlsx")),
        *(
            f"/manage/{own}/bookings/{number()}{more}"
            for own in ("zimnyaya-5", "letnyaya-7")
            for more in ("", "/cancel")
        ),
    ]
    with untouched():
        for address in addresses:
            for method in ("GET", "POST"):
                answer = client.open(address, method=method, data={"event": "arrive"} if method == "POST" else None)
                assert answer.status_code in (404, 405), (method, address)


@ON_ONE_DATABASE
def test_reading_with_a_nonsense_choice_shows_the_nearest_sense(client, town, untouched):
    foreign = service().id + 1000
    good = f"svc={service().id}&car={car_type().id}"
    pages = {
        f"/s/zimnyaya-5?{good}&d=": [*NO_DAYS, *NO_IDS, "20261103", "2026-W45-1", ""],
        f"/s/zimnyaya-5/calendar?{good}&m=": [*NO_DAYS, *NO_IDS, "0001-01", "9999-12", "2026-13", "-1", ""],
        f"/s/zimnyaya-5?car={car_type().id}&svc=": [*NO_IDS, foreign, ""],
        f"/s/zimnyaya-5?svc={service().id}&car=": [*NO_IDS, foreign, ""],
        "/privacy?s=": NO_IDS,
        f"/h/{HELD}?{good}&": ["s=%00", "edit", "many", "svc[]=1", "__class__=1", "q" * 3000],
    }
    with untouched():
        for page, values in pages.items():
            for value in values:
                assert client.get(f"{page}{value}").status_code in (200, 302), (page, str(value)[:40])
        many = "&".join(f"svc={service().id}" for _ in range(900))
        assert client.get(f"/s/zimnyaya-5?{many}&car={car_type().id}").status_code == 200


# --- a time, work and a car


@pytest.mark.parametrize(
    ("moments", "status"),
    [
        # no moment at all
        (["", "x", "2026-02-30T10:00+02:00", "2026-11-02", "2026-11-02T24:00+02:00", "2026-11-02T25:61+02:00"], 422),
        (["2026-11-02T10:00", "2026-11-02T10:00:60+02:00", "2026-11-02T10:00+99:99", "NaN", "1e9", LONG], 422),
        (["0001-01-01T00:00+00:00", "9999-12-31T23:59-14:00", "10000-01-01T00:00Z", "\x00", "-1", "30.5"], 422),
        # a moment that nobody can have: past, too far, beside the grid, at night, on a day off, when others are there
        (["2026-11-02T08:59:59+02:00", "2020-01-01T10:00Z", "2026-11-14T10:00+02:00", "2099-12-31T23:59Z"], 422),
        (["2026-11-02T10:07+02:00", "2026-11-02T10:00:01+02:00", "2026-11-02T10:00:00.5+02:00"], 409),
        (["2026-11-03T03:00+02:00", "2026-11-02T18:00+02:00", "2026-11-08T10:00+02:00", "2026-11-03T00:00+02:00"], 409),
        (["2026-11-02T17:50+02:00"], 409),
        (["2026-11-02T17:30+02:00"], 422),  # a slot, but the work goes on past closing
    ],
)
def test_a_time_that_cannot_be_had_is_refused(client, town, untouched, moments, status):
    with untouched():
        for moment in moments:
            answer = hold(client, at=moment)
            assert answer.status_code == status, moment[:40]
            assert is_a_page_of_words(answer), moment[:40]


def test_work_and_cars_that_are_not_done_here_are_refused(client, town, untouched):
    retire(service("Балансировка").id)
    retired, unknown = first(Service, ~Service.active).id, service().id + 1000
    with untouched():
        for svc in ("", *NO_IDS, retired, unknown, [unknown] * 200):
            answer = hold(client, svc=svc)
            assert 400 <= answer.status_code < 500 and is_a_page_of_words(answer), str(svc)[:40]
        for car in ("", *NO_IDS, unknown, "-1"):
            answer = hold(client, car=car)
            assert 400 <= answer.status_code < 500 and is_a_page_of_words(answer), str(car)[:40]


def test_what_was_offered_and_is_no_more_is_refused(client, town, untouched):
    """The page was open while the manager worked."""
    second = first(ServicePost, ServicePost.post_number == 2)
    changes.update_post(second.id, post_number=2, slot_duration=40, name="", description="", active=False)
    changes.close_day(town.id, date(2026, 11, 4))
    with untouched():
        assert hold(client, at="2026-11-02T09:40+02:00").status_code == 409
        assert hold(client, at="2026-11-04T10:00+02:00").status_code == 409


def test_what_a_customer_may_not_say_is_not_heard(client, town):
    """Price, length, post, status, links: a form cannot set them."""
    sly = {
        "price": "1",
        "total_price": "1",
        "minutes": "5",
        "status": "completed",
        "service_post_id": "99",
        "source": "api",
    }
    sly |= {"token_hash": "x", "expires_at": "2099-01-01", "kind": "block", "id": "1", "service_point_id": "2"}
    contacts = hold(client, **sly).location
    answer = client.post(contacts, data=form_of(client.get(contacts)) | sly | {"name": "Анна", "phone": "0671234567"})
    made = db.session.scalars(select(Booking).order_by(Booking.id.desc())).first()

    assert answer.status_code == 303
    assert (made.total_price, made.total_duration, made.status, made.source) == (120000, 40, "confirmed", "online")
    assert (made.service_point_id, made.starts_at) == (town.id, kyiv("10:00"))


# --- who comes


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("name", ["", "   ", "12345", "🚗👨\u200d👩\u200d👧", "x" * 81, *NO_TEXTS]),
        ("phone", ["", "letters", "+7 (900)", "8900", "007", "1" * 30, "067 123 45 67 доб. 5", "+380", *NO_TEXTS]),
        (
            "email",
            ["a", "a@b", "a@b..c", "a@x,b@y", "-f@example.com", "a@" + "b" * 255 + ".com", "a b@c.de", "@", *NO_TEXTS],
        ),
        ("more", ["a robot fills in everything"]),
    ],
)
def test_contacts_that_are_none_are_asked_for_again(client, town, untouched, field, values):
    page = form_of(client.get(f"/h/{HELD}"))
    with untouched():
        for value in values:
            answer = client.post(f"/h/{HELD}", data=page | {"name": "Анна", "phone": "067 123 45 67"} | {field: value})
            assert answer.status_code == 422, value[:40]
            assert is_a_page_of_words(answer), value[:40]


@pytest.mark.parametrize("raw", ["%FF%FE", "%ED%A0%80", "%C0%80", "%"])
def test_bytes_that_are_no_text_are_asked_for_again(client, town, untouched, raw):
    form = "application/x-www-form-urlencoded"
    body = f"s=zimnyaya-5&at={quote(TEN)}&svc={service().id}&car={car_type().id}&phone=0671234567&name={raw}"
    with untouched():
        assert client.post(f"/h/{HELD}", data=body, content_type=form).status_code == 422
        assert client.post(f"{ticket(client)}/plate", data=f"plate={raw}", content_type=form).status_code == 422
    with untouched("login_attempts", "attempts"):
        assert client.post("/login", data=f"email={raw}&password={raw}", content_type=form).status_code == 422


def test_names_that_look_like_code_are_names(client, town):
    for name in (
        "<script>alert(1)</script>",
        "{{7*7}} Анна",
        '=HYPERLINK("x")',
        "O'Brien; DROP TABLE bookings--",
        "%s %d {0}",
    ):
        contacts = hold(client).location
        sent = form_of(client.get(contacts)) | {"name": name, "phone": "067 123 45 67"}
        page = client.post(contacts, data=sent, follow_redirects=True)
        made = db.session.scalars(select(Booking).order_by(Booking.id.desc())).first()
        assert (page.status_code, made.customer_name) == (200, name)
        assert "<script>alert" not in page.text and "49 Анна" not in page.text
        cancel_booking(made.id, actor=USER)


@pytest.mark.parametrize("plate", ["x" * 13, "<b>", "AA 1234/BB", "😀", *NO_TEXTS])
def test_a_plate_that_is_none_is_asked_for_again(client, town, untouched, plate):
    with untouched():
        answer = client.post(f"{ticket(client)}/plate", data={"plate": plate})
        assert answer.status_code == 422 and is_a_page_of_words(answer)


# --- forms


@ON_ONE_DATABASE
def test_no_form_is_taken_without_its_token(client, town, olga, app, untouched, monkeypatch):
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)
    sign_in(client, olga)
    page = client.get("/s/zimnyaya-5?" + f"svc={service().id}&car={car_type().id}")
    mine = csrf_token(page)
    g.pop("csrf_token")  # the tests' own context outlives a request
    elsewhere = csrf_token(app.test_client().get(f"/s/zimnyaya-5?svc={service().id}&car={car_type().id}"))
    guarded = {each for each in addresses_of(app, "POST") if not each.endswith("/reminders")}  # one click: RFC 8058
    with untouched():
        for address in guarded:
            for sent in (
                {},
                {"csrf_token": ""},
                {"csrf_token": "x"},
                {"csrf_token": elsewhere},
                {"csrf_token": mine[:-1]},
            ):
                answer = client.post(address, data=sent)
                assert answer.status_code == 400, (address, sent)
                assert "Страница устарела" in answer.text
            assert client.post(f"{address}?csrf_token={mine}").status_code == 400, address
            assert client.post(address, headers={"X-CSRFToken": elsewhere}).status_code == 400, address
            assert client.post(address, json={"csrf_token": mine}).status_code == 400, address
    for address in guarded - {"/logout"}:  # it is the token that was missing
        assert client.post(address, data={"csrf_token": mine}).status_code != 400, address


EVIL = (
    {"Origin": "https://evil.example"},
    {"Origin": "https://localhost.evil.example"},
    {"Origin": "https://[oops"},
    {"Referer": "https://evil.example/localhost"},
    {"Origin": "null", "Referer": "https://evil.example/"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost"},
)
OURS = (
    {},
    {"Origin": "http://localhost"},
    {"Origin": "http://localhost:8080", "Host": "localhost:8080"},
    {"Origin": "https://tirefit.test"},  # TIREFIT_BASE_URL, behind a proxy that hands on another name
    {"Origin": "null"},
    {"Referer": "http://localhost/s/zimnyaya-5"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://some.tunnel.example"},
    {"Sec-Fetch-Site": "none"},
)


@ON_ONE_DATABASE
def test_no_form_of_another_site_is_taken_though_its_token_is_right(client, town, olga, app, untouched, monkeypatch):
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)
    sign_in(client, olga)
    sent = {"csrf_token": csrf_token(client.get("/manage/zimnyaya-5/settings/station"))}
    guarded = [each for each in addresses_of(app, "POST") if not each.endswith("/reminders")]
    with untouched():
        for address, headers in [*zip(guarded, cycle(EVIL)), *((HOLD, headers) for headers in EVIL)]:
            answer = client.post(address, data=sent, headers=headers)
            assert answer.status_code == 400 and "Страница устарела" in answer.text, (address, headers)
    for headers in OURS:
        assert client.post(HOLD, data=sent, headers=headers).status_code == 409, headers
    for headers in EVIL:  # a mail program's button, wherever it stands
        answer = client.post(f"/b/{TICKET}/reminders", data={"List-Unsubscribe": "One-Click"}, headers=headers)
        assert answer.status_code == 200, headers


def test_a_page_that_was_open_for_two_hours_is_still_good(client, town, olga, app, monkeypatch, at):
    monkeypatch.setitem(app.config, "WTF_CSRF_ENABLED", True)
    form = hold_form(client.get(times_url()), "15:00")
    at("11:00")
    assert client.post(HOLD, data=form).location.startswith("/h/")

    sign_in(client, olga)
    page = form_of(client.get("/manage/posts"))
    at("13:00")
    answer = client.post(f"/board/zimnyaya-5/bookings/{number()}/transition", data=page | {"event": "arrive"})
    assert answer.status_code == 303 and first(Booking).status == "arrived"


@ON_ONE_DATABASE
def test_where_it_is_served_over_https_it_answers_to_its_own_name(client, town, app, monkeypatch, caplog):
    caplog.set_level("INFO", "tirefit.security")
    monkeypatch.setitem(app.config, "HTTPS", True)
    strange = ("evil.example", "tirefit.test.evil.example", "evil.example:443", "10.0.0.7", "[oops", "")
    for host in strange:
        for path in ("/s/zimnyaya-5", "/api/v1/service_points", "/nothing-here", "/static/tirefit.css"):
            answer = client.get(path, headers={"Host": host})
            assert answer.status_code == 400 and "evil.example" not in answer.text, (host, path)
        for path in ("/health/live", "/health/ready"):  # a balancer asks by address
            assert client.get(path, headers={"Host": host}).status_code == 200
    assert len(caplog.messages) == 4 * len(strange) and "another name" in caplog.messages[0]
    for host in ("tirefit.test", "TIREFIT.test:443", "127.0.0.1:5001", "localhost", "[::1]:5001"):
        assert client.get("/s/zimnyaya-5", headers={"Host": host}).status_code == 200, host
    monkeypatch.setitem(app.config, "HTTPS", False)  # a demo, or a machine in the station's own network
    assert client.get("/s/zimnyaya-5", headers={"Host": "192.168.1.7:5000"}).status_code == 200


@ON_ONE_DATABASE
@pytest.mark.parametrize(("proxies", "last"), [(0, 429), (1, 303)])
def test_a_made_up_address_of_a_client_is_no_other_network(app, station, monkeypatch, proxies, last):
    """Holds are counted by network. Only a proxy of ours says from which one they come, as with one in front."""
    if proxies:
        monkeypatch.setattr(app, "wsgi_app", ProxyFix(app.wsgi_app, x_for=proxies))
    answers = []
    for n in range(11):
        phone = app.test_client()
        phone.environ_base["HTTP_X_FORWARDED_FOR"] = f"203.0.113.{n}"
        hours, minutes = divmod(9 * 60 + 40 + 40 * n, 60)
        answers.append(post_hold(phone, f"2026-11-02T{hours:02}:{minutes:02}+02:00").status_code)

    assert answers == [303] * 10 + [last]


@ON_ONE_DATABASE
def test_forms_of_another_shape_are_refused(client, town, olga, untouched):
    sign_in(client, olga)
    with untouched():
        for address in (HOLD, f"/h/{'x' * 22}", f"{ticket(client)}/plate", "/login", *manager_forms()):
            for sent in (
                {"json": {"at": TEN, "svc": [service().id], "slot": 30, "name": {"a": []}}},
                {"json": [[[[[1]]]]]},
                {"data": b'{"a": NaN', "content_type": "application/json"},
                {"data": b"\xff\xfe\x00", "content_type": "text/plain; charset=utf-16"},
                {"data": b"plate=%C0&name=%C0", "content_type": "application/x-www-form-urlencoded; charset=cp1251"},
                {"data": b"--x\r\nno part", "content_type": "multipart/form-data; boundary=x"},
                {"data": b"x" * 10, "content_type": "multipart/form-data"},
                {"data": {"plate": (io.BytesIO(b"GIF89a"), "../../x")}, "content_type": "multipart/form-data"},
            ):
                answer = client.post(address, **sent)
                allowed = address.endswith("/plate") and answer.status_code == 303  # no plate at all: nothing to change
                assert allowed or 400 <= answer.status_code < 500, (address, sent)
                assert allowed or is_a_page_of_words(answer), (address, sent)


def test_a_field_sent_twice_counts_once(client, town):
    twice = {"at": [TEN, "2026-11-02T11:00+02:00"], "nonce": [new_token(), new_token()]}
    contacts = hold(client, **twice).location
    sent = form_of(client.get(contacts)) | {"name": ["Анна", "Борис"], "phone": ["0671234567", "0501234567"]}
    assert client.post(contacts, data=sent).status_code == 303
    made = db.session.scalars(select(Booking).order_by(Booking.id.desc())).first()
    assert (made.starts_at, made.customer_name, made.customer_phone) == (kyiv("10:00"), "Анна", "+380671234567")


# --- links


def test_only_the_whole_link_opens_a_booking(client, town, untouched):
    flipped = TICKET[:-1] + "A"
    links = [
        "",
        TICKET[:-1],
        TICKET + "B",
        flipped,
        TICKET.lower(),
        TICKET + ".",
        TICKET + "%0A",
        TICKET + "%2e",
        "%00" * 22,
    ]
    with untouched():
        for link in (*links, HELD.lower(), "ы" * 22, LONG):
            for page in ("", "/cancel", "/calendar.ics", "/plate", "/extend", "/release", "/strip"):
                for way, method in (("b", "GET"), ("b", "POST"), ("h", "GET"), ("h", "POST")):
                    answer = client.open(f"/{way}/{link}{page}", method=method)
                    assert answer.status_code in (303, 404, 405, 410), (method, way, link[:30], page)
                    assert answer.status_code != 303 or "/b/" not in answer.location
                    assert "Анна" not in answer.text
        assert client.get(f"/b/{TICKET}/").status_code == 404
        assert client.get(f"/b/{HELD}").status_code == 410  # a hold is no booking yet


@ON_ONE_DATABASE
def test_looking_changes_nothing_whoever_looks_and_however(client, town, olga, app, untouched):
    """Mail programs and search engines open every link they see; some ask with HEAD, some say that they prefetch."""
    ticket(sign_in(client, olga))
    with untouched():
        for address in addresses_of(app, "GET"):
            for method in ("GET", "HEAD", "OPTIONS"):
                prefetches = {"Purpose": "prefetch", "Sec-Purpose": "prefetch"}
                for headers in ({}, prefetches, {"HX-Request": "true"}) if method == "GET" else (prefetches,):
                    with client.open(address, method=method, headers=headers) as answer:
                        assert answer.status_code < 400, (method, address)
        for address in addresses_of(app, "POST"):
            for method in ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"):
                with client.open(address, method=method, headers={"X-HTTP-Method-Override": "POST"}) as answer:
                    assert answer.status_code < 500, (method, address)


# --- settings of a station


def manager_forms():
    post, week = first(ServicePost).id, first(ScheduleTemplate).id
    return [
        *(f"/manage/posts/{which}{more}" for which in (post, "new") for more in ("", "/preview")),
        *(f"/manage/templates/{which}{more}" for which in (week, "new") for more in ("", "/preview")),
        *(f"/manage/templates/holidays{more}" for more in ("", "/preview")),
    ]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("post_number", ["", "0", "-1", "1000", "2", "1e1", "1.0", "NaN", "٣", LONG, *NO_TEXTS]),  # 2 is taken
        ("slot_other", ["", "4", "30.5", "x" * 30, *NO_TEXTS]),
        ("slot", ["", "0", "1", "4", "-5", "481", "1441", "1e9", "NaN", "30.5", "другая", LONG, *NO_TEXTS]),
        ("name", ["x" * 61, *NO_TEXTS]),
        ("description", ["x" * 121, "x" * 100_000, *NO_TEXTS]),
    ],
)
def test_a_post_that_cannot_be_is_refused(client, town, olga, untouched, field, values):
    sign_in(client, olga)
    post = first(ServicePost)
    page = form_of(client.get(f"/manage/posts/{post.id}"))
    good = page | {
        "post_number": "1",
        "slot": "30",
        "name": "",
        "description": "",
        "active": "y",
        "names_abilities": "",
    }
    with untouched():
        for value in values:
            for address in (f"/manage/posts/{post.id}", "/manage/posts/new"):
                sent = good | {"post_number": "7" if address.endswith("new") else "1"} | {field: value}
                sent |= {"slot": "other"} if field == "slot_other" else {}
                answer = client.post(address, data=sent)
                assert answer.status_code in (409, 422), (address, value[:40])
                assert is_a_page_of_words(answer), (address, value[:40])


def test_a_post_with_bookings_ahead_is_not_switched_off(client, town, olga, untouched):
    sign_in(client, olga)
    post = db.session.get_one(ServicePost, first(Booking).service_post_id)
    sent = form_of(client.get(f"/manage/posts/{post.id}")) | {"post_number": str(post.post_number), "slot": "30"}
    sent.pop("names_abilities")
    with untouched():
        answer = client.post(f"/manage/posts/{post.id}", data=sent)
        assert answer.status_code == 409 and is_a_page_of_words(answer)


def test_settings_from_a_page_that_is_no_longer_true_are_refused(client, town, olga, untouched):
    sign_in(client, olga)
    post, week = first(ServicePost).id, first(ScheduleTemplate).id
    with untouched():
        old = {"post_number": "1", "slot": "20", "active": "y", "name": "", "description": "", "seen": "9|99|1||"}
        assert client.post(f"/manage/posts/{post}", data=old).status_code == 409
        assert client.post(f"/manage/templates/{week}", data={"name": "Неделя", "seen": "0-0-1"}).status_code == 409


@pytest.mark.parametrize(
    "row",
    [
        ["09:00", ""],
        ["", "18:00"],
        ["18:00", "09:00"],  # ends before it begins
        ["09:00", "09:00"],
        ["24:00", "26:00"],
        ["09:00", "48:01"],
        ["25:61", "26:00"],
        ["-1:00", "18:00"],
        ["9h", "18h"],
        ["٠٩:٠٠", "18:00"],
        ["09:00", "18:00", "08:00", "10:00"],  # a break that begins before the day
        ["09:00", "18:00", "17:00", "19:00"],
        ["09:00", "18:00", "09:00", "18:00"],  # a break as long as the day
        ["09:00", "18:00", "13:00", "12:00"],
        ["09:00", "18:00", "12:00", "14:00", "13:00", "15:00"],  # breaks over each other
        ["09:00", "18:00", "12:00"],
        ["\x00", "18:00"],
        ["<script>", "x" * 10_000],
    ],
)
def test_a_week_that_cannot_be_is_refused(client, town, olga, untouched, row):
    sign_in(client, olga)
    week = first(ScheduleTemplate).id
    page = form_of(client.get(f"/manage/templates/{week}"))
    with untouched():
        for address in (f"/manage/templates/{week}", "/manage/templates/new"):
            answer = client.post(address, data=page | {"name": "Неделя", "day0": row})
            assert answer.status_code == 422 and is_a_page_of_words(answer), address


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "x" * 100_000, *NO_TEXTS])
def test_a_week_has_a_name(client, town, olga, untouched, name):
    sign_in(client, olga)
    with untouched():
        answer = client.post("/manage/templates/new", data={"name": name, "day0": ["09:00", "18:00"]})
        assert answer.status_code == 422 and is_a_page_of_words(answer)


def test_a_day_off_is_a_day_ahead(client, town, olga, untouched):
    sign_in(client, olga)
    days = ("", "x", "2026-02-30", "2026-11-01", "0001-01-01", "2029-01-01", "9999-12-31", "10000-01-01", LONG, "\x00")
    with untouched():
        for day in days:
            answer = client.post("/manage/zimnyaya-5/exceptions", data={"first": day, "how": "closed", "reason": ""})
            assert answer.status_code == 422 and is_a_page_of_words(answer), day[:40]
        for reason in ("x" * 121, *NO_TEXTS):
            answer = client.post(
                "/manage/zimnyaya-5/exceptions", data={"first": "2026-11-05", "how": "closed", "reason": reason}
            )
            assert answer.status_code == 422 and is_a_page_of_words(answer), reason[:40]


def test_a_booking_moves_on_only_along_its_way(client, town, ivan, untouched):
    sign_in(client, ivan)
    address = f"/board/zimnyaya-5/bookings/{number()}/transition"
    with untouched():
        for event in (
            "",
            "x",
            "complete",
            "cancel_by_customer",
            "cancel_by_station",
            "ARRIVE",
            "arrive ",
            "\x00",
            LONG,
        ):
            answer = client.post(address, data={"event": event})
            assert answer.status_code == 409 and is_a_page_of_words(answer), event[:40]
    assert client.post(address, data={"event": ["arrive", "start"]}).status_code == 303
    assert first(Booking).status == "arrived"


# --- HTTP itself


@ON_ONE_DATABASE
def test_more_than_a_form_can_hold_is_refused(client, town, olga, app, untouched, monkeypatch):
    sign_in(client, olga)
    form, body = "application/x-www-form-urlencoded", b"name=" + b"x" * 300_000
    parts = {f"field{n}": "x" for n in range(2000)}
    with untouched():
        with monkeypatch.context() as patch:
            patch.setitem(app.config, "WTF_CSRF_ENABLED", True)
            for address in addresses_of(app, "POST"):
                answer = client.post(address, data=body, content_type=form)
                assert answer.status_code == 413 and is_a_page_of_words(answer), address
        for address in (HOLD, f"/h/{HELD}", "/login", *manager_forms()):
            answer = client.post(address, data=parts, content_type="multipart/form-data")
            assert answer.status_code == 413 and is_a_page_of_words(answer), address


def test_odd_headers_are_no_concern_of_the_page(client, town, untouched):
    odd = {
        "Accept": "image/png;q=x, */", "Accept-Language": "x" * 5000, "Cookie": "tirefit=eyJ4; lang=../../etc; =;;",
        "If-Modified-Since": "yesterday", "Range": "bytes=9-1", "X-Forwarded-For": "<script>",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher", "Host": "evil.example", "Referer": "https://evil.example/", "Origin": "null",
        "HX-Request": "x", "HX-Target": "<b>", "HX-Current-URL": "javascript:alert(1)",
        "Content-Type": "\t", "Forwarded": ";;",
    }  # fmt: skip
    with untouched():
        for name, value in odd.items():
            with client.get("/s/zimnyaya-5", headers={name: value}) as page:
                assert page.status_code == 200, name
                assert "evil.example" not in page.text, name
            answer = client.get(f"/h/{TICKET}", headers={name: value})
            assert answer.location == f"/b/{TICKET}", name  # led on within our own pages, whatever the header says
        for path in (
            "//",
            "//s/zimnyaya-5",
            "/s//zimnyaya-5",
            "/s/zimnyaya-5//",
            "/%2e%2e/app.py",
            "/static/%2e%2e/app.py",
        ):
            answer = client.get(path)
            assert answer.status_code in (302, 308, 404), path
            assert "create_app" not in answer.text and not (answer.location or "/").startswith(("//", "http://evil"))


# --- what the tests are made of


def everything() -> dict[str, list[str]]:
    """Every row of every table."""
    db.session.rollback()
    return {table.name: sorted(map(repr, db.session.execute(select(table)))) for table in db.metadata.sorted_tables}


def is_a_page_of_words(answer) -> bool:
    """One of ours, in Russian, and nothing from behind the scenes. (Its form has been examined by the client.)"""
    secrets = ("Traceback", "sqlalchemy", "psycopg", "sqlite", "werkzeug", "jinja", "ValueError", "SELECT ")
    heading = re.search(r"<h1[^>]*>(.+?)</h1>", answer.text, re.DOTALL)
    words = re.sub(r'value="[^"]*"|<select\b', "", answer.text).lower()  # without tokens, which may spell anything
    assert answer.mimetype == "text/html"
    assert heading is not None and re.search("[а-я]", heading[1]), answer.text[:2000]
    assert "/static/tirefit.css" in answer.text
    assert [word for word in secrets if word.lower() in words] == []
    return True


def hold(client, **sent):
    return client.post(HOLD, data={"at": TEN, "svc": service().id, "car": car_type().id} | sent)


def form_of(page) -> dict[str, str]:
    """The hidden fields of a page."""
    return dict(re.findall(r'<input[^>]*type="hidden"[^>]*name="(\w+)" value="([^"]*)"', page.text))


def csrf_token(page) -> str:
    return form_of(page)["csrf_token"]


# For admins; for whoever has an invitation, a link to a new password, a calendar's address, the monitoring's token.
NOT_FOR_MANAGERS = ("setup.new_station", "account.invitation", "forgotten.reset", "feed.show", "metrics.show")


def addresses_of(app, method: str) -> list[str]:
    """Every route that takes the method, with things in it that exist. Static files and the demo's mailbox apart."""
    parts = {"slug": "zimnyaya-5", "day": "2026-11-02", "number": number()}
    parts |= {"post_id": str(first(ServicePost).id), "template_id": str(first(ScheduleTemplate).id)}
    parts |= {
        "waiting_id": "1",
        "run_id": "1",
        "service_id": str(first(Service).id),
        "car_type_id": str(car_type().id),
        "reservation_id": "1",
        "device_id": "1",
        "name": "load",
        "section": "station",
        "user_id": "1",
        "invitation_id": "1",
        "post_number": "1",
        "token_id": "1",
        "row_id": "1",
        "feed_id": "1",
        "category_id": str(first(ServiceCategory).id),
        "endpoint_id": "1",
        "delivery_id": "1",
    }
    addresses = []
    for rule in app.url_map.iter_rules():
        is_a_page = not rule.endpoint.startswith(("static", "dev.", "api_", "operations."))  # test_api.py; admins
        if method in rule.methods and is_a_page:
            token = HELD if rule.rule.startswith("/h/") else TICKET
            value = parts | {"token": token}
            if rule.endpoint in NOT_FOR_MANAGERS and method == "GET":
                continue
            addresses.append(re.sub(r"<(?:\w+:)?(\w+)>", lambda part, value=value: value[part[1]], rule.rule))
    assert len(addresses) > 10
    return sorted(addresses)


def first(model, *where):
    return db.session.scalars(
        select(model).where(*where).order_by(model.id).execution_options(populate_existing=True)
    ).first()


def ticket(client) -> str:
    """The address of the ticket, for a browser that has been there."""
    return client.get(f"/b/{TICKET}").location


def number() -> str:
    return first(Booking).number


@command
def retire(service_id: int) -> None:
    db.session.get_one(Service, service_id).active = False

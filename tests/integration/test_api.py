"""The API as a customer's program uses it: what is free, holds, bookings, and every refusal."""

import pytest

from tests.factories import ANNA, booking, car_type, kyiv, service, sign_in
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import command, db
from tirefit.errors import Busy
from tirefit.models import Booking, ServicePoint
from tirefit.schedule import changes
from tirefit.schedule.reservations import new_token

API = "/api/v1"
TEN = "2026-11-02T10:00:00+02:00"
TOMORROW = "2026-11-03T10:00:00+02:00"
WHO = {"customer": {"name": "Анна", "phone": "067 123 45 67", "email": "anna@example.com"}, "consent": True}
KEY = {"Idempotency-Key": "8d7c1f0e-2f2b-4c79-b0c7-5a0f3f0b8f11"}


@pytest.fixture
def job(station) -> dict:
    return {"service_point_id": station.id, "service_ids": [service().id], "car_type_id": car_type().id}


def day(client, station, query="", date="2026-11-02"):
    return client.get(f"{API}/service_points/{station.id}/availability/{date}{query}").json


def test_the_plans_example_comes_out_exactly(client, station):
    times = day(client, station)["times"]

    assert [(time["time"], time["available_posts"]) for time in times[:7]] == [
        ("09:00", 3),
        ("09:30", 2),
        ("09:40", 1),
        ("10:00", 2),
        ("10:20", 1),
        ("10:30", 2),
        ("11:00", 3),
    ]


def test_a_time_that_is_listed_can_be_held_booked_moved_and_given_back(client, station, job):
    query = f"?service_ids={job['service_ids'][0]}&car_type_id={job['car_type_id']}"
    first = day(client, station, query, "2026-11-03")["times"][0]
    held = client.post(f"{API}/reservations", json=job | {"starts_at": first["starts_at"]})
    assert held.status_code == 201
    assert (held.json["post_number"], held.json["ends_at"]) == (first["recommended_post"], first["ends_at"])
    sent = {name: job[name] for name in ("service_ids", "car_type_id")} | WHO
    made = client.post(f"{API}/bookings", json=sent | {"reservation_token": held.json["token"]})
    assert made.status_code == 201
    assert made.json["status"] == "confirmed"
    assert (made.json["total_duration"], made.json["total_price"], made.json["currency"]) == (40, 120000, "UAH")
    found = db.session.scalars(db.select(Booking)).one()
    assert (found.source, found.customer_phone, found.events[0].actor) == ("api", "+380671234567", "customer")
    assert found.consent_at is not None
    assert client.get(made.json["manage_url"].removeprefix("https://tirefit.test")).status_code == 303

    own = f"{API}/bookings/{made.json['token']}"
    assert client.get(own).json == made.json
    moved = client.post(f"{own}/reschedule", json={"starts_at": "2026-11-03T12:00:00+02:00"})
    assert (moved.status_code, moved.json["starts_at"]) == (200, "2026-11-03T12:00:00+02:00")
    for _ in range(2):
        gone = client.post(f"{own}/cancel", json={"reason": "plans"})
        assert (gone.status_code, gone.json["status"]) == (200, "cancelled_by_customer")
    assert first in day(client, station, query, "2026-11-03")["times"]


def test_a_booking_needs_no_consent(client, job):
    sent = job | WHO | {"starts_at": "2026-11-03T10:00:00+02:00", "consent": False}
    assert client.post(f"{API}/bookings", json=sent).status_code == 201
    assert db.session.scalars(db.select(Booking.consent_at)).all() == [None]


def test_a_station_that_confirms_by_hand_confirms_bookings_of_programs_by_hand(client, app, job):
    @command
    def by_hand():
        db.session.get_one(ServicePoint, job["service_point_id"]).auto_confirm = False

    by_hand()
    assert client.post(f"{API}/bookings", json=job | WHO | {"starts_at": TOMORROW}).json["status"] == "pending"


def test_the_same_request_with_the_same_key_is_one(client, job):
    for path, sent in (("reservations", job), ("bookings", job | WHO)):
        answers = [client.post(f"{API}/{path}", json=sent | {"starts_at": TOMORROW}, headers=KEY) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[0].json["token"] == answers[1].json["token"]
        other = client.post(f"{API}/{path}", json=sent | {"starts_at": "2026-11-04T10:00:00+02:00"}, headers=KEY)
        assert (other.status_code, other.json["code"]) == (422, "key_reused")
        if path == "reservations":
            client.delete(f"{API}/reservations/{answers[0].json['token']}")
    assert db.session.scalar(db.select(db.func.count(Booking.id))) == 1
    assert client.post(
        f"{API}/bookings", json=job | WHO | {"starts_at": TOMORROW}, headers={"Idempotency-Key": "1"}
    ).json["errors"] == [{"header": "Idempotency-Key", "code": "invalid", "detail": "The value does not fit"}]


def test_a_lost_time_comes_with_others(client, station, job):
    for time in ("09:40", "10:00", "10:00"):
        booking(station, time)

    answer = client.post(f"{API}/bookings", json=job | WHO | {"starts_at": TEN})

    assert (answer.status_code, answer.mimetype, answer.json["code"]) == (
        409,
        "application/problem+json",
        "slot_taken",
    )
    assert [time["time"] for time in answer.json["suggested_times"]] == ["09:00", "10:20", "10:00"]
    again = job | WHO | {"starts_at": answer.json["suggested_times"][1]["starts_at"]}
    assert client.post(f"{API}/bookings", json=again).status_code == 201


def test_a_check_says_why_post_by_post(client, station, job):
    booking(station, "10:00")

    answer = client.post(f"{API}/bookings/check_availability", json=job | {"starts_at": TEN, "preferred_post": 3}).json

    assert (answer["available"], answer["recommended_post"], answer["required_minutes"]) == (True, 3, 40)
    assert [(each["post_number"], each["available"], each["reason"]) for each in answer["post_details"]] == [
        (1, False, "overlaps"),
        (2, False, "off_grid"),
        (3, True, None),
    ]


def test_minutes_are_known_with_a_station_and_without(client, job):
    alone = {name: job[name] for name in ("service_ids", "car_type_id")}

    assert client.post(f"{API}/bookings/calculate_duration", json=alone).json["total_duration"] == 40
    answer = client.post(f"{API}/bookings/calculate_duration", json=job | {"post_number": 1}).json
    assert answer["post"] == {
        "post_number": 1,
        "slot_duration": 30,
        "slots": 2,
        "occupied_minutes": 60,
        "waste_minutes": 20,
        "efficiency": 0.667,
    }


def test_recommendations_are_near_and_waste_little(client, station, job):
    query = f"service_point_id={station.id}&date=2026-11-02&service_ids={job['service_ids'][0]}&car_type_id=1"

    answer = client.get(f"{API}/bookings/optimal_slots?{query}&preferred_time=11:00").json

    assert (answer["recommendations"][0]["time"], answer["recommendations"][0]["waste_minutes"]) == ("11:00", 0)


def test_each_post_shows_what_has_become_of_its_slots(client, station, job):
    booking(station, "10:00")
    client.post(f"{API}/reservations", json=job | {"starts_at": "2026-11-02T11:00:00+02:00"})

    answer = client.get(f"{API}/service_points/{station.id}/availability/2026-11-02/by_posts").json
    of_post = client.get(f"{API}/service_points/{station.id}/posts/1/availability/2026-11-02").json

    statuses = [[slot["status"] for slot in post["slots"]] for post in answer["posts"]]
    assert statuses[0][:4] == ["free", "free", "booked", "booked"]
    assert statuses[1][3] == "held"
    assert of_post["slots"] == answer["posts"][0]["slots"]


def test_many_days_in_short(client, station):
    answer = client.get(f"{API}/service_points/{station.id}/availability?from=2026-11-07&days=2").json

    assert [(each["is_working_day"], each["available_starts"] > 0) for each in answer["days"]] == [
        (True, True),
        (False, False),
    ]
    too_many = client.get(f"{API}/service_points/{station.id}/availability?from=2026-11-07&days=63")
    assert (too_many.status_code, too_many.json["errors"][0]["parameter"]) == (422, "days")
    for day in ("0001-01-01", "9999-12-31", "1999-12-31", "2100-01-01"):
        far = client.get(f"{API}/service_points/{station.id}/availability?from={day}")
        assert (far.status_code, far.json["errors"][0]["code"]) == (422, "out_of_range")


def test_what_has_not_changed_is_not_sent_again(client, station):
    """Until somebody books."""
    address = f"{API}/service_points/{station.id}/availability/2026-11-02"
    tag = client.get(address).headers["ETag"]

    assert client.get(address, headers={"If-None-Match": tag}).status_code == 304
    booking(station, "10:00")
    assert client.get(address, headers={"If-None-Match": tag}).status_code == 200


def test_what_is_private_is_kept_by_nobody(client, station):
    token = new_token()
    booking(station, "10:00", token=token)

    answer = client.get(f"{API}/bookings/{token}")

    assert answer.headers["Cache-Control"] == "no-store" and "ETag" not in answer.headers


def test_no_cookie_is_read_or_set(client, station, olga):
    sign_in(client, olga)
    client.set_cookie("lang", "ru")

    answer = client.get(f"{API}/service_points/999")

    assert answer.json["detail"] == "There is nothing here"
    assert "Set-Cookie" not in answer.headers and "Cookie" not in answer.headers["Vary"]
    assert (
        client.get(f"{API}/service_points/999", headers={"Accept-Language": "uk"}).json["detail"] == "Тут нічого немає"
    )


@pytest.mark.parametrize(
    ("method", "path", "sent", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("GET", "/service_points/1/availability/2026-02-30", {}, 404, "not_found"),
        ("DELETE", "/car_types", {}, 405, "method_not_allowed"),
        ("POST", "/bookings", {"data": "{", "content_type": "application/json"}, 400, "malformed"),
        ("POST", "/bookings", {"data": "[" * 90_000, "content_type": "application/json"}, 400, "malformed"),
        ("POST", "/bookings", {"data": '{"a": NaN}', "content_type": "application/json"}, 400, "malformed"),
        ("POST", "/bookings", {"data": b"\xff", "content_type": "application/json"}, 400, "malformed"),
        ("POST", "/bookings", {"data": "{}", "content_type": "text/plain"}, 415, "unsupported_media_type"),
        ("POST", "/bookings", {"data": {"a": "b"}}, 415, "unsupported_media_type"),
        ("POST", "/bookings", {"json": []}, 422, "invalid"),
        ("POST", "/bookings", {"json": {}}, 422, "invalid"),
        ("POST", "/bookings", {"data": " " * 300_000, "content_type": "application/json"}, 413, "too_large"),
        ("GET", "/car_types", {"query_string": {"lang": "uk"}}, 422, "invalid"),
    ],
)
def test_what_cannot_be_answered_is_a_problem(client, station, method, path, sent, status, code):
    answer = client.open(f"{API}{path}", method=method, **sent)

    assert (answer.status_code, answer.mimetype, answer.json["code"]) == (status, "application/problem+json", code)
    assert answer.json["type"].endswith(f"#{code}") and answer.json["status"] == status
    assert status != 405 or "GET" in answer.headers["Allow"]


def test_every_wrong_field_is_named(client, job):
    sent = job | {"starts_at": "2026-11-02T10:00", "surplus": 1, "consent": "yes"}
    sent |= {"customer": {"name": "Анна", "age": 7}, "car_type_id": True, "service_ids": [0, "1"], "notes": "\x00"}

    errors = client.post(f"{API}/bookings", json=sent).json["errors"]

    assert {error["pointer"]: error["code"] for error in errors} == {
        "#/starts_at": "instant_invalid",
        "#/surplus": "unknown_field",
        "#/consent": "invalid",
        "#/customer/phone": "required",
        "#/customer/age": "unknown_field",
        "#/car_type_id": "invalid",
        "#/service_ids/0": "out_of_range",
        "#/service_ids/1": "invalid",
        "#/notes": "invalid",
    }


@pytest.mark.parametrize(
    ("change", "status", "code", "where"),
    [
        ({"service_ids": [999]}, 422, "unknown_service", "#/service_ids"),
        ({"car_type_id": 999}, 422, "unknown_car_type", "#/car_type_id"),
        ({"starts_at": "2026-11-02T08:00:00+02:00"}, 422, "in_the_past", "#/starts_at"),
        ({"starts_at": "2026-12-02T10:00:00+02:00"}, 422, "beyond_horizon", "#/starts_at"),
        ({"starts_at": "2026-11-02T17:30:00+02:00"}, 422, "services_do_not_fit", "#/starts_at"),
        ({"starts_at": "2026-11-02T10:07:00+02:00"}, 409, "time_matches_no_slot", None),
        ({"starts_at": "2026-11-03T03:00:00+02:00"}, 409, "slot_not_offered", None),
        ({"starts_at": TEN, "post_number": 77}, 409, "slot_not_offered", None),
        ({"plate": "@@@"}, 422, "invalid", "#/plate"),
        ({"customer": {"name": "7", "phone": "067"}}, 422, "invalid", "#/customer/name"),
        ({"service_point_id": 999}, 404, "not_found", None),
    ],
)
def test_a_booking_that_cannot_be_is_refused(client, job, change, status, code, where):
    answer = client.post(f"{API}/bookings", json=job | WHO | {"starts_at": TEN} | change)

    assert (answer.status_code, answer.json["code"]) == (status, code)
    assert answer.json.get("errors", [{}])[0].get("pointer") == where
    assert ("suggested_times" in answer.json) == (status == 409)
    assert db.session.scalar(db.select(db.func.count(Booking.id))) == 0


def test_a_station_wants_notice_and_a_post_takes_what_it_can(client, station, job):
    @command
    def change():
        db.session.get_one(ServicePoint, station.id).lead_minutes = 120

    change()
    for post in station.posts:
        only_wheels_up_to_14 = changes.Abilities(largest_wheel=14)
        about = {"post_number": post.post_number, "slot_duration": post.slot_duration, "name": "", "description": ""}
        changes.update_post(post.id, **about, active=True, abilities=only_wheels_up_to_14)

    soon = client.post(f"{API}/reservations", json=job | {"starts_at": TEN})
    assert (soon.status_code, soon.json["code"], soon.json["lead_minutes"]) == (422, "too_soon", 120)
    large = client.post(f"{API}/reservations", json=job | {"starts_at": TOMORROW, "wheel_inches": 20})
    assert (large.status_code, large.json["code"]) == (409, "post_cannot_take_it")


def test_a_busy_database_says_when_to_come_back(client, job, monkeypatch):
    def too_many(*args, **kwargs):
        raise Busy()

    monkeypatch.setattr("tirefit.schedule.reservations.reserve_slot_temporarily", too_many)
    answer = client.post(f"{API}/reservations", json=job | {"starts_at": TOMORROW})

    assert (answer.status_code, answer.json["code"], answer.headers["Retry-After"]) == (503, "busy", "2")


def test_changes_come_too_late_or_from_the_wrong_state(client, station, at):
    token = new_token()
    made = booking(station, "12:00", token=token)
    own = f"{API}/bookings/{token}"
    at("10:30")
    for change, sent in (("cancel", {}), ("reschedule", {"starts_at": TOMORROW})):
        answer = client.post(f"{own}/{change}", json=sent)
        assert (answer.status_code, answer.json["code"]) == (409, "too_late_to_change")
    transition_booking(made.id, "start")
    for change, sent in (("cancel", {}), ("reschedule", {"starts_at": TOMORROW})):
        answer = client.post(f"{own}/{change}", json=sent)
        assert (answer.status_code, answer.json["code"]) == (409, "wrong_transition")


def test_a_hold_runs_out_and_can_be_kept_again(client, station, job, at):
    held = client.post(f"{API}/reservations", json=job | {"starts_at": TEN}).json
    at("09:20")
    again = client.post(f"{API}/reservations/{held['token']}/extend")
    assert (again.status_code, again.json["expires_at"]) == (200, "2026-11-02T09:35:00+02:00")
    for _ in range(9):
        client.post(f"{API}/reservations/{held['token']}/extend", json={})
    assert client.post(f"{API}/reservations/{held['token']}/extend").json["code"] == "limit_reached"
    assert client.delete(f"{API}/reservations/{held['token']}").status_code == 204
    assert client.delete(f"{API}/reservations/{held['token']}").status_code == 404
    sent = {name: job[name] for name in ("service_ids", "car_type_id")} | WHO | {"reservation_token": held["token"]}
    assert client.post(f"{API}/bookings", json=sent).json["code"] == "hold_expired"


def test_one_phone_and_one_network_have_their_limits(client, app, station, job):
    @command
    def few():
        db.session.get_one(ServicePoint, station.id).max_open_bookings_per_contact = 1

    few()
    made = booking(station, "10:00", ANNA)
    refused = client.post(f"{API}/bookings", json=job | WHO | {"starts_at": TOMORROW})
    assert (refused.status_code, refused.json["code"], refused.json["limit"]) == (409, "limit_reached", 1)
    cancel_booking(made.id, actor=USER)
    holds = [
        client.post(f"{API}/reservations", json=job | {"starts_at": kyiv(f"2026-11-03 {hour:02}:00").isoformat()})
        for hour in (9, 10, 11, 12, 13, 14, 15, 16, 9, 11, 13)
    ]
    assert (holds[-1].status_code, holds[-1].json["code"]) == (429, "too_many_attempts")
    assert int(holds[-1].headers["Retry-After"]) > 0


def test_nobody_asks_more_often_than_is_allowed(client, app, station, monkeypatch, at):
    monkeypatch.setitem(app.config, "API_REQUESTS_PER_MINUTE", 2)
    at("09:01")
    answers = [client.get(f"{API}/car_types") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert answers[2].headers["Retry-After"] == "60" and answers[2].json["code"] == "too_many_requests"
    at("09:02")
    assert client.get(f"{API}/car_types").status_code == 200


def test_sites_read_it_from_a_browser_only_where_a_station_lists_them(client, station):
    address, site = f"{API}/service_points/{station.id}/availability/2026-11-02", {"Origin": "https://shop.example"}
    assert "Access-Control-Allow-Origin" not in client.get(address, headers=site).headers

    @command
    def list_it():
        db.session.get_one(ServicePoint, station.id).web_origins = ["https://shop.example"]

    list_it()
    assert client.get(address, headers=site).headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "Origin" in client.get(address).headers["Vary"]
    for where, headers in ((address, {"Origin": "https://evil.example"}), (f"{API}/bookings/{'x' * 22}", site)):
        assert "Access-Control-Allow-Origin" not in client.get(where, headers=headers).headers
    asked = client.options(address, headers=site | {"Access-Control-Request-Method": "GET"})
    assert asked.headers["Access-Control-Allow-Methods"] == "GET"


def test_a_failure_tells_nothing_but_its_name(app, client, station, monkeypatch):
    monkeypatch.setattr("tirefit.booking.durations.car_types", lambda: 1 / 0)
    monkeypatch.setattr(app, "testing", False)

    answer = client.get(f"{API}/car_types")

    assert (answer.status_code, answer.json["code"]) == (500, "failure")
    assert set(answer.json) == {"type", "title", "status", "code", "detail", "instance"}

"""Every refusal that the API's description names, operation by operation, is one that the program really gives.

Each function says what leads to one code. It is asked for every operation that names the code, and no operation that a
function knows how to refuse may be without the code in its description.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from tests.factories import ANNA, booking, car_type, kyiv, service
from tirefit import clock, limits, tokens
from tirefit.api import spec
from tirefit.api.operations import STATUSES
from tirefit.api.problems import MEDIA_TYPE
from tirefit.booking.links import find_by_token
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import command, db
from tirefit.errors import Busy
from tirefit.models import ServicePoint
from tirefit.schedule import changes
from tirefit.schedule.blocks import block_time
from tirefit.schedule.reservations import new_token

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # says nothing of databases

TOMORROW = "2026-11-03T10:00:00+02:00"
A_KEY = {"Idempotency-Key": "8d7c1f0e-2f2b-4c79-b0c7-5a0f3f0b8f11"}


@dataclass
class Api:
    """A program that knows a good request for each operation, and may spoil it."""

    app: Any
    client: Any
    station: ServicePoint
    token: str
    staffs_token: str
    at: Any
    patch: pytest.MonkeyPatch
    hours: list[int] = field(default_factory=lambda: [*range(10, 17)] * 2)

    def parts(self) -> dict[str, Any]:
        return {"service_point_id": self.station.id, "date": "2026-11-03", "post_number": 2, "template_id": 1}

    def ask(self, name: str, **change: Any) -> Any:
        """The example of an operation, with other parts of the address, other fields, other headers."""
        path, method, _ = self.operation(name)
        example = spec.examples()[name]
        parts = {"token": "x" * 22, "block_id": 7} | self.parts() | change.get("parts", {})
        if "{number}" in path and "number" not in parts:
            parts["number"] = self.booked().made.number
        query = example.get("query", {}) | change.get("query", {})
        sent: dict[str, Any] = {"query_string": {name: value for name, value in query.items() if value is not None}}
        if "request" in example and "raw" not in change:
            sent["json"] = self._body(example["request"]) | change.get("body", {})
        headers = {"Authorization": f"Bearer {change.get('token', self.token)}"} | change.get("headers", {})
        if change.get("token", self.token) is None:
            headers.pop("Authorization")
        return self.client.open(
            path.format(**parts), method=method.upper(), headers=headers, **sent | change.get("raw", {})
        )

    def _body(self, body: dict[str, Any]) -> dict[str, Any]:
        if "reservation_token" in body:  # an example of a hold; most refusals are about a time
            body = {key: value for key, value in body.items() if key != "reservation_token"}
            body |= {"service_point_id": self.station.id, "starts_at": TOMORROW}
        return body

    def operation(self, name: str) -> tuple[str, str, dict[str, Any]]:
        return next(each for each in spec.operations(spec.document()) if each[2]["operationId"] == name)

    def booked(self, time: str = "", **wishes: Any) -> SimpleNamespace:
        """By default at another hour of Wednesday each time."""
        token, time = new_token(), time or f"2026-11-04 {self.hours.pop()}:00"
        return SimpleNamespace(token=token, made=booking(self.station, time, token=token, **wishes))

    def asking_for(self, name: str, starts_at: str, **change: Any) -> Any:
        """One of the operations that take a time, for this one."""
        parts = {"token": self.booked().token} if name == "reschedule" else {}
        return self.ask(name, parts=parts, body={"starts_at": starts_at} | change)


@pytest.fixture
def api(app, client, station, olga, ivan, at, monkeypatch) -> Api:
    monkeypatch.setitem(app.config, "API_REQUESTS_PER_MINUTE", 10**6)
    return Api(
        *(app, client, station, tokens.add_token(olga.email), tokens.add_token(ivan.email, "staff"), at, monkeypatch)
    )


WAYS: dict[str, Callable[[Api, str], Any]] = {}


def to(code: str) -> Callable[[Callable[[Api, str], Any]], Callable[[Api, str], Any]]:
    def remember(way: Callable[[Api, str], Any]) -> Callable[[Api, str], Any]:
        WAYS[code] = way
        return way

    return remember


def documented() -> dict[str, list[str]]:
    """Code → the operations that name it."""
    found: dict[str, list[str]] = {}
    for _, _, operation in spec.operations(spec.document()):
        for answer in operation["responses"].values():
            for code in answer.get("content", {}).get(MEDIA_TYPE, {}).get("examples", ()):
                found.setdefault(code, []).append(operation["operationId"])
    return found


@pytest.fixture
def codes(app) -> dict[str, list[str]]:
    return documented()


def test_there_is_a_way_to_each_code(codes):
    assert set(codes) == set(WAYS) and sum(map(len, codes.values())) > 300


# --- what any request can meet


@to("unauthorized")
def no_token(api, name):
    return api.ask(name, token=None)


@to("forbidden")
def a_token_that_may_less(api, name):
    return api.ask(name, token=api.staffs_token)


@to("not_found")
def something_that_is_not_there(api, name):
    if name in ("hold_time", "check_availability", "calculate_duration", "create"):
        return api.ask(name, body={"service_point_id": 999_999})
    if name == "optimal_slots":
        return api.ask(name, query={"service_point_id": 999_999})
    token = "no-token" if name == "extend_hold" else "y" * 22  # any token may have been that of a hold that is over
    return api.ask(name, parts={"service_point_id": 999_999, "token": token})


@to("invalid")
def a_field_that_nobody_knows(api, name):
    if "request" in spec.examples()[name]:
        return api.ask(name, raw={"json": {"surplus": 1}})
    return api.ask(name, query={"surplus": 1})


@to("malformed")
def what_is_no_json(api, name):
    return api.ask(name, raw={"data": "{", "content_type": "application/json"})


@to("unsupported_media_type")
def text(api, name):
    return api.ask(name, raw={"data": "{}", "content_type": "text/plain"})


@to("too_large")
def a_body_without_end(api, name):
    return api.ask(name, raw={"data": " " * 300_000, "content_type": "application/json"})


@to("too_many_requests")
def more_than_is_allowed(api, name):
    with api.patch.context() as patch:
        patch.setitem(api.app.config, "API_REQUESTS_PER_MINUTE", 0)
        return api.ask(name)


@to("failure")
def a_fault_of_ours(api, name):
    return with_broken_view(api, name, ZeroDivisionError())


@to("busy")
def a_database_that_is_too_slow(api, name):
    return with_broken_view(api, name, Busy())


def with_broken_view(api, name, error):
    endpoint = next(each for each in api.app.view_functions if each.startswith("api_") and each.endswith(f".{name}"))
    view = api.app.view_functions[endpoint]

    def broken(**_parts):
        raise error

    broken.policy = lambda: None
    with api.patch.context() as patch:
        patch.setitem(api.app.view_functions, endpoint, broken)
        patch.setattr(api.app, "testing", False)
        assert view.policy is not None
        return api.ask(name)


# --- work, cars, times


@to("unknown_service")
def a_service_that_nobody_does(api, name):
    if name.startswith(("get_", "optimal")):
        return api.ask(name, query={"service_ids": "999", "car_type_id": car_type().id, "duration_minutes": None})
    return api.ask(name, body={"service_ids": [999]})


@to("unknown_car_type")
def a_car_that_nobody_knows(api, name):
    if name.startswith(("get_", "optimal")):
        return api.ask(name, query={"service_ids": str(service().id), "car_type_id": 999, "duration_minutes": None})
    return api.ask(name, body={"car_type_ids": [999]} if name == "update_post" else {"car_type_id": 999})


@to("in_the_past")
def an_hour_ago(api, name):
    if name == "transition":
        made = api.booked("2026-11-02 12:00").made
        cancel_booking(made.id, actor=USER)
        api.at("12:30")
        return api.ask(name, parts={"number": made.number}, body={"event": "restore_by_station", "version": 2})
    return api.asking_for(name, "2026-11-02T08:00:00+02:00")


@to("too_soon")
def sooner_than_the_station_wants(api, name):
    change_station(api, lead_minutes=120)
    return api.asking_for(name, "2026-11-02T10:00:00+02:00")


@to("beyond_horizon")
def a_month_ahead(api, name):
    return api.asking_for(name, "2026-12-02T10:00:00+02:00")


@to("services_do_not_fit")
def just_before_it_closes(api, name):
    return api.asking_for(name, "2026-11-03T17:30:00+02:00")


@to("slot_not_offered")
def at_night(api, name):
    return api.asking_for(name, "2026-11-03T03:00:00+02:00")


@to("time_matches_no_slot")
def seven_past(api, name):
    return api.asking_for(name, "2026-11-03T10:07:00+02:00")


@to("post_cannot_take_it")
def wheels_that_no_post_takes(api, name):
    if name == "reschedule":
        token = api.booked().token
    only_small_wheels(api)
    if name == "reschedule":
        large_wheels(token)
        return api.ask(name, parts={"token": token}, body={"starts_at": TOMORROW})
    return api.ask(name, body={"starts_at": TOMORROW, "wheel_inches": 20})


@to("slot_taken")
def a_time_that_others_have(api, name):
    if name == "transition":
        made = api.booked("2026-11-03 12:00").made
        cancel_booking(made.id, actor=USER)
        fill("2026-11-03 12:00", api)
        return api.ask(name, parts={"number": made.number}, body={"event": "restore_by_station", "version": 2})
    if name == "take_in":
        block_time(api.station.id, api.station.posts[0].id, clock.now(), kyiv("17:00"))
        return api.ask(name, body={"post_number": 1})
    fill("2026-11-05 11:00", api)
    return api.asking_for(name, "2026-11-05T11:00:00+02:00")


def fill(time: str, api: Api) -> None:
    for post in api.station.posts:
        block_time(api.station.id, post.id, kyiv(time), kyiv(time.replace(":00", ":40")))


@command
def change_station_columns(point_id: int, values: dict[str, Any]) -> None:
    point = db.session.get_one(ServicePoint, point_id)
    for name, value in values.items():
        setattr(point, name, value)


def change_station(api: Api, **values: Any) -> None:
    change_station_columns(api.station.id, values)


def only_small_wheels(api: Api) -> None:
    for post in db.session.get_one(ServicePoint, api.station.id).posts:
        about = {"post_number": post.post_number, "slot_duration": post.slot_duration, "name": "", "description": ""}
        changes.update_post(post.id, **about, active=True, abilities=changes.Abilities(largest_wheel=14))


@command
def large_wheels(token: str) -> None:
    find_by_token(token).wheel_inches = 20


# --- keys, holds, limits


@to("key_reused")
def another_request_under_the_same_key(api, name):
    change = {"slot_duration": 45} if name == "create_post" else {"reason": "x"}
    change = {"name": "Зима"} if name == "create_template" else change
    change = {"starts_at": "2026-11-04T10:00:00+02:00"} if name in ("hold_time", "create") else change
    assert api.ask(name, headers=A_KEY, query=really(name)).status_code == 201
    return api.ask(name, headers=A_KEY, body=change, query=really(name))


def really(name: str) -> dict[str, str]:
    return {"dry_run": "false"} if name in ("create_post", "create_template") else {}


@to("too_many_attempts")
def one_network_and_too_much(api, name):
    if name == "create":
        api.patch.setattr(limits, "BOOKINGS", limits.Limit("booking", 1, limits.BOOKINGS.within))
        assert api.ask(name, token=None).status_code == 201
        return api.ask(name, token=None, body={"starts_at": "2026-11-04T10:00:00+02:00"})
    if name == "reschedule":
        api.patch.setattr(limits, "MOVES", limits.Limit("move", 1, limits.MOVES.within))
        link = {"token": api.booked().token}
        for hour in (9, 12):
            answer = api.ask(name, token=None, parts=link, body={"starts_at": f"2026-11-03T{hour:02}:00:00+02:00"})
        return answer
    for hour in (9, 10, 11, 12, 13, 14, 15, 16, 9, 11):
        api.ask(name, token=None, body={"starts_at": f"2026-11-03T{hour:02}:00:00+02:00"})
    return api.ask(name, token=None, body={"starts_at": "2026-11-03T13:00:00+02:00"})


@to("hold_expired")
def a_hold_that_ran_out(api, name):
    if name == "create":
        return api.ask(name, raw={"json": spec.examples()[name]["request"]})
    held = api.ask("hold_time", body={"starts_at": TOMORROW, "post_number": 1}).json["token"]
    api.at("09:20")
    fill("2026-11-03 10:00", api)
    return api.ask(name, parts={"token": held})


@to("limit_reached")
def as_much_as_there_may_be(api, name):
    if name == "create":
        change_station(api, max_open_bookings_per_contact=1)
        api.booked(customer=ANNA)
        return api.ask(name, body={"customer": {"name": "Анна", "phone": ANNA.phone}})
    held = api.ask("hold_time", body={"starts_at": TOMORROW}).json["token"]
    for _ in range(10):
        api.ask(name, parts={"token": held})
    return api.ask(name, parts={"token": held})


# --- bookings that are not as they were


@to("too_late_to_change")
def inside_the_cut_off(api, name):
    token = api.booked("2026-11-02 12:00").token
    api.at("10:30")
    return api.ask(name, parts={"token": token})


@to("wrong_transition")
def work_that_has_begun(api, name):
    found = api.booked()
    transition_booking(found.made.id, "start")
    if name == "transition":
        return api.ask(name, parts={"number": found.made.number}, body={"event": "confirm", "version": 2})
    return api.ask(name, parts={"token": found.token})


@to("booking_changed")
def an_old_version(api, name):
    return api.ask(name, parts={"number": api.booked().made.number}, body={"event": "arrive", "version": 99})


@to("undo_expired")
def after_ten_minutes(api, name):
    made = api.booked().made
    transition_booking(made.id, "arrive")
    api.at("09:11")
    return api.ask(name, parts={"number": made.number}, body={"event": "undo", "version": 2})


# --- posts and hours


@to("slot_duration_out_of_range")
def four_minutes(api, name):
    return api.ask(name, body={"slot_duration": 4}, query={"dry_run": "false"})


@to("post_number_taken")
def a_number_of_another_post(api, name):
    return api.ask(name, body={"post_number": 1}, query={"dry_run": "false"})


@to("post_has_bookings")
def a_post_that_people_have_booked(api, name):
    found = api.booked("2026-11-04 12:00")
    number = next(post.post_number for post in api.station.posts if post.id == found.made.service_post_id)
    body = {"body": {"active": False}} if name == "update_post" else {}
    return api.ask(name, parts={"post_number": number}, query={"dry_run": "false"}, **body)


@to("windows_invalid")
def closing_before_opening(api, name):
    window = {"opens": "15:00", "closes": "09:00"}
    return api.ask(name, body={"windows": [window if name == "put_exception" else window | {"weekday": 1}]})


@to("schedule_changed")
def not_what_was_shown(api, name):
    if name == "delete_exception":
        api.ask("put_exception", body={"reason": "Учёба", "windows": []})
    return api.ask(name, query={"dry_run": "false", "expected": "0" * 16})


# --- and all of it


@pytest.mark.parametrize("code", WAYS)
def test_each_operation_that_names_a_code_gives_it(api, codes, code):
    for name in codes[code]:
        api.at("09:00")
        with api.patch.context() as patch:
            api_of_this = Api(**{**vars(api), "patch": patch})
            answer = WAYS[code](api_of_this, name)
        told = (name, answer.status_code, answer.text)
        assert answer.mimetype == MEDIA_TYPE and answer.json["code"] == code, told
        assert answer.status_code == answer.json["status"] == STATUSES[code], told
        assert {"type", "title", "status", "code", "detail"} <= set(answer.json) and answer.json["detail"], told
        if code == "invalid":
            assert all(set(error) >= {"code", "detail"} for error in answer.json["errors"]), told

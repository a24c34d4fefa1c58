"""The API's description of itself is true: valid, with an example of every operation that the program really gives.

`TIREFIT_WRITE_EXAMPLES=1` writes the examples anew, after a change of the API.
"""

import json
import os
import re

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

from tests.factories import booking, car_type, service
from tirefit import tokens
from tirefit.api import spec
from tirefit.api.problems import MEDIA_TYPE
from tirefit.schedule.reservations import new_token

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # says nothing of databases

TOKEN, NUMBER = "3rXk0yF2Qm6bT9uWc1LhZA", "K7M4QX"
WHO = {"customer": {"name": "Анна", "phone": "067 123 45 67", "email": "anna@example.com"}, "consent": True}


@pytest.fixture
def whole(app) -> dict:
    return spec.document()


def test_the_document_is_valid_openapi(client, whole):
    answer = client.get("/api/v1/openapi.json")

    assert answer.json["openapi"].startswith("3.1")
    validate(answer.json)
    names = [operation["operationId"] for _, _, operation in spec.operations(answer.json)]
    assert len(names) == len(set(names)) > 30


def test_every_example_is_valid_and_every_refusal_has_one(whole):
    for path, method, operation in spec.operations(whole):
        for status, answer in operation["responses"].items():
            for media, content in answer.get("content", {}).items():
                given = [content["example"]] if "example" in content else []
                given += [each["value"] for each in content.get("examples", {}).values()]
                assert given, (method, path, status)
                for example in given:
                    fits(whole, content["schema"], example)
                assert media != MEDIA_TYPE or all(each["status"] == int(status) for each in given)
        body = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if body:
            fits(whole, body["schema"], body["example"])


def test_the_examples_are_what_the_program_answers(app, client, station, olga, whole):
    played = Play(client, station, tokens.add_token(olga.email)).whole()
    assert set(played) == {operation["operationId"] for _, _, operation in spec.operations(whole)}
    if os.environ.get("TIREFIT_WRITE_EXAMPLES"):
        spec.EXAMPLES.write_text(json.dumps(played, ensure_ascii=False, indent=1) + "\n")

    assert json.loads(spec.EXAMPLES.read_text()) == played


def test_the_page_for_people_shows_every_operation_and_every_code(client, whole):
    page = client.get("/api/docs")

    assert page.status_code == 200
    for _, _, operation in spec.operations(whole):
        assert f'id="{operation["operationId"]}"' in page.text
    assert 'id="slot_taken"' in page.text
    assert "array of integer" in page.text and "integer of" not in page.text
    assert "curl -X POST https://tirefit.test/api/v1/reservations" in page.text


def fits(whole: dict, schema: dict, example: object) -> None:
    OAS31Validator(schema | {"components": whole["components"]}).validate(example)


class Play:
    """Each operation once, in an order that makes sense."""

    def __init__(self, client, station, token):
        self.client, self.station = client, station
        self.secrets = {token: "tf_" + TOKEN}
        self.headers = {"Authorization": f"Bearer {token}"}
        self.home = f"/api/v1/service_points/{station.id}"
        self.answers: dict[str, dict] = {}

    def ask(self, name, method, path, *, body=None, query=None):
        answer = self.client.open(path, method=method, json=body, query_string=query, headers=self.headers)
        assert answer.status_code in (200, 201, 204), (name, answer.text)
        shown = {"query": query} if query else {}
        shown |= {"request": body} if body is not None else {}
        shown |= {"answer": answer.json} if answer.status_code != 204 else {}
        text = json.dumps(shown, ensure_ascii=False)
        if answer.status_code != 204:
            for secret in (answer.json.get("token"), (answer.json.get("booking") or {}).get("number")):
                if secret:
                    self.secrets[secret] = TOKEN if len(secret) > 6 else NUMBER
        for secret, instead in self.secrets.items():
            text = text.replace(secret, instead)
        text = re.sub(r'"number": "[2-9A-Z]{6}"', f'"number": "{NUMBER}"', text)
        text = re.sub(r'"booking": "[2-9A-Z]{6}"', f'"booking": "{NUMBER}"', text)
        text = re.sub(r'"fingerprint": "\w+"', f'"fingerprint": "{"5e1f" * 8}"', text)
        self.answers[name] = json.loads(text)
        return answer.json if answer.status_code != 204 else None

    def whole(self) -> dict[str, dict]:
        self.customers()
        self.stations()
        return self.answers

    def customers(self) -> None:
        job = {"service_ids": [service().id], "car_type_id": car_type().id}
        query = {"service_ids": str(service().id), "car_type_id": car_type().id}
        at, late = "2026-11-03T10:00:00+02:00", "2026-11-03T17:00:00+02:00"
        here = {"service_point_id": self.station.id}
        api = "/api/v1"
        self.ask("list_service_points", "GET", f"{api}/service_points")
        self.ask("get_service_point", "GET", self.home)
        self.ask("list_services", "GET", f"{self.home}/services", query={"per_page": 1})
        self.ask("list_car_types", "GET", f"{api}/car_types")
        evening = {"duration_minutes": 90}
        self.ask("get_day", "GET", f"{self.home}/availability/2026-11-03", query=query)
        self.answers["get_day"]["answer"]["times"] = self.answers["get_day"]["answer"]["times"][:3]
        self.ask("get_day_by_posts", "GET", f"{self.home}/availability/2026-11-03/by_posts", query=evening)
        for post in self.answers["get_day_by_posts"]["answer"]["posts"]:
            post["slots"] = post["slots"][:2]
        self.answers["get_day_by_posts"]["answer"]["times"] = self.answers["get_day_by_posts"]["answer"]["times"][:2]
        self.ask("get_day_of_post", "GET", f"{self.home}/posts/2/availability/2026-11-03", query=query)
        self.answers["get_day_of_post"]["answer"]["slots"] = self.answers["get_day_of_post"]["answer"]["slots"][:2]
        self.ask("get_days", "GET", f"{self.home}/availability", query=query | {"from": "2026-11-03", "days": 2})
        self.ask(
            "check_availability", "POST", f"{api}/bookings/check_availability", body=here | job | {"starts_at": at}
        )
        self.ask(
            "calculate_duration", "POST", f"{api}/bookings/calculate_duration", body=here | job | {"post_number": 1}
        )
        wish = here | {"date": "2026-11-03"} | query | {"preferred_time": "11:00"}
        self.ask("optimal_slots", "GET", f"{api}/bookings/optimal_slots", query=wish)
        held = self.ask("hold_time", "POST", f"{api}/reservations", body=here | job | {"starts_at": at})
        self.ask("extend_hold", "POST", f"{api}/reservations/{held['token']}/extend", body={})
        other = self.client.post(f"{api}/reservations", json=here | job | {"starts_at": late}).json
        self.ask("release_hold", "DELETE", f"{api}/reservations/{other['token']}")
        made = self.ask("create", "POST", f"{api}/bookings", body=job | WHO | {"reservation_token": held["token"]})
        own = f"{api}/bookings/{made['token']}"
        self.ask("get_booking", "GET", own)
        self.ask("reschedule", "POST", f"{own}/reschedule", body={"starts_at": late})
        self.ask("cancel", "POST", f"{own}/cancel", body={"reason": "plans"})

    def stations(self) -> None:
        home, new = self.home, {"post_number": 4, "slot_duration": 60, "name": "Грузовой"}
        made = booking(self.station, "10:00", token=new_token())
        self.ask("create_post", "POST", f"{home}/posts", body=new, query={"dry_run": "true"})
        self.ask("create_post", "POST", f"{home}/posts", body=new)
        self.ask("list_posts", "GET", f"{home}/posts", query={"per_page": 2})
        self.ask("get_post", "GET", f"{home}/posts/4")
        self.ask("update_post", "PATCH", f"{home}/posts/4", body={"slot_duration": 45}, query={"dry_run": "true"})
        self.ask("delete_post", "DELETE", f"{home}/posts/4")
        windows = [{"weekday": 2, "opens": "10:00", "closes": "16:00"}]
        dates = {"valid_from": "2026-11-03", "valid_until": "2026-11-30"}
        season = {"name": "Осень", "windows": windows} | dates
        saved = self.ask("create_template", "POST", f"{home}/schedule_templates", body=season)
        template = f"{home}/schedule_templates/{saved['schedule_template']['id']}"
        self.ask("list_templates", "GET", f"{home}/schedule_templates", query={"page": 2, "per_page": 1})
        self.ask("get_template", "GET", template)
        self.ask("replace_template", "PUT", template, body=season | {"name": "Поздняя осень"})
        self.ask("delete_template", "DELETE", template)
        off = f"{home}/schedule_exceptions/2026-11-04"
        self.ask("put_exception", "PUT", off, body={"reason": "Учёба", "windows": []})
        self.ask("list_exceptions", "GET", f"{home}/schedule_exceptions")
        self.ask("get_exception", "GET", off)
        self.ask("delete_exception", "DELETE", off)
        self.ask("generate", "POST", f"{home}/schedule/generate", body={"days": 12})
        board = self.ask("get_board", "GET", f"{home}/board/2026-11-02")
        assert board["posts"]
        for post in self.answers["get_board"]["answer"]["posts"]:
            post["free"] = post["free"][:1]
        day = {"from": "2026-11-02", "to": "2026-11-02", "status": "confirmed"}
        self.ask("list_bookings", "GET", f"{home}/bookings", query=day)
        self.ask("get_station_booking", "GET", f"{home}/bookings/{made.number}")
        event = {"event": "arrive", "version": made.version}
        self.ask("transition", "POST", f"{home}/bookings/{made.number}/transition", body=event)
        hours = {"starts_at": "2026-11-02T15:00:00+02:00", "ends_at": "2026-11-02T16:00:00+02:00"}
        block = {"post_number": 1, "reason": "Компрессор"} | hours
        closed = self.ask("create_block", "POST", f"{home}/blocks", body=block)
        self.ask("delete_block", "DELETE", f"{home}/blocks/{closed['block_ids'][0]}")
        car = {"service_ids": [service().id], "car_type_id": car_type().id, "plate": "АА 1234 ВС"}
        self.ask("take_in", "POST", f"{home}/walk_ins", body=car)

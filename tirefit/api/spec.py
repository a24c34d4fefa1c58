"""The API's description of itself, OpenAPI 3.1: made from the declarations, with an example for each operation."""

import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from threading import Lock
from typing import Any

import flask_smorest
from flask import Blueprint, Flask, Response, current_app

from tirefit import config
from tirefit.api import problems
from tirefit.web import Day, Id, Number, Token, policy

bp = Blueprint("api_spec", __name__)

ABOUT: dict[str, Any] = {
    "title": "TireFit",
    "version": "1.0",
    "openapi_version": "3.1.0",
    "info": {"description": "Booking of tire-fitting stations. Errors are RFC 9457; instants carry their offset."},
}
EXAMPLES = Path(__file__).with_name("examples.json")
METHODS = ("get", "post", "put", "patch", "delete")
KEY_OF_REQUEST = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "The same request with the same key is answered once, however often it is sent.",
    "schema": {"type": "string", "minLength": 16, "maxLength": 128, "pattern": "^[!-~]+$"},
}

# What stands in addresses, in the examples.
PARTS = {
    "service_point_id": 1,
    "date": "2026-11-03",
    "post_number": 2,
    "template_id": 2,
    "block_id": 7,
    "token": "3rXk0yF2Qm6bT9uWc1LhZA",
    "number": "K7M4QX",
}


@bp.get(f"{config.API}/openapi.json")
@policy.public
def openapi() -> Response:
    return Response(json.dumps(document(), ensure_ascii=False), mimetype="application/json")


def document() -> dict[str, Any]:
    """The whole description, as a plain structure. Made when somebody first asks for it."""
    description: Description = current_app.extensions["tirefit.openapi"]
    return description.whole()


class Description:
    """Of one app: made once, whoever asks first, and however many ask at once."""

    def __init__(self, api: Any, app: Flask) -> None:
        self.api, self.app = api, app
        self.found: dict[str, Any] | None = None
        self.one_at_a_time = Lock()

    def whole(self) -> dict[str, Any]:
        with self.one_at_a_time:
            if self.found is None:
                self.api.describe()
                self.found = finish(self.api, self.app)
            return self.found


def describe_addresses(api: flask_smorest.Api) -> None:
    """What the parts of our addresses look like."""
    api.register_converter(Id, lambda _: {"type": "integer", "minimum": 0, "maximum": 999_999_999})
    api.register_converter(Day, lambda _: {"type": "string", "format": "date", "pattern": "^20"})
    api.register_converter(Token, lambda _: {"type": "string", "pattern": f"^{Token.regex}$"})
    api.register_converter(Number, lambda _: {"type": "string", "pattern": f"^{Number.regex}$"})


def finish(api: flask_smorest.Api, app: Flask) -> dict[str, Any]:
    """What the declarations do not say by themselves: names of operations, who may, and examples."""
    whole: dict[str, Any] = deepcopy(api.spec.to_dict())
    whole["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    whole["servers"] = [{"url": app.config["BASE_URL"]}]
    known = examples()
    endpoints = {
        (str(rule), method): rule.endpoint for rule in app.url_map.iter_rules() for method in rule.methods or ()
    }
    for path, method, operation in operations(whole):
        endpoint = _endpoint(endpoints, path, method)
        operation["operationId"] = endpoint.partition(".")[2]
        view: Any = app.view_functions[endpoint]
        if view.policy.__name__ == "whoever_has_a_token":
            operation["security"] = [{"token": []}]
        if view.policy is policy.anybody and method == "get":
            operation["responses"]["304"] = {"description": "Nothing has changed since the `ETag` in `If-None-Match`."}
        if getattr(view, "takes_key", False):
            operation.setdefault("parameters", []).append(KEY_OF_REQUEST)
        _give_examples(operation, known.get(operation["operationId"], {}), app.config["BASE_URL"])
    return whole


def examples() -> dict[str, Any]:
    """A request and its answer for each operation, as a test has played them."""
    return json.loads(EXAMPLES.read_text()) if EXAMPLES.exists() else {}


def operations(whole: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every operation: its address, its method, what is said of it."""
    for path, item in whole["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def _endpoint(endpoints: dict[tuple[str, str], str], path: str, method: str) -> str:
    return next(
        endpoint
        for (rule, verb), endpoint in endpoints.items()
        if verb == method.upper() and flask_smorest.spec.plugins.FlaskPlugin.flaskpath2openapi(rule) == path
    )


def _give_examples(operation: dict[str, Any], example: dict[str, Any], base: str) -> None:
    if "request" in example:
        operation["requestBody"]["content"]["application/json"]["example"] = example["request"]
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            parameter["example"] = PARTS[parameter["name"]]
        elif parameter["name"] in example.get("query", {}):
            parameter["example"] = example["query"][parameter["name"]]
    for status, answer in operation["responses"].items():
        content = answer.get("content", {})
        if "application/json" in content and "answer" in example:
            content["application/json"]["example"] = example["answer"]
        if problems.MEDIA_TYPE in content:
            codes = [code.strip("`") for code in answer["description"].split(", ")]
            content[problems.MEDIA_TYPE]["examples"] = {
                code: {"value": _example_of(code, int(status), base)} for code in codes
            }


def _example_of(code: str, status: int, base: str) -> dict[str, Any]:
    title = problems.title_of(code)
    whole: dict[str, Any] = {"type": f"{base}{problems.DOCS}#{code}", "title": title, "status": status, "code": code}
    whole["detail"] = f"{title}."
    field = problems.FIELDS.get(code, "customer/phone" if code == "invalid" else None)
    if field and status == 422:
        of_field = "phone_invalid" if code == "invalid" else code
        whole["errors"] = [{"pointer": f"#/{field}", "code": of_field, "detail": f"{problems.title_of(of_field)}."}]
    return whole

"""The API's page for people: the same description that programs read, in the house layout, without a script."""

import json
import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, current_app

from tirefit import errors
from tirefit.api import problems, spec
from tirefit.api.operations import STATUSES
from tirefit.web import pages, policy
from tirefit.web.pages import Answer
from tirefit.webhooks.outbox import EVENTS

bp = Blueprint("api_docs", __name__)


@bp.get(problems.DOCS)
@policy.public
def show() -> Answer:
    whole = spec.document()
    parts: dict[str, list[dict[str, Any]]] = {}
    for path, method, operation in spec.operations(whole):
        part = operation["tags"][0].removeprefix("api_")
        parts.setdefault(part, []).append(_operation(whole, path, method, operation))
    return pages.show(
        "api/docs.html",
        None,
        parts=parts,
        codes=sorted(_meanings().items()),
        events=EVENTS,
        base=current_app.config["BASE_URL"],
    )


def _operation(whole: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> dict[str, Any]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    answers, refusals = [], []
    for status, answer in sorted(operation["responses"].items()):
        content = answer.get("content", {})
        if problems.MEDIA_TYPE in content:
            refusals += [(code, status) for code in content[problems.MEDIA_TYPE].get("examples", ())]
        else:
            example = content.get("application/json", {}).get("example")
            answers.append((status, _pretty(example) if example is not None else ""))
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": path,
        "summary": operation.get("summary", ""),
        "description": operation.get("description", ""),
        "is_closed": "security" in operation,
        "parameters": operation.get("parameters", []),
        "fields": _fields(whole, body["schema"]) if body else [],
        "command": _command(whole, path, method, operation, body.get("example")),
        "answers": answers,
        "refusals": refusals,
    }


def _command(whole: dict[str, Any], path: str, method: str, operation: dict[str, Any], body: Any) -> str:
    """What to paste into a terminal to try it. Secrets stand as $TOKEN and are the reader's own."""
    query = {}
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        elif "example" in parameter:
            query[parameter["name"]] = parameter["example"]
    address = whole["servers"][0]["url"] + path + (f"?{urlencode(query, safe=',:')}" if query else "")
    words = ["curl", *(["-X", method.upper()] if method != "get" else []), shlex.quote(address)]
    lines = [" ".join(words)]
    if "security" in operation:
        lines.append('-H "Authorization: Bearer $TOKEN"')
    if body is not None:
        lines += ['-H "Content-Type: application/json"', f"-d {shlex.quote(_pretty(body))}"]
    return " \\\n  ".join(lines)


def _fields(whole: dict[str, Any], schema: Mapping[str, Any], before: str = "") -> list[dict[str, Any]]:
    """The fields of a body, those inside others by their path."""
    schema = _resolved(whole, schema)
    found = []
    for name, about in schema.get("properties", {}).items():
        inner = _resolved(whole, about.get("items", about))
        found.append({"name": before + name, "required": name in schema.get("required", ()), "schema": about})
        if "properties" in inner:
            found += _fields(whole, inner, f"{before}{name}{'[]' if 'items' in about else ''}.")
    return found


def _resolved(whole: dict[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    return whole["components"]["schemas"][name] if name else schema


def _meanings() -> dict[str, tuple[int, str]]:
    """Each code with its status and what it means."""
    known = {
        each.code: " ".join((each.__doc__ or problems.title_of(each.code)).split())
        for module in (errors, problems)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, errors.Problem) and each is not errors.Problem
    }
    used = {
        code
        for _, _, operation in spec.operations(spec.document())
        for answer in operation["responses"].values()
        for code in answer.get("content", {}).get(problems.MEDIA_TYPE, {}).get("examples", ())
    }
    everywhere = {*problems.HTTP_CODES.values()}
    return {code: (STATUSES[code], known.get(code, problems.title_of(code) + ".")) for code in used | everywhere}


def _pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)

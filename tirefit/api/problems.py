"""Refusals for programs: RFC 9457, application/problem+json, for whatever goes wrong under /api/.

`code` is for programs, `detail` for their people, in the language they ask for; `errors` says which fields are meant.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException

from tirefit import i18n
from tirefit.api.times import local
from tirefit.booking import placement
from tirefit.database import is_out_of_reach
from tirefit.errors import OutOfReach, Problem
from tirefit.models import ServicePoint
from tirefit.schedule.availability import Needs, Time
from tirefit.web import errors
from tirefit.web.picker import TIME_IS_GONE

MEDIA_TYPE = "application/problem+json"
DOCS = "/api/docs"

# The field that a refusal of the domain is about, where that is always the same one.
FIELDS = {
    "unknown_service": "service_ids",
    "unknown_car_type": "car_type_id",
    "in_the_past": "starts_at",
    "too_soon": "starts_at",
    "beyond_horizon": "starts_at",
    "services_do_not_fit": "starts_at",
    "slot_duration_out_of_range": "slot_duration",
    "windows_invalid": "windows",
}
# What a refusal may tell beside its words.
TOLD = {
    "limit",
    "minutes",
    "lead_minutes",
    "horizon_days",
    "cutoff_minutes",
    "service_id",
    "post_number",
    "shortest",
    "longest",
    "weekday",
    "event",
    "reserved_times",
}
HTTP_CODES = {
    400: "malformed",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    500: "failure",
}


class Malformed(Problem):
    """What was sent is no JSON."""

    code = "malformed"
    status = 400


class Invalid(Problem):
    """Fields that are missing, unknown, or not what they should be. `facts["errors"]` names each."""

    code = "invalid"
    status = 422


class Unauthorized(Problem):
    """No token, or one that opens nothing (any more)."""

    code = "unauthorized"
    status = 401


def refused_field(name: str, code: str) -> Invalid:
    """One field that only the station's own facts could refuse."""
    return Invalid(errors=[_error(("json", *name.split("/")), code)])


def refused_header(name: str, code: str) -> Invalid:
    return Invalid(errors=[_error(("headers", name), code)])


def invalid_fields(messages: Mapping[str, Any]) -> Invalid:
    """What the schemas found wrong: location → field → … → codes."""
    return Invalid(errors=[_error(path, code) for path, code in _flat(messages)])


@contextmanager
def suggesting(point: ServicePoint, starts_at: datetime, minutes: int, needs: Needs) -> Iterator[None]:
    """Let a refusal of a time offer the nearest others."""
    try:
        yield
    except TIME_IS_GONE as problem:
        if problem.status == 409:
            times = placement.alternatives(point, starts_at, minutes, needs)
            problem.facts["suggested_times"] = [time_of(point, time) for time in times]
        raise


def time_of(point: ServicePoint, time: Time) -> dict[str, Any]:
    """A time that can be had, as every answer shows it."""
    starts_at = local(point, time.starts_at)
    return {
        "time": starts_at.strftime("%H:%M"),
        "starts_at": starts_at.isoformat(),
        "ends_at": local(point, time.ends_at).isoformat(),
        "available_posts": time.available_posts,
        "recommended_post": time.post_number,
        "waste_minutes": time.waste_minutes,
    }


def init_app(app: Flask) -> None:
    """Pages keep their own words; what is asked under /api/ is answered from here."""
    for kind, here, elsewhere in (
        (Problem, show_problem, errors.show_problem),
        (HTTPException, show_status, errors.show_status),
        (Exception, show_failure, errors.show_failure),
    ):
        app.register_error_handler(kind, _by_address(here, elsewhere))


def show_problem(problem: Problem) -> Response:
    facts = {name: value for name, value in problem.facts.items() if name in TOLD and value is not None}
    wrong = problem.facts.get("errors")
    if wrong is None and problem.status == 422 and (field := problem.facts.get("field") or FIELDS.get(problem.code)):
        wrong = [_error((_location(), field), problem.code)]
    if wrong:
        facts["errors"] = wrong
    if "suggested_times" in problem.facts:
        facts["suggested_times"] = problem.facts["suggested_times"]
    answer = _answer(problem.code, problem.status, _words(problem), **facts)
    answer.headers.extend(errors.when_again(problem))
    if problem.status == 401:
        answer.headers["WWW-Authenticate"] = "Bearer"
    return answer


def show_status(error: HTTPException) -> Response:
    status = error.code or 500
    if status in (301, 302, 307, 308):  # an address that is spelled a little differently
        return error.get_response()  # type: ignore[return-value]
    code = HTTP_CODES.get(status, "malformed")
    answer = _answer(code, status, _words(_named(code, status)))
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            answer.headers[name] = value
    return answer


def show_failure(error: Exception) -> Response:
    """Something of ours broke, or the database is away: the answer has a name under which the log has it."""
    instance = errors.note_failure(error)
    if is_out_of_reach(error):
        away = OutOfReach()
        answer = _answer(away.code, away.status, _words(away), instance=instance)
        answer.headers["Retry-After"] = str(errors.RETRY_AFTER_AWAY)
        return answer
    return _answer("failure", 500, _words(_named("failure", 500)), instance=instance)


def title_of(code: str) -> str:
    """The same in every language, as RFC 9457 wants it."""
    return code.replace("_", " ").capitalize()


def _by_address(here: Any, elsewhere: Any) -> Any:
    def show(error: Any) -> Any:
        is_asked_by_a_program = request.path.startswith("/api/") and request.path != DOCS
        return here(error) if is_asked_by_a_program else elsewhere(error)

    return show


def _answer(code: str, status: int, detail: str, **more: Any) -> Response:
    body = {
        "type": f"{current_app.config['BASE_URL']}{DOCS}#{code}",
        "title": title_of(code),
        "status": status,
        "code": code,
        "detail": detail,
        **more,
    }
    return Response(json.dumps(body, ensure_ascii=False), status, mimetype=MEDIA_TYPE)


def _words(problem: Problem) -> str:
    """What the pages say of it; what only programs can do wrong has words of its own."""
    i18n.fall_back_to("en")
    own = current_app.jinja_env.get_template("api/_words.html").module
    words = str(own.say(problem.code)).strip()  # type: ignore[attr-defined]
    if not words:
        shared = current_app.jinja_env.get_template("errors/_problems.html").module
        words = str(shared.say(problem)).strip()  # type: ignore[attr-defined]
    return words


def _named(code: str, status: int) -> Problem:
    problem = Problem()
    problem.code, problem.status = code, status
    return problem


def _error(path: Sequence[str], code: str) -> dict[str, str]:
    """A field by its JSON pointer, or a parameter of the address or a header by its name."""
    where, *names = path
    detail = _words(_named(code, 422))
    if where == "json":
        pointer = "#" + "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)
        return {"pointer": pointer, "code": code, "detail": detail}
    return {"header" if where == "headers" else "parameter": str(names[0]), "code": code, "detail": detail}


def _flat(messages: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(messages, Mapping):
        for name, inner in messages.items():
            yield from _flat(inner, path if name == "_schema" else (*path, str(name)))
    elif isinstance(messages, list):
        for code in messages:
            yield path if len(path) > 1 or path[0] == "json" else (*path, ""), str(code)
    else:
        yield path, str(messages)


def _location() -> str:
    return "query" if request.method in {"GET", "DELETE"} else "json"

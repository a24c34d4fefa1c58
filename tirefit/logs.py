"""What the program says while it runs: one line for each thing, on standard error, as text or as JSON.

Every line of a request has the request's id, which the answer carries too (`X-Request-ID`). Nothing here names a
customer: a request is logged by its route (`/b/<token>`), not by its address.
"""

import json
import logging
import re
import secrets
import sys
import time
from datetime import UTC, datetime

from flask import Flask, Response, g, has_request_context, request

OURS = "tirefit"
HEADER = "X-Request-ID"
FIT_TO_KEEP = re.compile(r"[A-Za-z0-9_-]{8,64}")

REFUSALS = (401, 403, 429)
DOORS = ("/login", "/login/code", "/account/password")  # whoever is refused there has guessed, or mistyped

requests = logging.getLogger("tirefit.requests")
security = logging.getLogger("tirefit.security")  # who was let in, and who was refused: always on


def init_app(app: Flask) -> None:
    _speak(app.config["LOG_FORMAT"])
    security.setLevel(logging.INFO)
    requests.setLevel(logging.INFO if app.config["LOG_REQUESTS"] else logging.WARNING)
    app.before_request_funcs.setdefault(None, []).insert(0, _begin)
    app.after_request(_end)


def request_id() -> str:
    """The id of the request that is being answered; "" outside one."""
    return str(g.get("request_id", "")) if has_request_context() else ""


def route() -> str:
    """What is asked, without what was filled in: an address may hold a secret, a name, or a line that is no line."""
    return f"{request.method} {request.url_rule.rule if request.url_rule else '-'}"


class JsonLines(logging.Formatter):
    """A line of JSON each: time, level, logger, message, request, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in ("request", "route", "status", "ms") if (value := getattr(record, name, None))}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class OneHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours; there is one for a process, however many apps are made in it."""

    @property
    def stream(self):  # type: ignore[no-untyped-def]
        return sys.stderr

    @stream.setter
    def stream(self, value: object) -> None:
        """Whoever replaces standard error later is followed."""


def _speak(wanted: str) -> None:
    ours = logging.getLogger(OURS)
    handler = next((each for each in ours.handlers if isinstance(each, OneHandler)), None)
    if handler is None:
        handler = OneHandler()
        handler.addFilter(_name_the_request)
        ours.addHandler(handler)
    plain = logging.Formatter("%(asctime)s %(levelname)s %(name)s %(request)s %(message)s")
    handler.setFormatter(JsonLines() if wanted == "json" else plain)


def _name_the_request(record: logging.LogRecord) -> bool:
    record.request = request_id() or "-"
    return True


def _begin() -> None:
    given = request.headers.get(HEADER, "")
    g.request_id = given if FIT_TO_KEEP.fullmatch(given) else secrets.token_hex(8)
    g.begun = time.perf_counter()


def _end(answer: Response) -> Response:
    if "request_id" in g:  # else it was refused before it began
        answer.headers[HEADER] = g.request_id
        took = round((time.perf_counter() - g.begun) * 1000, 1)
        about = {"route": route(), "status": answer.status_code, "ms": took}
        requests.info("%(route)s %(status)s %(ms)s ms", about, extra=about)
        if answer.status_code in REFUSALS or (answer.status_code == 422 and request.path in DOORS):
            security.info("refused: %(route)s %(status)s", about, extra=about)
    return answer

"""Refusals and failures as pages: what happened, why, and one button that leads on. Words: templates/errors."""

import secrets

from flask import Flask, current_app, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect
from werkzeug.wrappers import Response

from tirefit import logs, paper
from tirefit.database import is_out_of_reach
from tirefit.errors import Busy, OutOfReach, Problem, TooManyAttempts, TooManyRequests

RETRY_AFTER_BUSY = 2  # seconds
RETRY_AFTER_AWAY = 30

Answer = tuple[str, int, dict[str, str]]


def init_app(app: Flask) -> None:
    app.register_error_handler(Problem, show_problem)
    app.register_error_handler(CSRFError, show_stale_form)
    app.register_error_handler(HTTPException, show_status)
    app.register_error_handler(Exception, show_failure)


def show_problem(problem: Problem) -> Answer:
    """A refusal of the domain that no view knew a better answer to."""
    return render_template("errors/problem.html", problem=problem, **_ways_on()), problem.status, when_again(problem)


def when_again(problem: Problem) -> dict[str, str]:
    """The header that says when to come back, for a refusal that passes by itself."""
    if not isinstance(problem, Busy | TooManyAttempts | TooManyRequests):
        return {}
    return {"Retry-After": str(problem.facts.get("retry_after", RETRY_AFTER_BUSY))}


def show_stale_form(error: CSRFError) -> Answer:
    """A form without the token of this browser's session: it was open too long, or comes from elsewhere."""
    return render_template("errors/stale_form.html", **_ways_on()), 400, {}


def show_status(error: HTTPException) -> Response | Answer:
    if isinstance(error, RequestRedirect):
        return error.get_response()
    status = error.code or 500
    headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Retry-After"}}
    return render_template("errors/status.html", status=status, **_ways_on()), status, headers


def show_failure(error: Exception) -> Answer:
    """Something of ours broke, or the database is away. The page asks the database for nothing; its code finds the
    error in the log.
    """
    code, home = note_failure(error), url_for("public.stations")
    away = is_out_of_reach(error)
    if away:
        slug = (request.view_args or {}).get("slug") or request.args.get("s")
        page = render_template("errors/out_of_reach.html", phones=paper.phones(slug), code=code, onward=home, here=home)
        return page, OutOfReach.status, {"Retry-After": str(RETRY_AFTER_AWAY)}
    return render_template("errors/status.html", status=500, code=code, onward=home, here=home), 500, {}


def note_failure(error: Exception) -> str:
    """Write a failure into the log; → the name under which it stands there. In tests a fault of ours is raised on."""
    code, route = secrets.token_hex(4), logs.route()
    if is_out_of_reach(error):  # one line: the program is well, and there may be thousands of them
        current_app.logger.error("database out of reach, %s: %s", code, route)
    else:
        current_app.logger.exception("failure %s: %s", code, route)
        if current_app.testing:
            raise error
    return code


def _ways_on() -> dict[str, str | None]:
    """Where the page's button leads, back to the board or to the customer's station; `here`: the language links."""
    if request.blueprint in {"board", "manage", "tablets"}:
        return {"onward": url_for("board.today"), "here": url_for("board.today") if request.method != "GET" else None}
    if request.blueprint == "bay":
        return {"onward": url_for("bay.pair"), "here": url_for("bay.pair")}
    slug = (request.view_args or {}).get("slug")
    at_station = slug and request.blueprint == "public" and request.endpoint != "public.station"
    onward = url_for("public.station", slug=slug) if at_station else url_for("public.stations")
    return {"onward": onward, "here": onward if request.method != "GET" or request.endpoint is None else None}

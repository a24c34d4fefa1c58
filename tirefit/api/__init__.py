"""The JSON API: the same questions and commands as the pages, for programs. No rules of the trade live here."""

from typing import Any

import flask_smorest
from flask import Flask, Response, abort, current_app, request

from tirefit import config, i18n
from tirefit.api import (
    availability,
    bookings,
    catalogue,
    cors,
    day,
    docs,
    posts,
    problems,
    reservations,
    schedule,
    spec,
)
from tirefit.errors import TooManyRequests
from tirefit.extensions import csrf
from tirefit.limits import Allowance, Throttle
from tirefit.schedule.reservations import hash_of
from tirefit.web import policy, visitor

throttle = Throttle()


class Api(flask_smorest.Api):
    """Reads declarations into an OpenAPI document; everything else of the library's own is left out.

    It does so when somebody first asks for it: a quarter of a second that no start of the program has to wait for.
    """

    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation says which refusals it knows

    def register_blueprint(self, blp: flask_smorest.Blueprint, *, parameters: Any = None, **options: Any) -> None:
        app, name = self._app, options["name"]
        app.extensions["flask-smorest"]["blp_name_to_api"][name] = self
        app.register_blueprint(blp, **options)
        self.undescribed.append((blp, name))

    def describe(self) -> None:
        """Read the declarations of all operations. Once."""
        while self.undescribed:
            blp, name = self.undescribed.pop(0)
            blp.register_views_in_doc(self, self._app, self.spec, name=name, parameters=None)
            self.spec.tag({"name": name, "description": blp.description})

    def _register_error_handlers(self) -> None:
        pass  # tirefit.api.problems speaks for the whole program

    def _register_doc_blueprint(self) -> None:
        pass  # tirefit.api.spec serves the document


def init_app(app: Flask) -> None:
    app.before_request_funcs.setdefault(None, []).insert(0, _before_everything)
    app.after_request(_tell)
    problems.init_app(app)
    app.json.ensure_ascii = False  # type: ignore[attr-defined]
    api = Api(app, spec_kwargs=spec.ABOUT)
    api.undescribed = []
    spec.describe_addresses(api)
    for part in (catalogue, availability, reservations, bookings, posts, schedule, day):
        csrf.exempt(part.bp)
        own = part.bp.url_prefix or ""
        api.register_blueprint(part.bp, url_prefix=config.API + own, name=f"api_{part.bp.name}")
    app.register_blueprint(spec.bp)
    app.register_blueprint(docs.bp)
    app.extensions["tirefit.openapi"] = spec.Description(api, app)


def _before_everything() -> None:
    """Before it is even asked who may: the language of the answer, how often this network asks, and JSON alone."""
    if not request.path.startswith(f"{config.API}/"):
        return
    i18n.fall_back_to("en")
    allowance = _count()
    request.environ["tirefit.allowance"] = allowance
    if allowance.is_used_up:
        raise TooManyRequests(retry_after=allowance.seconds)
    if request.method in {"POST", "PUT", "PATCH"} and _has_body() and request.mimetype != "application/json":
        abort(415)


def _count() -> Allowance:
    """By the token if there is one, whether it opens anything or not; else by the network."""
    subject = request.headers.get("Authorization") or visitor.network()
    return throttle.count(hash_of(subject), current_app.config["API_REQUESTS_PER_MINUTE"])


def _has_body() -> bool:
    return bool(request.content_length) or "Transfer-Encoding" in request.headers or bool(request.mimetype)


def _tell(answer: Response) -> Response:
    """What may be kept, what is left of the allowance, and who may read it from a browser."""
    if not request.path.startswith(f"{config.API}/"):
        return answer
    allowance: Allowance | None = request.environ.get("tirefit.allowance")
    if allowance is not None:
        answer.headers["RateLimit-Limit"] = str(allowance.most)
        answer.headers["RateLimit-Remaining"] = str(max(0, allowance.left))
        answer.headers["RateLimit-Reset"] = str(allowance.seconds)
    if _may_be_kept(answer):
        answer.headers["Cache-Control"] = "no-cache"  # kept, and asked about each time
        answer.add_etag()
        answer.make_conditional(request)
    cors.allow(answer)
    return answer


def _may_be_kept(answer: Response) -> bool:
    view: Any = current_app.view_functions.get(request.endpoint or "")
    is_open = getattr(view, "policy", None) is policy.anybody
    return is_open and request.method in {"GET", "HEAD"} and answer.status_code == 200

"""Who may ask what of the API. No cookie is read: a program shows a token, or it is anybody."""

import base64
import hmac
import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

from flask import abort, current_app, request

from tirefit import tokens
from tirefit.accounts import is_at_least
from tirefit.api.problems import Unauthorized, refused_header
from tirefit.models import ServicePoint
from tirefit.schedule.reservations import new_token
from tirefit.tokens import Bearer
from tirefit.web import policy, visitor

View = TypeVar("View", bound=Callable[..., Any])
A_KEY = re.compile(r"[!-~]{16,128}")

public = policy.public
link_holder = policy.customer


def takes_key(view: View) -> View:
    """An `Idempotency-Key` makes the same request, sent twice, one."""
    view.takes_key = True  # type: ignore[attr-defined]
    return view


def staff_of(load: Callable[..., Any]) -> Callable[[View], View]:
    """Tokens of the station's people. `load` finds the thing by the parts of the address that it names."""
    return policy.declares(_role_at(load, "staff"))


def manager_of(load: Callable[..., Any]) -> Callable[[View], View]:
    """Tokens of those who may change the station."""
    return policy.declares(_role_at(load, "manager"))


def bearer() -> Bearer | None:
    """Who asks, by the token of this request. Raises Unauthorized for a token that opens nothing."""
    if "tirefit.bearer" not in request.environ:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        found = tokens.bearer_of(token.strip()) if kind.lower() == "bearer" else None
        if found is None and kind:
            raise Unauthorized()
        request.environ["tirefit.bearer"] = found
    return request.environ["tirefit.bearer"]  # type: ignore[no-any-return]


def origin() -> str | None:
    """The network that limits count by; None for whoever has a token."""
    return None if bearer() is not None else visitor.network()


def user_id() -> int | None:
    found = bearer()
    return found.user.id if found else None


def idempotency_key() -> str | None:
    """The key of this request, if it has one. Raises Invalid for one that is too short to be nobody else's."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not A_KEY.fullmatch(key):
        raise refused_header("Idempotency-Key", "invalid")
    return key


def key_of_request() -> str:
    """The secret that this request's booking (or hold) will have: from its Idempotency-Key, the same every time.

    Nobody who does not know our own secret can tell it from the key.
    """
    key = idempotency_key()
    if key is None:
        return new_token()
    whole = f"idempotency {request.path} {user_id()} {key}"
    secret = str(current_app.config["SECRET_KEY"])
    digest = hmac.digest(secret.encode(), whole.encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:16]).decode().rstrip("=")


def _role_at(load: Callable[..., Any], needed: str) -> Callable[[], None]:
    parts = tuple(inspect.signature(load).parameters)

    def whoever_has_a_token() -> None:
        who = bearer()
        if who is None:
            raise Unauthorized()
        args: dict[str, Any] = request.view_args or {}
        found = load(**{part: args.pop(part) for part in parts})
        role = who.role_at(_station_id(found)) if found is not None else None
        if found is None or role is None:
            abort(404)
        if not is_at_least(role, needed):
            abort(403)
        args[policy.NAMES[type(found)]] = found
        request.view_args = args

    return whoever_has_a_token


def _station_id(thing: Any) -> int:
    return thing.id if isinstance(thing, ServicePoint) else thing.service_point_id

"""Who may call a route. Every route declares it; one that does not is refused to everybody.

A policy is a function without arguments that returns when the caller may go on, and aborts when not. Those of stations
load the thing that the address names and hand it to the view; where a person has no role nothing exists for them: 404.
"""

import hmac
import inspect
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from flask import Flask, abort, current_app, make_response, request, session
from werkzeug.local import LocalProxy

from tirefit import accounts, bays, second_step
from tirefit.models import BayDevice, Booking, ScheduleTemplate, ServicePoint, ServicePost, User
from tirefit.web import htmx, pages, visitor

Thing = ServicePoint | ServicePost | ScheduleTemplate | Booking | BayDevice
NAMES = {
    ServicePoint: "point",
    ServicePost: "post",
    ScheduleTemplate: "template",
    Booking: "booking",
    BayDevice: "device",
}
View = TypeVar("View", bound=Callable[..., Any])
Policy = Callable[[], None]


def init_app(app: Flask) -> None:
    app.before_request(_ask_policy)
    app.context_processor(
        lambda: {"me": LocalProxy(me), "my_stations": LocalProxy(my_stations), "may_manage": may_manage}
    )


def declares(policy: Policy) -> Callable[[View], View]:
    """Make a decorator for views out of a policy."""

    def declare(view: View) -> View:
        view.policy = policy  # type: ignore[attr-defined]
        return view

    return declare


def anybody() -> None:
    """Open to the world."""


def whoever_has_the_link() -> None:
    """The token in the address is the right; the view looks it up and answers 410 to a dead one."""


def whoever_has_the_key() -> None:
    """A browser that has opened the link of the booking in the address. The view gets it as `booking`.

    To everybody else the answer is the same, whether there is such a booking or not.
    """
    args: dict[str, Any] = request.view_args or {}
    found = visitor.booking(args.pop("number"))
    if found is None:
        abort(make_response(pages.show("ticket/locked.html", None), 403))
    args["booking"] = found


def whoever_is_signed_in() -> None:
    """Any person of any station."""
    if me() is None:
        _ask_to_sign_in()


def whoever_gave_the_password() -> None:
    """Who is signed in, or has only the second step of it before them."""
    if newcomer() is None:
        whoever_is_signed_in()


def whoever_watches() -> None:
    """A monitoring system with the installation's token. Without one set, there is nothing here."""
    wanted = current_app.config["METRICS_TOKEN"]
    given = request.headers.get("Authorization", "")
    if not wanted or not hmac.compare_digest(given.encode(), f"Bearer {wanted}".encode()):
        abort(404)


def whoever_is_admin() -> None:
    """Whoever answers for the whole network."""
    whoever_is_signed_in()
    if not is_admin():
        abort(403)


public = declares(anybody)
customer = declares(whoever_has_the_link)
ticket_holder = declares(whoever_has_the_key)
signed_in = declares(whoever_is_signed_in)
halfway_in = declares(whoever_gave_the_password)
monitoring = declares(whoever_watches)
admins = declares(whoever_is_admin)


def staff_of(load: Callable[..., Thing | None]) -> Callable[[View], View]:
    """People of the station of what `load` finds. The view gets it as `point`, `post`, `template` or `booking`.

    `load` takes parts of the address by their names, and the view no longer sees them.
    """
    return declares(_role_at(load, "staff"))


def manager_of(load: Callable[..., Thing | None]) -> Callable[[View], View]:
    """The same, for those who may change the station."""
    return declares(_role_at(load, "manager"))


def admin_of(load: Callable[..., Thing | None]) -> Callable[[View], View]:
    """The same, for those who answer for the whole network."""
    return declares(_role_at(load, "admin"))


def at_the_bay(load: Callable[..., ServicePost | None]) -> Callable[[View], View]:
    """The tablet of the post that `load` finds, and people of its station. The view gets it as `post`.

    For a tablet other posts do not exist; who has neither a code nor an account is asked for a code.
    """
    parts = tuple(inspect.signature(load).parameters)

    def whoever_is_at_the_bay() -> None:
        args: dict[str, Any] = request.view_args or {}
        device, wanted = my_device(), {part: args.pop(part) for part in parts}
        post = device.post if device else None
        if post is None or (post.service_point.slug, post.post_number) != tuple(wanted.values()):
            user = me()
            if user is None:
                abort(404 if device else htmx.go("bay.pair"))
            post = load(**wanted)
            if post is None or accounts.role_at(user, post.service_point_id) is None:
                abort(404)
        args["post"] = post
        request.view_args = args

    return declares(whoever_is_at_the_bay)


def my_device() -> BayDevice | None:
    """The paired tablet that asks, for this request."""
    if "tirefit.my_device" not in request.environ:
        token = request.cookies.get(bay_cookie(), "")
        request.environ["tirefit.my_device"] = bays.device_of(token) if token else None
    return request.environ["tirefit.my_device"]  # type: ignore[no-any-return]


def bay_cookie() -> str:
    """How a tablet's cookie is called; over https no other host and no http page can set one of that name."""
    return "__Host-tirefit-bay" if current_app.config["HTTPS"] else "tirefit-bay"


def me() -> User | None:
    """Who is signed in, for this request."""
    if "tirefit.me" not in request.environ:
        token = session.get("user")
        request.environ["tirefit.me"] = accounts.signed_in(token) if isinstance(token, str) else None
    return request.environ["tirefit.me"]  # type: ignore[no-any-return]


def newcomer() -> User | None:
    """Whose sign-in waits for its second step in this browser."""
    token = session.get("waits")
    return second_step.waiting(token) if isinstance(token, str) else None


def my_id() -> int | None:
    user = me()
    return user.id if user else None


def my_stations() -> list[ServicePoint]:
    """The stations that whoever is signed in may choose from."""
    if "tirefit.my_stations" not in request.environ:
        user = me()
        request.environ["tirefit.my_stations"] = accounts.stations_of(user) if user else []
    return request.environ["tirefit.my_stations"]  # type: ignore[no-any-return]


def may_manage(point: ServicePoint) -> bool:
    """Does whoever is signed in see the controls that change this station?"""
    user = me()
    return user is not None and accounts.is_at_least(accounts.role_at(user, point.id), "manager")


def is_admin() -> bool:
    """Does whoever is signed in answer for the whole network?"""
    user = me()
    return user is not None and any(held.role == "admin" for held in user.roles)


def _role_at(load: Callable[..., Thing | None], needed: str) -> Policy:
    parts = tuple(inspect.signature(load).parameters)

    def whoever_has_the_role() -> None:
        user = me() or _ask_to_sign_in()
        args: dict[str, Any] = request.view_args or {}
        found = load(**{part: args.pop(part) for part in parts})
        role = accounts.role_at(user, _station_id(found)) if found else None
        if found is None or role is None:
            abort(404)
        if not accounts.is_at_least(role, needed):
            abort(403)
        args[NAMES[type(found)]] = found
        request.view_args = args

    whoever_has_the_role.__name__ = f"{needed}_of_{load.__name__}"
    return whoever_has_the_role


def _station_id(thing: Thing) -> int:
    return thing.id if isinstance(thing, ServicePoint) else thing.service_point_id


def _ask_to_sign_in() -> NoReturn:
    """A page is come back to afterwards; what was to be changed is asked for again."""
    page = request.full_path.rstrip("?") if request.method == "GET" and not htmx.asked() else None
    abort(htmx.go("account.login", next=page))


def policy_of(endpoint: str | None) -> Policy | None:
    """What a route declares. Static files are public."""
    if endpoint == "static":
        return anybody
    return getattr(current_app.view_functions.get(endpoint or ""), "policy", None)


def _ask_policy() -> None:
    if request.endpoint is None:
        return  # no such page: the router's 404 or 405 follows
    policy = policy_of(request.endpoint)
    if policy is None:
        abort(403)
    policy()

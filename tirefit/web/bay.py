"""The screen at a post, and the manager's list of the tablets that show it.

A tap is a plain form; with JavaScript it leaves the page where it is. A refusal shows the screen as it is now, with
what happened above it.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Blueprint, abort, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from tirefit import bays, i18n
from tirefit.booking.at_the_gate import extend_visit, report_problem
from tirefit.booking.steps import transition_booking, undo_transition
from tirefit.errors import BookingChanged, Problem, TooManyAttempts, WrongCode
from tirefit.models import PROBLEMS, BayDevice, Booking, ServicePoint, ServicePost
from tirefit.web import htmx, load, policy, visitor
from tirefit.web.forms.board import version_seen
from tirefit.web.forms.public import as_id
from tirefit.web.forms.text import fit

bp = Blueprint("bay", __name__)
tablets = Blueprint("tablets", __name__, url_prefix="/manage/bays")

A_YEAR = 365 * 24 * 60 * 60
ASKS = ("problem", "name")  # what the screen may ask: what is wrong, who works here


# --- a tablet and its post


@bp.get("/bay")
@policy.public
def pair() -> ResponseReturnValue:
    device = policy.my_device()
    return redirect(_address(device.post)) if device else _ask_for_code()


@bp.post("/bay")
@policy.public
def enter() -> ResponseReturnValue:
    try:
        token = bays.pair(fit(request.form.get("code", "")) or "", visitor.network())
    except WrongCode as problem:
        return _ask_for_code(problem), problem.status
    except TooManyAttempts as problem:
        return _ask_for_code(problem), problem.status, {"Retry-After": str(problem.facts["retry_after"])}
    answer = redirect(url_for(".pair"), 303)
    secure = current_app.config["HTTPS"]
    answer.set_cookie(policy.bay_cookie(), token, max_age=A_YEAR, httponly=True, secure=secure, samesite="Lax")
    return answer


# --- the screen


@bp.get("/bay/<slug:slug>/<int:post_number>")
@policy.at_the_bay(load.bay)
def show(post: ServicePost) -> ResponseReturnValue:
    """`b` brings a booking to the front, `ask` shows the answers to a question in place of the buttons."""
    return _screen(post)


@bp.get("/bay/<slug:slug>/<int:post_number>/now")
@policy.at_the_bay(load.bay)
def now(post: ServicePost) -> ResponseReturnValue:
    """What an open screen asks every five seconds: has anything changed since `rev`? Mostly not, and that is all."""
    if request.args.get("rev") == bays.revision(post.service_point):
        return "", 304
    return _screen(post, template="bay/_screen.html" if htmx.asked() else "bay/screen.html")


def _then_back(act: Callable[[ServicePost, Booking], object]) -> Callable[[ServicePost, str], ResponseReturnValue]:
    """A tap on a booking: back to the screen when it is done, or the screen as it is now with why it was not."""

    @wraps(act)
    def view(post: ServicePost, number: str) -> ResponseReturnValue:
        booking = _booking(post, number)
        try:
            act(post, booking)
        except Problem as problem:
            return _refused(post, number, problem)
        return redirect(_address(post), 303)

    return view


@bp.post("/bay/<slug:slug>/<int:post_number>/bookings/<number>/transition")
@policy.at_the_bay(load.bay)
@_then_back
def transition(post: ServicePost, booking: Booking) -> None:
    transition_booking(booking.id, request.form.get("event", ""), **_tap(post, booking))


@bp.post("/bay/<slug:slug>/<int:post_number>/bookings/<number>/undo")
@policy.at_the_bay(load.bay)
@_then_back
def undo(post: ServicePost, booking: Booking) -> None:
    undo_transition(booking.id, **_tap(post, booking))


@bp.post("/bay/<slug:slug>/<int:post_number>/bookings/<number>/extend")
@policy.at_the_bay(load.bay)
@_then_back
def extend(post: ServicePost, booking: Booking) -> None:
    extend_visit(booking.id, bays.MORE, **_tap(post, booking))


@bp.post("/bay/<slug:slug>/<int:post_number>/bookings/<number>/problem")
@policy.at_the_bay(load.bay)
@_then_back
def problem(post: ServicePost, booking: Booking) -> None:
    report_problem(booking.id, request.form.get("problem", "-"), **_tap(post, booking))


@bp.post("/bay/<slug:slug>/<int:post_number>/fitter")
@policy.at_the_bay(load.bay)
def fitter(post: ServicePost) -> ResponseReturnValue:
    """Who works here from now on, so that the trace of each tap names them. Nobody is asked for a password."""
    user_id: Any = request.form.get("user", "")
    session["fitter"] = as_id(user_id)
    return redirect(_address(post), 303)


# --- the manager's list


@tablets.get("")
@policy.manager_of(load.asked_point)
def devices(point: ServicePoint) -> ResponseReturnValue:
    return _devices(point)


@tablets.post("/posts/<int:post_id>/code")
@policy.manager_of(load.post)
def offer(post: ServicePost) -> ResponseReturnValue:
    """The code is in this answer and nowhere else: nobody finds it later."""
    return _devices(post.service_point, post=post, code=bays.offer_code(post.id, user_id=policy.my_id()))


@tablets.post("/<int:device_id>/disconnect")
@policy.manager_of(load.device)
def disconnect(device: BayDevice) -> ResponseReturnValue:
    bays.disconnect(device.id, user_id=policy.my_id())
    return redirect(url_for(".devices", s=device.post.service_point.slug), 303)


def _screen(
    post: ServicePost, problem: Problem | None = None, number: str | None = None, template: str = "bay/screen.html"
) -> str:
    i18n.fall_back_to(post.service_point.locale)
    number = number or request.args.get("b")
    people = bays.people_of(post.service_point)
    ask = request.args.get("ask")
    return render_template(
        template,
        screen=bays.load_screen(post, number),
        post=post,
        point=post.service_point,
        people=people,
        fitter=next((user for user in people if user.id == session.get("fitter")), None),
        ask=ask if ask in ASKS and problem is None else None,
        chosen=number,
        problems=PROBLEMS,
        problem=problem,
        home=_address(post),
    )


def _refused(post: ServicePost, number: str, problem: Problem) -> ResponseReturnValue:
    """The screen as it is now, with the same booking at the front if it is still here."""
    current = load.bay(post.service_point.slug, post.post_number) or abort(404)
    return _screen(current, problem, number), problem.status


def _booking(post: ServicePost, number: str) -> Booking:
    """A booking of this post's station: it may have been moved to another post since the screen was shown."""
    return bays.booking_at(post.service_point, number) or abort(404)


def _tap(post: ServicePost, booking: Booking) -> dict[str, int | None]:
    """Whose tap it is, and what they saw. What stands on another post by now is not theirs to change."""
    if booking.service_post_id != post.id:
        raise BookingChanged(number=booking.number, version=booking.version)
    people = {user.id for user in bays.people_of(post.service_point)}
    chosen = session.get("fitter")
    return {"user_id": chosen if chosen in people else policy.my_id(), "seen_version": version_seen()}


def _ask_for_code(problem: Problem | None = None) -> str:
    return render_template("bay/pair.html", problem=problem)


def _devices(point: ServicePoint, post: ServicePost | None = None, code: str | None = None) -> str:
    devices = bays.devices_of(point)
    return render_template(
        "bay/devices.html",
        point=point,
        devices={each.id: [found for found in devices if found.service_post_id == each.id] for each in point.posts},
        code=code,
        code_post=post,
        minutes=bays.CODE_LASTS.seconds // 60,
        here=url_for(".devices", s=point.slug),
    )


def _address(post: ServicePost) -> str:
    return url_for("bay.show", slug=post.service_point.slug, post_number=post.post_number)

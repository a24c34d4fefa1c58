"""The day board: see the day, open a booking, move it on, move it elsewhere.

A refusal shows the day as it is now, with what happened above it: whoever tapped sees at once what somebody else did.
"""

from collections.abc import Callable
from datetime import date
from functools import wraps
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from tirefit import clock, revisions
from tirefit.board import delay_of, load_day, revision_of
from tirefit.booking.at_the_gate import lane
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.history import history, place_before
from tirefit.booking.states import TRANSITIONS, USER, possible_events
from tirefit.booking.steps import (
    can_undo,
    cancel_booking,
    restore_booking,
    show_phone,
    tell_delay,
    transition_booking,
    undo_transition,
)
from tirefit.errors import Problem
from tirefit.models import Booking, ServicePoint
from tirefit.notifications import alerts
from tirefit.schedule.windows import local_day
from tirefit.web import gate_panels, htmx, load, policy
from tirefit.web.forms.board import PlaceForm, version_seen
from tirefit.web.forms.text import fit

bp = Blueprint("board", __name__)

QUERY = ("b", "move", "view", "add", "block", "svc", "car", "waiting", "post", "from", "to")
VERBS = ("confirm", "arrive", "start", "complete")  # of a booking's ordinary way; at most one is next
LONGEST_REASON = 200
MOVABLE = TRANSITIONS["reschedule_by_station"].sources


@bp.get("/board")
@policy.staff_of(load.asked_point)
def today(point: ServicePoint) -> ResponseReturnValue:
    return redirect(url_for("board.show", slug=point.slug, day=local_day(point.time_zone, clock.now())))


@bp.get("/board/<slug:slug>/<day:day>")
@policy.staff_of(load.point_with_revision)
def show(point: ServicePoint, day: date) -> ResponseReturnValue:
    """A day. `b` opens a booking beside it (and goes to its day); `move` lights the places a booking could go to; `add`
    opens the panel for a car without a booking, `block` the one for closing time."""
    booking, moving = _wanted(point)
    if moving is not None and "reschedule_by_station" not in possible_events(moving.status, USER):
        return redirect(url_for("board.show", slug=point.slug, day=day, b=moving.number))
    its_day = local_day(point.time_zone, booking.starts_at) if booking else day
    if its_day != day and booking is not moving:
        return redirect(url_for("board.show", slug=point.slug, day=its_day, b=request.args["b"]))
    return page(point, day, booking, moving)


@bp.get("/board/<slug:slug>/<day:day>/grid")
@policy.staff_of(load.point_with_revision)
def grid(point: ServicePoint, day: date) -> ResponseReturnValue:
    """What an open board asks every ten seconds: has anything changed since `rev`? Mostly not, and then this is all."""
    if request.args.get("rev") == revision_of(revisions.of_station(point), clock.now()):
        return "", 304
    template = "board/_main.html" if htmx.asked() else "board/day.html"
    return page(point, day, *_wanted(point), template=template)


def _then_back(act: Callable[[Booking], None]) -> Callable[[Booking], ResponseReturnValue]:
    """A tap on a booking: back to its day when it is done, or its day as it is now with why it was not."""

    @wraps(act)
    def view(booking: Booking) -> ResponseReturnValue:
        try:
            act(booking)
        except Problem as problem:
            return _refused(booking, problem)
        return _back_to(booking)

    return view


@bp.post("/board/<slug:slug>/bookings/<number>/transition")
@policy.staff_of(load.booking)
@_then_back
def transition(booking: Booking) -> None:
    event = request.form.get("event", "")
    transition_booking(booking.id, event, user_id=policy.my_id(), seen_version=version_seen())


@bp.post("/board/<slug:slug>/bookings/<number>/undo")
@policy.staff_of(load.booking)
@_then_back
def undo(booking: Booking) -> None:
    undo_transition(booking.id, user_id=policy.my_id(), seen_version=version_seen())


@bp.post("/board/<slug:slug>/bookings/<number>/cancel")
@policy.staff_of(load.booking)
@_then_back
def cancel(booking: Booking) -> None:
    reason = (fit(request.form.get("reason", "")) or "")[:LONGEST_REASON]
    cancel_booking(booking.id, actor=USER, user_id=policy.my_id(), reason=reason, seen_version=version_seen())


@bp.post("/board/<slug:slug>/bookings/<number>/restore")
@policy.staff_of(load.booking)
@_then_back
def restore(booking: Booking) -> None:
    restore_booking(booking.id, actor=USER, user_id=policy.my_id(), seen_version=version_seen())


@bp.post("/board/<slug:slug>/bookings/<number>/move")
@policy.staff_of(load.booking)
@_then_back
def move(booking: Booking) -> None:
    form = PlaceForm()
    if not form.validate():
        abort(422)
    reschedule_booking(
        booking.id,
        actor=USER,
        user_id=policy.my_id(),
        starts_at=form.starts_at,
        post_number=form.post_number,
        seen_version=version_seen(),
        tell_customer=form.tell_customer,
    )


@bp.post("/board/<slug:slug>/bookings/<number>/phone")
@policy.staff_of(load.booking)
@_then_back
def phone(booking: Booking) -> None:
    """The whole number, shown to whoever asked until they open another booking."""
    show_phone(booking.id, user_id=policy.my_id())
    session["phone_of"] = booking.number


@bp.post("/board/<slug:slug>/bookings/<number>/delay")
@policy.staff_of(load.booking)
@_then_back
def delay(booking: Booking) -> None:
    if minutes := delay_of(booking):
        tell_delay(booking.id, minutes, user_id=policy.my_id())


def page(
    point: ServicePoint,
    day: date,
    booking: Booking | None = None,
    moving: Booking | None = None,
    problem: Problem | None = None,
    template: str = "board/day.html",
    add: dict[str, Any] | None = None,
    block: dict[str, Any] | None = None,
) -> str:
    """The board of a day with what is open beside it; `problem` says above it why the last tap did nothing."""
    late = delay_of(booking) if booking else 0
    return render_template(
        template,
        point=point,
        stuck=alerts.letters_are_stuck(),
        day=load_day(point, day, moving),
        today=local_day(point.time_zone, clock.now()),
        booking=booking,
        moving=moving,
        problem=problem,
        events=possible_events(booking.status, USER) if booking else [],
        undo_until=can_undo(booking) if booking else None,
        verbs=VERBS,
        delay=late,
        elsewhere=gate_panels.elsewhere(point, booking) if booking and late else [],
        shows_phone=booking is not None and session.get("phone_of") == booking.number,
        back_to=place_before(booking) if booking else None,
        movable=MOVABLE,
        history=history(booking) if booking else [],
        lane=lane(point) if day == local_day(point.time_zone, clock.now()) else [],
        add=add or (gate_panels.walk_in_panel(point, request.args) if "add" in request.args else None),
        block=block or (gate_panels.block_panel(point, day, request.args) if "block" in request.args else None),
        query=_query(),
        view=_view(),
        here=url_for("board.show", slug=point.slug, day=day) if request.method != "GET" else None,
    )


def _wanted(point: ServicePoint) -> tuple[Booking | None, Booking | None]:
    """Which booking the address opens, and which it moves."""
    numbers = request.args.get("b"), request.args.get("move")
    booking, moving = (load.booking(point.slug, number) or abort(404) if number else None for number in numbers)
    return booking or moving, moving


def _query() -> dict[str, list[str]]:
    """What the address says beside the day: the poll asks for the same page."""
    return {key: request.args.getlist(key) for key in QUERY if key in request.args}


def _refused(booking: Booking, problem: Problem) -> ResponseReturnValue:
    """The day and the booking as they are now, and why the tap did nothing."""
    current = load.booking(booking.service_point.slug, booking.number) or abort(404)
    point = current.service_point
    return page(point, local_day(point.time_zone, current.starts_at), current, problem=problem), problem.status


def _back_to(booking: Booking) -> ResponseReturnValue:
    current = load.booking(booking.service_point.slug, booking.number) or abort(404)
    point = current.service_point
    day = local_day(point.time_zone, current.starts_at)
    return redirect(url_for("board.show", slug=point.slug, day=day, b=current.number, view=_view()), 303)


def _view() -> str | None:
    return "list" if request.args.get("view") == "list" else None

"""The day board: see the day, open a booking, move it on, move it elsewhere.

A refusal shows the day as it is now, with what happened above it: whoever tapped sees at once what somebody else did.
"""

from datetime import date

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tirefit import clock
from tirefit.board import history, load_day
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.states import BY_HAND, USER, possible_events
from tirefit.booking.steps import can_undo, cancel_booking, restore_booking, transition_booking, undo_transition
from tirefit.errors import Problem, WrongTransition
from tirefit.models import Booking, ServicePoint
from tirefit.schedule.windows import local_day
from tirefit.web import load, policy
from tirefit.web.forms.board import PlaceForm, version_seen
from tirefit.web.forms.text import fit

bp = Blueprint("board", __name__)

VERBS = ("confirm", "arrive", "start", "complete")  # of a booking's ordinary way; at most one is next
LONGEST_REASON = 200


@bp.get("/board")
@policy.staff_of(load.asked_point)
def today(point: ServicePoint) -> ResponseReturnValue:
    return redirect(url_for(".show", slug=point.slug, day=local_day(point.time_zone, clock.now())))


@bp.get("/board/<slug:slug>/<day:day>")
@policy.staff_of(load.point)
def show(point: ServicePoint, day: date) -> ResponseReturnValue:
    """A day. `b` opens a booking beside it (and goes to its day); `move` lights the places a booking could go to."""
    moving = None
    if number := request.args.get("move"):
        moving = load.booking(point.slug, number) or abort(404)
        if "reschedule_by_station" not in possible_events(moving.status, USER):
            return redirect(url_for(".show", slug=point.slug, day=day, b=moving.number))
    booking = moving
    if number := request.args.get("b"):
        booking = load.booking(point.slug, number) or abort(404)
        if (its_day := local_day(point.time_zone, booking.starts_at)) != day and not moving:
            return redirect(url_for(".show", slug=point.slug, day=its_day, b=number))
    return _page(point, day, booking, moving)


@bp.post("/board/<slug:slug>/bookings/<number>/transition")
@policy.staff_of(load.booking)
def transition(booking: Booking) -> ResponseReturnValue:
    event = request.form.get("event", "")
    try:
        if event not in BY_HAND:
            raise WrongTransition(event=event, status=booking.status)
        transition_booking(booking.id, event, user_id=policy.my_id(), seen_version=version_seen())
    except Problem as problem:
        return _refused(booking, problem)
    return _back_to(booking)


@bp.post("/board/<slug:slug>/bookings/<number>/undo")
@policy.staff_of(load.booking)
def undo(booking: Booking) -> ResponseReturnValue:
    try:
        undo_transition(booking.id, user_id=policy.my_id(), seen_version=version_seen())
    except Problem as problem:
        return _refused(booking, problem)
    return _back_to(booking)


@bp.post("/board/<slug:slug>/bookings/<number>/cancel")
@policy.staff_of(load.booking)
def cancel(booking: Booking) -> ResponseReturnValue:
    reason = (fit(request.form.get("reason", "")) or "")[:LONGEST_REASON]
    try:
        cancel_booking(booking.id, actor=USER, user_id=policy.my_id(), reason=reason, seen_version=version_seen())
    except Problem as problem:
        return _refused(booking, problem)
    return _back_to(booking)


@bp.post("/board/<slug:slug>/bookings/<number>/restore")
@policy.staff_of(load.booking)
def restore(booking: Booking) -> ResponseReturnValue:
    try:
        restore_booking(booking.id, actor=USER, user_id=policy.my_id(), seen_version=version_seen())
    except Problem as problem:
        return _refused(booking, problem)
    return _back_to(booking)


@bp.post("/board/<slug:slug>/bookings/<number>/move")
@policy.staff_of(load.booking)
def move(booking: Booking) -> ResponseReturnValue:
    form = PlaceForm()
    if not form.validate():
        abort(422)
    try:
        reschedule_booking(
            booking.id,
            actor=USER,
            user_id=policy.my_id(),
            starts_at=form.starts_at,
            post_number=form.post_number,
            seen_version=version_seen(),
            tell_customer=form.tell_customer,
        )
    except Problem as problem:
        return _refused(booking, problem)
    return _back_to(booking)


def _page(
    point: ServicePoint,
    day: date,
    booking: Booking | None,
    moving: Booking | None = None,
    problem: Problem | None = None,
) -> str:
    return render_template(
        "board/day.html",
        point=point,
        day=load_day(point, day, moving),
        today=local_day(point.time_zone, clock.now()),
        booking=booking,
        moving=moving,
        problem=problem,
        events=possible_events(booking.status, USER) if booking else [],
        undo_until=can_undo(booking) if booking else None,
        verbs=VERBS,
        history=history(booking) if booking else [],
        view=_view(),
        here=url_for(".show", slug=point.slug, day=day) if problem else None,
    )


def _refused(booking: Booking, problem: Problem) -> ResponseReturnValue:
    """The day and the booking as they are now, and why the tap did nothing."""
    number, slug = booking.number, booking.service_point.slug
    current = load.booking(slug, number) or abort(404)
    point = current.service_point
    return _page(point, local_day(point.time_zone, current.starts_at), current, problem=problem), problem.status


def _back_to(booking: Booking) -> ResponseReturnValue:
    current = load.booking(booking.service_point.slug, booking.number) or abort(404)
    point = current.service_point
    day = local_day(point.time_zone, current.starts_at)
    return redirect(url_for(".show", slug=point.slug, day=day, b=current.number, view=_view()), 303)


def _view() -> str | None:
    return "list" if request.args.get("view") == "list" else None

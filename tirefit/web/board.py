"""The day board: see the day, open a booking, move it on."""

from datetime import date

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tirefit import clock
from tirefit.board import history, load_day
from tirefit.booking.states import USER, possible_events
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.errors import WrongTransition
from tirefit.models import Booking, ServicePoint
from tirefit.schedule.windows import local_day
from tirefit.web import load, policy
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
    booking = None
    if number := request.args.get("b"):
        booking = load.booking(point.slug, number) or abort(404)
        if (its_day := local_day(point.time_zone, booking.starts_at)) != day:
            return redirect(url_for(".show", slug=point.slug, day=its_day, b=number))
    return render_template(
        "board/day.html",
        point=point,
        day=load_day(point, day),
        today=local_day(point.time_zone, clock.now()),
        booking=booking,
        events=possible_events(booking.status, USER) if booking else [],
        verbs=VERBS,
        history=history(booking) if booking else [],
        view="list" if request.args.get("view") == "list" else None,
    )


@bp.post("/board/<slug:slug>/bookings/<number>/transition")
@policy.staff_of(load.booking)
def transition(booking: Booking) -> ResponseReturnValue:
    event = request.form.get("event", "")
    if event not in (*VERBS, "no_show"):
        raise WrongTransition(event=event, status=booking.status)
    transition_booking(booking.id, event, user_id=policy.my_id())
    return _back_to(booking)


@bp.post("/board/<slug:slug>/bookings/<number>/cancel")
@policy.staff_of(load.booking)
def cancel(booking: Booking) -> ResponseReturnValue:
    reason = fit(request.form.get("reason", "")) or ""
    cancel_booking(booking.id, actor=USER, user_id=policy.my_id(), reason=reason[:LONGEST_REASON])
    return _back_to(booking)


def _back_to(booking: Booking) -> ResponseReturnValue:
    point = booking.service_point
    day = local_day(point.time_zone, booking.starts_at)
    view = "list" if request.args.get("view") == "list" else None
    return redirect(url_for(".show", slug=point.slug, day=day, b=booking.number, view=view), 303)

"""What the board's people do beside bookings: cars at the gate, the lane of those who wait, closed time."""

from datetime import date

from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue

from tirefit import clock
from tirefit.booking.at_the_gate import book_walk_in, leave_lane, let_wait
from tirefit.errors import Problem
from tirefit.models import ServicePoint
from tirefit.schedule.blocks import block_time, unblock
from tirefit.schedule.windows import local_day
from tirefit.web import board, gate_panels, load, picker, policy
from tirefit.web.forms.board import PlaceForm, WalkInForm
from tirefit.web.forms.public import as_id
from tirefit.web.forms.text import fit

bp = Blueprint("gate", __name__)


@bp.post("/board/<slug:slug>/walk-ins")
@policy.staff_of(load.point)
def walk_in(point: ServicePoint) -> ResponseReturnValue:
    """Give a car that is here one of the places shown, or let it wait (a button without a place)."""
    today = local_day(point.time_zone, clock.now())
    menu, form, place = picker.read_menu(point, request.form), WalkInForm(point), PlaceForm()
    if menu.visit is None or not form.validate() or (place.place.data and not place.validate()):
        return board.page(point, today, add=gate_panels.walk_in_panel(point, request.form, form)), 422
    about = {"plate": form.plate.data or "", "phone": form.customer_phone}
    ids, car = menu.visit.service_ids, menu.visit.car_type.id
    try:
        if not place.place.data:
            let_wait(point.id, ids, car, nonce=form.nonce.data, **about)
            return redirect(url_for("board.show", slug=point.slug, day=today), 303)
        made = book_walk_in(
            point.id,
            ids,
            car,
            post_number=place.post_number,
            starts_at=place.starts_at,
            token=form.nonce.data,
            user_id=policy.my_id(),
            waiting_id=as_id(request.form.get("waiting", "")),
            **about,
        )
    except Problem as problem:
        panel = gate_panels.walk_in_panel(point, request.form, form)
        return board.page(point, today, problem=problem, add=panel), problem.status
    return redirect(url_for("board.show", slug=point.slug, day=today, b=made.number), 303)


@bp.post("/board/<slug:slug>/lane/<int:waiting_id>/leave")
@policy.staff_of(load.point)
def leave(point: ServicePoint, waiting_id: int) -> ResponseReturnValue:
    leave_lane(waiting_id, point.id)
    return redirect(url_for("board.today", s=point.slug), 303)


@bp.post("/board/<slug:slug>/<day:day>/blocks")
@policy.staff_of(load.point)
def close_time(point: ServicePoint, day: date) -> ResponseReturnValue:
    """Close what is free of a post's time. Nothing is cancelled: bookings in it are shown until they are moved."""
    post = next((post for post in point.posts if post.post_number == as_id(request.form.get("post", ""))), None)
    span = gate_panels.read_span(point, day)
    if post is None or span is None:
        return board.page(point, day, block=gate_panels.block_panel(point, day, request.form, is_wrong=True)), 422
    reason = (fit(request.form.get("reason", "")) or "")[: board.LONGEST_REASON]
    block_time(point.id, post.id, *span, reason=reason)
    return redirect(url_for("board.show", slug=point.slug, day=day), 303)


@bp.post("/board/<slug:slug>/<day:day>/blocks/<int:reservation_id>/open")
@policy.staff_of(load.point)
def open_time(point: ServicePoint, day: date, reservation_id: int) -> ResponseReturnValue:
    if load.block(point, reservation_id) is None:
        abort(404)
    unblock(reservation_id)
    return redirect(url_for("board.show", slug=point.slug, day=day), 303)

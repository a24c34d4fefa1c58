"""Moving a booking: the picker with the time one has marked in it, what becomes of it, and one button."""

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Any

from flask import redirect, request, url_for

from tirefit.booking import states
from tirefit.booking.commands import reschedule_booking
from tirefit.booking.durations import Breakdown, agreed
from tirefit.errors import Problem, UnknownService
from tirefit.models import Booking
from tirefit.schedule import availability
from tirefit.schedule.reasons import refusal
from tirefit.schedule.windows import local_day
from tirefit.web import pages, picker, visitor
from tirefit.web.forms.public import HoldForm, instant_of
from tirefit.web.pages import Answer
from tirefit.web.picker import Choice, Menu


def choose(booking: Booking) -> Answer:
    """The picker; once a time has been tapped there, what would become of the booking; the work, when asked for."""
    menu = _menu(booking, picker.choice_in(request.args))
    starts_at = instant_of(request.args.get("at", ""))
    if menu.visit is None or not request.args.keys().isdisjoint({"edit", "many"}):
        return _choose_work(booking, menu)
    if starts_at is not None:
        return _confirm(booking, menu, menu.visit, starts_at)
    return _times(booking, menu, menu.visit)


def choose_day(booking: Booking) -> Answer:
    """The month page."""
    point, menu = booking.service_point, _menu(booking, picker.choice_in(request.args))
    if menu.visit is None:
        return redirect(url_for(".choose_time", number=booking.number))
    shown = picker.month(point, menu.visit, request.args.get("m", ""))
    return pages.show("public/month.html", point, menu=menu, way=_way(booking, menu), **shown)


def move(booking: Booking, seen_version: int | None) -> Answer | None:
    """Move it as the form says. None: done. Else the page to show instead."""
    form, menu = HoldForm(), _menu(booking, picker.choice_in(request.form))
    if menu.visit is None:
        raise menu.refusal or UnknownService()
    if not form.validate() or form.at.data is None:  # an empty form is not even read
        return _times(booking, menu, menu.visit, unreadable=True), 422
    try:
        reschedule_booking(
            booking.id,
            actor=states.CUSTOMER,
            starts_at=form.at.data,
            service_ids=menu.choice.service_ids,
            car_type_id=menu.choice.car_type_id,
            wheel_inches=menu.choice.wheel_inches,
            seen_version=seen_version,
            origin=visitor.network(),
        )
    except picker.TIME_IS_GONE as problem:
        return _other_times(booking, menu, menu.visit, form.at.data, problem)
    return None


def _menu(booking: Booking, asked: Choice) -> Menu:
    """What the station offers, with what this visit is now, or becomes."""
    before, point = agreed(booking), booking.service_point
    services, car = asked.service_ids or before.service_ids, asked.car_type_id or booking.car_type_id
    menu = picker.menu_of(point, Choice(services, car, asked.wheel_inches or booking.wheel_inches))
    sizes = menu.chosen_wheels
    same_wheels = asked.wheel_inches in (None, booking.wheel_inches) or (sizes and booking.wheel_inches in sizes)
    if (set(services), car) == (set(before.service_ids), booking.car_type_id) and same_wheels:
        as_agreed = Choice(before.service_ids, booking.car_type_id, booking.wheel_inches)
        return replace(menu, choice=as_agreed, visit=before, refusal=None)
    return replace(menu, visit=replace(menu.visit, moving=booking.reservation_id) if menu.visit else None)


def _way(booking: Booking, menu: Menu) -> picker.Way:
    times, month = (partial(url_for, page, number=booking.number) for page in (".choose_time", ".choose_day"))
    return picker.Way(
        times, month, take=times(), method="get", has=booking.starts_at, may_keep=menu.visit != agreed(booking)
    )


def _choose_work(booking: Booking, menu: Menu) -> str:
    menu = replace(menu, choice=picker.menu_of(booking.service_point, menu.choice).choice)
    many = "many" in request.args or len(menu.choice.service_ids) > 1
    return pages.show(
        "ticket/move_work.html",
        booking.service_point,
        booking=booking,
        menu=menu,
        many=many,
        way=_way(booking, menu),
        **picker.start(booking.service_point, menu),
    )


def _times(booking: Booking, menu: Menu, visit: Breakdown, **context: Any) -> str:
    point = booking.service_point
    day = context.pop("day", None) or request.args.get("d") or local_day(point.time_zone, booking.starts_at).isoformat()
    context |= picker.times(point, visit, day)
    way = _way(booking, menu)
    here = way.times(d=day, **menu.choice.query)
    return pages.show("ticket/move.html", point, booking=booking, menu=menu, visit=visit, way=way, here=here, **context)


def _other_times(booking: Booking, menu: Menu, visit: Breakdown, gone: datetime, problem: Problem) -> Answer:
    point = booking.service_point
    has = booking.starts_at if visit == agreed(booking) else None
    lost = picker.lost(point, gone, visit, problem, but=has)
    day = local_day(point.time_zone, gone).isoformat()
    return _times(booking, menu, visit, gone=lost, day=day), problem.status


def _confirm(booking: Booking, menu: Menu, visit: Breakdown, starts_at: datetime) -> Answer:
    """What it is and what it would become. A time that has gone meanwhile is said at once."""
    point = booking.service_point
    found = availability.as_times(availability.available_at_time(point, starts_at, visit.total_minutes, visit.needs))
    if not found:
        problem = refusal(point, starts_at, visit.total_minutes, visit.needs)
        return _other_times(booking, menu, visit, starts_at, problem)
    return pages.show(
        "ticket/move_confirm.html",
        point,
        booking=booking,
        menu=menu,
        before=agreed(booking),
        visit=visit,
        time=found[0],
        way=_way(booking, menu),
    )

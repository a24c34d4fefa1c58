"""What a customer sees: choose what and when, hold the time, say who comes, keep the ticket.

Every commit point is a plain POST that answers 303; a time that is gone answers 409 with other times and loses nothing.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, session, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response as BaseResponse

from tirefit import clock, i18n
from tirefit.accounts import network_of
from tirefit.booking import states
from tirefit.booking.commands import Customer, create_booking, find_by_token, set_plate
from tirefit.booking.durations import calculate_booking_duration, offered_services
from tirefit.booking.steps import cancel_booking, may_still_change
from tirefit.database import db
from tirefit.errors import (
    BeyondHorizon,
    HoldExpired,
    InThePast,
    LimitReached,
    PostCannotTakeIt,
    Problem,
    ServicesDoNotFit,
    SlotNotOffered,
    SlotTaken,
    TimeMatchesNoSlot,
    TooSoon,
)
from tirefit.models import Booking, ServicePoint
from tirefit.notifications.calendar import booking_calendar
from tirefit.schedule import reservations
from tirefit.schedule.availability import nearest
from tirefit.schedule.reservations import Hold, find_hold, new_token
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import local_day, opening_windows
from tirefit.web import htmx, picker, policy
from tirefit.web.forms import text
from tirefit.web.forms.public import ContactsForm, HoldForm, PlateForm

bp = Blueprint("public", __name__)

Answer = str | Response | BaseResponse | tuple[str, int]

# What a customer answers by choosing another time.
TIME_IS_GONE = (
    SlotTaken,
    SlotNotOffered,
    PostCannotTakeIt,
    TimeMatchesNoSlot,
    ServicesDoNotFit,
    InThePast,
    TooSoon,
    BeyondHorizon,
    HoldExpired,
)
REMEMBERED = ("name", "phone", "email")


@dataclass(frozen=True)
class Wish:
    """What is to be booked: as the hold knows it, or, when the hold is gone, as the form still does."""

    point: ServicePoint
    starts_at: datetime
    choice: picker.Choice


@bp.get("/")
@policy.public
def stations() -> Answer:
    active = select(ServicePoint).where(ServicePoint.active)
    found = db.session.scalars(active.order_by(ServicePoint.city, ServicePoint.name)).all()
    if len(found) == 1:
        return redirect(url_for(".station", slug=found[0].slug))
    return render_template("public/stations.html", places=[_place(point) for point in found])


@bp.get("/s/<slug:slug>")
@policy.public
def station(slug: str) -> Answer:
    point = _find_station(slug)
    menu = picker.read_menu(point, request.args)
    if not point.active or not menu.services:
        return _page("public/closed.html", point)
    if menu.visit is None or "edit" in request.args or "many" in request.args:
        return _start(point, menu)
    return _picker(point, menu)


@bp.get("/s/<slug:slug>/calendar")
@policy.public
def calendar(slug: str) -> Answer:
    point = _find_station(slug)
    menu = picker.read_menu(point, request.args)
    if not point.active or menu.visit is None:
        return redirect(url_for(".station", slug=slug, **menu.choice.query))
    return _page("public/month.html", point, menu=menu, **picker.month(point, menu.visit, request.args.get("m", "")))


@bp.post("/s/<slug:slug>/hold")
@policy.public
def hold(slug: str) -> Answer:
    point, form = _find_station(slug), HoldForm()
    menu = picker.read_menu(point, request.form)
    if not point.active or menu.visit is None:
        raise menu.refusal or SlotNotOffered()
    if not form.validate():
        return _picker(point, menu, unreadable=True), 422
    wanted = {"service_ids": list(menu.choice.service_ids), "car_type_id": menu.choice.car_type_id}
    try:
        held = reservations.reserve_slot_temporarily(
            point.id,
            form.at.data,
            menu.visit.total_minutes,
            form.nonce.data,
            needs=menu.visit.needs,
            holder=_browser(),
            origin=_network(),
            wanted=wanted,
        )
    except TIME_IS_GONE as problem:
        return _other_times(Wish(point, form.at.data, menu.choice), problem)
    session["hold"] = held.token
    return redirect(url_for(".contacts", token=held.token, s=slug, **menu.choice.query), 303)


@bp.get("/h/<token:token>")
@policy.customer
def contacts(token: str) -> Answer:
    held = find_hold(token)
    if held is None:
        return redirect(url_for(".ticket", token=token), 303) if find_by_token(token) else _start_again()
    wish = _wish_of(held)
    return _contacts(token, held, wish, ContactsForm(wish.point, formdata=None, data=session.get("typed")))


@bp.post("/h/<token:token>")
@policy.customer
def book(token: str) -> Answer:
    if find_by_token(token):
        return redirect(url_for(".ticket", token=token), 303)
    held = find_hold(token)
    wish = _wish_of(held) if held else _wish_of_form()
    form = ContactsForm(wish.point)
    if not form.validate():
        return _contacts(token, held, wish, form), 422
    try:
        create_booking(
            wish.point.id,
            wish.choice.service_ids,
            wish.choice.car_type_id or 0,
            Customer(form.name.data, form.customer_phone, form.customer_email),
            token=token,
            starts_at=wish.starts_at,
            locale=i18n.language(),
        )
    except TIME_IS_GONE as problem:
        _remember_what_was_typed()
        return _other_times(wish, problem)
    except LimitReached as problem:
        return _contacts(token, held, wish, form, problem), problem.status
    for key in ("hold", "typed"):
        session.pop(key, None)
    return redirect(url_for(".ticket", token=token, new=1), 303)


@bp.post("/h/<token:token>/extend")
@policy.customer
def extend(token: str) -> Answer:
    _remember_what_was_typed()
    wish = _wish_of_form()
    try:
        reservations.extend_reservation(token)
    except HoldExpired as problem:
        return _other_times(wish, problem)
    return redirect(url_for(".contacts", token=token, s=wish.point.slug, **wish.choice.query), 303)


@bp.post("/h/<token:token>/release")
@policy.customer
def release(token: str) -> Answer:
    _remember_what_was_typed()
    wish = _wish_of_form()
    reservations.release_reservation(token)
    day = local_day(wish.point.time_zone, wish.starts_at)
    return redirect(url_for(".station", slug=wish.point.slug, d=day, **wish.choice.query), 303)


@bp.get("/h/<token:token>/strip")
@policy.customer
def strip(token: str) -> Answer:
    """The strip above the contacts, as it is now; asked for when its countdown ends."""
    if not htmx.asked():
        query: dict[str, Any] = request.args.to_dict(flat=False)
        return redirect(url_for(".contacts", token=token, **query), 303)
    held = find_hold(token)
    point = _wish_of(held).point if held else _find_station(request.args.get("s", ""))
    return render_template("public/_hold.html", point=point, held=held, token=token, left=_seconds_left(held))


@bp.get("/b/<token:token>")
@policy.customer
def ticket(token: str) -> Answer:
    return _ticket(token, _find_booking(token), PlateForm(formdata=None))


@bp.post("/b/<token:token>/plate")
@policy.customer
def plate(token: str) -> Answer:
    booking, form = _find_booking(token), PlateForm()
    if not form.validate():
        return _ticket(token, booking, form), 422
    set_plate(booking.id, form.plate.data)
    return redirect(url_for(".ticket", token=token), 303)


@bp.get("/b/<token:token>/cancel")
@policy.customer
def ask_to_cancel(token: str) -> Answer:
    booking = _find_booking(token)
    if not _may_cancel(booking):
        return redirect(url_for(".ticket", token=token), 303)
    return _page("public/cancel.html", booking.service_point, booking=booking, token=token)


@bp.post("/b/<token:token>/cancel")
@policy.customer
def cancel(token: str) -> Answer:
    cancel_booking(_find_booking(token).id, actor=states.CUSTOMER)
    return redirect(url_for(".ticket", token=token), 303)


@bp.get("/b/<token:token>/calendar.ics")
@policy.customer
def calendar_file(token: str) -> Answer:
    booking = _find_booking(token)
    answer = Response(booking_calendar(booking), mimetype="text/calendar")
    answer.headers["Content-Disposition"] = f'inline; filename="tirefit-{booking.number}.ics"'
    return answer


@bp.get("/privacy")
@policy.public
def privacy() -> Answer:
    return _page("public/privacy.html", _station_of_link())


@bp.get("/accessibility")
@policy.public
def accessibility() -> Answer:
    return _page("public/accessibility.html", _station_of_link())


def _page(template: str, point: ServicePoint | None, **context: Any) -> str:
    if point is not None:
        i18n.fall_back_to(point.locale)
        context |= _opening(point)
    return render_template(template, point=point, **context)


def _start(point: ServicePoint, menu: picker.Menu) -> str:
    many = "many" in request.args or len(menu.choice.service_ids) > 1
    # Sent by the button without a car, that is; whoever only ticks (htmx) has not finished yet.
    ask_for_car = menu.choice.car_type_id is None and menu.choice.service_ids != () and not htmx.asked()
    ask_for_car = ask_for_car and request.args.keys().isdisjoint({"many", "edit"})
    return _page("public/start.html", point, menu=menu, many=many, ask_for_car=ask_for_car, **picker.start(point, menu))


def _picker(point: ServicePoint, menu: picker.Menu, **context: Any) -> str:
    assert menu.visit is not None
    day = context.pop("day", request.args.get("d"))
    context |= picker.times(point, menu.visit, day)
    context["here"] = url_for(".station", slug=point.slug, d=day, **menu.choice.query)
    return _page("public/times.html", point, menu=menu, visit=menu.visit, mine=_my_hold(point), **context)


def _other_times(wish: Wish, problem: Problem) -> Answer:
    """The picker again, with the nearest times above it. What was typed is kept for the next hold."""
    menu = picker.menu_of(wish.point, wish.choice)
    if menu.visit is None:
        raise problem
    gone = picker.lost(wish.point, wish.starts_at, menu.visit, problem)
    day = local_day(wish.point.time_zone, wish.starts_at).isoformat()
    return _picker(wish.point, menu, gone=gone, day=day, kept="typed" in session), problem.status


def _contacts(token: str, held: Hold | None, wish: Wish, form: ContactsForm, problem: Problem | None = None) -> str:
    return _page(
        "public/contacts.html",
        wish.point,
        wish=wish,
        visit=calculate_booking_duration(wish.choice.service_ids, wish.choice.car_type_id or 0, wish.point),
        form=form,
        held=held,
        token=token,
        left=_seconds_left(held),
        problem=problem,
        here=url_for(".contacts", token=token, s=wish.point.slug, **wish.choice.query),
    )


def _ticket(token: str, booking: Booking, form: PlateForm) -> str:
    return _page(
        "public/ticket.html",
        booking.service_point,
        booking=booking,
        token=token,
        form=form,
        is_new="new" in request.args,
        over=booking.ends_at <= clock.now(),
        may_cancel=_may_cancel(booking),
        here=url_for(".ticket", token=token),
    )


def _start_again() -> Answer:
    """The hold is gone and nothing came of it: back to the times, with the choices that stand in the address."""
    point = _station_of_link()
    menu = picker.read_menu(point, request.args) if point else None
    again = url_for(".station", slug=point.slug, **menu.choice.query) if point and menu else url_for(".stations")
    return _page("public/gone.html", point, again=again), 410


def _find_station(slug: str) -> ServicePoint:
    return db.session.scalar(select(ServicePoint).where(ServicePoint.slug == slug)) or abort(404)


def _station_of_link() -> ServicePoint | None:
    """The station that a page without one of its own is looked at from: its phone stays in sight."""
    slug = request.args.get("s", "")
    return db.session.scalar(select(ServicePoint).where(ServicePoint.slug == slug)) if text.fit(slug) else None


def _find_booking(token: str) -> Booking:
    return find_by_token(token) or abort(410)


def _wish_of(held: Hold) -> Wish:
    choice = picker.Choice(tuple(held.wanted["service_ids"]), held.wanted["car_type_id"])
    return Wish(db.session.get_one(ServicePoint, held.service_point_id), held.starts_at, choice)


def _wish_of_form() -> Wish:
    """The form carries it too: a hold that is gone must not take the customer's choices with it."""
    form, slug = HoldForm(), request.form.get("s", "")
    if not text.fit(slug) or not form.validate() or not form.svc.data or not form.car.data:
        abort(410)
    return Wish(_find_station(slug), form.at.data, picker.Choice(tuple(form.svc.data), form.car.data[0]))


def _my_hold(point: ServicePoint) -> Hold | None:
    """The time this browser keeps here already: it may simply go on with it."""
    held = find_hold(session["hold"]) if "hold" in session else None
    return held if held and held.service_point_id == point.id and not held.has_expired else None


def _browser() -> str:
    """This browser, as holds know it: it keeps one time at once."""
    return str(session.setdefault("browser", new_token()))


def _network() -> str:
    """Where this browser comes from, as holds know it: so many at once from one network."""
    return reservations.hash_of(network_of(request.remote_addr or ""))


def _remember_what_was_typed() -> None:
    typed = {name: text.fit(request.form.get(name, "")[: text.EMAIL_LENGTH]) for name in REMEMBERED}
    session["typed"] = {name: value for name, value in typed.items() if value}


def _seconds_left(held: Hold | None) -> int:
    return max(0, round((held.expires_at - clock.now()).total_seconds())) if held else 0


def _may_cancel(booking: Booking) -> bool:
    event = "cancel_by_customer"
    return event in states.possible_events(booking.status, states.CUSTOMER) and may_still_change(booking)


def _place(point: ServicePoint) -> dict[str, Any]:
    """A station in the list of stations: until when it is open today, and its soonest time."""
    services = offered_services(point)
    shortest = min((each.from_minutes for each in services), default=None)
    soonest = nearest(point, shortest) if shortest else None
    return {"point": point, "soonest": soonest, **_opening(point)}


def _opening(point: ServicePoint) -> dict[str, Any]:
    """Until when it is open; `open_until` is None when it is closed at the moment."""
    hours, now = load_hours(point), clock.now()
    today = local_day(point.time_zone, now)
    spans = [
        span
        for post in point.posts
        if post.active
        for span in opening_windows(hours, post.id, today - timedelta(days=1), today + timedelta(days=1))
    ]
    until = now
    for start, end in sorted(spans):  # one may begin where another ends, at midnight for example
        if start <= until < end:
            until = end
    return {"open_until": until if until > now else None, "round_the_clock": until - now >= timedelta(days=1)}

"""What a customer sees: choose what and when, hold the time, say who comes.

Every commit point is a plain POST that answers 303; a time that is gone answers 409 with other times and loses nothing.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from typing import Any

from flask import Blueprint, abort, current_app, redirect, render_template, request, session, url_for
from sqlalchemy import select

from tirefit import clock, founding, i18n, usage
from tirefit.booking.commands import Customer, create_booking
from tirefit.booking.durations import calculate_booking_duration, offered_services
from tirefit.booking.links import find_by_token
from tirefit.database import db
from tirefit.errors import HoldExpired, KeyReused, LimitReached, Problem, SlotNotOffered, TooManyAttempts
from tirefit.models import ServicePoint
from tirefit.schedule import reservations
from tirefit.schedule.availability import nearest
from tirefit.schedule.reservations import Hold, find_hold
from tirefit.schedule.windows import local_day
from tirefit.web import city, filters, htmx, pages, picker, policy, remembered, visitor
from tirefit.web.errors import when_again
from tirefit.web.forms import text
from tirefit.web.forms.public import ContactsForm, HoldForm
from tirefit.web.pages import Answer
from tirefit.web.remembered import Remembered

bp = Blueprint("public", __name__)

TYPED = ("name", "phone", "email", "remember")


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
    if not found and founding.is_empty():
        return redirect(url_for("setup.first"))
    if len(found) == 1:
        return redirect(url_for(".station", slug=found[0].slug))
    return render_template(
        "public/stations.html", places=[_place(point) for point in found], cities=city.with_several(found)
    )


@bp.get("/s/<slug:slug>")
@policy.public
def station(slug: str) -> Answer:
    """public/start.html, with the choice; public/times.html where the choice is known already (a link's, or that of a
    remembered phone); public/closed.html while nobody can book. The first two are the frame of moving a booking, too.
    """
    point = _find_station(slug)
    menu = picker.read_menu(point, request.args, remembered.usual_choice(slug))
    if not point.active or not menu.services:
        return pages.show("public/closed.html", point)
    if menu.visit is None or "edit" in request.args or "many" in request.args:
        return _start(point, menu)
    usage.count(point.id, usage.LOOKED)
    found = picker.times(point, menu.visit, request.args.get("d"))
    if not found["current"].times:
        usage.count(point.id, usage.EMPTY)
    return _picker(point, menu, **found)


@bp.get("/s/<slug:slug>/calendar")
@policy.public
def calendar(slug: str) -> Answer:
    point = _find_station(slug)
    menu = picker.read_menu(point, request.args)
    if not point.active or menu.visit is None:
        return redirect(url_for(".station", slug=slug, **menu.choice.query))
    return pages.show(
        "public/month.html",
        point,
        menu=menu,
        way=_way(point),
        **picker.month(point, menu.visit, request.args.get("m", "")),
    )


@bp.get("/s/<slug:slug>/evenings")
@policy.public
def evenings(slug: str) -> Answer:
    """For whoever works till five: what is free after that on the next seven days, on one page."""
    point = _find_station(slug)
    menu = picker.read_menu(point, request.args)
    if not point.active or menu.visit is None:
        return redirect(url_for(".station", slug=slug, **menu.choice.query))
    found = picker.evenings(point, menu.visit)
    return pages.show("public/evenings.html", point, menu=menu, visit=menu.visit, way=_way(point), **found)


@bp.post("/s/<slug:slug>/hold")
@policy.public
def hold(slug: str) -> Answer:
    point, form = _find_station(slug), HoldForm()
    menu = picker.read_menu(point, request.form)
    if not point.active or menu.visit is None:
        raise menu.refusal or SlotNotOffered()
    if not form.validate():
        return _picker(point, menu, unreadable=True), 422
    try:
        held = reservations.reserve_slot_temporarily(
            point.id,
            form.at.data,
            menu.visit.total_minutes,
            form.nonce.data,
            needs=menu.visit.needs,
            holder=visitor.browser(),
            origin=visitor.network(),
            wanted=asdict(menu.choice) | {"service_ids": list(menu.choice.service_ids)},  # as JSON gives it back
        )
    except picker.TIME_IS_GONE as problem:
        usage.count(point.id, usage.REFUSED)
        return _other_times(Wish(point, form.at.data, menu.choice), problem)
    except TooManyAttempts as problem:
        return _picker(point, menu, refused=problem), problem.status, when_again(problem)
    usage.count(point.id, usage.HELD)
    session["hold"] = held.token
    return redirect(url_for(".contacts", token=held.token, s=slug, **menu.choice.query), 303)


@bp.get("/h/<token:token>")
@policy.customer
def contacts(token: str) -> Answer:
    held = find_hold(token)
    if held is None:
        return redirect(url_for("ticket.open_link", token=token), 303) if find_by_token(token) else _start_again()
    wish = _wish_of(held)
    return _contacts(token, held, wish, _empty_form(wish.point))


@bp.post("/h/<token:token>")
@policy.customer
def book(token: str) -> Answer:
    held = find_hold(token)
    wish = _wish_of(held) if held else _wish_of_form()
    form = ContactsForm(wish.point)
    if not form.validate():
        return _contacts(token, held, wish, form), 422
    who = _whom_to_remember(wish, form)
    try:
        create_booking(
            wish.point.id,
            wish.choice.service_ids,
            wish.choice.car_type_id or 0,
            Customer(form.name.data, form.customer_phone, form.customer_email),
            token=token,
            starts_at=wish.starts_at,
            wheel_inches=wish.choice.wheel_inches,
            locale=i18n.language(),
            plate=who.plate,
            consents=form.remember.data,
            origin=visitor.network(),
        )
    except picker.TIME_IS_GONE as problem:
        _keep_what_was_typed()
        return _other_times(wish, problem)
    except (LimitReached, TooManyAttempts, KeyReused) as problem:
        return _contacts(token, held, wish, form, problem), problem.status, when_again(problem)
    for key in ("hold", "typed"):
        session.pop(key, None)
    answer = redirect(url_for("ticket.open_link", token=token, new=1), 303)
    if form.remember.data:
        remembered.keep(answer, who)
    elif remembered.recall():
        remembered.forget(answer)
    return answer


@bp.post("/h/<token:token>/extend")
@policy.customer
def extend(token: str) -> Answer:
    _keep_what_was_typed()
    wish = _wish_of_form()
    try:
        reservations.extend_reservation(token)
    except HoldExpired as problem:
        return _other_times(wish, problem)
    except LimitReached as problem:  # ten times; the strip says so
        return _contacts(token, find_hold(token), wish, _empty_form(wish.point)), problem.status
    return redirect(url_for(".contacts", token=token, s=wish.point.slug, **wish.choice.query), 303)


@bp.post("/h/<token:token>/release")
@policy.customer
def release(token: str) -> Answer:
    _keep_what_was_typed()
    wish = _wish_of_form()
    reservations.release_reservation(token)
    day = local_day(wish.point.time_zone, wish.starts_at)
    return redirect(url_for(".station", slug=wish.point.slug, d=day, **wish.choice.query), 303)


@bp.post("/h/<token:token>/forget")
@policy.customer
def forget(token: str) -> Answer:
    """Whoever has this phone now is somebody else, or wants to be nobody: the fields are empty again."""
    wish = _wish_of_form()
    session.pop("typed", None)
    answer = redirect(url_for(".contacts", token=token, s=wish.point.slug, **wish.choice.query), 303)
    remembered.forget(answer)
    return answer


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


@bp.get("/privacy")
@policy.public
def privacy() -> Answer:
    days = current_app.config["RETENTION_DAYS"]
    return pages.show("public/privacy.html", _station_of_link(), retention_days=days)


@bp.get("/accessibility")
@policy.public
def accessibility() -> Answer:
    return pages.show("public/accessibility.html", _station_of_link())


def _start(point: ServicePoint, menu: picker.Menu) -> str:
    many = "many" in request.args or len(menu.choice.service_ids) > 1
    # Sent by the button, that is; whoever only ticks (htmx) has not finished yet.
    is_sent = "svc" in request.args and not htmx.asked() and request.args.keys().isdisjoint({"many", "edit"})
    return pages.show(
        "public/start.html",
        point,
        menu=menu,
        many=many,
        ask_for_car=is_sent and menu.choice.car_type_id is None,
        ask_for_wheel=is_sent and menu.choice.car_type_id is not None and menu.visit is None and menu.wheels,
        way=_way(point),
        **picker.start(point, menu),
    )


def _picker(point: ServicePoint, menu: picker.Menu, **context: Any) -> str:
    assert menu.visit is not None
    day = context.pop("day", request.args.get("d"))
    if "current" not in context:
        context |= picker.times(point, menu.visit, day)
    context["here"] = url_for(".station", slug=point.slug, d=day, **menu.choice.query)
    context |= {"way": _way(point), "mine": _my_hold(point), "in_city": city.address_of(point, menu.choice)}
    return pages.show("public/times.html", point, menu=menu, visit=menu.visit, **context)


def _way(point: ServicePoint) -> picker.Way:
    station, month, late = (partial(url_for, page, slug=point.slug) for page in (".station", ".calendar", ".evenings"))
    return picker.Way(station, month, take=url_for(".hold", slug=point.slug), method="post", evenings=late)


def _other_times(wish: Wish, problem: Problem) -> Answer:
    """The picker again, with the nearest times above it. What was typed is kept for the next hold."""
    menu = picker.menu_of(wish.point, wish.choice)
    if menu.visit is None:
        raise problem
    gone = picker.lost(wish.point, wish.starts_at, menu.visit, problem)
    day = local_day(wish.point.time_zone, wish.starts_at).isoformat()
    return _picker(wish.point, menu, gone=gone, day=day, kept="typed" in session), problem.status


def _contacts(token: str, held: Hold | None, wish: Wish, form: ContactsForm, problem: Problem | None = None) -> str:
    return pages.show(
        "public/contacts.html",
        wish.point,
        wish=wish,
        visit=calculate_booking_duration(
            wish.choice.service_ids, wish.choice.car_type_id or 0, wish.point, wish.choice.wheel_inches
        ),
        form=form,
        is_remembered=remembered.recall() is not None,
        held=held,
        token=token,
        left=_seconds_left(held),
        problem=problem,
        here=url_for(".contacts", token=token, s=wish.point.slug, **wish.choice.query),
    )


def _start_again() -> Answer:
    """The hold is gone and nothing came of it: back to the times, with the choices that stand in the address."""
    point = _station_of_link()
    menu = picker.read_menu(point, request.args) if point else None
    again = url_for(".station", slug=point.slug, **menu.choice.query) if point and menu else url_for(".stations")
    return pages.show("public/gone.html", point, again=again), 410


def _find_station(slug: str) -> ServicePoint:
    return db.session.scalar(select(ServicePoint).where(ServicePoint.slug == slug)) or abort(404)


def _station_of_link() -> ServicePoint | None:
    """The station that a page without one of its own is looked at from: its phone stays in sight."""
    slug = request.args.get("s", "")
    return db.session.scalar(select(ServicePoint).where(ServicePoint.slug == slug)) if text.fit(slug) else None


def _wish_of(held: Hold) -> Wish:
    wanted = held.wanted
    choice = picker.Choice(tuple(wanted["service_ids"]), wanted["car_type_id"], wanted.get("wheel_inches"))
    return Wish(db.session.get_one(ServicePoint, held.service_point_id), held.starts_at, choice)


def _wish_of_form() -> Wish:
    """The form carries it too: a hold that is gone must not take the customer's choices with it."""
    form, slug, choice = HoldForm(), request.form.get("s", ""), picker.choice_in(request.form)
    if not text.fit(slug) or not form.validate() or not choice.service_ids or choice.car_type_id is None:
        abort(410)
    return Wish(_find_station(slug), form.at.data, choice)


def _empty_form(point: ServicePoint) -> ContactsForm:
    """The contacts form with what was typed before on this visit, else with what this phone remembers."""
    who = remembered.recall()
    data: dict[str, Any] = {}
    if who is not None:
        phone = filters.phone(who.phone, point).replace(filters.NBSP, " ")
        data = {"name": who.name, "phone": phone, "email": who.email, "remember": True}
    return ContactsForm(point, formdata=None, data=data | session.get("typed", {}))


def _whom_to_remember(wish: Wish, form: ContactsForm) -> Remembered:
    """Who books what. The car's number comes along when it is the same person's same kind of car as before."""
    before, car = remembered.recall(), wish.choice.car_type_id or 0
    knows = before is not None and (before.phone, before.car_type_id) == (form.customer_phone, car)
    return Remembered(
        form.name.data,
        form.customer_phone,
        form.customer_email or "",
        car,
        wish.choice.service_ids,
        wish.point.slug,
        wish.choice.wheel_inches,
        before.plate if before is not None and knows else "",
    )


def _my_hold(point: ServicePoint) -> Hold | None:
    """The time this browser keeps here already: it may simply go on with it."""
    held = find_hold(session["hold"]) if "hold" in session else None
    return held if held and held.service_point_id == point.id and not held.has_expired else None


def _keep_what_was_typed() -> None:
    typed = {name: text.fit(request.form.get(name, "")[: text.EMAIL_LENGTH]) for name in TYPED}
    session["typed"] = {name: value for name, value in typed.items() if value}


def _seconds_left(held: Hold | None) -> int:
    return max(0, round((held.expires_at - clock.now()).total_seconds())) if held else 0


def _place(point: ServicePoint) -> dict[str, Any]:
    """A station in the list of stations: until when it is open today, and its soonest time."""
    services = offered_services(point)
    shortest = min((each.from_minutes for each in services), default=None)
    soonest = nearest(point, shortest) if shortest else None
    return {"point": point, "soonest": soonest, **pages.opening(point)}

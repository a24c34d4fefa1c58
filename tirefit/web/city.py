"""Where in a city it can be soonest: one choice asked of all its stations, and one tap to the time of any."""

from collections import Counter
from collections.abc import Sequence

from flask import Blueprint, redirect, request, url_for
from sqlalchemy import exists, select

from tirefit.booking import durations
from tirefit.booking.durations import OfferedService
from tirefit.database import db
from tirefit.models import ServicePoint
from tirefit.schedule import cities
from tirefit.schedule.availability import Needs
from tirefit.schedule.cities import Asked
from tirefit.schedule.reservations import new_token
from tirefit.web import htmx, pages, picker, policy, remembered
from tirefit.web.forms import text
from tirefit.web.pages import Answer
from tirefit.web.picker import Choice, Menu

bp = Blueprint("city", __name__)


@bp.get("/soonest")
@policy.public
def soonest() -> Answer:
    """Services and car, where they are not chosen yet; then the stations, the soonest first."""
    name = text.fit(request.args.get("city", ""))
    points = cities.stations_of(name) if name else []
    asked, usual = picker.choice_in(request.args), remembered.usual_choice()
    choice = usual if usual is not None and asked == Choice() else asked
    menus = {point.id: picker.menu_of(point, choice) for point in points}
    menu = _menu_of_all(list(menus.values()), choice)
    if not menu.services:
        return redirect(url_for("public.stations"))
    here = url_for(".soonest", city=name, **menu.choice.query)
    if not menu.is_complete or "edit" in request.args:
        is_sent = "svc" in request.args and not htmx.asked() and "edit" not in request.args
        currency = points[0].currency
        return pages.show(
            "public/city_start.html", None, city=name, menu=menu, is_sent=is_sent, currency=currency, here=here
        )
    visits = {point_id: each.visit for point_id, each in menus.items() if each.visit is not None}
    needs = Needs(menu.choice.car_type_id, menu.choice.service_ids, menu.choice.wheel_inches)
    found = cities.nearest_of([Asked(p, visits[p.id].total_minutes) for p in points if p.id in visits], needs)
    return pages.show(
        "public/city.html",
        None,
        city=name,
        menu=menu,
        names=[each.service.names for each in menu.services if each.service.id in menu.choice.service_ids],
        car=next(car for car in menu.cars if car.id == menu.choice.car_type_id),
        menus=menus,
        found=found,
        without=[point for point in points if point.id not in {each.point.id for each in found}],
        nonces={point.id: new_token() for point in points},
        here=here,
    )


def with_several(points: Sequence[ServicePoint]) -> list[str]:
    """The cities in which these stations leave a choice."""
    return [name for name, count in Counter(point.city for point in points).items() if name and count > 1]


def address_of(point: ServicePoint, choice: Choice) -> str | None:
    """The same choice asked of the station's whole city; None when the station is the only one there.

    Without the wheels: what is one size at a station may be two at another.
    """
    others = exists().where(ServicePoint.city == point.city, ServicePoint.active, ServicePoint.id != point.id)
    if not point.city or not db.session.scalar(select(others)):
        return None
    return url_for("city.soonest", city=point.city, svc=list(choice.service_ids), car=choice.car_type_id)


def _menu_of_all(menus: Sequence[Menu], asked: Choice) -> Menu:
    """What a city offers: what any of its stations does, from the least time and price on; each size that matters."""
    services: dict[int, OfferedService] = {}
    for each in (each for menu in menus for each in menu.services):
        known = services.get(each.service.id, OfferedService(each.service, {})).on
        cheapest = {car: min(known.get(car, offer), offer) for car, offer in each.on.items()}
        services[each.service.id] = OfferedService(each.service, known | cheapest)
    cars = {car.id: car for menu in menus for car in menu.cars}
    steps = {sizes.first for menu in menus for sizes in menu.wheels if sizes.first is not None}
    wheels = durations.sizes_between(steps) if any(menu.wheels for menu in menus) else []
    choice = Choice(
        tuple(each for each in asked.service_ids if each in services),
        asked.car_type_id if asked.car_type_id in cars else None,
        next((sizes.inches for sizes in wheels if asked.wheel_inches in sizes), None),
    )
    in_order = sorted(cars.values(), key=lambda car: (car.position, car.id))
    return Menu(list(services.values()), in_order, wheels, choice)

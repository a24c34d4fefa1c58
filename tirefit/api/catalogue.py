"""Stations, what they do, for which cars. Open to everybody."""

from typing import Any

from flask import abort, current_app
from sqlalchemy import bindparam, select
from sqlalchemy.orm import joinedload, selectinload

from tirefit.api import access, schemas
from tirefit.api.operations import Blueprint, page_of, slice_of
from tirefit.booking import durations
from tirefit.database import db
from tirefit.models import ServicePoint
from tirefit.web.load import LARGEST_ID

bp = Blueprint("catalogue", __name__, description="Stations, services, cars.")

Found = dict[str, Any]
STATION = (  # with its posts, which nearly every question about it needs
    select(ServicePoint).where(ServicePoint.id == bindparam("id")).options(joinedload(ServicePoint.posts))
)


@bp.route("/service_points")
@access.public
@bp.arguments(schemas.Page, location="query")
@bp.response(200, schemas.ServicePoints)
@bp.refuses("invalid")
def list_service_points(query: Found) -> Found:
    """The stations that take bookings."""
    active = select(ServicePoint).where(ServicePoint.active).options(selectinload(ServicePoint.posts))
    found, counts = page_of(active.order_by(ServicePoint.city, ServicePoint.name, ServicePoint.id), **query)
    return counts | {"items": [_station(point) for point in found]}


@bp.route("/service_points/<int:service_point_id>")
@access.public
@bp.response(200, schemas.ServicePoint)
@bp.refuses("not_found")
def get_service_point(service_point_id: int) -> Found:
    """A station and its rules for booking."""
    return _station(open_station(service_point_id))


@bp.route("/service_points/<int:service_point_id>/services")
@access.public
@bp.arguments(schemas.Page, location="query")
@bp.response(200, schemas.OfferedServices)
@bp.refuses("not_found", "invalid")
def list_services(query: Found, service_point_id: int) -> Found:
    """What a station does, in how many minutes and for how much on each type of car."""
    point = open_station(service_point_id)
    found, counts = slice_of(durations.offered_services(point), **query)
    surcharges = durations.wheel_surcharges(point)
    return counts | {
        "currency": point.currency,
        "wheel_surcharges": [{"from_inches": size, "minutes": more} for size, more in surcharges.items()],
        "items": [
            {
                "id": each.service.id,
                "names": each.service.names,
                "descriptions": each.service.descriptions,
                "on_car_types": [
                    {"car_type_id": id, "minutes": minutes, "price": price} for id, (minutes, price) in each.on.items()
                ],
            }
            for each in found
        ],
    }


@bp.route("/car_types")
@access.public
@bp.arguments(schemas.Page, location="query")
@bp.response(200, schemas.CarTypes)
@bp.refuses("invalid")
def list_car_types(query: Found) -> Found:
    """The types of car that are told apart."""
    found, counts = slice_of(durations.car_types(), **query)
    return counts | {"items": found}


def open_station(service_point_id: int) -> ServicePoint:
    """A station that takes bookings; for everybody else it does not exist."""
    found = db.session.scalars(STATION, {"id": min(service_point_id, LARGEST_ID)}).unique().first()
    return found if found is not None and found.active else abort(404)


def _station(point: ServicePoint) -> Found:
    names = schemas.ServicePoint().fields
    plain = {name: getattr(point, name) for name in names if hasattr(point, name)}
    return plain | {
        "active_posts": sum(post.active for post in point.posts),
        "booking_url": f"{current_app.config['BASE_URL']}/s/{point.slug}",
    }

"""A time that is kept while a customer says who they are."""

from typing import Any

from flask import abort

from tirefit.api import access, schemas
from tirefit.api.catalogue import open_station
from tirefit.api.operations import BODY, Blueprint, Nothing
from tirefit.api.problems import suggesting
from tirefit.api.times import iso
from tirefit.booking.durations import calculate_booking_duration
from tirefit.database import db
from tirefit.errors import KeyReused
from tirefit.models import ServicePoint, ServicePost
from tirefit.schedule import reservations
from tirefit.schedule.reservations import Hold, find_hold

bp = Blueprint("reservations", __name__, url_prefix="/reservations", description="Times on hold.")

Found = dict[str, Any]


@bp.route("", methods=["POST"])
@access.public
@access.takes_key
@bp.arguments(schemas.NewReservation)
@bp.response(201, schemas.Reservation)
@bp.refuses(
    *BODY,
    *("not_found", "unknown_service"),
    *("unknown_car_type", "slot_taken", "slot_not_offered", "time_matches_no_slot", "post_cannot_take_it"),
    *("services_do_not_fit", "in_the_past", "too_soon", "beyond_horizon", "key_reused", "too_many_attempts"),
)
def hold_time(sent: Found) -> Found:
    """Keep a time. With an `Idempotency-Key` the same request gives the same hold."""
    point = open_station(sent["service_point_id"])
    visit = calculate_booking_duration(sent["service_ids"], sent["car_type_id"], point, sent.get("wheel_inches"))
    wanted = {name: sent.get(name) for name in ("service_ids", "car_type_id", "wheel_inches", "post_number")}
    token = access.key_of_request()
    before = find_hold(token)
    if before and (before.service_point_id, before.starts_at, before.wanted) != (point.id, sent["starts_at"], wanted):
        raise KeyReused()
    with suggesting(point, sent["starts_at"], visit.total_minutes, visit.needs):
        held = reservations.reserve_slot_temporarily(
            point.id,
            sent["starts_at"],
            visit.total_minutes,
            token,
            needs=visit.needs,
            origin=access.origin(),
            post_number=sent.get("post_number"),
            wanted=wanted,
        )
    return _shown(held)


@bp.route("/<token:token>/extend", methods=["POST"])
@access.link_holder
@bp.arguments(Nothing)
@bp.response(200, schemas.Reservation)
@bp.refuses(*BODY, "not_found", "hold_expired", "limit_reached")
def extend_hold(sent: Found, token: str) -> Found:
    """Keep it longer, up to ten times. One that has run out, and that nobody took, is kept again."""
    return _shown(reservations.extend_reservation(token))


@bp.route("/<token:token>", methods=["DELETE"])
@access.link_holder
@bp.response(204)
@bp.refuses("not_found")
def release_hold(token: str) -> None:
    """Give it back."""
    if not reservations.release_reservation(token):
        abort(404)


def _shown(held: Hold) -> Found:
    point = db.session.get_one(ServicePoint, held.service_point_id)
    return {
        "token": held.token,
        "service_point_id": point.id,
        "post_number": db.session.get_one(ServicePost, held.service_post_id).post_number,
        "starts_at": iso(point, held.starts_at),
        "ends_at": iso(point, held.ends_at),
        "expires_at": iso(point, held.expires_at),
        "may_be_extended": held.may_be_extended,
    }

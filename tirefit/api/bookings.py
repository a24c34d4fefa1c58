"""Bookings as customers' programs make and keep them: asked about, made, looked at, moved, cancelled."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from flask import abort

from tirefit.api import access, schemas
from tirefit.api.catalogue import open_station
from tirefit.api.operations import BODY, Blueprint
from tirefit.api.problems import Invalid, refused_field, suggesting, time_of
from tirefit.api.times import iso, local, wall_time
from tirefit.booking import placement, steps
from tirefit.booking.commands import Customer, create_booking, needs_of, reschedule_booking
from tirefit.booking.durations import Breakdown, calculate_booking_duration, minutes_anywhere
from tirefit.booking.links import find_by_token
from tirefit.booking.states import CUSTOMER
from tirefit.database import db
from tirefit.errors import HoldExpired
from tirefit.models import Booking, ServicePoint
from tirefit.schedule import reasons
from tirefit.schedule.grid import Run
from tirefit.schedule.reservations import find_hold
from tirefit.schedule.windows import local_day
from tirefit.web.forms import text
from tirefit.web.pages import whole_address

bp = Blueprint("bookings", __name__, url_prefix="/bookings", description="Bookings of customers.")

Found = dict[str, Any]
MINUTE = timedelta(minutes=1)
TIMES = (
    *("slot_taken", "slot_not_offered", "time_matches_no_slot", "post_cannot_take_it", "services_do_not_fit"),
    *("in_the_past", "too_soon", "beyond_horizon"),
)


@bp.route("/check_availability", methods=["POST"])
@access.public
@bp.arguments(schemas.Check)
@bp.response(200, schemas.Checked)
@bp.refuses(*BODY, "not_found", "unknown_service", "unknown_car_type")
def check_availability(sent: Found) -> Found:
    """Can it be then? Post by post, and other times when it cannot. Nothing is kept by asking."""
    point = open_station(sent["service_point_id"])
    visit = _visit(point, sent)
    start = sent["starts_at"]
    answer = placement.check_availability(point, start, visit.total_minutes, visit.needs, sent.get("preferred_post"))
    days = reasons.by_posts(point, local_day(point.time_zone, start), visit.total_minutes, visit.needs)
    next_at = {each.post_number: each.next_available_at for each in days}
    return {
        "available": answer.is_available,
        "required_minutes": visit.total_minutes,
        "available_posts": sorted(each.post_number for each in answer.posts if each.run),
        "recommended_post": answer.recommended.post_number if answer.recommended else None,
        "post_details": [
            {
                "post_number": each.post_number,
                "available": each.run is not None,
                "reason": each.reason,
                "waste_minutes": each.run.waste_minutes if each.run else None,
                "efficiency": _efficiency(each.run) if each.run else None,
                "next_available_at": iso(point, next_at.get(each.post_number)),
            }
            for each in sorted(answer.posts, key=lambda each: each.post_number)
        ],
        "suggested_times": [time_of(point, time) for time in answer.suggested],
    }


@bp.route("/calculate_duration", methods=["POST"])
@access.public
@bp.arguments(schemas.Work)
@bp.response(200, schemas.Duration)
@bp.refuses(*BODY, "not_found", "unknown_service", "unknown_car_type")
def calculate_duration(sent: Found) -> Found:
    """How long it takes, what it costs at a station, and how it fills the slots of a post."""
    if "service_point_id" not in sent:
        if "post_number" in sent:
            raise refused_field("service_point_id", "required")
        lines = minutes_anywhere(sent["service_ids"], sent["car_type_id"])
        durations = [
            {"service_id": line.service_id, "names": line.names, "minutes": line.minutes, "price": None}
            for line in lines
        ]
        total = sum(line.minutes for line in lines)
        nothing: Found = {"total_price": None, "currency": None, "post": None, "wheel_minutes": 0}
        return nothing | {"total_duration": total, "service_durations": durations}
    point = open_station(sent["service_point_id"])
    visit = _visit(point, sent)
    return {
        "total_duration": visit.total_minutes,
        "wheel_minutes": visit.wheel_minutes,
        "service_durations": list(visit.lines),
        "total_price": visit.total_price,
        "currency": visit.currency,
        "post": _on_post(point, sent["post_number"], visit.total_minutes) if "post_number" in sent else None,
    }


@bp.route("/optimal_slots")
@access.public
@bp.arguments(schemas.Wish, location="query")
@bp.response(200, schemas.Recommendations)
@bp.refuses("invalid", "not_found", "unknown_service", "unknown_car_type")
def optimal_slots(query: Found) -> Found:
    """The best times of a day, the best first: little waste, no unsellable gaps, near to what was wished."""
    point = open_station(query["service_point_id"])
    visit = _visit(point, query)
    wished = wall_time(point, query["date"], query["preferred_time"]) if "preferred_time" in query else None
    best = placement.find_optimal_slot(point, query["date"], visit.total_minutes, visit.needs, wished)
    near = wished or wall_time(point, query["date"], "12:00")
    taken = {each.run.starts_at for each in best}
    others = placement.alternatives(point, near, visit.total_minutes, visit.needs, count=3 + len(taken))
    return {
        "required_minutes": visit.total_minutes,
        "recommendations": [
            {
                "time": local(point, each.run.starts_at).strftime("%H:%M"),
                "starts_at": iso(point, each.run.starts_at),
                "ends_at": iso(point, each.run.ends_at),
                "post_number": each.run.post_number,
                "waste_minutes": each.waste_minutes,
                "efficiency": round(each.efficiency, 3),
            }
            for each in best
        ],
        "alternative_times": [time_of(point, time) for time in others if time.starts_at not in taken][:3],
    }


@bp.route("", methods=["POST"])
@access.public
@access.takes_key
@bp.arguments(schemas.NewBooking)
@bp.response(201, schemas.OwnBooking)
@bp.refuses(
    *BODY,
    *("not_found", "unknown_service", "unknown_car_type", *TIMES, "hold_expired", "limit_reached", "key_reused"),
    "too_many_attempts",
)
def create(sent: Found) -> Found:
    """Book: a time on hold, or one that is free now. The same request again gives the same booking.

    A hold's token is the key of the request; without a hold it is the `Idempotency-Key`.
    """
    time = _time_of(sent)
    point, customer = time.point, _customer(time.point, sent)
    visit = _visit(point, sent)
    with suggesting(point, time.starts_at, visit.total_minutes, visit.needs):
        made = create_booking(
            point.id,
            sent["service_ids"],
            sent["car_type_id"],
            customer,
            token=time.token,
            starts_at=time.starts_at,
            post_number=sent.get("post_number"),
            wheel_inches=sent.get("wheel_inches"),
            locale=sent.get("locale", point.locale),
            source="api",
            plate=_plate(sent),
            notes=sent["notes"],
            consents=sent["consent"],
            origin=access.origin(),
        )
    return own(made, time.token)


@bp.route("/<token:token>")
@access.link_holder
@bp.response(200, schemas.OwnBooking)
@bp.refuses("not_found")
def get_booking(token: str) -> Found:
    """The customer's own booking."""
    return own(_load(token), token)


@bp.route("/<token:token>/cancel", methods=["POST"])
@access.link_holder
@bp.arguments(schemas.Cancelling)
@bp.response(200, schemas.OwnBooking)
@bp.refuses(*BODY, "not_found", "too_late_to_change", "wrong_transition")
def cancel(sent: Found, token: str) -> Found:
    """Give the time back. Cancelling twice is cancelling once."""
    return own(steps.cancel_booking(_load(token).id, actor=CUSTOMER, reason=sent.get("reason", "")), token)


@bp.route("/<token:token>/reschedule", methods=["POST"])
@access.link_holder
@bp.arguments(schemas.Rescheduling)
@bp.response(200, schemas.OwnBooking)
@bp.refuses(*BODY, "not_found", "too_late_to_change", "wrong_transition", *TIMES, "too_many_attempts")
def reschedule(sent: Found, token: str) -> Found:
    """Move it. The new time is won and the old one freed, or nothing changes."""
    booking = _load(token)
    with suggesting(booking.service_point, sent["starts_at"], booking.total_duration, needs_of(booking)):
        moved = reschedule_booking(
            booking.id,
            actor=CUSTOMER,
            starts_at=sent["starts_at"],
            post_number=sent.get("post_number"),
            origin=access.origin(),
        )
    return own(moved, token)


def shown(booking: Booking) -> Found:
    """A booking as its customer and the station's programs see it."""
    point = booking.service_point
    plain = {name: getattr(booking, name) for name in schemas.Booking().fields if hasattr(booking, name)}
    until = booking.starts_at - timedelta(minutes=point.cancel_cutoff_minutes)
    may_change = steps.may_move(booking) and steps.may_still_change(booking)
    return plain | {
        "post_number": booking.post.post_number,
        "starts_at": iso(point, booking.starts_at),
        "ends_at": iso(point, booking.ends_at),
        "services": booking.lines,
        "may_change_until": iso(point, until if may_change else None),
    }


def own(booking: Booking, token: str) -> Found:
    return shown(booking) | {"token": token, "manage_url": whole_address(f"/b/{token}")}


class _Time(NamedTuple):
    point: ServicePoint
    starts_at: datetime
    token: str


def _time_of(sent: Found) -> _Time:
    """The time that is to be booked: the hold's, or the one that is named."""
    token = sent.get("reservation_token")
    if token is None:
        missing = [name for name in ("service_point_id", "starts_at") if name not in sent]
        if missing:
            raise refused_field(missing[0], "required")
        return _Time(open_station(sent["service_point_id"]), sent["starts_at"], access.key_of_request())
    surplus = [name for name in ("service_point_id", "starts_at", "post_number") if name in sent]
    if surplus:
        raise refused_field(surplus[0], "unknown_field")
    if (held := find_hold(token)) is not None:
        return _Time(db.session.get_one(ServicePoint, held.service_point_id), held.starts_at, token)
    if (made := find_by_token(token)) is not None:  # this very request has been answered before
        return _Time(made.service_point, made.starts_at, token)
    raise HoldExpired()


def _customer(point: ServicePoint, sent: Found) -> Customer:
    who = sent["customer"]
    name, phone = text.name_of(who["name"]), text.phone_of(who["phone"], point.country)
    email = text.email_of(who["email"]) if who["email"] else None
    wrong = [
        refused_field(f"customer/{field}", f"{field}_invalid").facts["errors"][0]
        for field, value in (("name", name), ("phone", phone), ("email", email if who["email"] else ""))
        if value is None
    ]
    if wrong:
        raise Invalid(errors=wrong)
    assert name is not None and phone is not None
    return Customer(name, phone, email)


def _plate(sent: Found) -> str:
    plate = text.plate_of(sent["plate"])
    if plate is None:
        raise refused_field("plate", "plate_invalid")
    return plate


def _visit(point: ServicePoint, asked: Found) -> Breakdown:
    return calculate_booking_duration(asked["service_ids"], asked["car_type_id"], point, asked.get("wheel_inches"))


def _load(token: str) -> Booking:
    return find_by_token(token) or abort(404)


def _on_post(point: ServicePoint, post_number: int, minutes: int) -> Found:
    post = next((post for post in point.posts if post.post_number == post_number), None)
    if post is None:
        abort(404)
    slots = -(-minutes // post.slot_duration)
    occupied = slots * post.slot_duration
    return {
        "post_number": post_number,
        "slot_duration": post.slot_duration,
        "slots": slots,
        "occupied_minutes": occupied,
        "waste_minutes": occupied - minutes,
        "efficiency": round(minutes / occupied, 3),
    }


def _efficiency(run: Run) -> float:
    occupied = (run.ends_at - run.starts_at) // MINUTE
    return round((occupied - run.waste_minutes) / occupied, 3)

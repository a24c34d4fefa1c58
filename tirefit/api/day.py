"""The station's day and its bookings, for its own people's programs: look, move on, close time, take cars in."""

from datetime import date, timedelta
from typing import Any

from flask import abort
from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from tirefit import board, clock
from tirefit.accounts import is_at_least
from tirefit.api import access, load
from tirefit.api import station_schemas as schemas
from tirefit.api.bookings import shown
from tirefit.api.once import made_once
from tirefit.api.operations import BODY, Blueprint, page_of
from tirefit.api.posts import MINE
from tirefit.api.problems import Invalid, refused_field
from tirefit.api.times import iso
from tirefit.booking import at_the_gate, steps
from tirefit.booking.durations import calculate_booking_duration
from tirefit.booking.states import BY_HAND, USER
from tirefit.errors import SlotTaken
from tirefit.models import Booking, Reservation, ServicePoint
from tirefit.schedule.blocks import Blocked as Closed
from tirefit.schedule.blocks import block_time, unblock
from tirefit.schedule.windows import day_span
from tirefit.web.forms import text
from tirefit.web.load import block

bp = Blueprint(
    "day", __name__, url_prefix="/service_points/<int:service_point_id>", description="The station's day and bookings."
)

Found = dict[str, Any]
LONGEST_BLOCK = timedelta(days=31)


@bp.route("/board/<day:date>")
@access.staff_of(load.point)
@bp.response(200, schemas.Board)
@bp.refuses(*MINE)
def get_board(point: ServicePoint, date: date) -> Found:
    """A day: what each post does, what of it is free, and what wants attention."""
    found = board.load_day(point, date)
    return {
        "service_point_id": point.id,
        "date": date,
        "is_open": found.is_open,
        "reason": found.reason,
        "load_percent": found.load,
        "revision": found.revision,
        "posts": [
            {
                "post_number": column.post.post_number,
                "name": column.post.name,
                "cards": [_card(point, card) for card in column.cards],
                "free": [{"starts_at": iso(point, start), "ends_at": iso(point, end)} for start, end in column.free],
            }
            for column in found.columns
        ],
        "attention": [
            {
                "kind": each.kind,
                "bookings": [card.booking.number for card in each.cards if card.booking],
                "minutes": each.minutes,
            }
            for each in found.attention
        ],
    }


@bp.route("/bookings")
@access.staff_of(load.point)
@bp.arguments(schemas.BookingsQuery, location="query")
@bp.response(200, schemas.StationBookings)
@bp.refuses(*MINE, "invalid")
def list_bookings(query: Found, point: ServicePoint) -> Found:
    """Bookings of a station, by time."""
    mine = select(Booking).where(Booking.service_point_id == point.id)
    if "from_" in query:
        mine = mine.where(Booking.starts_at >= day_span(point.time_zone, query["from_"])[0])
    if "to" in query:
        mine = mine.where(Booking.starts_at < day_span(point.time_zone, query["to"])[1])
    if "status" in query:
        mine = mine.where(Booking.status == query["status"])
    whole = (joinedload(Booking.service_point), joinedload(Booking.post), selectinload(Booking.lines))
    ordered = mine.order_by(Booking.starts_at, Booking.id).options(*whole)
    found, counts = page_of(ordered, query["page"], query["per_page"])
    return counts | {"items": [_booking(each) for each in found]}


@bp.route("/bookings/<number:number>")
@access.staff_of(load.booking)
@bp.response(200, schemas.StationBooking)
@bp.refuses(*MINE)
def get_station_booking(booking: Booking) -> Found:
    """One of them, by its number: what a webhook names."""
    return _booking(booking)


@bp.route("/bookings/<number:number>/transition", methods=["POST"])
@access.staff_of(load.booking)
@bp.arguments(schemas.Transition)
@bp.response(200, schemas.StationBooking)
@bp.refuses(*MINE, *BODY, "wrong_transition", "booking_changed", "undo_expired", "slot_taken", "in_the_past")
def transition(sent: Found, booking: Booking) -> Found:
    """Move a booking on, or take the last step back. The same step twice is one."""
    event, who = sent["event"], {"user_id": access.user_id(), "seen_version": sent.get("version")}
    if event in BY_HAND:
        return _booking(steps.transition_booking(booking.id, event, **who))
    if event == "undo":
        return _booking(steps.undo_transition(booking.id, **who))
    change = steps.cancel_booking if event == "cancel_by_station" else steps.restore_booking
    return _booking(change(booking.id, actor=USER, **who))


@bp.route("/blocks", methods=["POST"])
@access.staff_of(load.point)
@access.takes_key
@bp.arguments(schemas.NewBlock)
@bp.response(201, schemas.Blocked)
@bp.refuses(*MINE, *BODY, "key_reused")
def create_block(sent: Found, point: ServicePoint) -> Any:
    """Close what is free of a post's time. Nothing is cancelled: what stands in the way is listed."""
    start, end = sent["starts_at"], sent["ends_at"]
    post = next((post for post in point.posts if post.post_number == sent["post_number"]), None)
    if post is None:
        raise refused_field("post_number", "invalid")
    if not start < end <= start + LONGEST_BLOCK:
        raise refused_field("ends_at", "out_of_range")
    post_id = post.id

    def shown(done: Closed) -> Found:
        return {
            "block_ids": list(done.reservation_ids),
            "in_the_way": [
                {"kind": each.kind, "starts_at": iso(point, each.starts_at), "ends_at": iso(point, each.ends_at)}
                for each in done.in_the_way
            ],
        }

    return made_once(lambda: block_time(point.id, post_id, start, end, reason=sent["reason"]), shown, schemas.Blocked)


@bp.route("/blocks/<int:block_id>", methods=["DELETE"])
@access.staff_of(load.point)
@bp.response(204)
@bp.refuses(*MINE)
def delete_block(point: ServicePoint, block_id: int) -> None:
    """Open closed time again."""
    found: Reservation | None = block(point, block_id)
    if found is None or not unblock(found.id):
        abort(404)


@bp.route("/walk_ins", methods=["POST"])
@access.staff_of(load.point)
@access.takes_key
@bp.arguments(schemas.WalkIn)
@bp.response(201, schemas.WalkedIn)
@bp.refuses(*MINE, *BODY, "unknown_service", "unknown_car_type", "slot_taken")
def take_in(sent: Found, point: ServicePoint) -> Found:
    """A car without a booking: the post that is named, else the first place today, else the lane."""
    plate, phone = _car(point, sent)
    job: tuple[list[int], int] = (sent["service_ids"], sent["car_type_id"])
    visit = calculate_booking_duration(*job, point)
    token, post_number, start = access.key_of_request(), sent.get("post_number"), sent.get("starts_at")
    if post_number is None:
        places = at_the_gate.first_places(point, visit.total_minutes, visit.needs)
        place = next((place for place in places if not place.is_outside), None)
        if place is None:
            at_the_gate.let_wait(point.id, *job, nonce=token, plate=plate, phone=phone)
            return {"waiting": True, "booking": None}
        post_number, start = place.post_number, place.starts_at
    elif post_number not in {post.post_number for post in point.posts}:
        raise SlotTaken()
    made = at_the_gate.book_walk_in(
        point.id,
        *job,
        post_number=post_number,
        starts_at=start or clock.now(),
        token=token,
        user_id=access.user_id(),
        plate=plate,
        phone=phone,
    )
    return {"waiting": False, "booking": _booking(made)}


def _car(point: ServicePoint, sent: Found) -> tuple[str, str]:
    plate = text.plate_of(sent["plate"])
    phone = text.phone_of(sent["phone"], point.country) if sent["phone"] else ""
    values = {"plate": plate, "phone": phone}
    wrong = [refused_field(name, f"{name}_invalid") for name, value in values.items() if value is None]
    if wrong or plate is None or phone is None:
        raise Invalid(errors=[each.facts["errors"][0] for each in wrong])
    return plate, phone


def _card(point: ServicePoint, card: board.Card) -> Found:
    return {
        "state": card.state,
        "starts_at": iso(point, card.starts_at),
        "ends_at": iso(point, card.ends_at),
        "booking": card.booking.number if card.booking else None,
        "block_id": card.reservation_id if card.state == "block" else None,
        "reason": card.reason,
    }


def _booking(booking: Booking) -> Found:
    who = access.bearer()
    may_see = who is not None and is_at_least(who.role_at(booking.service_point_id), "manager")
    return shown(booking) | {
        "source": booking.source,
        "version": booking.version,
        "created_at": iso(booking.service_point, booking.created_at),
        "customer": {
            "name": booking.customer_name,
            "phone": booking.customer_phone if may_see else None,
            "email": booking.customer_email if may_see else None,
        },
    }

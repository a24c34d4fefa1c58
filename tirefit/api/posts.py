"""Posts of a station: looked at, added, changed, switched off. Each change can be shown before it is made."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from tirefit.api import access, load
from tirefit.api import station_schemas as schemas
from tirefit.api.once import made_once
from tirefit.api.operations import BODY, Blueprint, slice_of
from tirefit.api.schemas import Page
from tirefit.api.times import iso
from tirefit.database import db
from tirefit.errors import PostHasBookings
from tirefit.models import ServicePoint, ServicePost
from tirefit.schedule import changes
from tirefit.schedule.slots import Difference
from tirefit.schedule.subjects import require_free_number, require_known, state_of_post
from tirefit.web.preview import bookings_of

bp = Blueprint(
    "posts", __name__, url_prefix="/service_points/<int:service_point_id>/posts", description="Posts of a station."
)

Found = dict[str, Any]
MINE = ("unauthorized", "not_found")  # whoever has a role at the station
MANAGED = (*MINE, "forbidden")  # its managers
TAKEN = ("post_number_taken", "post_has_bookings", "schedule_changed")


@bp.route("")
@access.staff_of(load.point)
@bp.arguments(Page, location="query")
@bp.response(200, schemas.Posts)
@bp.refuses(*MINE, "invalid")
def list_posts(query: Found, point: ServicePoint) -> Found:
    """All posts, those that are switched off too."""
    found, counts = slice_of(point.posts, **query)
    return counts | {"items": [state_of_post(post) for post in found]}


@bp.route("", methods=["POST"])
@access.manager_of(load.point)
@access.takes_key
@bp.arguments(schemas.DryRun, location="query")
@bp.arguments(schemas.NewPost)
@bp.response(201, schemas.PostChanged)
@bp.alt_response(200, schema=schemas.PostChanged, description="What it would do (`dry_run=true`).", success=True)
@bp.refuses(*MANAGED, *BODY, "slot_duration_out_of_range", "post_number_taken", "key_reused")
def create_post(query: Found, sent: Found, point: ServicePoint) -> Any:
    """Add a post, and open its time for booking."""
    if query["dry_run"] == "true":
        change = changes.preview_new_post(point, slot_duration=sent["slot_duration"], active=sent["active"])
        require_free_number(point.id, sent["post_number"])
        post = sent | {"car_type_ids": [], "service_ids": [], "largest_wheel": None}
        return {"post": post, "schedule_change": shown_change(point, change, applied=False)}, 200

    def shown(made: ServicePost) -> Found:
        whole = changes.preview_post_schedule(made, slot_duration=made.slot_duration, active=made.active)
        change = Difference(whole.first_day, whole.last_day, (), whole.kept, (), (), ())
        return {"post": state_of_post(made), "schedule_change": shown_change(point, change, applied=True)}

    return made_once(
        lambda: changes.create_post(point.id, **sent, user_id=access.user_id()), shown, schemas.PostChanged
    )


@bp.route("/<int:post_number>")
@access.staff_of(load.post)
@bp.response(200, schemas.Post)
@bp.refuses(*MINE)
def get_post(post: ServicePost) -> Found:
    """One post."""
    return state_of_post(post)


@bp.route("/<int:post_number>", methods=["PATCH"])
@access.manager_of(load.post)
@bp.arguments(schemas.DryRun, location="query")
@bp.arguments(schemas.PostChange)
@bp.response(200, schemas.PostChanged)
@bp.refuses(*MANAGED, *BODY, "slot_duration_out_of_range", "unknown_car_type", "unknown_service", *TAKEN)
def update_post(query: Found, sent: Found, post: ServicePost) -> Found:
    """Change a post. Its offer is cut again around what is reserved; nothing reserved is moved or lost."""
    return _changed(query, sent, post)


@bp.route("/<int:post_number>", methods=["DELETE"])
@access.manager_of(load.post)
@bp.arguments(schemas.DryRun, location="query")
@bp.response(200, schemas.PostChanged)
@bp.refuses(*MANAGED, "invalid", "post_has_bookings", "schedule_changed")
def delete_post(query: Found, post: ServicePost) -> Found:
    """Switch a post off. What it was stays in the books, so it stays in the list, and can be switched on again."""
    return _changed(query, {"active": False}, post)


def shown_change(point: ServicePoint, change: Difference, *, applied: bool) -> Found:
    """What a change of hours or lengths does, as every such operation shows it."""
    return {
        "first_day": change.first_day,
        "last_day": change.last_day,
        "kept": len(change.kept),
        "added": len(change.added),
        "removed": len(change.removed),
        "touched_bookings": [
            {
                "number": booking.number,
                "post_number": booking.post.post_number,
                "starts_at": iso(point, booking.starts_at),
                "ends_at": iso(point, booking.ends_at),
            }
            for booking in bookings_of(change.outside)
        ],
        "fingerprint": change.fingerprint,
        "applied": applied,
    }


def _changed(query: Found, sent: Found, post: ServicePost) -> Found:
    point, before = post.service_point, state_of_post(post)
    after = before | sent
    # A length that is to begin later still does, unless another one is sent.
    next_from, next_length = after.pop("next_from", None), after.pop("next_slot_duration", None)
    from_day = date.fromisoformat(next_from) if next_from and "slot_duration" not in sent else None
    if from_day:
        after["slot_duration"] = next_length
    abilities = changes.Abilities(
        tuple(after.pop("car_type_ids")), tuple(after.pop("service_ids")), after.pop("largest_wheel")
    )
    if query["dry_run"] == "true":
        change = changes.preview_post_schedule(
            post, slot_duration=after["slot_duration"], active=after["active"], from_day=from_day
        )
        require_known(abilities.car_type_ids, abilities.service_ids)
        if after["post_number"] != post.post_number:
            require_free_number(point.id, after["post_number"])
        shown = before | sent
        return {"post": shown, "schedule_change": shown_change(point, change, applied=False)}
    with _times_of_bookings(point):
        change = changes.update_post(
            post.id,
            **after,
            abilities=abilities,
            from_day=from_day,
            user_id=access.user_id(),
            expected=query.get("expected"),
        )
    now = db.session.get_one(ServicePost, post.id, populate_existing=True)
    return {"post": state_of_post(now), "schedule_change": shown_change(point, change, applied=True)}


@contextmanager
def _times_of_bookings(point: ServicePoint) -> Iterator[None]:
    """Let the refusal to switch off a post say which times stand in the way."""
    try:
        yield
    except PostHasBookings as problem:
        problem.facts["reserved_times"] = [iso(point, each.starts_at) for each in problem.facts["reserved"]]
        raise

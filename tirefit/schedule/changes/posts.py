"""Posts: made, changed, switched off; what they can take, and how long their slots are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import func, select

from tirefit import audit, clock, revisions
from tirefit.database import command, db
from tirefit.errors import PostHasBookings, PostHasHistory
from tirefit.models import Booking, PostCarType, PostService, ScheduleRun, ServicePoint, ServicePost
from tirefit.schedule.changes.runs import apply
from tirefit.schedule.reservations import forget_past_of
from tirefit.schedule.slots import (
    Difference,
    Pace,
    difference,
    load_hours,
    lock_posts_for_regeneration,
    lock_station,
    offered_days,
    reserved_ahead,
)
from tirefit.schedule.subjects import put_post, require_free_number, require_known, require_length, state_of_post
from tirefit.schedule.windows import local_day


@dataclass(frozen=True)
class Abilities:
    """What a post can take: types of car and services (none named: all), wheels up to so many inches (None: any)."""

    car_type_ids: tuple[int, ...] = ()
    service_ids: tuple[int, ...] = ()
    largest_wheel: int | None = None


ANYTHING = Abilities()


@command
def create_post(
    point_id: int,
    *,
    post_number: int,
    slot_duration: int,
    name: str = "",
    description: str = "",
    active: bool = True,
    abilities: Abilities = ANYTHING,
    user_id: int | None = None,
) -> ServicePost:
    """Add a post to a station and offer its time.

    Raises PostNumberTaken, SlotDurationOutOfRange, UnknownCarType, UnknownService.
    """
    point = lock_station(point_id)
    require_length(slot_duration)
    require_free_number(point_id, post_number)
    require_known(abilities.car_type_ids, abilities.service_ids)
    post = ServicePost(post_number=post_number, slot_duration=slot_duration, name=name)
    post.description, post.active, post.largest_wheel = description, active, abilities.largest_wheel
    post.car_types = [PostCarType(car_type_id=id) for id in abilities.car_type_ids]
    post.services = [PostService(service_id=id) for id in abilities.service_ids]
    return _add_post(point, post, user_id)


@command
def create_posts(point_id: int, count: int, slot_duration: int, *, user_id: int | None = None) -> None:
    """The first posts of a station, numbered from one and all of one length. A station that has posts keeps them."""
    point = lock_station(point_id)
    require_length(slot_duration)
    if point.posts:
        return
    for number in range(1, count + 1):
        _add_post(point, ServicePost(post_number=number, slot_duration=slot_duration, name=""), user_id)


@command
def set_lengths(point_id: int, lengths: Mapping[int, int], *, user_id: int | None = None) -> list[Difference]:
    """Give posts their lengths (post id → minutes), or say that those they have are right: each leaves a run."""
    point = lock_station(point_id)
    done = []
    for post in lock_posts_for_regeneration([post.id for post in point.posts]):
        if post.id in lengths:
            before = state_of_post(post)
            after = before | {"slot_duration": lengths[post.id]}
            put_post(post, after)
            done.append(apply(point, [post], "post", {"post_id": post.id}, before, after, user_id))
    return done


def were_never_looked_at(point: ServicePoint) -> bool:
    """Have the posts been made from a mere number (`post_count`), and has nobody said since that they are right?"""
    alike = {(post.slot_duration, post.name == f"Пост {post.post_number}") for post in point.posts}
    if len(alike) != 1 or not all(named for _length, named in alike):
        return False
    changed = select(ScheduleRun.id).where(ScheduleRun.service_point_id == point.id, ScheduleRun.kind == "post")
    return db.session.scalar(changed.limit(1)) is None


def switch_off(point: ServicePoint, post: ServicePost, user_id: int | None = None) -> Difference:
    """Inside a command that holds the station and the post: offer its time no longer; what is reserved there stays."""
    before = state_of_post(post)
    post.active = False
    return apply(point, [post], "post", {"post_id": post.id}, before, {**before, "active": False}, user_id)


@command
def update_post(
    post_id: int,
    *,
    post_number: int,
    slot_duration: int,
    name: str,
    description: str,
    active: bool,
    abilities: Abilities | None = None,
    from_day: date | None = None,
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """Change a post; its offer is cut again around what is reserved, and nothing reserved is moved or lost.

    The length begins on `from_day`, where that is a day to come; all else at once. Without `abilities` it takes what it
    took. `expected` is the fingerprint of the preview the manager has seen. Raises ScheduleChanged (with the new
    difference) when that is no longer true, PostNumberTaken, SlotDurationOutOfRange, UnknownCarType, UnknownService,
    and PostHasBookings (with the times) when a post that is to be switched off still has time reserved ahead.
    """
    point = lock_station(db.session.get_one(ServicePost, post_id).service_point_id)
    post = lock_posts_for_regeneration([post_id])[0]
    before = state_of_post(post)
    after: dict[str, Any] = {
        "post_number": post_number,
        "name": name,
        "description": description,
        "active": active,
    }
    after |= _length_from(post, slot_duration, from_day)
    if abilities is not None:
        after |= {
            "largest_wheel": abilities.largest_wheel,
            "car_type_ids": sorted(set(abilities.car_type_ids)),
            "service_ids": sorted(set(abilities.service_ids)),
        }
    kept = {name: value for name, value in before.items() if not name.startswith("next_")}
    after = kept | after
    put_post(post, after)
    return apply(point, [post], "post", {"post_id": post_id}, before, after, user_id, expected)


def preview_post_schedule(
    post: ServicePost,
    *,
    slot_duration: int,
    active: bool,
    from_day: date | None = None,
    first_day: date | None = None,
    last_day: date | None = None,
) -> Difference:
    """What `update_post` would do to the offer, for these days or for all that is generated. Writes nothing."""
    require_length(slot_duration)
    point, (first, last) = post.service_point, offered_days(post.service_point)
    length = _length_from(post, slot_duration, from_day)
    then = (from_day, slot_duration) if from_day and "next_from" in length else None
    pace = Pace(post.id, length["slot_duration"], active, then)
    return difference(point, [pace], load_hours(point), first_day or first, last_day or last)


def preview_new_post(point: ServicePoint, *, slot_duration: int, active: bool) -> Difference:
    """What `create_post` would add to the offer. Writes nothing."""
    require_length(slot_duration)
    return difference(point, [Pace(0, slot_duration, active)], load_hours(point), *offered_days(point))


@command
def move_post(post_id: int, *, up: bool, user_id: int | None = None) -> None:
    """Let a post change places with its neighbour in lists and on the board; the first one cannot go up."""
    point = lock_station(db.session.get_one(ServicePost, post_id).service_point_id)
    db.session.refresh(point, ["posts"])
    posts = list(point.posts)
    was = [each.id for each in posts].index(post_id)
    will = max(0, min(was + (-1 if up else 1), len(posts) - 1))
    if was == will:
        return
    posts.insert(will, posts.pop(was))
    for position, each in enumerate(posts, 1):
        each.position = position
    moved = posts[will]
    label = moved.name or str(moved.post_number)
    places = {"before": {"position": was + 1}, "after": {"position": will + 1}}
    audit.record("post_changed", "post", post_id, label=label, point_id=point.id, user_id=user_id, **places)
    revisions.touch(point.id)


def has_history(post: ServicePost) -> bool:
    """Was anything ever booked on it? Then it stays in the books, and can only be switched off."""
    booked = select(Booking.id).where(Booking.service_post_id == post.id).limit(1)
    return db.session.scalar(booked) is not None


@command
def delete_post(post_id: int, *, user_id: int | None = None) -> Difference:
    """Take a post away for good, with its free time and hours of its own. Nothing gives it back.

    Raises PostHasHistory when it was ever booked, PostHasBookings (with the times) when it is blocked or held ahead.
    """
    point = lock_station(db.session.get_one(ServicePost, post_id).service_point_id)
    post = lock_posts_for_regeneration([post_id])[0]
    if has_history(post):
        raise PostHasHistory(post_number=post.post_number)
    if ahead := reserved_ahead(post):
        raise PostHasBookings(post_number=post.post_number, reserved=ahead)
    before = state_of_post(post)
    post.active = False
    forget_past_of(post_id)
    done = apply(point, [post], "post", {"post_id": post_id}, before, None, user_id)
    db.session.delete(post)
    return done


def _length_from(post: ServicePost, minutes: int, from_day: date | None) -> dict[str, Any]:
    """The part of a post's state that says how long its slots are, and from when."""
    today = local_day(post.service_point.time_zone, clock.now())
    now = post.length_on(today)
    if from_day is None or from_day <= today or minutes == now:
        return {"slot_duration": minutes}
    return {"slot_duration": now, "next_slot_duration": minutes, "next_from": from_day.isoformat()}


def _add_post(point: ServicePoint, post: ServicePost, user_id: int | None) -> ServicePost:
    post.service_point_id = point.id
    last = select(func.max(ServicePost.position)).where(ServicePost.service_point_id == point.id)
    post.position = (db.session.scalar(last) or 0) + 1
    db.session.add(post)
    db.session.flush()
    apply(point, [post], "post", {"post_id": post.id}, None, state_of_post(post), user_id=user_id)
    return post

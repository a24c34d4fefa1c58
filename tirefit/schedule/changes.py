"""What managers change: posts, weeks and seasons, exceptions. Each change can be previewed, is applied as a run,
undone.

A change is a new state of one subject (a post, a template, the exceptions of some dates) as plain data. Applying
writes it, cuts the offer again around what is reserved, and leaves a run with before, after and counts; undoing
applies `before`. The preview is the same difference, not written. Nothing reserved is moved, shortened or lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from tirefit import audit, clock, revisions
from tirefit.database import command, db
from tirefit.errors import (
    RunOutdated,
    ScheduleChanged,
    WindowsInvalid,
)
from tirefit.models import (
    ScheduleException,
    ScheduleRun,
    ScheduleTemplate,
    ServicePoint,
    ServicePost,
)
from tirefit.schedule.slots import (
    Difference,
    Pace,
    difference,
    load_hours,
    lock_posts_for_regeneration,
    lock_station,
    offered_days,
    pace_of,
    regenerate,
)
from tirefit.schedule.subjects import (
    State,
    put_exceptions,
    put_post,
    put_template,
    require_free_number,
    require_length,
    state_of_exceptions,
    state_of_post,
    state_of_template,
)
from tirefit.schedule.windows import Hours, LocalWindow, Week, each_day, is_valid_day

UNDO_WITHIN = timedelta(days=7)
UNSAVED = 1 << 62  # the id of a template that is only looked at: newer than all others

WeekWindows = Sequence[tuple[int, int, int]]  # (weekday, opens, closes), minutes of local time


# --- posts


@dataclass(frozen=True)
class Abilities:
    """What a post can take: types of car and services (none named: all), wheels up to so many inches (None: any)."""

    car_type_ids: tuple[int, ...] = ()
    service_ids: tuple[int, ...] = ()
    largest_wheel: int | None = None


@command
def create_post(
    point_id: int,
    *,
    post_number: int,
    slot_duration: int,
    name: str = "",
    description: str = "",
    active: bool = True,
    user_id: int | None = None,
) -> ServicePost:
    """Add a post to a station and offer its time. Raises PostNumberTaken, SlotDurationOutOfRange."""
    point = lock_station(point_id)
    require_length(slot_duration)
    require_free_number(point_id, post_number)
    post = ServicePost(post_number=post_number, slot_duration=slot_duration, name=name)
    post.description, post.active = description, active
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
            done.append(_apply(point, [post], "post", {"post_id": post.id}, before, after, user_id))
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
    return _apply(point, [post], "post", {"post_id": post.id}, before, {**before, "active": False}, user_id)


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
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """Change a post; its offer is cut again around what is reserved, and nothing reserved is moved or lost.

    Without `abilities` it takes what it took. `expected` is the fingerprint of the preview the manager has seen. Raises
    ScheduleChanged (with the new difference) when that is no longer true, PostNumberTaken, SlotDurationOutOfRange, and
    PostHasBookings (with the times) when a post that is to be switched off still has time reserved ahead.
    """
    point = lock_station(db.session.get_one(ServicePost, post_id).service_point_id)
    post = lock_posts_for_regeneration([post_id])[0]
    before = state_of_post(post)
    after: dict[str, Any] = {
        "post_number": post_number,
        "slot_duration": slot_duration,
        "name": name,
        "description": description,
        "active": active,
    }
    if abilities is not None:
        after |= {
            "largest_wheel": abilities.largest_wheel,
            "car_type_ids": sorted(set(abilities.car_type_ids)),
            "service_ids": sorted(set(abilities.service_ids)),
        }
    after = before | after
    put_post(post, after)
    return _apply(point, [post], "post", {"post_id": post_id}, before, after, user_id, expected)


def preview_post_schedule(
    post: ServicePost,
    *,
    slot_duration: int,
    active: bool,
    first_day: date | None = None,
    last_day: date | None = None,
) -> Difference:
    """What `update_post` would do to the offer, for these days or for all that is generated. Writes nothing."""
    require_length(slot_duration)
    point, (first, last) = post.service_point, offered_days(post.service_point)
    pace = Pace(post.id, slot_duration, active)
    return difference(point, [pace], load_hours(point), first_day or first, last_day or last)


def preview_new_post(point: ServicePoint, *, slot_duration: int, active: bool) -> Difference:
    """What `create_post` would add to the offer. Writes nothing."""
    require_length(slot_duration)
    return difference(point, [Pace(0, slot_duration, active)], load_hours(point), *offered_days(point))


# --- weeks and seasons


@command
def save_template(
    point_id: int,
    windows: WeekWindows,
    *,
    name: str,
    template_id: int | None = None,
    post_id: int | None = None,
    valid_from: date | None = None,
    valid_until: date | None = None,
    priority: int = 0,
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """Give a station (or one of its posts) a week; several windows a day leave breaks, one may pass midnight.

    With dates it is a season plan over the ordinary week. Raises WindowsInvalid naming the weekday, ScheduleChanged.
    """
    _require_windows(windows)
    _require_order(valid_from, valid_until)
    point = lock_station(point_id)
    if template_id is None:
        template = ScheduleTemplate(service_point_id=point_id, name=name)
        db.session.add(template)
        db.session.flush()
        template_id, before = template.id, None
    else:
        before = state_of_template(template_id)
    after = {
        "name": name,
        "post_id": post_id,
        "valid_from": valid_from and valid_from.isoformat(),
        "valid_until": valid_until and valid_until.isoformat(),
        "priority": priority,
        "windows": sorted([day, opens, closes] for day, opens, closes in windows),
    }
    put_template(point_id, template_id, after)
    return _apply(point, point.posts, "template", {"template_id": template_id}, before, after, user_id, expected)


@command
def delete_template(template_id: int, *, user_id: int | None = None, expected: str | None = None) -> Difference:
    """Take a week or a season away; what lies under it holds again."""
    point = lock_station(db.session.get_one(ScheduleTemplate, template_id).service_point_id)
    before = state_of_template(template_id)
    put_template(point.id, template_id, None)
    return _apply(point, point.posts, "template", {"template_id": template_id}, before, None, user_id, expected)


def preview_template(
    point: ServicePoint,
    windows: WeekWindows,
    template_id: int | None = None,
    *,
    post_id: int | None = None,
    valid_from: date | None = None,
    valid_until: date | None = None,
    priority: int = 0,
) -> Difference:
    """What `save_template` would do to the station's offer. Writes nothing. Raises WindowsInvalid."""
    _require_windows(windows)
    _require_order(valid_from, valid_until)
    hours = load_hours(point)
    others = tuple(week for week in hours.weeks if week.id != template_id)
    edited = Week(tuple(windows), post_id, valid_from, valid_until, priority, template_id or UNSAVED)
    return _preview(point, replace(hours, weeks=(*others, edited)))


# --- exceptions


@command
def save_exception(
    point_id: int,
    first_day: date,
    last_day: date | None = None,
    windows: Sequence[LocalWindow] = (),
    *,
    reason: str = "",
    post_id: int | None = None,
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """Make dates unlike their weekdays, for a station or for one post: closed (no windows), or open at other hours.

    What is reserved then stays and is listed as outside. Raises WindowsInvalid, ScheduleChanged.
    """
    after = _on_each(first_day, last_day, _exception(windows, reason))
    return _change_exceptions(point_id, post_id, after, user_id, expected)


@command
def delete_exception(
    point_id: int,
    first_day: date,
    last_day: date | None = None,
    *,
    post_id: int | None = None,
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """Take the exceptions of these dates away: the days are again as their weekdays."""
    return _change_exceptions(point_id, post_id, _on_each(first_day, last_day, None), user_id, expected)


@command
def close_day(point_id: int, day: date, reason: str = "", *, user_id: int | None = None) -> Difference:
    """Close a station on a date, whatever its weekday says."""
    return _change_exceptions(point_id, None, _on_each(day, day, _exception((), reason)), user_id)


@command
def open_day(point_id: int, day: date, *, user_id: int | None = None) -> Difference:
    """Take a date's exception away: the day is again as its weekday."""
    return _change_exceptions(point_id, None, _on_each(day, day, None), user_id)


@command
def close_days(
    point_id: int, reasons: Mapping[date, str], *, user_id: int | None = None, expected: str | None = None
) -> Difference | None:
    """Close a station on several dates at once, each with its own reason: one run, undone as one.

    A date that has an exception already is left as it is; None: all of them have. `expected` is what the preview
    touched (`Difference.touched`). Raises ScheduleChanged, with the new difference, when that is no longer true.
    """
    lock_station(point_id)
    new = _without_exception(point_id, reasons)
    if not new:
        return None
    after = {day.isoformat(): _exception((), reasons[day]) for day in new}
    done = _change_exceptions(point_id, None, after, user_id)
    if expected is not None and done.touched != expected:
        raise ScheduleChanged(difference=done)
    return done


def preview_closed_days(point: ServicePoint, days: Iterable[date]) -> Difference:
    """What `close_days` would do. Writes nothing."""
    hours = load_hours(point)
    closed: dict[tuple[int | None, date], tuple[LocalWindow, ...]] = {(None, day): () for day in days}
    return _preview(point, replace(hours, exceptions=closed | hours.exceptions))


def preview_exception(
    point: ServicePoint,
    first_day: date,
    last_day: date | None = None,
    windows: Sequence[LocalWindow] | None = (),
    *,
    post_id: int | None = None,
) -> Difference:
    """What `save_exception` would do (or `delete_exception`, with `windows` None). Writes nothing."""
    hours = load_hours(point)
    exceptions = dict(hours.exceptions)
    for day in each_day(first_day, last_day or first_day):
        exceptions.pop((post_id, day), None)
        if windows is not None:
            _exception(windows, "")
            exceptions[post_id, day] = tuple(windows)
    return _preview(point, replace(hours, exceptions=exceptions))


@command
def save_exceptions(
    point_id: int,
    first_day: date,
    last_day: date,
    windows: Sequence[LocalWindow] = (),
    *,
    reason: str = "",
    post_ids: Sequence[int] = (),
    user_id: int | None = None,
    expected: str | None = None,
) -> list[Difference]:
    """The same for several posts at once (none named: for the station), each with a run of its own to be undone.

    `expected` is what the preview touched (`Difference.touched`). Raises ScheduleChanged when that is no longer true.
    """
    point = lock_station(point_id)
    seen = preview_exceptions(point, first_day, last_day, windows, post_ids=post_ids)
    if expected is not None and seen.touched != expected:
        raise ScheduleChanged(difference=seen)
    after = _on_each(first_day, last_day, _exception(windows, reason))
    return [_change_exceptions(point_id, post_id, after, user_id) for post_id in post_ids or (None,)]


def preview_exceptions(
    point: ServicePoint,
    first_day: date,
    last_day: date,
    windows: Sequence[LocalWindow] = (),
    *,
    post_ids: Sequence[int] = (),
) -> Difference:
    """What `save_exceptions` would do. Writes nothing."""
    _exception(windows, "")
    hours = load_hours(point)
    days = each_day(first_day, last_day)
    asked = {(post_id, day): tuple(windows) for day in days for post_id in post_ids or (None,)}
    return _preview(point, replace(hours, exceptions={**hours.exceptions, **asked}))


def exceptions_between(point: ServicePoint, first_day: date, last_day: date) -> list[ScheduleException]:
    """The dates of a station and of its posts that are not as their weekdays, in order."""
    found = (
        select(ScheduleException)
        .where(ScheduleException.service_point_id == point.id, ScheduleException.day.between(first_day, last_day))
        .options(selectinload(ScheduleException.windows))
        .order_by(ScheduleException.day, ScheduleException.service_post_id)
    )
    return list(db.session.scalars(found))


# --- runs


@command
def undo_run(run_id: int, *, user_id: int | None = None) -> Difference:
    """Make the subject of a run what it was before it, as a run of its own.

    Bookings that have been made meanwhile stay; those that fall outside the old hours are listed. Raises RunOutdated
    when the subject has been changed again since, when the run is older than a week, or undone already;
    PostHasBookings when a post that the run created or switched on has time reserved.
    """
    run = db.session.get_one(ScheduleRun, run_id, with_for_update=True, populate_existing=True)
    if run.service_point_id is None or run.undone_at or run.created_at < clock.now() - UNDO_WITHIN:
        raise RunOutdated()
    point = lock_station(run.service_point_id)
    posts: Sequence[ServicePost] = point.posts
    if run.kind == "post":
        posts = lock_posts_for_regeneration([run.subject["post_id"]])
    if _state_now(run) != run.after:
        raise RunOutdated()
    _put_back(point, run, posts)
    run.undone_at = clock.now()
    return _apply(point, posts, run.kind, run.subject, run.after, run.before, user_id)


def latest_runs(point: ServicePoint, limit: int = 50) -> list[ScheduleRun]:
    """What has been changed at a station, the newest first."""
    runs = select(ScheduleRun).where(ScheduleRun.service_point_id == point.id).options(joinedload(ScheduleRun.user))
    return list(db.session.scalars(runs.order_by(ScheduleRun.id.desc()).limit(limit)))


def undoable(runs: Sequence[ScheduleRun]) -> set[int]:
    """Of the latest runs, those that can be undone: the last one of its subject, not undone, and within a week."""
    seen: list[dict[str, Any]] = []
    found = set()
    for run in runs:
        if run.subject not in seen and run.undone_at is None and run.created_at >= clock.now() - UNDO_WITHIN:
            found.add(run.id)
        seen.append(run.subject)
    return found


def _apply(
    point: ServicePoint,
    posts: Sequence[ServicePost],
    kind: str,
    subject: dict[str, Any],
    before: State,
    after: State,
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """The end of every change: cut again, compare with what the manager has seen, leave the run."""
    db.session.flush()
    done = regenerate(point, posts, *offered_days(point))
    if expected is not None and done.fingerprint != expected:
        raise ScheduleChanged(difference=done)
    revisions.touch(point.id)
    run = ScheduleRun(
        service_point_id=point.id,
        user_id=user_id,
        kind=kind,
        subject=subject,
        before=before,
        after=after,
        kept=len(done.kept),
        added=len(done.added),
        removed=len(done.removed),
        outside=len(done.outside),
        created_at=clock.now(),
        finished_at=clock.now(),
    )
    db.session.add(run)
    db.session.flush()
    _leave_trace(run)
    return replace(done, run_id=run.id)


def _leave_trace(run: ScheduleRun) -> None:
    """The same change for the journal, in which people look for it."""
    thing_id, label = run.subject.get(f"{run.kind}_id", ""), ""
    state = run.after or run.before or {}
    if run.kind == "post":
        label = state["name"] or str(state["post_number"])
    elif run.kind == "template":
        label = state["name"]
    else:
        days = run.subject["days"]
        thing_id, label = days[0], days[0] if len(days) == 1 else f"{days[0]} … {days[-1]}"
    was_there, is_there = (any(state.values()) if state else False for state in (run.before, run.after))
    event = "changed" if was_there and is_there else "created" if is_there else "deleted"
    audit.record(
        f"{run.kind}_{event}",
        run.kind,
        thing_id,
        label=label,
        point_id=run.service_point_id,
        user_id=run.user_id,
        before=run.before,
        after=run.after,
    )


def _add_post(point: ServicePoint, post: ServicePost, user_id: int | None) -> ServicePost:
    post.service_point_id = point.id
    db.session.add(post)
    db.session.flush()
    _apply(point, [post], "post", {"post_id": post.id}, None, state_of_post(post), user_id=user_id)
    return post


def _preview(point: ServicePoint, hours: Hours) -> Difference:
    return difference(point, [pace_of(post) for post in point.posts], hours, *offered_days(point))


def _state_now(run: ScheduleRun) -> State:
    if run.kind == "post":
        return state_of_post(db.session.get_one(ServicePost, run.subject["post_id"]))
    if run.kind == "template":
        return state_of_template(run.subject["template_id"])
    assert run.service_point_id is not None  # only rolling runs have none
    return state_of_exceptions(run.service_point_id, run.subject["post_id"], run.subject["days"])


def _put_back(point: ServicePoint, run: ScheduleRun, posts: Sequence[ServicePost]) -> None:
    if run.kind == "post":
        # A post that has been there may be named by bookings: to undo its creation is to switch it off.
        put_post(posts[0], run.before or {**run.after, "active": False})
    elif run.kind == "template":
        put_template(point.id, run.subject["template_id"], run.before)
    else:
        put_exceptions(point.id, run.subject["post_id"], run.before)


def _change_exceptions(
    point_id: int,
    post_id: int | None,
    after: dict[str, Any],
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """Make the exceptions of some dates (ISO → state) what they shall be."""
    point = lock_station(point_id)
    before = state_of_exceptions(point_id, post_id, list(after))
    put_exceptions(point_id, post_id, after)
    subject = {"post_id": post_id, "days": list(after)}
    return _apply(point, point.posts, "exception", subject, before, after, user_id, expected)


def _on_each(first_day: date, last_day: date | None, state: State) -> dict[str, Any]:
    return {day.isoformat(): state for day in each_day(first_day, last_day or first_day)}


def _without_exception(point_id: int, days: Iterable[date]) -> list[date]:
    states = state_of_exceptions(point_id, None, [day.isoformat() for day in days])
    return sorted(date.fromisoformat(day) for day, state in states.items() if state is None)


def _exception(windows: Sequence[LocalWindow], reason: str) -> dict[str, Any]:
    if not is_valid_day(windows):
        raise WindowsInvalid()
    return {"reason": reason, "windows": sorted([opens, closes] for opens, closes in windows)}


def _require_windows(windows: WeekWindows) -> None:
    for weekday in range(7):
        if not is_valid_day([(opens, closes) for day, opens, closes in windows if day == weekday]):
            raise WindowsInvalid(weekday=weekday)


def _require_order(valid_from: date | None, valid_until: date | None) -> None:
    if valid_from and valid_until and valid_until < valid_from:
        raise WindowsInvalid(valid_from=valid_from, valid_until=valid_until)

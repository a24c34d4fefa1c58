"""Runs: how a change is applied, leaves what was before and after it, and is undone."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from tirefit import audit, clock, revisions
from tirefit.database import command, db
from tirefit.errors import RunOutdated, ScheduleChanged
from tirefit.models import ScheduleRun, ServicePoint, ServicePost
from tirefit.schedule.slots import (
    Difference,
    difference,
    lock_posts_for_regeneration,
    lock_station,
    offered_days,
    pace_of,
    regenerate,
)
from tirefit.schedule.subjects import (
    State,
    as_of,
    put_exceptions,
    put_post,
    put_template,
    state_of_exceptions,
    state_of_post,
    state_of_template,
)
from tirefit.schedule.windows import Hours, local_day

UNDO_WITHIN = timedelta(days=7)


@command
def undo_run(run_id: int, *, user_id: int | None = None) -> Difference:
    """Make the subject of a run what it was before it, as a run of its own.

    Bookings that have been made meanwhile stay; those that fall outside the old hours are listed. Raises RunOutdated
    when the subject has been changed again since, when the run is older than a week, or undone already;
    PostHasBookings when a post that the run created or switched on has time reserved.
    """
    run = db.session.get_one(ScheduleRun, run_id, with_for_update=True, populate_existing=True)
    if run.service_point_id is None or run.undone_at or run.created_at < clock.now() - UNDO_WITHIN or is_final(run):
        raise RunOutdated()
    point = lock_station(run.service_point_id)
    posts: Sequence[ServicePost] = point.posts
    if run.kind == "post":
        posts = lock_posts_for_regeneration([run.subject["post_id"]])
    today = local_day(point.time_zone, clock.now())
    if as_of(_state_now(run), today) != as_of(run.after, today):
        raise RunOutdated()
    _put_back(point, run, posts)
    run.undone_at = clock.now()
    return apply(point, posts, run.kind, run.subject, run.after, run.before, user_id)


def latest_runs(point: ServicePoint, limit: int = 50) -> list[ScheduleRun]:
    """What has been changed at a station, the newest first."""
    runs = select(ScheduleRun).where(ScheduleRun.service_point_id == point.id).options(joinedload(ScheduleRun.user))
    return list(db.session.scalars(runs.order_by(ScheduleRun.id.desc()).limit(limit)))


def is_final(run: ScheduleRun) -> bool:
    """A post that nobody was ever booked on has been deleted: there is nothing to give back."""
    return run.kind == "post" and run.after is None


def undoable(runs: Sequence[ScheduleRun]) -> set[int]:
    """Of the latest runs, those that can be undone: the last one of its subject, not undone, and within a week."""
    seen: list[dict[str, Any]] = []
    found = set()
    for run in runs:
        is_last = run.subject not in seen and run.undone_at is None and not is_final(run)
        if is_last and run.created_at >= clock.now() - UNDO_WITHIN:
            found.add(run.id)
        seen.append(run.subject)
    return found


def apply(
    point: ServicePoint,
    posts: Sequence[ServicePost],
    kind: str,
    subject: dict[str, Any],
    before: State,
    after: State,
    user_id: int | None = None,
    expected: str | None = None,
) -> Difference:
    """Inside a command, the end of every change: cut again, compare with what the manager has seen, leave the run."""
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


def preview(point: ServicePoint, hours: Hours) -> Difference:
    """What other hours would do to the offer of all posts of a station. Writes nothing."""
    return difference(point, [pace_of(post) for post in point.posts], hours, *offered_days(point))


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


def _state_now(run: ScheduleRun) -> State:
    if run.kind == "post":
        post = db.session.get(ServicePost, run.subject["post_id"])
        return state_of_post(post) if post else None
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

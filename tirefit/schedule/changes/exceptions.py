"""Exceptions: dates that are not as their weekdays, closed or open at other hours, for a station or for a post."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from tirefit.database import command, db
from tirefit.errors import ScheduleChanged, WindowsInvalid
from tirefit.models import ScheduleException, ServicePoint
from tirefit.schedule.changes.runs import apply, preview
from tirefit.schedule.slots import Difference, load_hours, lock_station
from tirefit.schedule.subjects import State, put_exceptions, state_of_exceptions
from tirefit.schedule.windows import LocalWindow, each_day, is_valid_day


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
    return preview(point, replace(hours, exceptions=closed | hours.exceptions))


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
    return preview(point, replace(hours, exceptions=exceptions))


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
    return preview(point, replace(hours, exceptions={**hours.exceptions, **asked}))


def days_off(point: ServicePoint, since: date) -> list[ScheduleException]:
    """The days of the whole station from a day on that are not as their weekdays, in order."""
    return [each for each in exceptions_between(point, since, date.max) if each.service_post_id is None]


def exceptions_between(point: ServicePoint, first_day: date, last_day: date) -> list[ScheduleException]:
    """The dates of a station and of its posts that are not as their weekdays, in order."""
    found = (
        select(ScheduleException)
        .where(ScheduleException.service_point_id == point.id, ScheduleException.day.between(first_day, last_day))
        .options(joinedload(ScheduleException.windows))
        .order_by(ScheduleException.day, ScheduleException.service_post_id)
    )
    return list(db.session.scalars(found).unique())


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
    return apply(point, point.posts, "exception", subject, before, after, user_id, expected)


def _on_each(first_day: date, last_day: date | None, state: State) -> dict[str, Any]:
    return {day.isoformat(): state for day in each_day(first_day, last_day or first_day)}


def _without_exception(point_id: int, days: Iterable[date]) -> list[date]:
    states = state_of_exceptions(point_id, None, [day.isoformat() for day in days])
    return sorted(date.fromisoformat(day) for day, state in states.items() if state is None)


def _exception(windows: Sequence[LocalWindow], reason: str) -> dict[str, Any]:
    if not is_valid_day(windows):
        raise WindowsInvalid()
    return {"reason": reason, "windows": sorted([opens, closes] for opens, closes in windows)}

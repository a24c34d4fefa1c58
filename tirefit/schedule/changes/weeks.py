"""Weeks, and seasons over them: when a station, or one of its posts, is open."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from tirefit.database import command, db
from tirefit.errors import WindowsInvalid
from tirefit.models import ScheduleTemplate, ServicePoint
from tirefit.schedule.changes.runs import apply, preview
from tirefit.schedule.slots import Difference, load_hours, lock_station
from tirefit.schedule.subjects import put_template, state_of_template
from tirefit.schedule.windows import Week, is_valid_day

UNSAVED = 1 << 62  # the id of a template that is only looked at: newer than all others

WeekWindows = Sequence[tuple[int, int, int]]  # (weekday, opens, closes), minutes of local time


def templates_of(point: ServicePoint) -> list[ScheduleTemplate]:
    """The weeks and seasons of a station and of its posts, the oldest first, with their windows."""
    found = (
        select(ScheduleTemplate)
        .where(ScheduleTemplate.service_point_id == point.id)
        .order_by(ScheduleTemplate.id)
        .options(joinedload(ScheduleTemplate.windows))
    )
    return list(db.session.scalars(found).unique())


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
    return apply(point, point.posts, "template", {"template_id": template_id}, before, after, user_id, expected)


@command
def delete_template(template_id: int, *, user_id: int | None = None, expected: str | None = None) -> Difference:
    """Take a week or a season away; what lies under it holds again."""
    point = lock_station(db.session.get_one(ScheduleTemplate, template_id).service_point_id)
    before = state_of_template(template_id)
    put_template(point.id, template_id, None)
    return apply(point, point.posts, "template", {"template_id": template_id}, before, None, user_id, expected)


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
    return preview(point, replace(hours, weeks=(*others, edited)))


def _require_windows(windows: WeekWindows) -> None:
    for weekday in range(7):
        if not is_valid_day([(opens, closes) for day, opens, closes in windows if day == weekday]):
            raise WindowsInvalid(weekday=weekday)


def _require_order(valid_from: date | None, valid_until: date | None) -> None:
    if valid_from and valid_until and valid_until < valid_from:
        raise WindowsInvalid(valid_from=valid_from, valid_until=valid_until)

"""Hours of a station: weeks and seasons, single days, and the days that are open for booking."""

from datetime import date
from typing import Any

from flask import abort
from sqlalchemy import select

from tirefit.api import access, load
from tirefit.api import station_schemas as schemas
from tirefit.api.once import made_once
from tirefit.api.operations import BODY, Blueprint, page_of
from tirefit.api.posts import MANAGED, MINE, shown_change
from tirefit.api.schemas import Page
from tirefit.database import db
from tirefit.models import ScheduleException, ScheduleTemplate, ServicePoint
from tirefit.schedule import changes
from tirefit.schedule.rolling import generate_rolling_schedule
from tirefit.schedule.slots import Difference

bp = Blueprint("schedule", __name__, url_prefix="/service_points/<int:service_point_id>", description="Hours.")

Found = dict[str, Any]


@bp.route("/schedule_templates")
@access.staff_of(load.point)
@bp.arguments(Page, location="query")
@bp.response(200, schemas.Templates)
@bp.refuses(*MINE, "invalid")
def list_templates(query: Found, point: ServicePoint) -> Found:
    """Weeks and seasons, of the station and of its posts."""
    mine = select(ScheduleTemplate).where(ScheduleTemplate.service_point_id == point.id)
    found, counts = page_of(mine.order_by(ScheduleTemplate.id), **query)
    return counts | {"items": [_template(point, each) for each in found]}


@bp.route("/schedule_templates", methods=["POST"])
@access.manager_of(load.point)
@access.takes_key
@bp.arguments(schemas.DryRun, location="query")
@bp.arguments(schemas.NewTemplate)
@bp.response(201, schemas.TemplateChanged)
@bp.alt_response(200, schema=schemas.TemplateChanged, description="What it would do (`dry_run=true`).", success=True)
@bp.refuses(*MANAGED, *BODY, "windows_invalid", "schedule_changed", "key_reused")
def create_template(query: Found, sent: Found, point: ServicePoint) -> Any:
    """Add a week, or with dates a season that lies over it."""
    if query["dry_run"] == "true":
        return _save_template(query, sent, point, None), 200

    def shown(change: Difference) -> Found:
        newest = select(ScheduleTemplate).where(ScheduleTemplate.service_point_id == point.id)
        made = db.session.scalars(newest.order_by(ScheduleTemplate.id.desc()).limit(1)).one()
        return {
            "schedule_template": _template(point, made),
            "schedule_change": shown_change(point, change, applied=True),
        }

    return made_once(lambda: _apply_template(query, sent, point, None), shown, schemas.TemplateChanged)


@bp.route("/schedule_templates/<int:template_id>")
@access.staff_of(load.template)
@bp.response(200, schemas.Template)
@bp.refuses(*MINE)
def get_template(template: ScheduleTemplate) -> Found:
    """One week or season."""
    return _template(_point_of(template), template)


@bp.route("/schedule_templates/<int:template_id>", methods=["PUT"])
@access.manager_of(load.template)
@bp.arguments(schemas.DryRun, location="query")
@bp.arguments(schemas.NewTemplate)
@bp.response(200, schemas.TemplateChanged)
@bp.refuses(*MANAGED, *BODY, "windows_invalid", "schedule_changed")
def replace_template(query: Found, sent: Found, template: ScheduleTemplate) -> Found:
    """Make a week or season what is sent. Bookings outside the new hours stay, and are listed."""
    return _save_template(query, sent, _point_of(template), template.id)


@bp.route("/schedule_templates/<int:template_id>", methods=["DELETE"])
@access.manager_of(load.template)
@bp.response(200, schemas.TemplateChanged)
@bp.refuses(*MANAGED)
def delete_template(template: ScheduleTemplate) -> Found:
    """Take a week or season away; what lies under it holds again."""
    point = _point_of(template)
    change = changes.delete_template(template.id, user_id=access.user_id())
    return {"schedule_template": None, "schedule_change": shown_change(point, change, applied=True)}


@bp.route("/schedule_exceptions")
@access.staff_of(load.point)
@bp.arguments(Page, location="query")
@bp.response(200, schemas.Exceptions)
@bp.refuses(*MINE, "invalid")
def list_exceptions(query: Found, point: ServicePoint) -> Found:
    """Days that are not as their weekday."""
    mine = select(ScheduleException).where(ScheduleException.service_point_id == point.id)
    found, counts = page_of(mine.order_by(ScheduleException.day, ScheduleException.id), **query)
    return counts | {"items": [_exception(point, each) for each in found]}


@bp.route("/schedule_exceptions/<day:date>")
@access.staff_of(load.point)
@bp.arguments(schemas.OfPost, location="query")
@bp.response(200, schemas.ShownException)
@bp.refuses(*MINE, "invalid")
def get_exception(query: Found, point: ServicePoint, date: date) -> Found:
    """One such day."""
    found = _find_exception(point, _post_id(point, query.get("post_number")), date)
    return _exception(point, found) if found else abort(404)


@bp.route("/schedule_exceptions/<day:date>", methods=["PUT"])
@access.manager_of(load.point)
@bp.arguments(schemas.OfPost, location="query")
@bp.arguments(schemas.DayException)
@bp.response(200, schemas.ScheduleChange)
@bp.refuses(*MANAGED, *BODY, "windows_invalid", "schedule_changed")
def put_exception(query: Found, sent: Found, point: ServicePoint, date: date) -> Found:
    """Close a day, or open it at other hours. What is reserved then stays, and is listed."""
    post_id = _post_id(point, query.get("post_number"))
    windows = [(minutes(each["opens"]), minutes(each["closes"])) for each in sent["windows"]]
    if query["dry_run"] == "true":
        change = changes.preview_exception(point, date, None, windows, post_id=post_id)
        return shown_change(point, change, applied=False)
    change = changes.save_exception(
        *(point.id, date, None, windows),
        reason=sent["reason"],
        post_id=post_id,
        user_id=access.user_id(),
        expected=query.get("expected"),
    )
    return shown_change(point, change, applied=True)


@bp.route("/schedule_exceptions/<day:date>", methods=["DELETE"])
@access.manager_of(load.point)
@bp.arguments(schemas.OfPost, location="query")
@bp.response(200, schemas.ScheduleChange)
@bp.refuses(*MANAGED, "invalid", "schedule_changed")
def delete_exception(query: Found, point: ServicePoint, date: date) -> Found:
    """Let the day be as its weekday again."""
    post_id = _post_id(point, query.get("post_number"))
    if _find_exception(point, post_id, date) is None:
        abort(404)
    if query["dry_run"] == "true":
        return shown_change(point, changes.preview_exception(point, date, None, None, post_id=post_id), applied=False)
    change = changes.delete_exception(
        point.id, date, post_id=post_id, user_id=access.user_id(), expected=query.get("expected")
    )
    return shown_change(point, change, applied=True)


@bp.route("/schedule/generate", methods=["POST"])
@access.manager_of(load.point)
@bp.arguments(schemas.Generation)
@bp.response(200, schemas.Generated)
@bp.refuses(*MANAGED, *BODY)
def generate(sent: Found, point: ServicePoint) -> Found:
    """Open the days ahead, as the nightly job does. Twice does nothing twice."""
    return {"added": generate_rolling_schedule(point.id, days=sent.get("days"), again=True)}


def minutes(text: str) -> int:
    """ "09:30" → minutes after local midnight."""
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _wall(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _save_template(query: Found, sent: Found, point: ServicePoint, template_id: int | None) -> Found:
    before = db.session.get(ScheduleTemplate, template_id) if template_id else None
    if query["dry_run"] == "true":
        windows, about = _week_of(sent, point)
        change = changes.preview_template(point, windows, template_id, **about)
        shown = _template(point, before) if before else None
        return {"schedule_template": shown, "schedule_change": shown_change(point, change, applied=False)}
    change = _apply_template(query, sent, point, template_id)
    saved = db.session.get_one(ScheduleTemplate, template_id, populate_existing=True)
    return {
        "schedule_template": _template(point, saved),
        "schedule_change": shown_change(point, change, applied=True),
    }


def _apply_template(query: Found, sent: Found, point: ServicePoint, template_id: int | None) -> Difference:
    windows, about = _week_of(sent, point)
    return changes.save_template(
        *(point.id, windows),
        name=sent["name"],
        template_id=template_id,
        user_id=access.user_id(),
        expected=query.get("expected"),
        **about,
    )


def _week_of(sent: Found, point: ServicePoint) -> tuple[list[tuple[int, int, int]], Found]:
    windows = [(each["weekday"], minutes(each["opens"]), minutes(each["closes"])) for each in sent["windows"]]
    about = {name: sent[name] for name in ("valid_from", "valid_until", "priority")}
    return windows, about | {"post_id": _post_id(point, sent["post_number"])}


def _template(point: ServicePoint, template: ScheduleTemplate) -> Found:
    return {
        "id": template.id,
        "name": template.name,
        "windows": [
            {"weekday": window.weekday, "opens": _wall(window.opens), "closes": _wall(window.closes)}
            for window in template.windows
        ],
        "post_number": _post_number(point, template.service_post_id),
        "valid_from": template.valid_from,
        "valid_until": template.valid_until,
        "priority": template.priority,
    }


def _exception(point: ServicePoint, found: ScheduleException) -> Found:
    return {
        "date": found.day,
        "post_number": _post_number(point, found.service_post_id),
        "windows": [{"opens": _wall(window.opens), "closes": _wall(window.closes)} for window in found.windows],
        "reason": found.reason,
    }


def _find_exception(point: ServicePoint, post_id: int | None, day: date) -> ScheduleException | None:
    return db.session.scalar(
        select(ScheduleException).where(
            ScheduleException.service_point_id == point.id,
            ScheduleException.service_post_id == post_id,
            ScheduleException.day == day,
        )
    )


def _post_id(point: ServicePoint, post_number: int | None) -> int | None:
    if post_number is None:
        return None
    return next((post.id for post in point.posts if post.post_number == post_number), None) or abort(404)


def _post_number(point: ServicePoint, post_id: int | None) -> int | None:
    return next((post.post_number for post in point.posts if post.id == post_id), None)


def _point_of(template: ScheduleTemplate) -> ServicePoint:
    return db.session.get_one(ServicePoint, template.service_point_id)

"""What is free: one day, one day post by post, many days. The same function as the pages' list answers."""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from typing import Any

from flask import abort

from tirefit.api import access, schemas
from tirefit.api.catalogue import open_station
from tirefit.api.jobs import Job, job_of
from tirefit.api.operations import Blueprint
from tirefit.api.problems import time_of
from tirefit.api.times import iso, local
from tirefit.models import ServicePoint, ServicePost
from tirefit.schedule import availability, reasons
from tirefit.schedule.reasons import PostDay
from tirefit.schedule.slots import is_working_day, load_hours

bp = Blueprint(
    "availability", __name__, url_prefix="/service_points/<int:service_point_id>", description="What is free."
)

Found = dict[str, Any]


@bp.route("/availability/<day:date>")
@access.public
@bp.arguments(schemas.Job, location="query")
@bp.response(200, schemas.AvailableDay)
@bp.refuses("not_found", "invalid", "unknown_service", "unknown_car_type")
def get_day(query: Found, service_point_id: int, date: date) -> Found:
    """The times of a day at which a job can start. Neither services nor minutes: one slot."""
    point = open_station(service_point_id)
    job = job_of(point, query)
    found = availability.days(point, date, 1, *job)[0]
    times = [time_of(point, time) for time in found.times]
    return _about(point, date, job, has_time=bool(times)) | {"times": times}


@bp.route("/availability/<day:date>/by_posts")
@access.public
@bp.arguments(schemas.Job, location="query")
@bp.response(200, schemas.DayByPosts)
@bp.refuses("not_found", "invalid", "unknown_service", "unknown_car_type")
def get_day_by_posts(query: Found, service_point_id: int, date: date) -> Found:
    """A day of each post: its slots, and what has become of them."""
    point = open_station(service_point_id)
    job = job_of(point, query)
    posts = {post.id: post for post in point.posts if post.active}
    found = [each for each in reasons.by_posts(point, date, *job) if each.service_post_id in posts]
    starts = Counter(run.starts_at for run in availability.find_available_slots_for_duration(point, date, date, *job))
    return _about(point, date, job, has_time=bool(starts)) | {
        "posts": [_post_day(point, posts[each.service_post_id], each) for each in found],
        "times": [
            {
                "time": local(point, start).strftime("%H:%M"),
                "starts_at": iso(point, start),
                "available_posts_count": count,
            }
            for start, count in sorted(starts.items())
        ],
    }


@bp.route("/posts/<int:post_number>/availability/<day:date>")
@access.public
@bp.arguments(schemas.Job, location="query")
@bp.response(200, schemas.DayOfPost)
@bp.refuses("not_found", "invalid", "unknown_service", "unknown_car_type")
def get_day_of_post(query: Found, service_point_id: int, post_number: int, date: date) -> Found:
    """A day of one post."""
    point = open_station(service_point_id)
    job = job_of(point, query)
    post = next((post for post in point.posts if post.active and post.post_number == post_number), None)
    if post is None:
        abort(404)
    mine = next(each for each in reasons.by_posts(point, date, *job) if each.service_post_id == post.id)
    has_time = any(slot.status == "free" for slot in mine.slots)
    return _about(point, date, job, has_time=has_time) | _post_day(point, post, mine)


@bp.route("/availability")
@access.public
@bp.arguments(schemas.JobOverDays, location="query")
@bp.response(200, schemas.AvailableDays)
@bp.refuses("not_found", "invalid", "unknown_service", "unknown_car_type")
def get_days(query: Found, service_point_id: int) -> Found:
    """Up to 62 days in short: on which there is a time, and which is the first."""
    point = open_station(service_point_id)
    job = job_of(point, query)
    hours = load_hours(point, since=query["from_"])
    return {
        "service_point_id": point.id,
        "time_zone": point.time_zone,
        "required_minutes": job.minutes,
        "days": [
            {
                "date": day.date,
                "is_working_day": bool(day.times) or is_working_day(point, hours, day.date),
                "available_starts": len(day.times),
                "first_available": iso(point, day.times[0].starts_at if day.times else None),
            }
            for day in availability.days(point, query["from_"], query["days"], *job)
        ],
    }


def _about(point: ServicePoint, day: date, job: Job, *, has_time: bool) -> Found:
    """A day on which something is free is one of work: also when it is what is left of the night before."""
    return {
        "service_point_id": point.id,
        "date": day,
        "time_zone": point.time_zone,
        "is_working_day": has_time or is_working_day(point, load_hours(point, since=day), day),
        "required_minutes": job.minutes,
    }


def _post_day(point: ServicePoint, post: ServicePost, found: PostDay) -> Found:
    return {
        "post_number": post.post_number,
        "name": post.name,
        "slot_duration": post.slot_duration,
        "slots": _slots(point, found),
        "next_available_at": iso(point, found.next_available_at),
    }


def _slots(point: ServicePoint, found: PostDay) -> Iterable[Found]:
    return [
        {"starts_at": iso(point, slot.starts_at), "ends_at": iso(point, slot.ends_at), "status": slot.status}
        for slot in found.slots
    ]

"""A page for customers: in the public layout, with its station in the head."""

from datetime import timedelta
from typing import Any

from flask import Response, current_app, render_template
from werkzeug.wrappers import Response as BaseResponse

from tirefit import clock, i18n
from tirefit.models import ServicePoint
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import local_day, opening_windows

Answer = str | Response | BaseResponse | tuple[str, int] | tuple[str, int, dict[str, str]]


def show(template: str, point: ServicePoint | None, **context: Any) -> str:
    """The page; in the station's own language for whoever chose none and has a browser that asks for none of ours."""
    if point is not None:
        i18n.fall_back_to(point.locale)
        context |= opening(point)
    return render_template(template, point=point, **context)


def opening(point: ServicePoint) -> dict[str, Any]:
    """Until when it is open; `open_until` is None when it is closed at the moment."""
    hours, now = load_hours(point), clock.now()
    today = local_day(point.time_zone, now)
    spans = [
        span
        for post in point.posts
        if post.active
        for span in opening_windows(hours, post.id, today - timedelta(days=1), today + timedelta(days=1))
    ]
    until = now
    for start, end in sorted(spans):  # one may begin where another ends, at midnight for example
        if start <= until < end:
            until = end
    return {"open_until": until if until > now else None, "round_the_clock": until - now >= timedelta(days=1)}


def whole_address(path: str) -> str:
    """As it is sent to somebody: from where the station's people say that this program stands, whoever asks."""
    return f"{current_app.config['BASE_URL']}{path}"

"""What the board's two panels show: a car without a booking, and time to be closed."""

from datetime import date, datetime, timedelta
from typing import Any

from flask import request
from werkzeug.datastructures import MultiDict

from tirefit import clock
from tirefit.board import bookings_in
from tirefit.booking.at_the_gate import first_places
from tirefit.booking.commands import needs_of
from tirefit.models import Booking, ServicePoint
from tirefit.schedule.availability import station_runs
from tirefit.schedule.reservations import new_token
from tirefit.schedule.windows import day_span, instant, local_day, local_time
from tirefit.web import picker
from tirefit.web.forms.board import WalkInForm
from tirefit.web.forms.public import as_id

MOST_PLACES = 6
MINUTE = timedelta(minutes=1)


Values = MultiDict[str, str]


def walk_in_panel(point: ServicePoint, values: Values, form: WalkInForm | None = None) -> dict[str, Any]:
    """Work and car as they are ticked (the usual work in advance), and the first places for that, post by post."""
    menu = picker.read_menu(point, values)
    ticked = menu.choice.service_ids or tuple(each.service.id for each in menu.services[:1])
    menu = picker.menu_of(point, picker.Choice(ticked, menu.choice.car_type_id))
    visit = menu.visit
    return {
        "menu": menu,
        "places": first_places(point, visit.total_minutes, visit.needs)[:MOST_PLACES] if visit else [],
        "waiting": as_id(values.get("waiting", "")),
        "form": form or WalkInForm(point, formdata=values if "plate" in values else None),
        "nonce": new_token(),
    }


def block_panel(point: ServicePoint, day: date, values: Values, *, is_wrong: bool = False) -> dict[str, Any]:
    """Which post from when until when; and which bookings stand in that time, with where each of them could go."""
    now = clock.now()
    today = local_day(point.time_zone, now)
    start = _moment(point, day, values.get("from", ""))
    if start is None:
        start = now.replace(second=0, microsecond=0) if day == today else day_span(point.time_zone, day)[0]
    end = _moment(point, day, values.get("to", "")) or day_span(point.time_zone, day)[1]
    number = as_id(values.get("post", ""))
    post = next((post for post in point.posts if post.post_number == number), None)
    touched = []
    if post is not None and start < end:
        touched = [
            (booking, elsewhere(point, booking))
            for booking in bookings_in(point, (start, end))
            if booking.service_post_id == post.id and booking.reservation_id is not None
        ]
    return {
        "post": post,
        "starts_at": start,
        "ends_at": end,
        "is_wrong": is_wrong,
        "from": f"{local_time(point.time_zone, start):%H:%M}",
        "to": values.get("to", ""),
        "touched": touched,
    }


def read_span(point: ServicePoint, day: date) -> tuple[datetime, datetime] | None:
    """The stretch that a sent form means; None when it is none."""
    start = _moment(point, day, request.form.get("from", ""))
    ends = request.form.get("to", "")
    end = _moment(point, day, ends) if ends else day_span(point.time_zone, day)[1]
    return (start, end) if start is not None and end is not None and start < end else None


def elsewhere(point: ServicePoint, booking: Booking) -> list[tuple[int, datetime]]:
    """The places nearest to its time on other posts, at most two: post number and start."""
    span = day_span(point.time_zone, local_day(point.time_zone, booking.starts_at))
    runs = [
        run
        for run in station_runs(point, span, booking.total_duration, needs_of(booking))
        if run.service_post_id != booking.service_post_id and run.starts_at >= clock.now()
    ]
    runs.sort(key=lambda run: (abs(run.starts_at - booking.starts_at), run.post_number))
    return [(run.post_number, run.starts_at) for run in runs[:2]]


def _moment(point: ServicePoint, day: date, wall: str) -> datetime | None:
    """09:30 of that day by the station's clock."""
    hours, _, minutes = wall.partition(":")
    if not (len(wall) == 5 and hours.isdecimal() and minutes.isdecimal() and int(hours) < 24 and int(minutes) < 60):
        return None
    return instant(point.time_zone, day, int(hours) * 60 + int(minutes))

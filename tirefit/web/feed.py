"""A calendar that follows a station or a post. No names and no phones: it lies in calendars of other companies."""

from flask import Blueprint, Response, abort
from flask_babel import force_locale

from tirefit import feeds
from tirefit.database import db
from tirefit.models import ServicePoint
from tirefit.notifications.calendar import CONTENT_TYPE, feed_calendar
from tirefit.web import policy

bp = Blueprint("feed", __name__)


@bp.get("/feeds/<token:token>/calendar.ics")
@policy.customer
def show(token: str) -> Response:
    feed = feeds.find_feed(token) or abort(404)
    point = db.session.get_one(ServicePoint, feed.service_point_id)
    with force_locale(point.locale):
        body = feed_calendar(point.name, feeds.bookings_of(feed))
    return Response(body, content_type=CONTENT_TYPE)

"""The things that addresses of the station's own operations name. A thing of another station does not exist there."""

from sqlalchemy import select

from tirefit.database import db
from tirefit.models import Booking, ScheduleTemplate, ServicePoint, ServicePost
from tirefit.web.load import LARGEST_ID


def point(service_point_id: int) -> ServicePoint | None:
    return db.session.get(ServicePoint, service_point_id) if service_point_id <= LARGEST_ID else None


def post(service_point_id: int, post_number: int) -> ServicePost | None:
    mine = ServicePost.service_point_id == min(service_point_id, LARGEST_ID)
    return db.session.scalar(select(ServicePost).where(mine, ServicePost.post_number == min(post_number, LARGEST_ID)))


def template(service_point_id: int, template_id: int) -> ScheduleTemplate | None:
    found = db.session.get(ScheduleTemplate, template_id) if template_id <= LARGEST_ID else None
    return found if found is not None and found.service_point_id == service_point_id else None


def booking(service_point_id: int, number: str) -> Booking | None:
    mine = Booking.service_point_id == min(service_point_id, LARGEST_ID)
    return db.session.scalar(select(Booking).where(mine, Booking.number == number))

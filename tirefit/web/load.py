"""The things that addresses of the station's pages name. Who may see them is said in tirefit/web/policy.py."""

from flask import abort, request
from sqlalchemy import select
from sqlalchemy.orm import contains_eager, joinedload

from tirefit import revisions
from tirefit.database import db
from tirefit.models import (
    BayDevice,
    Booking,
    Notification,
    Reservation,
    ScheduleRun,
    ScheduleTemplate,
    ServicePoint,
    ServicePost,
    WebhookDelivery,
    WebhookEndpoint,
)
from tirefit.web import htmx, policy

LARGEST_ID = 2**31 - 1  # no table has more; PostgreSQL would not even compare


def point(slug: str) -> ServicePoint | None:
    return db.session.scalar(select(ServicePoint).where(ServicePoint.slug == slug)) if slug.isprintable() else None


def point_with_revision(slug: str) -> ServicePoint | None:
    """The same with the number that tells whether its day has changed: one statement, for screens that ask often."""
    if not slug.isprintable():
        return None
    return db.session.scalar(revisions.with_revision(select(ServicePoint).where(ServicePoint.slug == slug)))


def point_with_posts(slug: str) -> ServicePoint | None:
    """The same with its posts: one statement, for lists of what stands on them."""
    if not slug.isprintable():
        return None
    found = select(ServicePoint).where(ServicePoint.slug == slug).options(joinedload(ServicePoint.posts))
    return db.session.scalars(found).unique().one_or_none()


def asked_point() -> ServicePoint | None:
    """The station of `?s=`; without it, the first one of the person's. Where there is none yet, an admin makes one."""
    slug, mine = request.args.get("s"), policy.my_stations()
    if not slug:
        if not mine and policy.is_admin():
            abort(htmx.go("setup.new_station"))
        return next(iter(mine), None)
    return next((each for each in mine if each.slug == slug), None) or point(slug)


def post(post_id: int) -> ServicePost | None:
    return db.session.get(ServicePost, post_id) if post_id <= LARGEST_ID else None


def bay(slug: str, post_number: int) -> ServicePost | None:
    """A post by its number, with its station and the number that tells whether the station's day has changed."""
    if not slug.isprintable():
        return None
    of_station = select(ServicePost).join(ServicePost.service_point)
    found = of_station.where(ServicePoint.slug == slug, ServicePost.post_number == post_number)
    return db.session.scalar(revisions.with_revision(found, contains_eager(ServicePost.service_point)))


def letter(point: ServicePoint, letter_id: int) -> Notification | None:
    """A letter of a station."""
    found = db.session.get(Notification, letter_id) if letter_id <= LARGEST_ID else None
    return found if found and found.service_point_id == point.id else None


def webhook(point: ServicePoint, endpoint_id: int) -> WebhookEndpoint | None:
    """A webhook of a station."""
    found = db.session.get(WebhookEndpoint, endpoint_id) if endpoint_id <= LARGEST_ID else None
    return found if found and found.service_point_id == point.id else None


def delivery(endpoint: WebhookEndpoint, delivery_id: int) -> WebhookDelivery | None:
    """What a webhook was told."""
    found = db.session.get(WebhookDelivery, delivery_id) if delivery_id <= LARGEST_ID else None
    return found if found and found.webhook_endpoint_id == endpoint.id else None


def device(device_id: int) -> BayDevice | None:
    return db.session.get(BayDevice, device_id) if device_id <= LARGEST_ID else None


def template(template_id: int) -> ScheduleTemplate | None:
    return db.session.get(ScheduleTemplate, template_id) if template_id <= LARGEST_ID else None


def run(point: ServicePoint, run_id: int) -> ScheduleRun | None:
    """A change of a station's schedule."""
    found = db.session.get(ScheduleRun, run_id) if run_id <= LARGEST_ID else None
    return found if found and found.service_point_id == point.id else None


def block(point: ServicePoint, reservation_id: int) -> Reservation | None:
    """Closed time of a station."""
    found = db.session.get(Reservation, reservation_id) if reservation_id <= LARGEST_ID else None
    return found if found and found.service_point_id == point.id and found.kind == "block" else None


def booking(slug: str, number: str) -> Booking | None:
    """A booking by its number, at its own station only."""
    if not (slug.isprintable() and number.isprintable()):
        return None
    of_station = select(Booking).join(ServicePoint, ServicePoint.id == Booking.service_point_id)
    return db.session.scalar(of_station.where(ServicePoint.slug == slug, Booking.number == number))

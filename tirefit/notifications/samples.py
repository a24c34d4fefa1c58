"""Letters as they would look: a visit that nobody has booked, at a real station, in any language."""

from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from flask_mail import Message
from sqlalchemy import select
from sqlalchemy.orm.attributes import set_committed_value

from tirefit import clock, limits
from tirefit.database import command, db
from tirefit.models import Booking, BookingService, CarType, Service, ServicePoint, ServicePointService, ServicePost
from tirefit.notifications import letters
from tirefit.notifications.kinds import A_DAY, OF_NO_BOOKING
from tirefit.notifications.outbox import ClaimedLetter
from tirefit.schedule.windows import instant, local_day

SAMPLES = limits.Limit("sample letter", 20, timedelta(hours=1))  # by one person to themselves
NAMES = {"ru": "Анна", "uk": "Ганна", "en": "Anna"}
NO_TOKEN = "A" * 22
TWO_O_CLOCK = 14 * 60
STATUS = {"booking_completed": "completed", "booking_cancelled": "cancelled_by_station"}
FACTS = {"cause": "letters", "count": 12, "minutes": 34, "url": "https://example.com/webhooks"}


def compose(kind: str, point: ServicePoint, locale: str, recipient: str) -> Message:
    """A letter of this kind as this station would send it, about tomorrow."""
    now = clock.now()
    tomorrow = local_day(point.time_zone, now) + A_DAY
    letter = ClaimedLetter(
        id=0,
        kind=kind,
        booking_id=None,
        recipient=recipient,
        locale=locale,
        message_id=f"sample.{int(now.timestamp() * 1000)}",
        lease="",
        leased_until=now,
        token=NO_TOKEN,
        service_point_id=point.id,
        topic=f"{point.slug} {tomorrow}",
        facts=FACTS,
    )
    if kind in OF_NO_BOOKING:
        return letters.compose(letter)
    starts_at = instant(point.time_zone, tomorrow, TWO_O_CLOCK)
    return letters.about_booking(
        letter,
        _visit(point, starts_at, locale, STATUS.get(kind, "confirmed")),
        was=starts_at - 2 * timedelta(hours=1),
        delay_minutes=20,
    )


@command
def count_one(user_id: int) -> None:
    """One more sample that somebody has sent to themselves. Raises TooManyAttempts."""
    limits.require_few(SAMPLES, f"user {user_id}")


def _visit(point: ServicePoint, starts_at: datetime, locale: str, status: str) -> Booking:
    """Not in the database, and not to be."""
    service = db.session.scalars(
        select(Service)
        .join(ServicePointService, ServicePointService.service_id == Service.id)
        .where(ServicePointService.service_point_id == point.id)
        .order_by(ServicePointService.position)
    ).first()
    car = db.session.scalars(select(CarType).order_by(CarType.id)).first()
    minutes = service.base_duration if service else 40
    names: dict[str, Any] = service.names if service else {"ru": "Переобувка", "uk": "Заміна шин", "en": "Tyre change"}
    visit = Booking(
        number="TF4K7M",
        starts_at=starts_at,
        ends_at=starts_at + timedelta(minutes=minutes),
        plate="АА 1234 ВС",
        customer_name=NAMES.get(locale, NAMES["ru"]),
        customer_phone="+380671234567",
        customer_email="anna@example.com",
        notes="",
        total_duration=minutes,
        total_price=120000,
        currency=point.currency,
        status=status,
        source="online",
        locale=locale,
        created_at=clock.now(),
        cancel_reason="",
        wheel_inches=None,
        wheel_minutes=0,
        revision=1,
        version=1,
    )
    post: Any = next((post for post in point.posts if post.active), ServicePost(post_number=1))
    car_names: Any = car or SimpleNamespace(names={"ru": "Легковая", "uk": "Легкова", "en": "Car"})
    set_committed_value(visit, "service_point", point)
    set_committed_value(visit, "post", post)
    set_committed_value(visit, "car_type", car_names)
    set_committed_value(visit, "lines", [BookingService(position=0, names=names, minutes=minutes, price=120000)])
    return visit

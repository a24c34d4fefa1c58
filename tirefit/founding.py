"""From nothing to the first bookable time: the first admin, a station, its posts, hours and services.

Each step is a command of its own, and the station takes no bookings before the last: nobody finds a half-made one.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from babel.core import get_global
from babel.numbers import get_territory_currencies
from sqlalchemy import func, select

from tirefit import accounts, audit, clock, revisions
from tirefit.booking import catalogue
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import AlreadyFounded, WrongCode
from tirefit.limits import Limit, require_few
from tirefit.models import ScheduleTemplate, ServicePoint, ServicePost, User
from tirefit.schedule.slots import lock_station, regenerate
from tirefit.schedule.windows import local_day

CODES = Limit("setup", 10, timedelta(minutes=10))  # guesses of one network
CODE_SIGNS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
CODE_LENGTH = 12
MOST_POSTS = 30

CYRILLIC = "абвгґдеєжзиіїйклмнопрстуфхцчшщъыьэюяё"
SOUNDS = "a b v g g d e ye zh z i i yi y k l m n o p r s t u f kh ts ch sh shch _ y _ e yu ya e"
LATIN = dict(zip(CYRILLIC, SOUNDS.split(" "), strict=True))


@dataclass(frozen=True)
class Place:
    """A station as it is first told of."""

    name: str
    city: str
    address: str
    phone: str
    time_zone: str


def is_empty() -> bool:
    """Has nobody an account yet?"""
    return db.session.scalar(select(User.id).limit(1)) is None


def setup_code(secret_key: str) -> str:
    """What shows that whoever sets TireFit up can read its console. The same in every process, until it is set up."""
    digest = hmac.digest(secret_key.encode(), b"setup code", "sha256")
    return "".join(CODE_SIGNS[byte % len(CODE_SIGNS)] for byte in digest[:CODE_LENGTH])


def require_code(code: str, secret_key: str, network: str) -> None:
    """Raises WrongCode, and TooManyAttempts after ten guesses within ten minutes, right ones too."""
    _count_guess(network)
    typed = re.sub(r"[\s-]", "", code.upper())
    if not hmac.compare_digest(typed.encode(), setup_code(secret_key).encode()):
        raise WrongCode()


@command
def found(place: Place, email: str, password: str, locale: str) -> ServicePoint:
    """The first admin and the first station. Raises AlreadyFounded, EmailInvalid, PasswordUnfit,
    PasswordGuessable."""
    one_at_a_time("founding")
    if not is_empty():
        raise AlreadyFounded()
    accounts.write_user(email, "admin", [None], password=password, locale=locale)
    return _write_station(place, locale, None)


@command
def found_another(place: Place, locale: str, *, user_id: int) -> ServicePoint:
    """One more station of the network."""
    return _write_station(place, locale, user_id)


@command
def set_posts(point_id: int, count: int, minutes: int, *, user_id: int) -> None:
    """Give a station that has none its posts, numbered from one, and the usual services to begin with.

    Whatever it has already stays as it is.
    """
    point = lock_station(point_id)
    catalogue.write_starter_set(point, user_id)
    if point.posts:
        return
    for number in range(1, count + 1):
        post = ServicePost(service_point_id=point_id, post_number=number, slot_duration=minutes)
        db.session.add(post)
        db.session.flush()
        what = {"post_number": number, "slot_duration": minutes}
        audit.record("post_created", "post", post.id, label=str(number), point_id=point_id, user_id=user_id, after=what)
    db.session.expire(point, ["posts"])


@command
def open_for_booking(point_id: int, *, user_id: int) -> None:
    """From now on customers find the station, and its days as far ahead as it opens them."""
    point = lock_station(point_id)
    today = local_day(point.time_zone, clock.now())
    point.slots_until = today + timedelta(days=point.horizon_days)
    regenerate(point, point.posts, today, point.slots_until)
    before = {"active": point.active}
    point.active = True
    audit.record(
        "station_opened", "station", point_id, label=point.name, point_id=point_id, user_id=user_id,
        before=before, after={"active": True},
    )  # fmt: skip
    revisions.touch(point_id)


def has_hours(point: ServicePoint) -> bool:
    week = select(ScheduleTemplate.id).where(ScheduleTemplate.service_point_id == point.id)
    return db.session.scalar(week.limit(1)) is not None


def country_of(time_zone: str) -> str:
    """Ukraine for Europe/Kyiv: how phones are read there, which holidays and which money there are."""
    return str(get_global("zone_territories").get(time_zone, "UA"))


def currency_of(country: str) -> str:
    return str((get_territory_currencies(country) or ["UAH"])[0])


def _write_station(place: Place, locale: str, user_id: int | None) -> ServicePoint:
    country = country_of(place.time_zone)
    point = ServicePoint(
        slug=_free_slug(place.name),
        name=place.name,
        city=place.city,
        address=place.address,
        phone=place.phone,
        country=country,
        time_zone=place.time_zone,
        currency=currency_of(country),
        locale=locale,
        active=False,
    )
    db.session.add(point)
    db.session.flush()
    audit.record(
        "station_added", "station", point.id, label=point.name, point_id=point.id, user_id=user_id,
        after={"name": point.name, "city": point.city, "time_zone": point.time_zone},
    )  # fmt: skip
    return point


def _free_slug(name: str) -> str:
    """«Зимняя, 5» → zimnyaya-5; with a number where that is taken."""
    latin = "".join(LATIN.get(sign, sign) for sign in name.lower()).replace("_", "")
    base = re.sub(r"[^a-z0-9]+", "-", latin).strip("-")[:60].strip("-") or "station"
    taken: Sequence[str] = db.session.scalars(
        select(ServicePoint.slug).where(func.substr(ServicePoint.slug, 1, len(base)) == base)
    ).all()
    number, slug = 1, base
    while slug in taken:
        number += 1
        slug = f"{base}-{number}"
    return slug


@command
def _count_guess(network: str) -> None:
    require_few(CODES, network)

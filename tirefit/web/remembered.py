"""A customer whom their own phone remembers, because they asked for it: a signed cookie, and not a row in the database.

Only this cookie brings somebody's own car back. Nothing is ever looked up by a number plate, which anybody can read off
a car, nor by a phone: who has the cookie has typed all of it here before. What is expired, forged or of another make is
as good as no cookie.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from flask import current_app, request
from itsdangerous import BadData, URLSafeTimedSerializer
from werkzeug.wrappers import Response

from tirefit import config
from tirefit.models import Booking
from tirefit.web.picker import Choice

A_LONG_TIME = 400 * 24 * 60 * 60  # seconds; the longest that browsers keep a cookie


@dataclass(frozen=True)
class Remembered:
    """Who they are, and what they booked last: at `station` (its slug), where alone `wheel_inches` means the same."""

    name: str
    phone: str  # E.164
    email: str
    car_type_id: int
    service_ids: tuple[int, ...]
    station: str
    wheel_inches: int | None = None
    plate: str = ""


def recall() -> Remembered | None:
    """Whom this browser remembers, if it has been asked to."""
    try:
        told = _signer().loads(request.cookies.get(_name(), ""), max_age=A_LONG_TIME)
        return Remembered(**told | {"service_ids": tuple(told["service_ids"])})
    except (BadData, TypeError, KeyError):
        return None


def usual_choice(station: str | None = None) -> Choice | None:
    """What they booked last. A size of wheels means the same at one station only: elsewhere it is asked for."""
    who = recall()
    if who is None:
        return None
    return Choice(who.service_ids, who.car_type_id, who.wheel_inches if who.station == station else None)


def keep(answer: Response, who: Remembered) -> None:
    """Have this browser remember them, from now on for 400 days."""
    _set(answer, str(_signer().dumps(asdict(who))), A_LONG_TIME)


def keep_plate(answer: Response, booking: Booking) -> None:
    """Their car's number too, where it is they whose booking it is."""
    who = recall()
    if who is not None and (who.phone, who.car_type_id) == (booking.customer_phone, booking.car_type_id):
        keep(answer, replace(who, plate=booking.plate))


def forget(answer: Response) -> None:
    """Have this browser forget them."""
    _set(answer, "", 0)


def _set(answer: Response, value: str, seconds: int) -> None:
    flags: dict[str, Any] = {"secure": current_app.config["HTTPS"], "httponly": True, "samesite": "Lax"}
    answer.set_cookie(_name(), value, max_age=seconds, **flags)


def _name() -> str:
    return "__Host-remembered" if current_app.config["HTTPS"] else "remembered"


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(config.keys(current_app.config), salt="remembered")

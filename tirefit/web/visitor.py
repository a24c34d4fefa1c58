"""Who asks: what this browser is known by, and the bookings that it may open.

A link from a letter is changed at once for a clean address and a key in a cookie: the secret stays neither in the
address bar nor in anybody's log. The cookie holds the same capability as the link, so that it dies with it.
"""

import re
from datetime import timedelta

from flask import Response, current_app, request, session
from werkzeug.wrappers import Response as BaseResponse

from tirefit.accounts import network_of
from tirefit.booking.links import opened_by
from tirefit.models import Booking
from tirefit.schedule.reservations import hash_of, new_token

MOST_KEYS = 10
KEPT_FOR = timedelta(days=400)  # browsers keep nothing for longer
A_KEY = re.compile(r"[A-Za-z0-9_-]{22}")


def browser() -> str:
    """This browser, as holds know it: it keeps one time at once."""
    return str(session.setdefault("browser", new_token()))


def network() -> str:
    """Where this browser comes from, as holds know it: so many at once from one network."""
    return hash_of(network_of(request.remote_addr or ""))


def booking(number: str) -> Booking | None:
    """The booking of that number, if this browser has a key to it that still opens something."""
    return next((found for found in opened_by(_keys()).values() if found.number == number), None)


def key_to(booking: Booking) -> str | None:
    """This browser's key to a booking: the token of its link."""
    return next((key for key, found in opened_by(_keys()).items() if found.id == booking.id), None)


def keep_key(answer: Response | BaseResponse, key: str, booking: Booking) -> None:
    """Let this browser open the booking from now on. It keeps one key to each of the last ten bookings."""
    opened = opened_by(_keys())
    others = [other for other in _keys() if other in opened and opened[other].id != booking.id]
    answer.set_cookie(
        _cookie(),
        ".".join([key, *others][:MOST_KEYS]),
        max_age=KEPT_FOR,
        httponly=True,
        samesite="Lax",  # a letter read in a browser is another site, and its links must lead on
        secure=current_app.config["HTTPS"] or request.is_secure,
    )


def _keys() -> list[str]:
    return [key for key in request.cookies.get(_cookie(), "").split(".") if A_KEY.fullmatch(key)][:MOST_KEYS]


def _cookie() -> str:
    return "__Host-tirefit-tickets" if current_app.config["HTTPS"] else "tirefit-tickets"

"""Who asks: what this browser is known by."""

from flask import request, session

from tirefit.accounts import network_of
from tirefit.schedule.reservations import hash_of, new_token


def browser() -> str:
    """This browser, as holds know it: it keeps one time at once."""
    return str(session.setdefault("browser", new_token()))


def network() -> str:
    """Where this browser comes from, as holds know it: so many at once from one network."""
    return hash_of(network_of(request.remote_addr or ""))

"""The demo's mailbox: letters that a mail server would have carried away. Only in a demo without a mail server."""

import email
import email.policy
import re
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

from flask import Blueprint, Response, abort, render_template
from flask_babel import format_timedelta

from tirefit import clock
from tirefit.notifications import delivery
from tirefit.web import framed, policy

A_SECOND = timedelta(seconds=1)

bp = Blueprint("dev", __name__, url_prefix="/dev/mail")

MOST_SHOWN = 100


@bp.before_request
def only_in_a_demo() -> None:
    if delivery.way() != "mailbox":
        abort(404)


@bp.get("")
@policy.public
def letters() -> str:
    keys = sorted(delivery.demo_mailbox().keys(), key=_arrival, reverse=True)[:MOST_SHOWN]
    return render_template("dev/letters.html", letters=[(key, _read(key), _age(key)) for key in keys])


@bp.get("/<key>")
@policy.public
def letter(key: str) -> Response:
    found = _read(key)
    return framed.page(
        render_template("dev/letter.html", key=key, letter=found, age=_age(key), frame=framed.SANDBOX, part=_part)
    )


@bp.get("/<key>/html")
@policy.public
def html(key: str) -> Response:
    return framed.letter(_part(_read(key), "html"))


@bp.get("/<key>/calendar.ics")
@policy.public
def calendar(key: str) -> Response:
    file = Response(_part(_read(key), "calendar"), content_type="text/calendar; charset=utf-8")
    file.headers["Content-Disposition"] = 'attachment; filename="tirefit.ics"'
    return file


def _read(key: str) -> EmailMessage:
    try:
        content = delivery.demo_mailbox().get_bytes(key)
    except KeyError:
        abort(404)
    return email.message_from_bytes(content, policy=email.policy.default)


def _part(letter: EmailMessage, subtype: str) -> Any:
    part = next(part for part in letter.walk() if part.get_content_type() == f"text/{subtype}")
    return part.get_content()


def _age(key: str) -> str:
    arrived = datetime.fromtimestamp(_arrival(key)[0], UTC)
    ago = min(arrived - clock.now(), -A_SECOND)  # the clock knows whole seconds, the mailbox their parts
    return str(format_timedelta(ago, granularity="second", add_direction=True))


def _arrival(key: str) -> tuple[int, ...]:
    """A Maildir's names begin with the second and the microsecond of the arrival, the process and its count."""
    found = re.match(r"(\d+)\.M(\d+)P(\d+)Q(\d+)", key)
    return tuple(int(number) for number in found.groups()) if found else (0,)

"""Whom a station tells about its bookings: addresses, the events that each wants, what each has been told.

An endpoint's secret is nowhere kept: it is made of the endpoint's seed and of the installation's own secret, so that
neither the database nor a copy of it lets anybody sign in our name.
"""

import base64
import hmac
from collections.abc import Sequence
from urllib.parse import urlsplit

from sqlalchemy import select

from tirefit import audit, clock
from tirefit.database import command, db
from tirefit.errors import TooManyEndpoints, WebhookUrlInvalid
from tirefit.models import ServicePoint, WebhookDelivery, WebhookEndpoint
from tirefit.schedule.reservations import new_token
from tirefit.webhooks import outbox

MOST = 10
LONGEST_URL = 500
LAST_SHOWN = 30
PREFIX = "whsec_"  # as programs that verify such signatures know it


@command
def add_endpoint(
    point_id: int, url: str, events: Sequence[str], seed: str, *, internal: bool = False, user_id: int | None = None
) -> WebhookEndpoint:
    """Tell this address of these events from now on. The same `seed`, sent twice, is one endpoint.

    `internal`: http:// will do (for development). Raises WebhookUrlInvalid, TooManyEndpoints.
    """
    url = checked_url(url, internal=internal)
    db.session.get_one(ServicePoint, point_id, with_for_update={"key_share": True})  # one after the other
    known = db.session.scalar(select(WebhookEndpoint).where(WebhookEndpoint.seed == seed))
    if known is not None and known.service_point_id == point_id:
        return known
    mine = _of_station(point_id)
    if len(mine) >= MOST:
        raise TooManyEndpoints(most=MOST)
    made = WebhookEndpoint(
        service_point_id=point_id,
        url=url,
        events=_in_order(events),
        seed=seed if known is None else new_token(),
        active=True,
        created_at=clock.now(),
    )
    db.session.add(made)
    db.session.flush()
    _record("webhook_added", made, user_id, after=_plain(made))
    return made


@command
def change_endpoint(
    endpoint_id: int,
    url: str,
    events: Sequence[str],
    *,
    active: bool,
    internal: bool = False,
    user_id: int | None = None,
) -> WebhookEndpoint:
    """Switched off, it is not told what waits, nor of anything new. Raises WebhookUrlInvalid."""
    url = checked_url(url, internal=internal)
    found = db.session.get_one(WebhookEndpoint, endpoint_id, with_for_update={"key_share": True})
    before = _plain(found)
    found.url, found.events = url, _in_order(events)
    if active and not found.active:
        found.failing_since = found.switched_off_at = None
    if found.active and not active:
        outbox.cancel_waiting(found)
    found.active = active
    _record("webhook_changed", found, user_id, before=before, after=_plain(found))
    return found


@command
def renew_secret(endpoint_id: int, seed: str, *, user_id: int | None = None) -> WebhookEndpoint:
    """Another secret from now on; the one before signs nothing any more. The same `seed`, sent twice, is one change."""
    found = db.session.get_one(WebhookEndpoint, endpoint_id, with_for_update={"key_share": True})
    taken = db.session.scalar(select(WebhookEndpoint.id).where(WebhookEndpoint.seed == seed))
    if taken != endpoint_id:
        found.seed = seed if taken is None else new_token()
        _record("webhook_secret_renewed", found, user_id)
    return found


@command
def remove_endpoint(endpoint_id: int, *, user_id: int | None = None) -> None:
    """Forget an address, and what it was told."""
    found = db.session.get(WebhookEndpoint, endpoint_id, with_for_update=True)
    if found is not None:
        _record("webhook_removed", found, user_id, before=_plain(found))
        db.session.delete(found)


@command
def send_test(endpoint_id: int) -> None:
    """Tell an address something that is about no booking, to see whether it listens."""
    found = db.session.get_one(WebhookEndpoint, endpoint_id)
    outbox.insert(found, outbox.TEST, {"service_point_id": found.service_point_id})


@command
def resend(delivery_id: int) -> bool:
    """Tell once more what an address has been told, or could not be; → whether it is still known.

    The same text under the same id: whoever has it already sees that.
    """
    row = db.session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if row is None:
        return False
    if row.state != "pending":
        row.state, row.sent_at, row.lease, row.leased_until = "pending", None, None, None
    row.due_at, row.attempts = clock.now(), 0
    outbox.announce()
    return True


def of_station(point: ServicePoint) -> Sequence[WebhookEndpoint]:
    """The addresses that a station tells, in the order in which they were named."""
    return _of_station(point.id)


def last_deliveries(endpoint: WebhookEndpoint) -> Sequence[WebhookDelivery]:
    """What an address was told lately, the newest first."""
    mine = select(WebhookDelivery).where(WebhookDelivery.webhook_endpoint_id == endpoint.id)
    return db.session.scalars(mine.order_by(WebhookDelivery.id.desc()).limit(LAST_SHOWN)).all()


def secret_of(point_id: int, seed: str, key: str) -> str:
    """The endpoint's secret, as its owner gets it; `key` is the installation's own."""
    digest = hmac.digest(key.encode(), f"webhook {point_id} {seed}".encode(), "sha256")
    return PREFIX + base64.b64encode(digest).decode()


def checked_url(url: str, *, internal: bool) -> str:
    """An address that can be asked: https, a host, no name and password in it. Raises WebhookUrlInvalid.

    Whether the host is one that may be asked is seen each time when it is.
    """
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").encode("idna").decode()
        port = parts.port
    except ValueError:
        raise WebhookUrlInvalid() from None
    schemes = ("https", "http") if internal else ("https",)
    is_plain = url.isascii() and url.isprintable() and " " not in url.strip() and len(url) <= LONGEST_URL
    if parts.scheme not in schemes or not host or not is_plain or "@" in parts.netloc or port == 0:
        raise WebhookUrlInvalid()
    return parts._replace(fragment="").geturl()


def _of_station(point_id: int) -> Sequence[WebhookEndpoint]:
    mine = select(WebhookEndpoint).where(WebhookEndpoint.service_point_id == point_id)
    return db.session.scalars(mine.order_by(WebhookEndpoint.id)).all()


def _in_order(events: Sequence[str]) -> list[str]:
    return [event for event in outbox.EVENTS if event in events]


def _plain(endpoint: WebhookEndpoint) -> dict[str, object]:
    return {"url": endpoint.url, "events": list(endpoint.events), "active": endpoint.active}


def _record(event: str, endpoint: WebhookEndpoint, user_id: int | None, **states: dict[str, object]) -> None:
    point_id, label = endpoint.service_point_id, str(urlsplit(endpoint.url).netloc)
    audit.record(event, "webhook", endpoint.id, label=label, point_id=point_id, user_id=user_id, **states)

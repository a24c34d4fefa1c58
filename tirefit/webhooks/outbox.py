"""What is to be told to webhooks: written in the transaction of the booking's event, and taken out by the drain job.

Rows wait, are leased, fenced and tried again as letters are (tirefit.leases). The text tells which booking and what has
become of it, and never whose it is: a program that may know asks the API.
"""

import json
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import blinker
from sqlalchemy import bindparam, delete, select, update

from tirefit import audit, clock, leases
from tirefit.database import command, db, on_commit
from tirefit.models import Booking, ServicePoint, ServicePost, User, UserRole, WebhookDelivery, WebhookEndpoint
from tirefit.notifications import outbox as letters
from tirefit.schedule.windows import local_time

# What a booking's trace is called outside. What is in none of them is nobody else's business.
EVENT_OF = {
    "created": "booking.created",
    "walked_in": "booking.created",
    "confirm": "booking.confirmed",
    "rescheduled": "booking.moved",
    "adjusted": "booking.moved",
    "cancel_by_customer": "booking.cancelled",
    "cancel_by_station": "booking.cancelled",
    "restore_by_customer": "booking.restored",
    "restore_by_station": "booking.restored",
    "arrive": "booking.arrived",
    "start": "booking.started",
    "complete": "booking.completed",
    "no_show": "booking.no_show",
    "undo": "booking.changed",
    "extended": "booking.changed",
    "late": "booking.changed",
    "come": "booking.changed",
    "plate_set": "booking.changed",
    "problem": "booking.changed",
    "problem_solved": "booking.changed",
}
EVENTS = tuple(dict.fromkeys(EVENT_OF.values()))
TEST = "test"
TOLD = ("number", "version", "status", "source", "total_duration", "total_price", "currency")
GIVEN_UP_AFTER = timedelta(hours=23)  # the tries for one event last a little longer
KEPT = timedelta(days=30)
GONE = 410

deliveries_written = blinker.Signal("Something for webhooks has been committed: somebody may deliver it now.")


@dataclass(frozen=True)
class ClaimedDelivery:
    """What to tell now, and to whom. The endpoint's secret is made of `seed` and the station (see endpoints)."""

    id: int
    endpoint_id: int
    service_point_id: int
    url: str
    seed: str
    message_id: str
    body: str
    lease: str


def write(booking: Booking, trace: str) -> None:
    """Inside the command that leaves this trace: tell all endpoints of the station that want to know."""
    event = EVENT_OF.get(trace)
    if event is None:
        return
    with db.session.no_autoflush:
        for endpoint in db.session.scalars(ENDPOINTS, {"point_id": booking.service_point_id}):
            if event in endpoint.events:
                insert(endpoint, event, _facts_of(booking))


# Made once: every trace of every booking asks it.
ENDPOINTS = select(WebhookEndpoint).where(
    WebhookEndpoint.service_point_id == bindparam("point_id"), WebhookEndpoint.active
)


def insert(endpoint: WebhookEndpoint, event: str, facts: dict[str, Any]) -> None:
    """Inside a command: one delivery, due at once."""
    now = clock.now()
    body = {"type": event, "timestamp": now.isoformat(), "data": facts}
    db.session.add(
        WebhookDelivery(
            webhook_endpoint_id=endpoint.id,
            message_id=f"msg_{secrets.token_hex(16)}",
            event=event,
            body=json.dumps(body, ensure_ascii=False),
            due_at=now,
            created_at=now,
        )
    )
    announce()


def announce() -> None:
    """Inside a command: once it is committed, somebody may deliver."""
    on_commit(_announce)


@command
def claim(skipping: Collection[int] = ()) -> ClaimedDelivery | None:
    """Take what is due, for the length of a lease; endpoints that have just failed are skipped."""
    now = clock.now()
    due = (
        select(WebhookDelivery, WebhookEndpoint)
        .join(WebhookEndpoint, WebhookEndpoint.id == WebhookDelivery.webhook_endpoint_id)
        .where(*leases.is_due(WebhookDelivery, now), WebhookDelivery.webhook_endpoint_id.not_in(skipping))
        .order_by(*leases.in_turn(WebhookDelivery))
        .limit(1)
        .with_for_update(skip_locked=True, of=WebhookDelivery)
    )
    while found := db.session.execute(due).first():
        row, endpoint = found
        if endpoint.active and row.attempts < leases.MOST_ATTEMPTS:
            return ClaimedDelivery(
                id=row.id,
                endpoint_id=endpoint.id,
                service_point_id=endpoint.service_point_id,
                url=endpoint.url,
                seed=endpoint.seed,
                message_id=row.message_id,
                body=row.body,
                lease=leases.take(row, now),
            )
        row.state, row.lease, row.leased_until = "failed" if endpoint.active else "cancelled", None, None
        db.session.flush()
    return None


@command
def mark_delivered(delivery_id: int, lease: str, status: int) -> bool:
    """It has been taken. False when the lease had gone to another meanwhile."""
    endpoint = _lock_endpoint_of(delivery_id)
    about = {"state": "sent", "sent_at": clock.now(), "last_status": status, "last_error": ""}
    if endpoint is None or not leases.finish(WebhookDelivery, delivery_id, lease, **about):
        return False
    endpoint.failing_since = None
    return True


@command
def retry_later(delivery_id: int, lease: str, error: str, status: int | None = None) -> bool:
    """It was not taken. Due again as letters are, for a day; then it has failed.

    An endpoint that took nothing in all that time, or says that it is gone (410), is switched off, and the station's
    managers are told.
    """
    now, endpoint = clock.now(), _lock_endpoint_of(delivery_id)
    if endpoint is None:
        return False
    row = db.session.get_one(WebhookDelivery, delivery_id, populate_existing=True)
    is_over = row.attempts >= leases.MOST_ATTEMPTS
    about = {"state": "failed"} if is_over else {"due_at": leases.next_try(row.attempts, now)}
    words = error[: leases.LONGEST_ERROR]
    if not leases.finish(WebhookDelivery, delivery_id, lease, last_status=status, last_error=words, **about):
        return False
    endpoint.failing_since = endpoint.failing_since or now
    if endpoint.active and (status == GONE or (is_over and now - endpoint.failing_since >= GIVEN_UP_AFTER)):
        _give_up(endpoint, now)
    return True


@command
def sweep() -> int:
    """Forget what was told more than thirty days ago; → how many."""
    old = delete(WebhookDelivery).where(WebhookDelivery.created_at < clock.now() - KEPT)
    return len(db.session.scalars(old.returning(WebhookDelivery.id)).all())


def cancel_waiting(endpoint: WebhookEndpoint) -> None:
    """Inside a command: what an endpoint has not been told yet, it is not told."""
    mine = WebhookDelivery.webhook_endpoint_id == endpoint.id
    db.session.execute(
        update(WebhookDelivery)
        .where(mine, WebhookDelivery.state == "pending")
        .values(state="cancelled", lease=None, leased_until=None)
    )


def _give_up(endpoint: WebhookEndpoint, now: datetime) -> None:
    endpoint.active, endpoint.switched_off_at = False, now
    cancel_waiting(endpoint)
    point_id = endpoint.service_point_id
    audit.record("webhook_given_up", "webhook", endpoint.id, label=endpoint.url, point_id=point_id, user_id=None)
    for email, locale in _managers(endpoint.service_point).items():
        letters.write_topic(
            *("webhook_off", f"webhook {endpoint.id} {now:%Y-%m-%d %H:%M}", email, locale),
            service_point_id=point_id,
            facts={"url": endpoint.url},
        )


def _managers(point: ServicePoint) -> dict[str, str]:
    found = (
        select(User.email, User.locale)
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.service_point_id == point.id, UserRole.role == "manager", User.active)
        .order_by(User.id)
    )
    managers = {row.email: row.locale for row in db.session.execute(found)}
    return managers or ({point.email.lower(): point.locale} if point.email else {})


def _lock_endpoint_of(delivery_id: int) -> WebhookEndpoint | None:
    """Locked before its delivery, and in a way that lets bookings write new ones meanwhile."""
    mine = select(WebhookDelivery.webhook_endpoint_id).where(WebhookDelivery.id == delivery_id).scalar_subquery()
    found = select(WebhookEndpoint).where(WebhookEndpoint.id == mine).with_for_update(key_share=True)
    return db.session.scalar(found.execution_options(populate_existing=True))


def _facts_of(booking: Booking) -> dict[str, Any]:
    point = db.session.get_one(ServicePoint, booking.service_point_id)
    post = db.session.get_one(ServicePost, booking.service_post_id)
    return {
        "service_point_id": point.id,
        **{name: getattr(booking, name) for name in TOLD},
        "post_number": post.post_number,
        "starts_at": local_time(point.time_zone, booking.starts_at).isoformat(),
        "ends_at": local_time(point.time_zone, booking.ends_at).isoformat(),
    }


def _announce() -> None:
    deliveries_written.send()

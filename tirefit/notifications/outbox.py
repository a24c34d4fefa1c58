"""The outbox: letters are written down in the transaction of the change they tell about, and sent afterwards.

The rows are the truth; no queue is. A row is `pending` until it is `sent`, has `failed` for good, or is `cancelled`
because the booking changed before the letter left. Nothing here knows what a letter looks like or how it travels.

Whoever sends a letter claims it first: a lease of 90 seconds under a random name. Only the holder of the present lease
can say how it ended, so a sender that comes back late changes nothing. One that dies leaves the row to the next.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import blinker
from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tirefit import clock, revisions
from tirefit.database import command, db, on_commit, one_at_a_time
from tirefit.models import LIVE, Booking, BookingLink, Notification
from tirefit.schedule.reservations import hash_of, new_token

LEASE = timedelta(seconds=90)  # longer than the mail server is waited for
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 30))  # the last one again and again
MOST_ATTEMPTS = 51  # with these waits: a day of trying
LONGEST_ERROR = 500
MOST_LETTERS = ((5, timedelta(hours=1)), (10, timedelta(days=1)))  # to one customer's address
TOO_MANY_LETTERS = "too many letters to this address"
LINK_AGAIN_AFTER = timedelta(minutes=10)

letters_written = blinker.Signal("A command that wrote letters has been committed: somebody may send them now.")


@dataclass(frozen=True)
class Kind:
    """A kind of letter: to whom it goes, and whether it makes sense only while the booking lives."""

    to_customer: bool
    of_live_booking: bool


KINDS = {
    "booking_created": Kind(to_customer=True, of_live_booking=True),
    "booking_confirmed": Kind(to_customer=True, of_live_booking=True),
    "booking_rescheduled": Kind(to_customer=True, of_live_booking=True),
    "booking_cancelled": Kind(to_customer=True, of_live_booking=False),
    "booking_delayed": Kind(to_customer=True, of_live_booking=True),
    "booking_link": Kind(to_customer=True, of_live_booking=True),
    "new_booking": Kind(to_customer=False, of_live_booking=True),
    "booking_rescheduled_by_customer": Kind(to_customer=False, of_live_booking=True),
    "booking_cancelled_by_customer": Kind(to_customer=False, of_live_booking=False),
}


@dataclass(frozen=True)
class ClaimedLetter:
    """A letter to send now. `token` opens the booking for the customer; it is nowhere else but in the letter."""

    id: int
    kind: str
    booking_id: int
    recipient: str
    locale: str
    message_id: str
    lease: str
    leased_until: datetime
    token: str | None


def write(
    kind: str, booking: Booking, recipient: str, locale: str, due_at: datetime | None = None, refused: str = ""
) -> None:
    """Promise a letter about `booking` as it now is. Call it inside the command, after the change.

    One version of a booking gives one letter of a kind to one recipient: written twice, it still leaves once. A letter
    that is `refused` for a reason does not leave, but the people of the station see that it did not.
    """
    db.session.flush()
    now = clock.now()
    values = {
        "kind": kind,
        "booking_id": booking.id,
        "revision": booking.revision,
        "recipient": recipient,
        "locale": locale,
        "message_id": secrets.token_hex(16),
        "due_at": due_at or now,
        "created_at": now,
        "state": "failed" if refused else "pending",
        "last_error": refused,
    }
    insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
    db.session.execute(insert(Notification).values(values).on_conflict_do_nothing())
    on_commit(_announce)


def write_booking_created(booking: Booking) -> None:
    """Tell the customer who left an e-mail, and the station that has one."""
    _write_to_customer("booking_created", booking)
    _write_to_station("new_booking", booking)


def write_booking_confirmed(booking: Booking) -> None:
    """Tell the customer that the station has agreed, where bookings wait for that."""
    _write_to_customer("booking_confirmed", booking)


def write_booking_rescheduled(booking: Booking, *, by_customer: bool) -> None:
    """Tell the customer what has been agreed now; and the station, when it was the customer who changed it."""
    _write_to_customer("booking_rescheduled", booking)
    if by_customer:
        _write_to_station("booking_rescheduled_by_customer", booking)


def write_booking_delayed(booking: Booking) -> bool:
    """Tell the customer that their work begins later than booked; → False when this has been told of that time."""
    told = select(Notification.id).where(
        Notification.booking_id == booking.id,
        Notification.revision == booking.revision,
        Notification.kind == "booking_delayed",
    )
    if db.session.scalar(told) is not None:
        return False
    _write_to_customer("booking_delayed", booking)
    return True


def write_link(booking: Booking) -> None:
    """Send the customer the way back to their booking. Asked for again, it leaves again, but not within ten minutes."""
    _write_to_customer("booking_link", booking)
    db.session.execute(
        update(Notification)
        .where(
            Notification.booking_id == booking.id,
            Notification.revision == booking.revision,
            Notification.kind == "booking_link",
            Notification.recipient == booking.customer_email,
            Notification.state.in_(("sent", "failed")),
            Notification.due_at <= clock.now() - LINK_AGAIN_AFTER,
        )
        .values(
            state="pending",
            due_at=clock.now(),
            sent_at=None,
            attempts=0,
            last_error="",
            message_id=secrets.token_hex(16),
        )
    )


def write_booking_cancelled(booking: Booking, *, by_customer: bool) -> None:
    """Tell the customer that the time is given back; and the station, when it was the customer who gave it back."""
    _write_to_customer("booking_cancelled", booking)
    if by_customer:
        _write_to_station("booking_cancelled_by_customer", booking)


def supersede(booking: Booking) -> None:
    """Void what has not left yet about a booking that is changing. Call it inside the command, before writing anew."""
    db.session.execute(
        update(Notification)
        .where(Notification.booking_id == booking.id, Notification.state == "pending")
        .values(state="cancelled", lease=None, leased_until=None)
    )


@command
def claim() -> ClaimedLetter | None:
    """Take a letter that is due, for the length of a lease. Two senders never get the same one.

    It is looked at once more beside its booking, which is locked for that moment: what speaks of an older version or of
    a booking that no longer lives is cancelled, what would come after the visit has failed, and the next one is taken.
    """
    now = clock.now()
    due = (
        select(Notification, Booking)
        .join(Notification.booking)
        .where(*_is_due(now))
        .order_by(Notification.attempts, Notification.due_at, Notification.id)  # one that never works delays no other
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while found := db.session.execute(due).first():
        if letter := _lease(*found, now):
            return letter
    return None


@command
def mark_sent(letter_id: int, lease: str) -> bool:
    """The mail server has taken it. False when the lease had gone to another sender meanwhile."""
    return _finish(letter_id, lease, state="sent", sent_at=clock.now(), last_error="")


@command
def mark_failed(letter_id: int, lease: str, error: str) -> bool:
    """It can never be delivered, and `error` says why to the people of the station."""
    return _fail(letter_id, lease, error)


@command
def retry_later(letter_id: int, lease: str, error: str) -> bool:
    """It did not work. Due again in 1, 2, 5, 10, then every 30 minutes: for a day, or until the visit begins."""
    row = db.session.get(Notification, letter_id, populate_existing=True)
    if row is None:
        return False
    due_at = clock.now() + BACK_OFF[min(row.attempts, len(BACK_OFF)) - 1]
    if row.attempts >= MOST_ATTEMPTS or due_at >= row.booking.starts_at:
        return _fail(letter_id, lease, error)
    return _finish(letter_id, lease, due_at=due_at, last_error=error[:LONGEST_ERROR])


def failure_of(booking: Booking) -> str | None:
    """Why the customer did not get the last letter about a booking to the address they gave: the error; None if they
    did, or still may."""
    last = db.session.execute(
        select(Notification.state, Notification.last_error)
        .where(
            Notification.booking_id == booking.id,
            Notification.recipient == booking.customer_email,
            Notification.kind.in_([name for name, kind in KINDS.items() if kind.to_customer]),
            Notification.state != "cancelled",
        )
        .order_by(Notification.due_at.desc(), Notification.id.desc())
        .limit(1)
    ).first()
    return last.last_error if last is not None and last.state == "failed" else None


def is_anything_due() -> bool:
    """Is there a letter that somebody could claim now?"""
    return db.session.scalar(select(Notification.id).where(*_is_due(clock.now())).limit(1)) is not None


def oldest_due_age() -> timedelta:
    """How long the longest waiting letter has been due. Zero when nothing waits; minutes mean that nobody sends."""
    now = clock.now()
    oldest = db.session.scalar(
        select(func.min(Notification.due_at)).where(Notification.state == "pending", Notification.due_at <= now)
    )
    return now - oldest if oldest else timedelta()


def _has_enough(recipient: str, now: datetime) -> bool:
    """Has this address been promised as many letters as one customer can want?"""
    one_at_a_time(f"letters {recipient}")
    for most, within in MOST_LETTERS:
        promised = select(func.count()).where(
            Notification.recipient == recipient,
            Notification.created_at > now - within,
            Notification.state.in_(("pending", "sent")),
        )
        if (db.session.scalar(promised) or 0) >= most:
            return True
    return False


def _is_due(now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        Notification.state == "pending",
        Notification.due_at <= now,
        (Notification.leased_until.is_(None)) | (Notification.leased_until <= now),
    )


def _lease(row: Notification, booking: Booking, now: datetime) -> ClaimedLetter | None:
    kind = KINDS.get(row.kind)
    if row.revision != booking.revision or (kind and kind.of_live_booking and booking.status not in LIVE):
        row.state, row.lease, row.leased_until = "cancelled", None, None
        return None
    if booking.ends_at <= now or row.attempts >= MOST_ATTEMPTS:
        row.state, row.lease, row.leased_until = "failed", None, None
        row.last_error = row.last_error or "not sent before the visit was over"
        return None
    row.attempts += 1
    row.lease, row.leased_until = secrets.token_hex(16), now + LEASE
    return ClaimedLetter(
        id=row.id,
        kind=row.kind,
        booking_id=row.booking_id,
        recipient=row.recipient,
        locale=row.locale,
        message_id=row.message_id,
        lease=row.lease,
        leased_until=row.leased_until,
        token=_new_link(booking, now) if kind and kind.to_customer else None,
    )


def _new_link(booking: Booking, now: datetime) -> str:
    token = new_token()
    db.session.add(BookingLink(token_hash=hash_of(token), booking_id=booking.id, created_at=now))
    return token


def _fail(letter_id: int, lease: str, error: str) -> bool:
    """For good: the station's screens show it."""
    station = select(Booking.service_point_id).join(Notification, Notification.booking_id == Booking.id)
    point_id = db.session.scalar(station.where(Notification.id == letter_id))
    if point_id is not None:
        revisions.touch(point_id)
    return _finish(letter_id, lease, state="failed", last_error=error[:LONGEST_ERROR])


def _finish(letter_id: int, lease: str, **values: object) -> bool:
    """Fenced: only the present lease may write, and what is sent, failed or cancelled stays so."""
    finished = db.session.execute(
        update(Notification)
        .where(Notification.id == letter_id, Notification.lease == lease, Notification.state == "pending")
        .values(lease=None, leased_until=None, **values)
        .returning(Notification.id)
    )
    return finished.scalar() is not None


def _write_to_customer(kind: str, booking: Booking) -> None:
    """Nobody has proven that an address is theirs: it gets at most five letters an hour and ten a day."""
    if booking.customer_email:
        refused = TOO_MANY_LETTERS if _has_enough(booking.customer_email, clock.now()) else ""
        write(kind, booking, booking.customer_email, booking.locale, refused=refused)


def _write_to_station(kind: str, booking: Booking) -> None:
    station = booking.service_point
    if station.email:
        write(kind, booking, station.email, station.locale)


def _announce() -> None:
    letters_written.send()

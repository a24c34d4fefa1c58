"""The outbox: letters are written down in the transaction of the change they tell about, and sent afterwards.

The rows are the truth; no queue is. A row is `pending` until it is `sent`, has `failed` for good, or is `cancelled`
because the booking changed before the letter left. Nothing here knows what a letter looks like or how it travels.

Whoever sends a letter claims it first (tirefit.leases): a lease of 90 seconds, whose holder alone says how it ended.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import blinker
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tirefit import clock, leases, revisions
from tirefit.database import command, db, on_commit, one_at_a_time
from tirefit.leases import LONGEST_ERROR, MOST_ATTEMPTS
from tirefit.models import Booking, BookingLink, Invitation, LetterStop, Notification, PersonLink, User
from tirefit.notifications.kinds import KINDS, RESET_LASTS, TO_PEOPLE, USEFUL_FOR
from tirefit.schedule.reservations import hash_of, new_token

MOST_LETTERS = ((5, timedelta(hours=1)), (10, timedelta(days=1)))  # to one customer's address; the longest time last
TOO_MANY_LETTERS = "too many letters to this address"
LINK_AGAIN_AFTER = timedelta(minutes=10)
TOO_LATE = "not sent before the visit was over"
STOPPED = "the customer wants no reminders"

letters_written = blinker.Signal("A command that wrote letters has been committed: somebody may send them now.")


@dataclass(frozen=True)
class ClaimedLetter:
    """A letter to send now. `token` opens the booking for the customer; it is nowhere else but in the letter.

    One without a booking is about a topic: of a station, or with `facts` about the installation.
    """

    id: int
    kind: str
    booking_id: int | None
    recipient: str
    locale: str
    message_id: str
    lease: str
    leased_until: datetime
    token: str | None
    service_point_id: int | None = None
    topic: str = ""
    facts: dict[str, Any] | None = None


def write(
    kind: str, booking: Booking, recipient: str, locale: str, due_at: datetime | None = None, refused: str = ""
) -> None:
    """Promise a letter about `booking` as it now is. Call it inside the command, after the change.

    One version of a booking gives one letter of a kind to one recipient: written twice, it still leaves once. A letter
    that is `refused` for a reason does not leave, but the people of the station see that it did not; what is a mere
    courtesy is dropped without bothering them.
    """
    db.session.flush()
    known = KINDS.get(kind)
    about = {"booking_id": booking.id, "revision": booking.revision, "service_point_id": booking.service_point_id}
    state = "pending" if not refused else "cancelled" if known and known.may_be_stopped else "failed"
    _insert(kind, recipient, locale, due_at, **about, state=state, last_error=refused)


def write_topic(
    kind: str,
    topic: str,
    recipient: str,
    locale: str,
    *,
    service_point_id: int | None = None,
    due_at: datetime | None = None,
    facts: dict[str, Any] | None = None,
) -> bool:
    """Promise a letter that is about no booking. One topic gives one letter of a kind to a recipient; → was it new?"""
    about = {"topic": topic, "revision": 0, "service_point_id": service_point_id, "facts": facts}
    return _insert(kind, recipient, locale, due_at, **about)


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


def write_courtesy(kind: str, booking: Booking) -> None:
    """Promise the customer a letter that has come due (see notifications.reminders)."""
    due = KINDS[kind].due
    assert due is not None, kind
    _write_to_customer(kind, booking, due_at=due(booking))


def is_stopped(booking: Booking) -> bool:
    """Has the customer said that they want no reminders from this station?"""
    if not booking.customer_email:
        return False
    key = {"service_point_id": booking.service_point_id, "email": booking.customer_email.lower()}
    return db.session.get(LetterStop, key) is not None


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
        .where(*leases.is_due(Notification, now))
        .order_by(*leases.in_turn(Notification))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while found := db.session.execute(due).first():
        row, booking = found
        if _may_leave(row, booking, now):
            kind = KINDS.get(row.kind)
            return _lease(row, now, _new_link(booking, now) if kind and kind.to_customer else None)
    of_no_booking = (
        select(Notification)
        .where(Notification.booking_id.is_(None), *leases.is_due(Notification, now))
        .order_by(*leases.in_turn(Notification))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while about_no_booking := db.session.scalar(of_no_booking):
        if now >= about_no_booking.created_at + USEFUL_FOR:
            _end(about_no_booking, "failed", TOO_LATE)
        elif about_no_booking.kind not in TO_PEOPLE:
            return _lease(about_no_booking, now, None)
        elif key := new_key(about_no_booking.facts or {}, now):
            return _lease(about_no_booking, now, key)
        else:
            _end(about_no_booking, "cancelled")
        db.session.flush()
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
    due_at = leases.next_try(row.attempts, clock.now())
    if row.attempts >= MOST_ATTEMPTS or due_at >= _retried_until(row):
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
    due = select(Notification.id).where(*leases.is_due(Notification, clock.now()))
    return db.session.scalar(due.limit(1)) is not None


def how_many_wait() -> int:
    """How many letters are due and have not left."""
    waiting = select(func.count()).where(Notification.state == "pending", Notification.due_at <= clock.now())
    return db.session.scalar(waiting) or 0


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
    since = {f"since_{most}": now - within for most, within in MOST_LETTERS}
    promised = db.session.execute(PROMISED, {"recipient": recipient, **since}).one()
    return any(count >= most for count, (most, _) in zip(promised, MOST_LETTERS, strict=True))


def _may_leave(row: Notification, booking: Booking, now: datetime) -> bool:
    """Is it still true, wanted and in time? If not, it is told in the row why it does not leave (or when it will)."""
    kind = KINDS.get(row.kind)
    if row.revision != booking.revision or (kind and booking.status not in kind.statuses):
        _end(row, "cancelled")
    elif now >= (kind.until(booking) if kind else booking.ends_at) or row.attempts >= MOST_ATTEMPTS:
        in_vain = row.attempts or not (kind and kind.may_be_stopped)
        _end(row, "failed" if in_vain else "cancelled", row.last_error or TOO_LATE)
    elif kind and kind.may_be_stopped and is_stopped(booking):
        _end(row, "cancelled", STOPPED)
    elif kind and kind.due and not row.attempts and (due_at := kind.due(booking)) > now:
        row.due_at = due_at  # the visit has been shifted without a word to the customer
    else:
        return True
    db.session.flush()
    return False


def _end(row: Notification, state: str, error: str = "") -> None:
    row.state, row.lease, row.leased_until, row.last_error = state, None, None, error or row.last_error


def _lease(row: Notification, now: datetime, token: str | None) -> ClaimedLetter:
    lease = leases.take(row, now)
    return ClaimedLetter(
        id=row.id,
        kind=row.kind,
        booking_id=row.booking_id,
        recipient=row.recipient,
        locale=row.locale,
        message_id=row.message_id,
        lease=lease,
        leased_until=now + leases.LEASE,
        token=token,
        service_point_id=row.service_point_id,
        topic=row.topic,
        facts=row.facts,
    )


def _retried_until(row: Notification) -> datetime:
    kind = KINDS.get(row.kind)
    if row.booking is None:
        return row.created_at + USEFUL_FOR
    return kind.retried_until(row.booking) if kind else row.booking.starts_at


def _new_link(booking: Booking, now: datetime) -> str:
    token = new_token()
    db.session.add(BookingLink(token_hash=hash_of(token), booking_id=booking.id, created_at=now))
    return token


def new_key(facts: dict[str, Any], now: datetime) -> str | None:
    """Inside a command: the end of a link that opens an invitation (`invitation_id`), or a new password (`user_id`),
    once; None: the invitation or the account is closed.
    """
    if "invitation_id" in facts:
        invitation = db.session.get(Invitation, facts["invitation_id"])
        if invitation is None or invitation.expires_at <= now:
            return None
        opens, until = {"invitation_id": invitation.id}, invitation.expires_at
    else:
        user = db.session.get(User, facts["user_id"])
        if user is None or not user.active:
            return None
        opens, until = {"user_id": user.id}, now + RESET_LASTS
    token = new_token()
    db.session.add(PersonLink(token_hash=hash_of(token), expires_at=until, **opens))
    return token


def _fail(letter_id: int, lease: str, error: str) -> bool:
    """For good: the station's screens show it."""
    station = select(Booking.service_point_id).join(Notification, Notification.booking_id == Booking.id)
    point_id = db.session.scalar(station.where(Notification.id == letter_id))
    if point_id is not None:
        revisions.touch(point_id)
    return _finish(letter_id, lease, state="failed", last_error=error[:LONGEST_ERROR])


def _finish(letter_id: int, lease: str, **values: object) -> bool:
    return leases.finish(Notification, letter_id, lease, **values)


def _write_to_customer(kind: str, booking: Booking, due_at: datetime | None = None) -> None:
    """Nobody has proven that an address is theirs: it gets at most five letters an hour and ten a day."""
    if booking.customer_email:
        refused = TOO_MANY_LETTERS if _has_enough(booking.customer_email, clock.now()) else ""
        write(kind, booking, booking.customer_email, booking.locale, due_at, refused=refused)


def _write_to_station(kind: str, booking: Booking) -> None:
    station = booking.service_point
    if station.email:
        write(kind, booking, station.email, station.locale)


def _insert(kind: str, recipient: str, locale: str, due_at: datetime | None, **about: Any) -> bool:
    """A row, if there is none of that name yet; → was it new?"""
    now = clock.now()
    values = {
        "kind": kind,
        "recipient": recipient,
        "locale": locale,
        "message_id": secrets.token_hex(16),
        "due_at": due_at or now,
        "created_at": now,
        **about,
    }
    is_new = db.session.execute(INSERT[db.engine.dialect.name], values).scalar() is not None
    announce()
    return is_new


def announce() -> None:
    """Inside a command that has written letters: once it is committed, somebody may send them."""
    on_commit(_announce)


def _announce() -> None:
    letters_written.send()


# Made once, of tables, for every booking sends them: to make a statement anew costs more than to ask it.
_table: Any = Notification.__table__
PROMISED = select(
    *(func.count().filter(_table.c.created_at > bindparam(f"since_{most}")) for most, _ in MOST_LETTERS)
).where(
    _table.c.recipient == bindparam("recipient"),
    _table.c.created_at > bindparam(f"since_{MOST_LETTERS[-1][0]}"),
    _table.c.state.in_(("pending", "sent")),
)
INSERT = {
    name: dialect.insert(_table).on_conflict_do_nothing().returning(_table.c.id)
    for name, dialect in (("sqlite", sqlite), ("postgresql", postgresql))
}

"""The links that customers open their bookings with: sent, sent again, made new. Only their hashes are kept."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, bindparam, func, insert, select, update

from tirefit import clock, limits
from tirefit.booking import states
from tirefit.booking.record import load_for_change, record
from tirefit.database import command, db
from tirefit.models import LIVE, Booking, BookingLink
from tirefit.notifications import outbox
from tirefit.schedule.reservations import hash_of, new_token


@command
def send_link(booking_id: int, email: str, origin: str | None = None) -> Booking:
    """Send the link of a booking to its customer, who has it open and names (or corrects) the address for letters.

    The address is kept for later letters. Asked again within ten minutes, it is one letter. `origin` (a network) may
    ask so often an hour (TooManyAttempts).
    """
    if origin is not None:
        limits.require_few(limits.LINKS, origin)
    booking = load_for_change(booking_id)
    if booking.customer_email != email:
        before = {"customer_email": booking.customer_email}
        booking.customer_email = email
        record(booking, "email_set", before=before, actor=states.CUSTOMER)
    outbox.write_link(booking)
    return booking


@command
def send_lost_links(email: str, origin: str | None = None) -> None:
    """Send whoever lost their links a letter for each of their bookings to come, if that address has any.

    Whether it has is told by nothing but the letter. `origin` (a network) may ask so often an hour (TooManyAttempts).
    """
    if origin is not None:
        limits.require_few(limits.LINKS, origin)
    to_come = select(Booking).where(
        func.lower(Booking.customer_email) == email.lower(), Booking.status.in_(LIVE), Booking.ends_at > clock.now()
    )
    for booking in db.session.scalars(to_come.order_by(Booking.id)):
        outbox.write_link(booking)


@command
def renew_link(booking_id: int) -> str:
    """Let every link to a booking that is in the world die, and make one new; → its token, told only now."""
    booking = load_for_change(booking_id)
    db.session.execute(
        update(BookingLink)
        .where(BookingLink.booking_id == booking.id, BookingLink.revoked_at.is_(None))
        .values(revoked_at=clock.now())
    )
    token = new_token()
    write_link(booking, token)
    record(booking, "link_renewed", before={}, actor=states.CUSTOMER)
    return token


def find_by_token(token: str) -> Booking | None:
    """The booking that a customer's link opens. A revoked or unknown link opens nothing."""
    return db.session.scalar(
        select(Booking)
        .join(BookingLink, BookingLink.booking_id == Booking.id)
        .where(BookingLink.token_hash == hash_of(token), BookingLink.revoked_at.is_(None))
    )


def opened_by(tokens: Sequence[str]) -> dict[str, Booking]:
    """Which booking each of these links opens. Those that are revoked or unknown are left out."""
    by_hash = {hash_of(token): token for token in tokens}
    found = db.session.execute(
        select(BookingLink.token_hash, Booking)
        .join(Booking, Booking.id == BookingLink.booking_id)
        .where(BookingLink.token_hash.in_(by_hash), BookingLink.revoked_at.is_(None))
    )
    return {by_hash[token_hash]: booking for token_hash, booking in found}


def link_of(token: str) -> Row[int, datetime | None] | None:
    """Which booking (`booking_id`) a token was made for, and since when it opens it no longer (`revoked_at`)."""
    return db.session.execute(LINK, {"token_hash": hash_of(token)}).one_or_none()


def write_link(booking: Booking, token: str) -> None:
    """Inside a command: let this token open the booking."""
    link = {"token_hash": hash_of(token), "booking_id": booking.id, "created_at": clock.now()}
    db.session.execute(WRITE_LINK, link)


_link = BookingLink.__table__.c
LINK = select(_link.booking_id, _link.revoked_at).where(_link.token_hash == bindparam("token_hash"))
WRITE_LINK = insert(BookingLink.__table__)  # type: ignore[arg-type]

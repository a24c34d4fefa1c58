"""What is known about who has seen customers' data, for whoever must tell the authority: docs/privacy.md.

Only what is written down when it happens. Looking at a page is not: everybody with a role at a station may have seen
all of its customers.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, select

from tirefit.database import db
from tirefit.models import AuditEntry, Booking, BookingEvent, ServicePoint, User, UserRole, UserSession

SEEN = "phone_shown"  # of a booking: its customer's, whole
# What left as a file, which ways in were opened, and who was let through them.
LET_OUT = ("bookings_exported", "journal_exported")
LET_IN = (
    *("token_made", "feed_made", "webhook_added", "webhook_changed", "webhook_secret_renewed", "bay_paired"),
    *("user_added", "user_invited", "user_opened", "role_changed", "sites_changed"),
    *("password_changed", "password_reset", "second_step_off", "recovery_codes_made", "recovery_code_used"),
)


@dataclass(frozen=True)
class Deed:
    at: datetime
    who: str  # e-mail; "": nobody of the stations
    where: str  # the station's slug; "": the network
    what: str
    of_what: str


def since(moment: datetime) -> list[Deed]:
    """All that is written down from then on, the oldest first. Sign-ins: those whose sessions have not ended."""
    entries = (
        select(AuditEntry.at, User.email, ServicePoint.slug, AuditEntry.event, AuditEntry.label)
        .outerjoin(User, User.id == AuditEntry.user_id)
        .outerjoin(ServicePoint, ServicePoint.id == AuditEntry.service_point_id)
        .where(AuditEntry.at >= moment, AuditEntry.event.in_(LET_OUT + LET_IN))
    )
    traces = (
        select(BookingEvent.at, User.email, ServicePoint.slug, BookingEvent.event, Booking.number)
        .join(Booking, Booking.id == BookingEvent.booking_id)
        .join(ServicePoint, ServicePoint.id == Booking.service_point_id)
        .outerjoin(User, User.id == BookingEvent.user_id)
        .where(BookingEvent.at >= moment, BookingEvent.event == SEEN)
    )
    sessions = (
        select(UserSession.created_at, User.email, UserSession.browser)
        .join(User, User.id == UserSession.user_id)
        .where(UserSession.created_at >= moment)
    )
    deeds = [Deed(at, email or "", slug or "", *rest) for at, email, slug, *rest in _rows(entries, traces)]
    deeds += [Deed(at, email, "", "signed_in", browser) for at, email, browser in _rows(sessions)]
    return sorted(deeds, key=lambda deed: deed.at)


def may_see() -> list[tuple[str, str, str]]:
    """Who may look at customers, and so may have: (slug of the station, e-mail, role). An admin: everywhere, ""."""
    roles = (
        select(ServicePoint.slug, User.email, UserRole.role)
        .select_from(UserRole)
        .join(User, User.id == UserRole.user_id)
        .outerjoin(ServicePoint, ServicePoint.id == UserRole.service_point_id)
        .where(User.active)
    )
    return sorted((slug or "", email, role) for slug, email, role in _rows(roles))


def _rows(*questions: Select[*tuple[Any, ...]]) -> Iterator[Row[*tuple[Any, ...]]]:
    for question in questions:
        yield from db.session.execute(question)

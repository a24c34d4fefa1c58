"""The journal: who has changed what at a station. Commands write it; nothing ever alters it.

Bookings leave their own trace (`BookingEvent`); the journal shows both, the newest first.
"""

import heapq
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, false, or_, select

from tirefit import clock
from tirefit.database import command, db
from tirefit.models import AuditEntry, Booking, BookingEvent, ServicePoint, User, UserRole

BOOKINGS = "booking"  # the kind of thing whose traces are kept elsewhere
SYSTEM, CUSTOMER = "system", "customer"  # who it was, where it was nobody of the station
MOST_ID = 2**31 - 1


def record(
    event: str,
    kind: str,
    thing_id: int | str,
    *,
    label: str = "",
    point_id: int | None,
    user_id: int | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Inside a command: leave the trace of a change, in its transaction.

    `event` says what was done, in the words of tirefit/web/audit_words.py; `kind`, `thing_id` and `label` to
    what, as it is called now. `before` and `after` are plain data (None: it is not there); only what differs is kept,
    and a change that changed nothing leaves no trace. Never pass secrets. Without `user_id` it was the system; without
    `point_id` it concerns the network.
    """
    was, became = before, after
    if before is not None and after is not None:
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        if not names:
            return
        was, became = ({name: state.get(name) for name in names} for state in (before, after))
    entry = AuditEntry(
        at=clock.now(),
        user_id=user_id,
        service_point_id=point_id,
        event=event,
        kind=kind,
        thing_id=str(thing_id),
        label=label,
        before=was,
        after=became,
    )
    db.session.add(entry)


@command
def note_export(point: ServicePoint, lines: int, *, user_id: int | None) -> None:
    """Somebody has saved so many lines of a station's journal to a file."""
    record("journal_exported", "export", "", label=str(lines), point_id=point.id, user_id=user_id)


@dataclass(frozen=True)
class Filters:
    """What is looked for: whose changes (a user's id, "system" or "customer"), of which kind, of which thing."""

    who: str = ""
    kind: str = ""
    thing: str = ""


@dataclass(frozen=True)
class Line:
    """One thing that was done. `name` is who did it, for people of the stations."""

    at: datetime
    actor: str  # "user", "customer" or "system"
    user_id: int | None
    name: str
    event: str
    kind: str
    thing_id: str
    label: str
    before: Any
    after: Any
    row: int  # its id among the lines of bookings, or among the others
    starts_at: datetime | None = None  # of a booking, as it is now: where it is found

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        """(what, before, after) for each part that has changed."""
        before, after = self.before or {}, self.after or {}
        if not (isinstance(before, dict) and isinstance(after, dict)):
            return []
        return [(name, before.get(name), after.get(name)) for name in {**before, **after}]


@dataclass(frozen=True)
class Page:
    """Lines, the newest first, and where the next page begins (None: this is the last)."""

    lines: list[Line]
    after: str | None


def read(point: ServicePoint, filters: Filters, *, of_network: bool, after: str = "", limit: int = 50) -> Page:
    """The journal of a station: two statements, whatever the filters and however long its history.

    `of_network` adds what concerns no single station, which only admins see.
    """
    entry, trace = _position(after)
    entries = (
        _line_of_entry(found, name)
        for found, name in db.session.execute(_entries(point, filters, of_network, entry, limit))
    )
    traces = (_line_of_trace(*tuple(row)) for row in db.session.execute(_traces(point, filters, trace, limit)))
    lines = list(_newest_first(entries, traces))
    shown = lines[:limit]
    for line in shown:
        if line.kind == BOOKINGS:
            trace = line.row
        else:
            entry = line.row
    shown.sort(key=lambda line: line.at, reverse=True)  # what came from elsewhere was not written as it happened
    return Page(shown, f"{entry}-{trace}" if len(lines) > limit else None)


def authors_of(point: ServicePoint) -> Sequence[Row[int, str]]:
    """Whose changes there can be, as (id, name): people of the station and admins, by name."""
    here = select(UserRole.user_id).where(
        or_(UserRole.service_point_id == point.id, UserRole.service_point_id.is_(None))
    )
    return db.session.execute(select(User.id, User.name).where(User.id.in_(here)).order_by(User.name, User.id)).all()


def _entries(point: ServicePoint, filters: Filters, of_network: bool, below: int, limit: int) -> Select[Any, Any]:
    here = AuditEntry.service_point_id == point.id
    found = (
        select(AuditEntry, User.name)
        .outerjoin(User, User.id == AuditEntry.user_id)
        .where(or_(here, AuditEntry.service_point_id.is_(None)) if of_network else here, AuditEntry.id < below)
        .order_by(AuditEntry.id.desc())
        .limit(limit + 1)
    )
    if filters.kind:
        found = found.where(AuditEntry.kind == filters.kind)
    if filters.thing:
        found = found.where(AuditEntry.thing_id == filters.thing)
    if filters.who == CUSTOMER:
        found = found.where(false())
    elif filters.who:
        found = found.where(AuditEntry.user_id == (int(filters.who) if filters.who != SYSTEM else None))
    return found


def _traces(point: ServicePoint, filters: Filters, below: int, limit: int) -> Select[Any, Any, Any, Any, Any, Any]:
    found = (
        select(BookingEvent, User.name, Booking.number, Booking.plate, Booking.customer_name, Booking.starts_at)
        .join(Booking, Booking.id == BookingEvent.booking_id)
        .outerjoin(User, User.id == BookingEvent.user_id)
        .where(Booking.service_point_id == point.id, BookingEvent.id < below)
        .order_by(BookingEvent.id.desc())
        .limit(limit + 1)
    )
    if filters.kind and filters.kind != BOOKINGS:
        found = found.where(false())
    if filters.thing:
        found = found.where(Booking.number == filters.thing)
    if filters.who in (CUSTOMER, SYSTEM):
        found = found.where(BookingEvent.actor == filters.who)
    elif filters.who:
        found = found.where(BookingEvent.user_id == int(filters.who))
    return found


def _line_of_entry(entry: AuditEntry, name: str | None) -> Line:
    return Line(
        at=entry.at,
        actor="user" if entry.user_id else SYSTEM,
        user_id=entry.user_id,
        name=name or "",
        event=entry.event,
        kind=entry.kind,
        thing_id=entry.thing_id,
        label=entry.label,
        before=entry.before,
        after=entry.after,
        row=entry.id,
    )


def _line_of_trace(
    trace: BookingEvent, name: str | None, number: str, plate: str, customer: str, starts_at: datetime
) -> Line:
    return Line(
        at=trace.at,
        actor=trace.actor,
        user_id=trace.user_id,
        name=name or "",
        event=trace.event,
        kind=BOOKINGS,
        thing_id=number,
        label=plate or customer,
        before=trace.before,
        after=trace.after,
        row=trace.id,
        starts_at=starts_at,
    )


def _newest_first(entries: Iterator[Line], traces: Iterator[Line]) -> Iterator[Line]:
    return heapq.merge(entries, traces, key=lambda line: line.at, reverse=True)


def _position(after: str) -> tuple[int, int]:
    """Where a page begins: below which ids of either table."""
    entry, _, trace = after.partition("-")
    known = re.fullmatch(r"[0-9]{1,10}-[0-9]{1,10}", after)
    return (min(int(entry), MOST_ID), min(int(trace), MOST_ID)) if known else (MOST_ID, MOST_ID)

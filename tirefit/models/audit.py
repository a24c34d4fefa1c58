"""What people of the stations have changed, for as long as anybody may ask. Rows are added, never altered."""

from datetime import datetime
from typing import Any

from sqlalchemy import DDL, JSON, ForeignKey, Index, event
from sqlalchemy.orm import Mapped, mapped_column

from tirefit.database import Base
from tirefit.models.bookings import BookingEvent


class AuditEntry(Base):
    """One change of anything but a booking (these have `BookingEvent`): who, when, of what, from what to what."""

    __tablename__ = "audit_entries"
    __table_args__ = (
        Index("ix_audit_entries_service_point_id_id", "service_point_id", "id"),
        Index("ix_audit_entries_kind_thing_id", "kind", "thing_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))  # None: the system
    # None: it is about the whole network
    service_point_id: Mapped[int | None] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    event: Mapped[str]
    kind: Mapped[str]  # of the thing: post, template, exception, user, bay, …
    thing_id: Mapped[str]
    label: Mapped[str]  # what the thing was called then
    before: Mapped[Any] = mapped_column(JSON)  # only what differs; null: it was not there
    after: Mapped[Any] = mapped_column(JSON)


class UsageCount(Base):
    """How often something happened to visitors of a station within an hour (tirefit/usage.py)."""

    __tablename__ = "usage_counts"

    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"), primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int]


# --- what has been written stays written: the schema refuses to alter it
# Only whose visit it was may be forgotten (booking.privacy): the traces of a booking without a customer may change in
# what they tell of before and after.

ENTRIES_STAY, TRACES_STAY = "audit_entries_stay", "booking_events_stay"
_NOBODYS = """EXISTS (SELECT 1 FROM bookings b WHERE b.id = OLD.booking_id
    AND b.customer_name = '' AND b.customer_phone = '' AND b.customer_email IS NULL AND b.plate = '')"""
_SAME = " AND ".join(
    f"NEW.{name} {{same}} OLD.{name}" for name in ("id", "booking_id", "at", "actor", "user_id", "event")
)

SQLITE_JOURNAL_GUARD = {
    ENTRIES_STAY: f"""CREATE TRIGGER {ENTRIES_STAY} BEFORE UPDATE ON audit_entries
BEGIN SELECT RAISE(ABORT, '{ENTRIES_STAY}'); END""",
    TRACES_STAY: f"""CREATE TRIGGER {TRACES_STAY} BEFORE UPDATE ON booking_events
WHEN NOT ({_SAME.format(same="IS")} AND {_NOBODYS})
BEGIN SELECT RAISE(ABORT, '{TRACES_STAY}'); END""",
}
POSTGRESQL_JOURNAL_GUARD = (
    f"""CREATE FUNCTION {ENTRIES_STAY}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '{ENTRIES_STAY}'; END $$""",
    f"""CREATE TRIGGER {ENTRIES_STAY} BEFORE UPDATE ON audit_entries
FOR EACH ROW EXECUTE FUNCTION {ENTRIES_STAY}()""",
    f"""CREATE FUNCTION {TRACES_STAY}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
IF NOT ({_SAME.format(same="IS NOT DISTINCT FROM")} AND {_NOBODYS}) THEN RAISE EXCEPTION '{TRACES_STAY}'; END IF;
RETURN NEW;
END $$""",
    f"""CREATE TRIGGER {TRACES_STAY} BEFORE UPDATE ON booking_events
FOR EACH ROW EXECUTE FUNCTION {TRACES_STAY}()""",
)
_tables = {ENTRIES_STAY: AuditEntry.__table__, TRACES_STAY: BookingEvent.__table__}
for _name, _trigger in SQLITE_JOURNAL_GUARD.items():
    _make = DDL(_trigger).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]
    event.listen(_tables[_name], "after_create", _make)
for _statement in POSTGRESQL_JOURNAL_GUARD:
    _make = DDL(_statement).execute_if(dialect="postgresql")  # type: ignore[no-untyped-call]
    event.listen(_tables[ENTRIES_STAY if ENTRIES_STAY in _statement else TRACES_STAY], "after_create", _make)

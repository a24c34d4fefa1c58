"""What people of the stations have changed, for as long as anybody may ask. Rows are added, never altered."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from tirefit.database import Base


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

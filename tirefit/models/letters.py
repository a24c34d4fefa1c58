"""The outbox: what is to be sent, and how far it got. The table is the truth, the queue only a doorbell."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tirefit.database import Base
from tirefit.models.bookings import Booking
from tirefit.models.stations import ServicePoint

OF_NO_BOOKING = text("booking_id IS NULL")


class Notification(Base):
    """One letter to one recipient about one version of one booking; or, without a booking, about one topic: a station's
    day, or what is wrong with the installation. It leaves once."""

    __tablename__ = "notifications"
    __table_args__ = (
        UniqueConstraint("booking_id", "revision", "kind", "recipient"),
        CheckConstraint("state IN ('pending', 'sent', 'failed', 'cancelled')", name="state"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_has_its_time"),
        Index("ix_notifications_recipient_created_at", "recipient", "created_at"),  # how many one address got lately
        Index(
            "ix_notifications_due_at",
            "due_at",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
        Index("ix_notifications_service_point_id_due_at", "service_point_id", "due_at"),  # a station's log
        Index(
            "ix_notifications_topic",
            "kind",
            "topic",
            "recipient",
            unique=True,
            postgresql_where=OF_NO_BOOKING,
            sqlite_where=OF_NO_BOOKING,
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    booking_id: Mapped[int | None] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
    service_point_id: Mapped[int | None] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    topic: Mapped[str] = mapped_column(default="", server_default="")  # "zimnyaya-5 2026-11-24", "letters 2026-11-23"
    facts: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))  # what was seen; about no person
    revision: Mapped[int]  # of the booking, when the letter was written
    kind: Mapped[str]
    recipient: Mapped[str]
    locale: Mapped[str]
    message_id: Mapped[str] = mapped_column(unique=True)  # the same at every attempt: a second copy is seen as one
    state: Mapped[str] = mapped_column(default="pending", server_default="pending")
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    lease: Mapped[str | None]  # whose turn it is to send; a late sender with an old lease changes nothing
    leased_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    last_error: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime]

    booking: Mapped[Booking | None] = relationship()
    service_point: Mapped[ServicePoint | None] = relationship()


class LetterStop(Base):
    """Whoever has this address wants no reminders from this station. What they must know they are still told."""

    __tablename__ = "letter_stops"

    service_point_id: Mapped[int] = mapped_column(
        ForeignKey("service_points.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    email: Mapped[str] = mapped_column(primary_key=True)  # lower case
    created_at: Mapped[datetime]

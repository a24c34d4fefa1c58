"""The outbox: what is to be sent, and how far it got. The table is the truth, the queue only a doorbell."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tirefit.database import Base
from tirefit.models.bookings import Booking


class Notification(Base):
    """One letter to one recipient about one version of one booking. It leaves once."""

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
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    booking_id: Mapped[int] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
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

    booking: Mapped[Booking] = relationship()

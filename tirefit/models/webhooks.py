"""Webhooks: programs elsewhere that a station tells about its bookings, and what each of them is still to be told."""

from datetime import datetime

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tirefit.database import Base
from tirefit.models.stations import ServicePoint

WAITS = text("state = 'pending'")


class WebhookEndpoint(Base):
    """An address that a station's manager has named, and the events that it is told of."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_service_point_id", "service_point_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    url: Mapped[str]
    events: Mapped[list[str]] = mapped_column(JSON)  # booking.created, …
    seed: Mapped[str] = mapped_column(unique=True)  # its secret is made of this and of the installation's own secret
    active: Mapped[bool]
    failing_since: Mapped[datetime | None]  # it has taken nothing since, though it was asked to
    switched_off_at: Mapped[datetime | None]  # by us, because it had failed for too long
    created_at: Mapped[datetime]

    service_point: Mapped[ServicePoint] = relationship(viewonly=True)


class WebhookDelivery(Base):
    """One event told to one address. The text is made with the event, and is the same at every attempt."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("state IN ('pending', 'sent', 'failed', 'cancelled')", name="state"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", name="sent_has_its_time"),
        Index("ix_webhook_deliveries_due_at", "due_at", postgresql_where=WAITS, sqlite_where=WAITS),
        Index("ix_webhook_deliveries_webhook_endpoint_id", "webhook_endpoint_id"),
        Index("ix_webhook_deliveries_created_at", "created_at"),  # the old ones are swept away
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    webhook_endpoint_id: Mapped[int] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    message_id: Mapped[str] = mapped_column(unique=True)  # the same at every attempt: a second copy is seen as one
    event: Mapped[str]
    body: Mapped[str]  # JSON, byte for byte as it is signed; about no person
    state: Mapped[str] = mapped_column(default="pending", server_default="pending")
    due_at: Mapped[datetime]
    attempts: Mapped[int] = mapped_column(default=0, server_default="0")
    lease: Mapped[str | None]
    leased_until: Mapped[datetime | None]
    sent_at: Mapped[datetime | None]
    last_status: Mapped[int | None]  # of HTTP, at the last attempt; None: there was no answer
    last_error: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime]

    endpoint: Mapped[WebhookEndpoint] = relationship(viewonly=True)

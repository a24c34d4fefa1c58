"""The customer's record. Its time is its reservation's time: a composite foreign key keeps them equal."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tirefit.database import Base
from tirefit.models.services import CarType, Names
from tirefit.models.stations import ServicePoint, ServicePost

LIVE = ("pending", "confirmed", "arrived", "in_progress")
STATUSES = (*LIVE, "completed", "cancelled_by_customer", "cancelled_by_station", "no_show")
SOURCES = ("online", "staff", "walk_in", "api")
PROBLEMS = ("another_post", "no_part", "customer_refused", "breakdown")  # what a bay reports


def _in(values: tuple[str, ...]) -> str:
    return "(" + ", ".join(f"'{value}'" for value in values) + ")"


class Booking(Base):
    """A customer comes with a car at a time. Live bookings own exactly one reservation, the others none."""

    __tablename__ = "bookings"
    __table_args__ = (
        ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="RESTRICT",
        ),
        ForeignKeyConstraint(
            ["reservation_id", "service_post_id", "starts_at", "ends_at"],
            [
                "reservations.id",
                "reservations.service_post_id",
                "reservations.starts_at",
                "reservations.ends_at",
            ],
            onupdate="CASCADE",
            ondelete="RESTRICT",
        ),
        CheckConstraint(f"status IN {_in(STATUSES)}", name="status"),
        CheckConstraint(f"(status IN {_in(LIVE)}) = (reservation_id IS NOT NULL)", name="live_owns_its_time"),
        CheckConstraint(f"source IN {_in(SOURCES)}", name="source"),
        CheckConstraint("starts_at < ends_at", name="forwards"),
        CheckConstraint("total_duration > 0", name="total_duration"),
        CheckConstraint("late_minutes BETWEEN 1 AND 120", name="late_minutes"),
        CheckConstraint("wheel_inches BETWEEN 8 AND 40", name="wheel_inches"),
        CheckConstraint(f"problem IN {_in(('', *PROBLEMS))}", name="problem"),
        UniqueConstraint("reservation_id"),
        Index("ix_bookings_service_point_id_starts_at", "service_point_id", "starts_at"),  # a station's day
        Index("ix_bookings_customer_phone", "customer_phone"),  # how many bookings a phone has: there is a limit
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(unique=True)  # short, speakable, not countable
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="RESTRICT"))
    reservation_id: Mapped[int | None]
    service_post_id: Mapped[int]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    car_type_id: Mapped[int] = mapped_column(ForeignKey("car_types.id", ondelete="RESTRICT"))
    plate: Mapped[str] = mapped_column(default="", server_default="")
    customer_name: Mapped[str]
    customer_phone: Mapped[str]  # E.164; empty for a walk-in who gave none
    customer_email: Mapped[str | None]
    notes: Mapped[str] = mapped_column(default="", server_default="")
    total_duration: Mapped[int]  # minutes of work, as agreed
    total_price: Mapped[int]  # minor units of `currency`, as agreed
    currency: Mapped[str]
    status: Mapped[str]
    source: Mapped[str]
    locale: Mapped[str]
    consent_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    arrived_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    completed_at: Mapped[datetime | None]
    cancel_reason: Mapped[str] = mapped_column(default="", server_default="")
    wheel_inches: Mapped[int | None]
    wheel_minutes: Mapped[int] = mapped_column(default=0, server_default="0")  # of total_duration, for large wheels
    late_minutes: Mapped[int | None]  # how late the customer says they will be
    coming_revision: Mapped[int | None]  # the version of which the customer has said that they will come
    expected_end_at: Mapped[datetime | None]  # when the work will really be over, as the bay says
    problem: Mapped[str] = mapped_column(
        default="", server_default=""
    )  # what stands in the way of the work, if anything
    # The version the customer knows: letters and calendar files go by it.
    revision: Mapped[int] = mapped_column(default=1, server_default="1")
    # Grows with every change: whoever changes what somebody else has changed meanwhile is told so.
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    request_hash: Mapped[str | None]  # of what was asked for: the same key with another body is not a retry

    @property
    def is_coming(self) -> bool:
        """Has the customer said that they will come, at the time that it now is?"""
        return self.coming_revision == self.revision

    @property
    def agreed_end(self) -> datetime:
        """When the work is done if it begins in time: what customers are told. `ends_at` is the post's, whole slots."""
        return self.starts_at + timedelta(minutes=self.total_duration)

    service_point: Mapped[ServicePoint] = relationship(viewonly=True)
    post: Mapped[ServicePost] = relationship(viewonly=True)
    car_type: Mapped[CarType] = relationship(viewonly=True)
    lines: Mapped[list["BookingService"]] = relationship(
        order_by="BookingService.position", cascade="all, delete-orphan"
    )
    events: Mapped[list["BookingEvent"]] = relationship(order_by="BookingEvent.id", viewonly=True)


class BookingService(Base):
    """A line of a booking: the service, its minutes and its price as agreed then."""

    __tablename__ = "booking_services"

    booking_id: Mapped[int] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey("services.id", ondelete="RESTRICT"))
    names: Mapped[Names] = mapped_column(JSON)
    minutes: Mapped[int]
    price: Mapped[int]


class BookingLink(Base):
    """A capability: whoever has the token may see and manage this booking. Only its hash is kept."""

    __tablename__ = "booking_links"
    __table_args__ = (Index("ix_booking_links_booking_id", "booking_id"),)

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    booking_id: Mapped[int] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class BookingEvent(Base):
    """One change of a booking: who did what, when. Written in the transaction of the change, never altered."""

    __tablename__ = "booking_events"
    __table_args__ = (
        CheckConstraint("actor IN ('customer', 'user', 'system')", name="actor"),
        Index("ix_booking_events_booking_id", "booking_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    booking_id: Mapped[int] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))
    at: Mapped[datetime]
    actor: Mapped[str]
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    event: Mapped[str]
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)


class WaitingVisit(Base):
    """A car at the gate for which no post is free: it waits in the lane until it is given a place, or drives away."""

    __tablename__ = "waiting_visits"
    __table_args__ = (
        CheckConstraint("minutes > 0", name="minutes"),
        CheckConstraint("booking_id IS NULL OR left_at IS NOT NULL", name="placed_has_left_the_lane"),
        Index("ix_waiting_visits_service_point_id_arrived_at", "service_point_id", "arrived_at"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    nonce_hash: Mapped[str] = mapped_column(unique=True)  # of the form: sent twice, it is one car
    car_type_id: Mapped[int] = mapped_column(ForeignKey("car_types.id", ondelete="RESTRICT"))
    service_ids: Mapped[list[int]] = mapped_column(JSON)
    minutes: Mapped[int]
    plate: Mapped[str] = mapped_column(default="", server_default="")
    customer_phone: Mapped[str] = mapped_column(default="", server_default="")
    arrived_at: Mapped[datetime]
    left_at: Mapped[datetime | None]
    booking_id: Mapped[int | None] = mapped_column(ForeignKey("bookings.id", ondelete="CASCADE"))

    car_type: Mapped[CarType] = relationship(viewonly=True)

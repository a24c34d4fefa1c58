"""Stations and their posts. There is no post count: posts are counted."""

from datetime import date, datetime

from sqlalchemy import JSON, CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, query_expression, relationship

from tirefit.database import Base


class ServicePoint(Base):
    """A station (станция): where it is, how it speaks, and its rules for booking."""

    __tablename__ = "service_points"
    __table_args__ = (
        CheckConstraint("hold_minutes BETWEEN 5 AND 30", name="hold_minutes"),
        CheckConstraint("lead_minutes BETWEEN 0 AND 10080", name="lead_minutes"),
        CheckConstraint("horizon_days BETWEEN 1 AND 366", name="horizon_days"),
        CheckConstraint("cancel_cutoff_minutes BETWEEN 0 AND 10080", name="cancel_cutoff_minutes"),
        CheckConstraint("max_open_bookings_per_contact BETWEEN 1 AND 100", name="max_open_bookings"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    city: Mapped[str] = mapped_column(default="", server_default="")
    address: Mapped[str] = mapped_column(default="", server_default="")
    phone: Mapped[str] = mapped_column(default="", server_default="")  # E.164
    email: Mapped[str | None]
    country: Mapped[str] = mapped_column(default="UA", server_default="UA")  # ISO 3166: how local phones are read
    time_zone: Mapped[str] = mapped_column(default="Europe/Kyiv", server_default="Europe/Kyiv")  # IANA
    currency: Mapped[str] = mapped_column(default="UAH", server_default="UAH")  # ISO 4217
    locale: Mapped[str] = mapped_column(default="ru", server_default="ru")
    active: Mapped[bool] = mapped_column(default=True, server_default="1")

    hold_minutes: Mapped[int] = mapped_column(default=15, server_default="15")
    lead_minutes: Mapped[int] = mapped_column(default=30, server_default="30")
    horizon_days: Mapped[int] = mapped_column(default=60, server_default="60")
    cancel_cutoff_minutes: Mapped[int] = mapped_column(default=120, server_default="120")
    auto_confirm: Mapped[bool] = mapped_column(default=True, server_default="1")
    max_open_bookings_per_contact: Mapped[int] = mapped_column(default=3, server_default="3")

    # Sites (https://example.com) that may show the booking pages in a frame, and ask the API from a browser.
    web_origins: Mapped[list[str]] = mapped_column(JSON, default=list, server_default="[]")

    send_reminders: Mapped[bool] = mapped_column(default=True, server_default="1")  # the day before, two hours before
    send_thanks: Mapped[bool] = mapped_column(default=True, server_default="1")  # an hour after the work is done
    review_url: Mapped[str] = mapped_column(default="", server_default="")  # where thanks ask for a review, if anywhere
    send_summary: Mapped[bool] = mapped_column(default=True, server_default="1")  # of tomorrow, when it closes
    # Grows with every change of the settings: two people do not overwrite each other.
    settings_revision: Mapped[int] = mapped_column(default=1, server_default="1")

    slots_until: Mapped[date | None]  # offers have been generated up to and including this local day

    posts: Mapped[list["ServicePost"]] = relationship(
        back_populates="service_point", order_by="ServicePost.position, ServicePost.post_number", passive_deletes="all"
    )
    board_revision: Mapped["BoardRevision | None"] = relationship(viewonly=True)
    held: Mapped[str | None] = query_expression()  # which times customers hold; see revisions.with_revision


class ServicePost(Base):
    """A post (пост): one working place of a station, with a slot length of its own."""

    __tablename__ = "service_posts"
    __table_args__ = (
        UniqueConstraint("service_point_id", "post_number"),
        UniqueConstraint("id", "service_point_id"),  # so that no row can mix two stations
        CheckConstraint("slot_duration BETWEEN 5 AND 480", name="slot_duration"),
        CheckConstraint("post_number BETWEEN 1 AND 999", name="post_number"),
        CheckConstraint("largest_wheel BETWEEN 8 AND 40", name="largest_wheel"),
        CheckConstraint("next_slot_duration BETWEEN 5 AND 480", name="next_slot_duration"),
        CheckConstraint("(next_from IS NULL) = (next_slot_duration IS NULL)", name="next_length_has_its_day"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="RESTRICT"))
    post_number: Mapped[int]
    name: Mapped[str] = mapped_column(default="", server_default="")
    description: Mapped[str] = mapped_column(default="", server_default="")
    slot_duration: Mapped[int]  # minutes
    next_slot_duration: Mapped[int | None]  # minutes, from `next_from` on
    next_from: Mapped[date | None]
    position: Mapped[int] = mapped_column(default=0, server_default="0")  # in lists and on the board
    active: Mapped[bool] = mapped_column(default=True, server_default="1")
    largest_wheel: Mapped[int | None]  # inches; None: any

    service_point: Mapped[ServicePoint] = relationship(back_populates="posts")
    car_types: Mapped[list["PostCarType"]] = relationship(cascade="all, delete-orphan")
    services: Mapped[list["PostService"]] = relationship(cascade="all, delete-orphan")

    def length_on(self, day: date) -> int:
        """Minutes of its slots on a local day."""
        if self.next_from is None or self.next_slot_duration is None or day < self.next_from:
            return self.slot_duration
        return self.next_slot_duration


class PostCarType(Base):
    """A type of car that a post takes. A post without any such row takes all."""

    __tablename__ = "post_car_types"

    service_post_id: Mapped[int] = mapped_column(ForeignKey("service_posts.id", ondelete="CASCADE"), primary_key=True)
    car_type_id: Mapped[int] = mapped_column(ForeignKey("car_types.id", ondelete="CASCADE"), primary_key=True)


class PostService(Base):
    """A service that is done on a post. A post without any such row does all."""

    __tablename__ = "post_services"

    service_post_id: Mapped[int] = mapped_column(ForeignKey("service_posts.id", ondelete="CASCADE"), primary_key=True)
    service_id: Mapped[int] = mapped_column(ForeignKey("services.id", ondelete="CASCADE"), primary_key=True)


class BoardRevision(Base):
    """How often what a station's screens show has changed: they ask for this one row, and mostly for nothing else."""

    __tablename__ = "board_revisions"

    service_point_id: Mapped[int] = mapped_column(
        ForeignKey("service_points.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    revision: Mapped[int]


class BayDevice(Base):
    """A tablet on the wall of a post. Paired once with a short code; afterwards its cookie is its right."""

    __tablename__ = "bay_devices"
    __table_args__ = (
        ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("(code_hash IS NULL) = (code_expires_at IS NULL)", name="codes_expire"),
        Index("ix_bay_devices_service_point_id", "service_point_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int]
    service_post_id: Mapped[int]
    code_hash: Mapped[str | None] = mapped_column(unique=True)  # until it is paired
    code_expires_at: Mapped[datetime | None]
    token_hash: Mapped[str | None] = mapped_column(unique=True)  # of its cookie
    created_at: Mapped[datetime]
    paired_at: Mapped[datetime | None]
    last_seen_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    post: Mapped[ServicePost] = relationship(viewonly=True)


class CalendarFeed(Base):
    """A calendar that follows a station, or one of its posts. Its address is its right; only the hash is kept."""

    __tablename__ = "calendar_feeds"
    __table_args__ = (
        ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="CASCADE",
        ),
        Index("ix_calendar_feeds_service_point_id", "service_point_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    service_post_id: Mapped[int | None]
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    post: Mapped[ServicePost | None] = relationship(viewonly=True)

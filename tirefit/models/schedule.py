"""Hours, the offer made from them, and the truth about who occupies a post.

`schedule_slots` is derived and may be deleted and generated again at any moment; nothing refers to it.
`reservations` is what is sold. Two reservations of a post never overlap: the schema of both databases refuses it,
whatever the code does. The guard's DDL stands here for a fresh schema; the migrations make the same (a test compares).
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    DDL,
    JSON,
    CheckConstraint,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    UniqueConstraint,
    event,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tirefit.database import Base
from tirefit.models.people import User
from tirefit.models.stations import ServicePost

OVERLAP_GUARD = "reservations_no_overlap"  # the one constraint that means "slot taken"


class ScheduleTemplate(Base):
    """A named week of opening windows, for a station or for one post.

    With dates it is a season plan and lies over the ordinary week while they last; the higher priority wins.
    """

    __tablename__ = "schedule_templates"
    __table_args__ = (
        ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("valid_from IS NULL OR valid_until IS NULL OR valid_from <= valid_until", name="validity"),
        Index("ix_schedule_templates_service_point_id", "service_point_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    service_post_id: Mapped[int | None]  # None: for the whole station
    name: Mapped[str]
    valid_from: Mapped[date | None]
    valid_until: Mapped[date | None]  # inclusive
    priority: Mapped[int] = mapped_column(default=0, server_default="0")

    windows: Mapped[list["ScheduleWindow"]] = relationship(
        order_by="ScheduleWindow.weekday, ScheduleWindow.opens", cascade="all, delete-orphan"
    )


class ScheduleWindow(Base):
    """One open stretch of a weekday. Several a day leave breaks between them; one may pass midnight."""

    __tablename__ = "schedule_windows"
    __table_args__ = (
        UniqueConstraint("template_id", "weekday", "opens"),
        CheckConstraint("weekday BETWEEN 0 AND 6", name="weekday"),  # Monday is 0
        CheckConstraint("0 <= opens AND opens < 1440 AND opens < closes AND closes <= 2880", name="minutes"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    template_id: Mapped[int] = mapped_column(ForeignKey("schedule_templates.id", ondelete="CASCADE"))
    weekday: Mapped[int]
    opens: Mapped[int]  # minutes after local midnight
    closes: Mapped[int]  # the same; over 1440 is the next day


class ScheduleException(Base):
    """A date that is not as its weekday: closed (no windows), or open at other hours."""

    __tablename__ = "schedule_exceptions"
    __table_args__ = (
        ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="CASCADE",
        ),
        Index(
            "uq_schedule_exceptions_station_day",
            "service_point_id",
            "day",
            unique=True,
            postgresql_where=text("service_post_id IS NULL"),
            sqlite_where=text("service_post_id IS NULL"),
        ),
        UniqueConstraint("service_post_id", "day"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    service_post_id: Mapped[int | None]
    day: Mapped[date]
    reason: Mapped[str] = mapped_column(default="", server_default="")

    windows: Mapped[list["ExceptionWindow"]] = relationship(
        order_by="ExceptionWindow.opens", cascade="all, delete-orphan"
    )


class ExceptionWindow(Base):
    __tablename__ = "exception_windows"
    __table_args__ = (
        UniqueConstraint("exception_id", "opens"),
        CheckConstraint("0 <= opens AND opens < 1440 AND opens < closes AND closes <= 2880", name="minutes"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    exception_id: Mapped[int] = mapped_column(ForeignKey("schedule_exceptions.id", ondelete="CASCADE"))
    opens: Mapped[int]
    closes: Mapped[int]


class ScheduleSlot(Base):
    """The offer: one cut of one post's time. It has no status: what is free, reservations alone decide."""

    __tablename__ = "schedule_slots"
    __table_args__ = (
        ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="CASCADE",
        ),
        CheckConstraint("starts_at < ends_at", name="forwards"),
        {"sqlite_with_rowid": False},
    )

    # The key is the question: all slots of a station from one moment to another lie side by side.
    service_point_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    starts_at: Mapped[datetime] = mapped_column(primary_key=True)
    service_post_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    ends_at: Mapped[datetime]


class Reservation(Base):
    """The truth: who occupies [starts_at, ends_at) of a post. Written only by schedule.reservations.

    An expired hold still stands here until somebody needs its time (or the tidying job comes); it blocks nothing.
    """

    __tablename__ = "reservations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["service_post_id", "service_point_id"],
            ["service_posts.id", "service_posts.service_point_id"],
            ondelete="RESTRICT",
        ),
        # The SQLite guard seeks the last one before a new end; and whoever needs the time of expired holds finds them.
        Index("ix_reservations_service_post_id_starts_at", "service_post_id", "starts_at"),
        UniqueConstraint("id", "service_post_id", "starts_at", "ends_at"),  # what a booking's time refers to
        # What is taken at a station on some days: with the offer's primary key, all that "what is free" reads.
        Index("ix_reservations_service_point_id_starts_at", "service_point_id", "starts_at"),
        Index(  # the few expired holds that nobody has needed, for the tidying job
            "ix_reservations_expires_at",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL"),
            sqlite_where=text("expires_at IS NOT NULL"),
        ),
        Index(  # the few holds of a station: its screens ask for them every few seconds
            "ix_reservations_held",
            "service_point_id",
            "expires_at",
            postgresql_where=text("expires_at IS NOT NULL"),
            sqlite_where=text("expires_at IS NOT NULL"),
        ),
        Index(  # the other time that a browser holds, freed when it wins a new one
            "ix_reservations_holder",
            "holder",
            postgresql_where=text("holder IS NOT NULL"),
            sqlite_where=text("holder IS NOT NULL"),
        ),
        Index(  # how many times a network holds: there is a limit
            "ix_reservations_origin",
            "origin",
            postgresql_where=text("origin IS NOT NULL"),
            sqlite_where=text("origin IS NOT NULL"),
        ),
        CheckConstraint("kind IN ('hold', 'booking', 'walk_in', 'block')", name="kind"),
        CheckConstraint("(kind = 'hold') = (expires_at IS NOT NULL)", name="only_holds_expire"),
        CheckConstraint("starts_at < ends_at", name="forwards"),
        CheckConstraint("ends_at - starts_at <= 86400", name="at_most_a_day").ddl_if(dialect="sqlite"),
        CheckConstraint("ends_at - starts_at <= interval '1 day'", name="at_most_a_day").ddl_if(dialect="postgresql"),
        ExcludeConstraint(
            (literal_column("service_post_id"), "="),
            (literal_column("tstzrange(starts_at, ends_at, '[)')"), "&&"),
            name=OVERLAP_GUARD,
            using="gist",
        ).ddl_if(dialect="postgresql"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int]
    service_post_id: Mapped[int]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    kind: Mapped[str]
    # sha256 of the hold's token; unique, and so the index by which a form's hold is found
    token_hash: Mapped[str | None] = mapped_column(unique=True)
    holder: Mapped[str | None]  # sha256 of the browser that holds; one live hold each
    origin: Mapped[str | None]  # sha256 of the network it came from; so many live holds each
    wanted: Mapped[dict[str, Any] | None] = mapped_column(
        JSON
    )  # of a hold: service_ids, car_type_id; of a block: the whole of it
    expires_at: Mapped[datetime | None]
    extensions: Mapped[int] = mapped_column(default=0, server_default="0")
    reason: Mapped[str] = mapped_column(default="", server_default="")  # of a block
    created_at: Mapped[datetime]

    post: Mapped[ServicePost] = relationship(viewonly=True)


class ScheduleRun(Base):
    """A change of a station's schedule that has been applied: who, when, what it was before, and what it did.

    While the subject is still as this run left it, the run can be undone. A rolling run is the network's: it has no
    station, and tells how far it has come.
    """

    __tablename__ = "schedule_runs"
    __table_args__ = (
        CheckConstraint("kind IN ('post', 'template', 'exception', 'rolling')", name="kind"),
        CheckConstraint("(kind = 'rolling') = (service_point_id IS NULL)", name="rolling_is_the_networks"),
        Index("ix_schedule_runs_service_point_id_id", "service_point_id", "id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    service_point_id: Mapped[int | None] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))  # None: the system
    kind: Mapped[str]
    subject: Mapped[dict[str, Any]] = mapped_column(JSON)  # which post, template or dates
    before: Mapped[Any] = mapped_column(JSON)  # the subject as it was; null: it was not there
    after: Mapped[Any] = mapped_column(JSON)
    kept: Mapped[int] = mapped_column(default=0, server_default="0")
    added: Mapped[int] = mapped_column(default=0, server_default="0")
    removed: Mapped[int] = mapped_column(default=0, server_default="0")
    outside: Mapped[int] = mapped_column(default=0, server_default="0")
    total: Mapped[int] = mapped_column(default=1, server_default="1")  # stations this run is about
    done: Mapped[int] = mapped_column(default=1, server_default="1")  # of these, finished
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    undone_at: Mapped[datetime | None]

    user: Mapped[User | None] = relationship(viewonly=True)


# Reservations never overlap, so of those that start before the new end only the last can reach past the new start:
# one index seek, whatever the lengths.
_REACHES_IN = """(SELECT r.ends_at FROM reservations r
    WHERE r.service_post_id = NEW.service_post_id AND r.starts_at < NEW.ends_at{others}
    ORDER BY r.starts_at DESC LIMIT 1) > NEW.starts_at"""

SQLITE_GUARD = {
    f"{OVERLAP_GUARD}_insert": f"""CREATE TRIGGER {OVERLAP_GUARD}_insert BEFORE INSERT ON reservations
WHEN {_REACHES_IN.format(others="")}
BEGIN SELECT RAISE(ABORT, '{OVERLAP_GUARD}'); END""",
    f"{OVERLAP_GUARD}_update": f"""CREATE TRIGGER {OVERLAP_GUARD}_update
BEFORE UPDATE OF id, service_post_id, starts_at, ends_at ON reservations
WHEN {_REACHES_IN.format(others=" AND r.id <> OLD.id")}
BEGIN SELECT RAISE(ABORT, '{OVERLAP_GUARD}'); END""",
}

event.listen(
    Base.metadata,
    "before_create",
    DDL("CREATE EXTENSION IF NOT EXISTS btree_gist").execute_if(dialect="postgresql"),  # type: ignore[no-untyped-call]
)
for _trigger in SQLITE_GUARD.values():
    _make = DDL(_trigger).execute_if(dialect="sqlite")  # type: ignore[no-untyped-call]
    event.listen(Reservation.__table__, "after_create", _make)


def overlap_guard_is_there(connection: Connection) -> bool:
    """Does the schema itself still refuse overlaps? (Rebuilding a table in SQLite silently drops its triggers.)"""
    if connection.dialect.name == "sqlite":
        found = connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'reservations'")
        )
        return set(SQLITE_GUARD) <= set(found.scalars())
    found = connection.execute(
        text(
            "SELECT conname FROM pg_constraint WHERE contype = 'x' AND convalidated"
            " AND conrelid = to_regclass('reservations')"
        )
    )
    return OVERLAP_GUARD in set(found.scalars())

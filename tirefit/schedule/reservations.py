"""The truth: who occupies a post's time. The only writer of Reservation.

The guard stands in the schema and covers every row, expired holds too; so whoever needs the time of an expired hold
deletes it in the same transaction. Nothing here waits for the tidying job. What closes time to everybody stands in
schedule.blocks.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, insert, or_, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError

from tirefit import clock
from tirefit.database import apart, command, db, lost_to, one_at_a_time
from tirefit.errors import HoldExpired, LimitReached, SlotNotOffered, TooManyAttempts
from tirefit.models import OVERLAP_GUARD, BookingLink, Reservation, ScheduleSlot, ServicePoint, ServicePost
from tirefit.schedule import rolling, slots
from tirefit.schedule.availability import A_DAY, ANYTHING, Needs, available_at_time
from tirefit.schedule.grid import Run, Span, is_covered
from tirefit.schedule.reasons import refusal

MOST_HOLDS = 10  # live ones from one network: a family or an office, but not a whole station's day
MOST_EXTENSIONS = 10  # WCAG 2.2.1: a time limit can be extended at least ten times
TOKEN_LENGTH = 22  # 128 bits in base64url


@dataclass(frozen=True)
class Hold:
    """Time kept for a customer who is still filling in the form. `token` opens it; only the token's hash is stored."""

    token: str
    reservation_id: int
    service_point_id: int
    service_post_id: int
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime
    wanted: dict[str, Any]
    extensions: int

    @property
    def has_expired(self) -> bool:
        """It no longer blocks anybody; but while nobody has taken the time it is still honoured."""
        return self.expires_at <= clock.now()

    @property
    def may_be_extended(self) -> bool:
        return self.extensions < MOST_EXTENSIONS


def new_token() -> str:
    return secrets.token_urlsafe(16)


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


@command
def reserve_slot_temporarily(
    point_id: int,
    starts_at: datetime,
    minutes: int,
    token: str,
    *,
    needs: Needs = ANYTHING,
    holder: str | None = None,
    origin: str | None = None,
    post_number: int | None = None,
    wanted: dict[str, Any] | None = None,
) -> Hold:
    """Keep a post's time for `hold_minutes` for a customer who has not said who they are yet.

    Takes the best post on which `minutes` can start then (or the one named). The same token asked twice gives the same
    hold; one browser (`holder`) keeps one time: its earlier hold is freed, but only when the new one is won. A token
    that has become a booking is not used again: the hold then has a new one.

    Raises SlotTaken when somebody was quicker, and the error of `reasons.refusal` when the time could not be had
    anyway.
    """
    one_at_a_time(hash_of(token))
    point = db.session.get_one(ServicePoint, point_id)
    mine = find_hold(token)
    if mine is not None and (mine.service_point_id, mine.starts_at, mine.wanted) == (
        point_id,
        starts_at,
        wanted or {},
    ):
        _keep_until(mine.reservation_id, _expiry(point))
        return _still_there(token)
    if _is_used(token):
        token = new_token()
    _free_holds_of(token, holder)
    _require_few_holds(origin)
    expires_at = _expiry(point)
    for run in available_at_time(point, starts_at, minutes, needs):
        if post_number is not None and run.post_number != post_number:
            continue
        reservation_id = take(
            point_id,
            run,
            "hold",
            token_hash=hash_of(token),
            holder=holder,
            origin=origin,
            wanted=wanted or {},
            expires_at=expires_at,
        )
        if reservation_id is not None:
            where = point_id, run.service_post_id, run.starts_at, run.ends_at
            return Hold(token, reservation_id, *where, expires_at, wanted or {}, 0)
    raise refusal(point, starts_at, minutes, needs, post_number)


def find_hold(token: str) -> Hold | None:
    """The hold that a token opens, expired or not; None when there is none (any more)."""
    found = db.session.execute(HOLD, {"token_hash": hash_of(token)}).one_or_none()
    return None if found is None else Hold(token, **(found._asdict() | {"wanted": found.wanted or {}}))


@command
def extend_reservation(token: str) -> Hold:
    """Hold on for another `hold_minutes`, up to ten times. An expired hold that nobody took is held again.

    Raises HoldExpired when the time is gone, LimitReached after the tenth time.
    """
    hold = find_hold(token)
    if hold is None:
        raise HoldExpired()
    if not hold.may_be_extended:
        raise LimitReached(limit=MOST_EXTENSIONS)
    _keep_until(hold.reservation_id, _expiry(db.session.get_one(ServicePoint, hold.service_point_id)), extensions=1)
    return _still_there(token)


@command
def release_reservation(token: str) -> bool:
    """Free a hold's time at once; → whether there was one. A booking is never released."""
    hold = find_hold(token)
    if hold is not None:
        free(hold.reservation_id)
    return hold is not None


def forget_past_of(post_id: int) -> None:
    """Inside a command that takes a post away on which nobody was ever booked: its past blocks and expired holds."""
    db.session.execute(delete(Reservation).where(Reservation.service_post_id == post_id))


@command
def cleanup_expired_reservations() -> int:
    """Tidy expired holds away; → how many. Nobody waits for this: they have blocked nothing since they expired."""
    # Only those long over: the forms of younger ones may still be honoured.
    over = clock.now() - timedelta(hours=1)
    # Sorted here: asked to sort by id, SQLite reads the whole table in that order instead of the few by their index.
    ids = sorted(db.session.scalars(select(Reservation.id).where(Reservation.expires_at <= over)))
    for reservation_id in ids:
        free(reservation_id)
    return len(ids)


def take(point_id: int, run: Run, kind: str, *, on_grid: bool = True, **columns: Any) -> int | None:
    """Inside a command: occupy a run of slots; → the reservation's id, or None when somebody has (part of) it.

    Customers take what is offered; the station itself (`on_grid=False`) may take any free time of its posts.
    Raises SlotNotOffered when the offer has just changed under it.
    """
    if on_grid:
        rolling.catch_up(db.session.get_one(ServicePoint, point_id))
    values = {
        "service_point_id": point_id,
        "service_post_id": run.service_post_id,
        "starts_at": run.starts_at,
        "ends_at": run.ends_at,
        "kind": kind,
        "created_at": clock.now(),
        **columns,
    }
    span = (run.starts_at, run.ends_at)
    reservation_id = _insert(values)
    if reservation_id is None and purge_expired(run.service_post_id, span):
        reservation_id = _insert(values)
    # After the insert: its foreign key holds the post's key, so a change of the offer is either over and seen, or
    # waits.
    if reservation_id is not None and not _is_offered(point_id, run.service_post_id, span):
        if on_grid:
            raise SlotNotOffered(starts_at=run.starts_at)
        slots.heal(point_id, run.service_post_id, span)  # the offer makes room for it
    return reservation_id


def occupy(point_id: int, run: Run, kind: str) -> int | None:
    """Inside a command, for a station whose offer is made afterwards: time as it was agreed elsewhere.

    → the reservation's id, or None when somebody has (part of) it.
    """
    values = {"service_point_id": point_id, "service_post_id": run.service_post_id, "kind": kind}
    return _insert(values | {"starts_at": run.starts_at, "ends_at": run.ends_at, "created_at": clock.now()})


def turn_into_booking(hold: Hold) -> int:
    """Inside a command: the hold's own row becomes the booking's, so that its time is free at no moment.

    An expired hold that nobody took is still honoured. Raises HoldExpired when it is gone.
    """
    lock_posts([hold.service_post_id])
    if db.session.execute(TURN, {"hold_id": hold.reservation_id}).first() is None:
        raise HoldExpired()
    span = (hold.starts_at, hold.ends_at)
    if not _is_offered(hold.service_point_id, hold.service_post_id, span):  # hours or lengths have changed meanwhile
        slots.heal(hold.service_point_id, hold.service_post_id, span)
    return hold.reservation_id


def move(reservation_id: int, run: Run, *, on_grid: bool = True) -> bool:
    """Inside a command, with both posts locked: give a reservation other time. False: somebody has (part of) it.

    One UPDATE of one row: the new time is won and the old one freed together, or neither; the two may overlap. Where
    it was, and where it is now if that is not made of today's slots, the post's day is cut again. Raises SlotNotOffered
    when customers may not have the time (`on_grid`).
    """
    old = get(reservation_id)
    point_id, old_post_id, old_span = old.service_point_id, old.service_post_id, (old.starts_at, old.ends_at)
    span = (run.starts_at, run.ends_at)
    purge_expired(run.service_post_id, span)
    values = {"service_post_id": run.service_post_id, "starts_at": run.starts_at, "ends_at": run.ends_at}
    try:
        with apart():
            db.session.execute(update(Reservation).where(Reservation.id == reservation_id).values(values))
    except IntegrityError as error:
        if lost_to(error, OVERLAP_GUARD):
            return False
        raise
    if on_grid and not _is_offered(point_id, run.service_post_id, span):
        raise SlotNotOffered(starts_at=run.starts_at)
    if not _is_offered(point_id, run.service_post_id, span):
        slots.heal(point_id, run.service_post_id, span)
    slots.heal(point_id, old_post_id, old_span)  # as when it is freed
    return True


def get(reservation_id: int) -> Reservation:
    """The reservation as the database has it now."""
    return db.session.get_one(Reservation, reservation_id, populate_existing=True)


def free(reservation_id: int) -> None:
    """Inside a command (and after a booking has let go of it): the time is free at once.

    The post's day is cut again: the time may not have been made of today's slots (an older slot length), and what lies
    beside it may now hold more. A hold has never shaped the offer, and its end does not either. Already gone: nothing
    to do.
    """
    gone = db.session.execute(FREE, {"reservation_id": reservation_id}).one_or_none()
    if gone is not None and gone.kind != "hold":
        slots.heal(gone.service_point_id, gone.service_post_id, (gone.starts_at, gone.ends_at))


FREE = (
    delete(Reservation)
    .where(Reservation.id == bindparam("reservation_id"))
    .returning(
        Reservation.service_point_id,
        Reservation.service_post_id,
        Reservation.starts_at,
        Reservation.ends_at,
        Reservation.kind,
    )
)


def lock_posts(ids: list[int]) -> None:
    """Everybody who changes a booking locks its posts first, in ascending id: no two can wait for each other."""
    if db.engine.dialect.name == "postgresql":  # SQLite has one writer, and needs no locks of rows
        db.session.execute(LOCK, {"ids": ids}).all()


def _insert(values: dict[str, Any]) -> int | None:
    """The one statement that writes a reservation; → its id, or None when the guard refused it.

    On PostgreSQL two plain inserts into an exclusion constraint deadlock; with ON CONFLICT DO NOTHING they wait in
    order. It names the guard: whatever else is wrong stays an error.
    """
    if db.engine.dialect.name == "postgresql":
        return db.session.execute(INSERT_UNLESS_TAKEN, values).scalar()
    try:
        return db.session.execute(INSERT, values).scalar()  # SQLite's guard undoes the one statement by itself
    except IntegrityError as error:
        if lost_to(error, OVERLAP_GUARD):
            return None
        raise


def purge_expired(post_id: int, span: Span) -> bool:
    """Inside a command: delete the expired holds that stand in the way of this time; → whether there were any."""
    gone = db.session.execute(
        delete(Reservation)
        .where(
            Reservation.service_post_id == post_id,
            Reservation.starts_at > span[0] - A_DAY,  # none is longer than a day
            Reservation.starts_at < span[1],
            Reservation.ends_at > span[0],
            Reservation.expires_at <= clock.now(),
        )
        .returning(Reservation.id)
    )
    return gone.first() is not None


def _is_offered(point_id: int, post_id: int, span: Span) -> bool:
    values = {"point_id": point_id, "post_id": post_id, "start": span[0], "end": span[1]}
    return is_covered(span, [(start, end) for start, end in db.session.execute(OFFERED_THERE, values)])


def _free_holds_of(token: str, holder: str | None) -> None:
    for reservation_id in db.session.scalars(HELD_BY, {"token_hash": hash_of(token), "holder": holder}).all():
        free(reservation_id)


def _require_few_holds(origin: str | None) -> None:
    """No network keeps more than ten times on hold, so that nobody can empty a station's day by tapping."""
    if origin is None:
        return
    now = clock.now()
    until = db.session.scalars(HELD_FROM, {"origin": origin, "now": now}).all()
    if len(until) >= MOST_HOLDS:
        wait = min(moment for moment in until if moment is not None) - now
        raise TooManyAttempts(retry_after=max(1, int(wait.total_seconds())))


def _is_used(token: str) -> bool:
    """Has this token become a booking's, whatever has become of that?"""
    return db.session.scalar(LINK, {"token_hash": hash_of(token)}) is not None


def _expiry(point: ServicePoint) -> datetime:
    """A whole second: both databases keep that."""
    return clock.now().replace(microsecond=0) + timedelta(minutes=point.hold_minutes)


def _keep_until(reservation_id: int, expires_at: datetime, extensions: int = 0) -> None:
    db.session.execute(
        update(Reservation)
        .where(Reservation.id == reservation_id, Reservation.kind == "hold")
        .values(expires_at=expires_at, extensions=Reservation.extensions + extensions)
    )


def _still_there(token: str) -> Hold:
    if (found := find_hold(token)) is None:
        raise HoldExpired()
    return found


# What every hold and every booking sends is made once, of tables: to make a statement anew costs more than to ask it.
_row, _link, _slot = (model.__table__.c for model in (Reservation, BookingLink, ScheduleSlot))
_of_a_hold = ("service_point_id", "service_post_id", "starts_at", "ends_at", "expires_at", "wanted", "extensions")
HOLD = select(_row.id.label("reservation_id"), *(_row[name] for name in _of_a_hold)).where(
    _row.token_hash == bindparam("token_hash"), _row.kind == "hold"
)
HELD_BY = select(_row.id).where(
    _row.kind == "hold", or_(_row.token_hash == bindparam("token_hash"), _row.holder == bindparam("holder"))
)
HELD_FROM = select(_row.expires_at).where(_row.origin == bindparam("origin"), _row.expires_at > bindparam("now"))
LINK = select(_link.token_hash).where(_link.token_hash == bindparam("token_hash"))
LOCK = (
    select(ServicePost.__table__.c.id)
    .where(ServicePost.__table__.c.id.in_(bindparam("ids", expanding=True)))
    .order_by(ServicePost.__table__.c.id)
    .with_for_update(key_share=True)
)
OFFERED_THERE = (
    select(_slot.starts_at, _slot.ends_at)
    .where(
        _slot.service_point_id == bindparam("point_id"),
        _slot.service_post_id == bindparam("post_id"),
        _slot.starts_at >= bindparam("start"),
        _slot.starts_at < bindparam("end"),
    )
    .order_by(_slot.starts_at)
)
_reservations: Any = Reservation.__table__
INSERT = insert(_reservations).returning(_row.id)
INSERT_UNLESS_TAKEN = (
    postgresql.insert(_reservations).on_conflict_do_nothing(constraint=OVERLAP_GUARD).returning(_row.id)
)
TURN = (
    update(_reservations)
    .where(_row.id == bindparam("hold_id"), _row.kind == "hold")
    .values(kind="booking", expires_at=None, holder=None, origin=None)
    .returning(_row.id)
)

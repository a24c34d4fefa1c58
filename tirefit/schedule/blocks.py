"""Blocks: time of a post that the station closes to everybody, and opens again. Nothing is cancelled by it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from tirefit import revisions
from tirefit.database import command, db
from tirefit.models import Reservation
from tirefit.schedule.availability import A_DAY, Reserved
from tirefit.schedule.grid import a_stretch, gaps
from tirefit.schedule.reservations import free, lock_posts, purge_expired, take


@dataclass(frozen=True)
class Blocked:
    """What a block has taken, and what stood in its way: that stays as it is, for people to decide."""

    reservation_ids: tuple[int, ...]
    in_the_way: tuple[Reserved, ...]


@command
def block_time(point_id: int, post_id: int, starts_at: datetime, ends_at: datetime, reason: str = "") -> Blocked:
    """Close a stretch of a post's time: whatever of it is free is taken, and nothing is cancelled.

    A stretch of several days becomes several reservations, none longer than a day; each remembers the whole (`wanted`).
    """
    lock_posts([post_id])
    revisions.touch(point_id)
    purge_expired(post_id, (starts_at, ends_at))
    in_the_way = [
        Reserved(*row)
        for row in db.session.execute(
            select(*Reserved.columns())
            .where(
                Reservation.service_post_id == post_id,
                Reservation.starts_at > starts_at - A_DAY,
                Reservation.starts_at < ends_at,
                Reservation.ends_at > starts_at,
            )
            .order_by(Reservation.starts_at)
        )
    ]
    ids = []
    whole = {"from": starts_at.isoformat(), "to": ends_at.isoformat()}
    for start, end in gaps((starts_at, ends_at), [found.span for found in in_the_way]):
        while start < end:
            part = min(end, start + A_DAY)
            stretch = a_stretch(post_id, start, part)
            ids.append(take(point_id, stretch, "block", on_grid=False, reason=reason, wanted=whole))
            start = part
    return Blocked(tuple(id for id in ids if id is not None), tuple(in_the_way))


@command
def unblock(reservation_id: int) -> bool:
    """Open blocked time again, with all other pieces of the same block; → whether it was blocked.

    Nothing but a block is ever removed by this.
    """
    found = db.session.get(Reservation, reservation_id, populate_existing=True)
    if found is None or found.kind != "block":
        return False
    lock_posts([found.service_post_id])
    revisions.touch(found.service_point_id)
    blocks = select(Reservation).where(
        Reservation.service_post_id == found.service_post_id, Reservation.kind == "block"
    )
    for piece in db.session.scalars(blocks).all():
        if piece.id == reservation_id or (piece.wanted and piece.wanted == found.wanted):
            free(piece.id)
    return True

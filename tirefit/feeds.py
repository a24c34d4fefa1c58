"""Calendars that follow a station, or one of its posts: whoever has the address reads them, until it is revoked."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from tirefit import audit, clock
from tirefit.database import command, db
from tirefit.models import Booking, CalendarFeed, ServicePoint
from tirefit.schedule.reservations import hash_of, new_token

BEHIND, AHEAD = timedelta(days=7), timedelta(days=62)


@command
def make_feed(point_id: int, post_number: int | None = None, *, user_id: int | None = None) -> str:
    """A calendar of a station or of one post (an unknown number: of the station); → its token, told only now."""
    point = db.session.get_one(ServicePoint, point_id)
    post = next((post for post in point.posts if post.post_number == post_number), None)
    token = new_token()
    feed = CalendarFeed(token_hash=hash_of(token), service_point_id=point_id, created_at=clock.now())
    feed.service_post_id = post.id if post else None
    db.session.add(feed)
    db.session.flush()
    audit.record("feed_made", "feed", feed.id, label=str(post_number or ""), point_id=point_id, user_id=user_id)
    return token


@command
def revoke_feed(feed_id: int, point_id: int, *, user_id: int | None = None) -> bool:
    """A calendar of this station is there no more; → whether there was one."""
    feed = db.session.get(CalendarFeed, feed_id, with_for_update=True)
    if feed is None or feed.service_point_id != point_id or feed.revoked_at is not None:
        return False
    feed.revoked_at = clock.now()
    audit.record("feed_revoked", "feed", feed.id, point_id=point_id, user_id=user_id)
    return True


def find_feed(token: str) -> CalendarFeed | None:
    """What an address opens. None: unknown or revoked."""
    return db.session.scalar(
        select(CalendarFeed).where(CalendarFeed.token_hash == hash_of(token), CalendarFeed.revoked_at.is_(None))
    )


def of_station(point: ServicePoint) -> Sequence[CalendarFeed]:
    alive = select(CalendarFeed).where(CalendarFeed.service_point_id == point.id, CalendarFeed.revoked_at.is_(None))
    return db.session.scalars(alive.order_by(CalendarFeed.id)).all()


def bookings_of(feed: CalendarFeed) -> Sequence[Booking]:
    """From a week ago to two months ahead; cancelled ones too, so that calendars strike them out."""
    now = clock.now()
    mine = select(Booking).where(
        Booking.service_point_id == feed.service_point_id,
        Booking.starts_at >= now - BEHIND,
        Booking.starts_at < now + AHEAD,
    )
    if feed.service_post_id is not None:
        mine = mine.where(Booking.service_post_id == feed.service_post_id)
    whole = (joinedload(Booking.service_point), joinedload(Booking.post), selectinload(Booking.lines))
    return db.session.scalars(mine.order_by(Booking.starts_at, Booking.id).options(*whole)).all()

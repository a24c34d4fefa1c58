"""Cars that come without a booking, wait for a place, or take longer than was thought.

Nobody, staff included, puts one car on top of another: what fits nowhere waits in the lane, and a visit that overruns
takes only time that is free. Each public command is one transaction.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select

from tirefit import clock, revisions
from tirefit.booking import states
from tirefit.booking.commands import Customer, write_booking
from tirefit.booking.durations import Breakdown, calculate_booking_duration
from tirefit.booking.links import find_by_token, write_link
from tirefit.booking.record import load_for_change, record, record_made, require_version
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import SlotTaken, WrongTransition
from tirefit.models import LIVE, PROBLEMS, Booking, BookingEvent, ServicePoint, WaitingVisit
from tirefit.schedule import reservations
from tirefit.schedule.availability import A_DAY, Needs, around, load_abilities, load_reserved
from tirefit.schedule.grid import Span, a_stretch, gaps
from tirefit.schedule.reservations import hash_of
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import local_day, opening_windows

MINUTE = timedelta(minutes=1)
EXTENSIONS = (5, 10, 15, 20, 30)  # minutes


@dataclass(frozen=True)
class Place:
    """The first time at which a post is free for long enough. `is_outside`: only after (or before) its hours."""

    service_post_id: int
    post_number: int
    starts_at: datetime
    ends_at: datetime
    is_outside: bool

    @property
    def is_now(self) -> bool:
        return self.starts_at <= clock.now()


@dataclass(frozen=True)
class InLine:
    """A car in the lane, and where it could go when its turn comes; None: not today."""

    visit: WaitingVisit
    place: Place | None


def first_places(point: ServicePoint, minutes: int, needs: Needs) -> list[Place]:
    """The first place today on each post that can take such a job, the soonest first. The grid does not matter.

    A post that has closed for today is named with the time from now on, if nobody has it: whoever stands there decides.
    """
    return _first_places(point, minutes, needs, ())


def lane(point: ServicePoint) -> list[InLine]:
    """Who waits, in the order of arrival, each with the place that is left after those before them."""
    waiting = db.session.scalars(
        select(WaitingVisit)
        .where(WaitingVisit.service_point_id == point.id, WaitingVisit.left_at.is_(None))
        .order_by(WaitingVisit.arrived_at, WaitingVisit.id)
    ).all()
    found: list[InLine] = []
    for visit in waiting:
        before = [each.place for each in found if each.place is not None]
        needs = Needs(visit.car_type_id, tuple(visit.service_ids))
        places = _first_places(point, visit.minutes, needs, before)
        found.append(InLine(visit, next((place for place in places if not place.is_outside), None)))
    return found


@command
def book_walk_in(
    point_id: int,
    service_ids: Sequence[int],
    car_type_id: int,
    *,
    post_number: int,
    starts_at: datetime,
    token: str,
    plate: str = "",
    phone: str = "",
    user_id: int | None = None,
    waiting_id: int | None = None,
) -> Booking:
    """Give a car that is here a place on a post, now or later today; any free time will do, on the grid or off it.

    A place that has begun to slip away starts now. The same token twice is one car. With `waiting_id` the car leaves
    the lane, and what was known of it goes with it. Raises SlotTaken when the place is not free (any more),
    UnknownService, UnknownCarType.
    """
    one_at_a_time(hash_of(token))
    if (made_before := find_by_token(token)) is not None:
        return made_before
    point = db.session.get_one(ServicePoint, point_id)
    visit = calculate_booking_duration(service_ids, car_type_id, point)
    post = next((post for post in point.posts if post.post_number == post_number), None)
    start = max(starts_at, _this_minute())
    if post is None:
        raise SlotTaken(starts_at=start)
    reservations.lock_posts([post.id])
    run = a_stretch(post.id, start, start + visit.total_minutes * MINUTE)
    reservation_id = reservations.take(point.id, run, "booking", on_grid=False, token_hash=hash_of(token))
    if reservation_id is None:
        raise SlotTaken(starts_at=start)
    how = {"locale": point.locale, "source": "walk_in", "plate": plate}
    booking = write_booking(point, visit, Customer("", phone), (reservation_id, run), **how)
    booking.status, booking.arrived_at = "arrived", clock.now()
    if waiting_id is not None and (waits := _leave(waiting_id, point_id, booking.id)) is not None:
        booking.plate, booking.customer_phone = waits.plate or plate, waits.customer_phone or phone
        booking.arrived_at = waits.arrived_at
    write_link(booking, token)
    record_made(booking, "walked_in", actor=states.USER, user_id=user_id)
    return booking


@command
def let_wait(
    point_id: int, service_ids: Sequence[int], car_type_id: int, *, nonce: str, plate: str = "", phone: str = ""
) -> WaitingVisit:
    """Put a car that fits nowhere into the lane. The same form twice is one car."""
    one_at_a_time(hash_of(nonce))
    waits = db.session.scalar(select(WaitingVisit).where(WaitingVisit.nonce_hash == hash_of(nonce)))
    if waits is not None:
        return waits
    point = db.session.get_one(ServicePoint, point_id)
    visit: Breakdown = calculate_booking_duration(service_ids, car_type_id, point)
    waits = WaitingVisit(
        service_point_id=point_id,
        nonce_hash=hash_of(nonce),
        car_type_id=car_type_id,
        service_ids=list(visit.service_ids),
        minutes=visit.total_minutes,
        plate=plate,
        customer_phone=phone,
        arrived_at=clock.now(),
    )
    db.session.add(waits)
    revisions.touch(point_id)
    return waits


@command
def leave_lane(waiting_id: int, point_id: int) -> bool:
    """The car has driven away; → whether it was still waiting."""
    return _leave(waiting_id, point_id, None) is not None


@command
def extend_visit(
    booking_id: int, minutes: int, *, user_id: int | None = None, seen_version: int | None = None
) -> Booking:
    """The work takes so many minutes longer than its time (or than was expected last).

    The post's time after it is taken as far as it is free; nobody is moved. What comes after it on the post is shown as
    delayed (`delays`), for people to decide. The same tap twice is one, where the screen says which version it saw.
    Raises WrongTransition when the car is not here, BookingChanged.
    """
    booking = load_for_change(booking_id)
    if booking.status not in ("arrived", "in_progress") or minutes not in EXTENSIONS:
        raise WrongTransition(event="extend", status=booking.status)
    if _is_the_same_tap(booking, "extended", user_id, seen_version):
        return booking
    require_version(booking, seen_version)
    assert booking.reservation_id is not None
    before = {"ends_at": booking.ends_at, "expected_end_at": booking.expected_end_at}
    booking.expected_end_at = expected = expected_end(booking, minutes)
    until = min(expected, booking.starts_at + A_DAY, _next_start(booking) or expected)
    if until > booking.ends_at:
        run = a_stretch(booking.service_post_id, booking.starts_at, until)
        db.session.flush()
        if reservations.move(booking.reservation_id, run, on_grid=False):
            db.session.refresh(booking, ["ends_at"])
    record(booking, "extended", before=before, actor=states.USER, user_id=user_id)
    return booking


def expected_end(booking: Booking, minutes: int) -> datetime:
    """When a visit would be over, if it took so many minutes more than is expected now."""
    return max(booking.expected_end_at or booking.ends_at, _this_minute()) + minutes * MINUTE


@command
def report_problem(
    booking_id: int, problem: str, *, user_id: int | None = None, seen_version: int | None = None
) -> Booking:
    """The bay cannot go on as planned, and says why (one of PROBLEMS): the board shows it. "": it can go on.

    The booking's next step, or another place for it, ends the problem too. The same tap twice is one. Raises
    WrongTransition when the visit is over (or has not been confirmed), BookingChanged.
    """
    booking = load_for_change(booking_id)
    if booking.status not in ("confirmed", "arrived", "in_progress") or problem not in ("", *PROBLEMS):
        raise WrongTransition(event="problem", status=booking.status)
    if booking.problem != problem:
        require_version(booking, seen_version)
        before = {"problem": booking.problem}
        booking.problem = problem
        event = "problem" if problem else "problem_solved"
        record(booking, event, before=before, actor=states.USER, user_id=user_id)
    return booking


def delays(bookings: Sequence[Booking], now: datetime) -> dict[int, timedelta]:
    """By how much each booking of a post will start late, because those before it take longer; booking id → delay.

    `bookings` of any posts, by start. Work that has passed its end is expected to end now, at the soonest.
    """
    busy_until: dict[int, datetime] = {}
    late: dict[int, timedelta] = {}
    for booking in bookings:
        if booking.status not in LIVE:
            continue
        start = booking.starts_at
        if booking.status == "in_progress":
            busy_until[booking.service_post_id] = max(booking.expected_end_at or booking.ends_at, now)
            continue
        begins = max(start, busy_until.get(booking.service_post_id, start))
        if begins > start:
            late[booking.id] = begins - start
        busy_until[booking.service_post_id] = begins + (booking.ends_at - start)
    return late


def _first_places(point: ServicePoint, minutes: int, needs: Needs, promised: Sequence[Place]) -> list[Place]:
    now = _this_minute()
    day, span = local_day(point.time_zone, now), around(point, now)
    taken, hours = load_reserved(point.id, span), load_hours(point, since=day - A_DAY)
    places = []
    for post in load_abilities(point.id, needs):
        if not (post.is_able and post.active):
            continue
        mine = [each.span for each in taken.get(post.service_post_id, [])]
        mine += [(each.starts_at, each.ends_at) for each in promised if each.service_post_id == post.service_post_id]
        windows = [
            (max(start, now), min(end, span[1]))
            for start, end in opening_windows(hours, post.service_post_id, day - A_DAY, day)
            if end > now and start < span[1]
        ]
        place = _first_gap(windows, sorted(mine), minutes)
        outside = None if place else _first_gap([(now, now + minutes * MINUTE)], sorted(mine), minutes)
        if start := place or outside:
            ends_at = start + minutes * MINUTE
            places.append(Place(post.service_post_id, post.post_number, start, ends_at, is_outside=place is None))
    return sorted(places, key=lambda place: (place.is_outside, place.starts_at, place.post_number))


def _first_gap(windows: Sequence[Span], taken: Sequence[Span], minutes: int) -> datetime | None:
    for window in windows:
        for start, end in gaps(window, taken):
            if end - start >= minutes * MINUTE:
                return start
    return None


def _is_the_same_tap(booking: Booking, event: str, user_id: int | None, seen_version: int | None) -> bool:
    """Is all that has happened since the screen was loaded the very thing that it asks for?"""
    if seen_version is None or booking.version != seen_version + 1:
        return False
    last = db.session.scalars(
        select(BookingEvent).where(BookingEvent.booking_id == booking.id).order_by(BookingEvent.id.desc()).limit(1)
    ).one()
    return last.event == event and last.user_id == user_id


def _next_start(booking: Booking) -> datetime | None:
    """When the next one that occupies the post begins."""
    reserved = load_reserved(booking.service_point_id, around(booking.service_point, booking.ends_at))
    later = [each.starts_at for each in reserved.get(booking.service_post_id, []) if each.starts_at >= booking.ends_at]
    return min(later, default=None)


def _leave(waiting_id: int, point_id: int, booking_id: int | None) -> WaitingVisit | None:
    waits = db.session.get(WaitingVisit, waiting_id, populate_existing=True, with_for_update=True)
    if waits is None or waits.service_point_id != point_id or waits.left_at is not None:
        return None
    waits.left_at, waits.booking_id = clock.now(), booking_id
    revisions.touch(point_id)
    return waits


def _this_minute() -> datetime:
    return clock.now().replace(second=0, microsecond=0)

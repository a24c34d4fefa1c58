"""A booking that the station's people make for somebody on the phone: any free time, on the grid or off it."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta

from tirefit import clock
from tirefit.booking import states
from tirefit.booking.commands import Customer, write_booking
from tirefit.booking.durations import Breakdown, calculate_booking_duration
from tirefit.booking.links import find_by_token, write_link
from tirefit.booking.record import record_made
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import InThePast, SlotTaken
from tirefit.models import Booking, ServicePoint
from tirefit.notifications import outbox
from tirefit.schedule import availability, reservations
from tirefit.schedule.availability import A_DAY, load_abilities
from tirefit.schedule.grid import Run, a_stretch, gaps
from tirefit.schedule.reservations import hash_of
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import day_span, local_day, opening_windows

MINUTE = timedelta(minutes=1)


@command
def book_by_phone(
    point_id: int,
    service_ids: Sequence[int],
    car_type_id: int,
    customer: Customer,
    *,
    token: str,
    starts_at: datetime,
    post_number: int | None = None,
    wheel_inches: int | None = None,
    plate: str = "",
    notes: str = "",
    locale: str = "ru",
    user_id: int | None = None,
) -> Booking:
    """Book a time for a customer, whom notice, horizon and the number of their bookings do not bind here.

    What is offered then is taken as a customer would get it. Else any post that is free long enough and can do the work
    takes it off the grid: the one that is named, or the first that is open then, or the first of all. The same token
    twice is one booking. Raises SlotTaken when no such post is free, InThePast, UnknownService, UnknownCarType.
    """
    one_at_a_time(hash_of(token))
    if (made_before := find_by_token(token)) is not None:
        return made_before
    if starts_at < clock.now().replace(second=0, microsecond=0):
        raise InThePast(starts_at=starts_at)
    point = db.session.get_one(ServicePoint, point_id)
    visit = calculate_booking_duration(service_ids, car_type_id, point, wheel_inches)
    reservations.lock_posts([post.id for post in point.posts])
    taken = _take(point, visit, token, starts_at, post_number)
    booking = write_booking(point, visit, customer, taken, locale=locale, source="staff", plate=plate, notes=notes)
    write_link(booking, token)
    record_made(booking, "created", actor=states.USER, user_id=user_id)
    outbox.write_booking_created(booking)
    return booking


def free_times(point: ServicePoint, day: date, visit: Breakdown) -> list[datetime]:
    """When such a visit could start on a local day, as the station offers its time; what is past is not named."""
    runs = availability.station_runs(point, day_span(point.time_zone, day), visit.total_minutes, visit.needs)
    return sorted({run.starts_at for run in runs if run.starts_at >= clock.now()})


def _take(
    point: ServicePoint, visit: Breakdown, token: str, starts_at: datetime, post_number: int | None
) -> tuple[int, Run]:
    offered = availability.station_runs_at(point, starts_at, visit.total_minutes, visit.needs)
    runs = [(run, True) for run in offered] + [(run, False) for run in _any_stretch(point, visit, starts_at)]
    numbers = {post.id: post.post_number for post in point.posts}
    for run, on_grid in runs:
        if post_number in (None, numbers[run.service_post_id]):
            taken = reservations.take(point.id, run, "booking", on_grid=on_grid, token_hash=hash_of(token))
            if taken is not None:
                return taken, run
    raise SlotTaken(starts_at=starts_at)


def _any_stretch(point: ServicePoint, visit: Breakdown, starts_at: datetime) -> Iterator[Run]:
    """That time of each post that can do the work; those that are open all the while first."""
    span = (starts_at, starts_at + visit.total_minutes * MINUTE)
    day = local_day(point.time_zone, starts_at)
    hours = load_hours(point, since=day - A_DAY)
    able = [post for post in load_abilities(point.id, visit.needs) if post.is_able and post.active]
    shut = {post: any(gaps(span, opening_windows(hours, post.service_post_id, day - A_DAY, day))) for post in able}
    for post in sorted(able, key=lambda post: (shut[post], post.post_number)):
        yield a_stretch(post.service_post_id, *span)

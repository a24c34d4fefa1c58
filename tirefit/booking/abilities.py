"""What a change of a post takes from customers: work that no post could do any more, and who is booked on it for such
work. Only reads: bookings stay as they were agreed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import joinedload, selectinload

from tirefit import clock
from tirefit.booking.catalogue import Matrix, PostLimits, Row, load_matrix
from tirefit.database import db
from tirefit.models import LIVE, Booking, CarType, Service, ServicePoint, ServicePost
from tirefit.schedule.changes import Abilities


@dataclass(frozen=True)
class Lost:
    """Pairs that could be booked and could not be any more, by service; the largest wheel that is left, where it gets
    smaller; bookings ahead of this post that it would not take now.
    """

    cells: tuple[tuple[Service, tuple[CarType, ...]], ...]
    largest_wheel: int | None
    bookings: tuple[Booking, ...]

    def __bool__(self) -> bool:
        return bool(self.cells or self.largest_wheel or self.bookings)


def of(post: ServicePost) -> Abilities:
    """What a post can take now."""
    cars, services = (row.car_type_id for row in post.car_types), (row.service_id for row in post.services)
    return Abilities(tuple(cars), tuple(services), post.largest_wheel)


def lost_by(point: ServicePoint, post: ServicePost, minutes: int, active: bool, abilities: Abilities) -> Lost:
    """What would be lost if the post had slots of so many minutes and these abilities. Writes nothing."""
    matrix = load_matrix(point)
    after = replace(matrix, posts=tuple(_changed(matrix.posts, post, minutes, active, abilities)))
    cells = []
    for row in matrix.rows:
        gone = [car for car in matrix.cars if _fits(matrix, row, car) and not _fits(after, row, car)]
        if gone:
            cells.append((row.service, tuple(gone)))
    return Lost(tuple(cells), _largest_left(point, post, active, abilities), _strangers(post, abilities))


def _changed(
    posts: Sequence[PostLimits], post: ServicePost, minutes: int, active: bool, abilities: Abilities
) -> list[PostLimits]:
    others = [each for each in posts if each.number != post.post_number]
    mine = [
        replace(
            each,
            slot_duration=minutes,
            car_type_ids=frozenset(abilities.car_type_ids),
            service_ids=frozenset(abilities.service_ids),
        )
        for each in posts
        if each.number == post.post_number and active
    ]
    return others + mine


def _fits(matrix: Matrix, row: Row, car: CarType) -> bool:
    cell = row.on.get(car.id)
    return cell is not None and bool(matrix.fitting(row.service.id, car.id, cell.minutes))


def _largest_left(point: ServicePoint, post: ServicePost, active: bool, abilities: Abilities) -> int | None:
    others = [each.largest_wheel for each in point.posts if each.active and each.id != post.id]
    before, after = [*others, post.largest_wheel] if post.active else others, others
    if active:
        after = [*others, abilities.largest_wheel]
    if not after or None in after:
        return None
    largest = max(size for size in after if size is not None)
    return largest if None in before or largest < max(size or 0 for size in before) else None


def _strangers(post: ServicePost, abilities: Abilities) -> tuple[Booking, ...]:
    ahead = db.session.scalars(
        select(Booking)
        .where(Booking.service_post_id == post.id, Booking.status.in_(LIVE), Booking.ends_at > clock.now())
        .order_by(Booking.starts_at)
        .options(selectinload(Booking.lines), joinedload(Booking.car_type))
    )
    return tuple(booking for booking in ahead if not _takes(abilities, booking))


def _takes(abilities: Abilities, booking: Booking) -> bool:
    cars, services, wheel = abilities.car_type_ids, abilities.service_ids, abilities.largest_wheel
    return (
        (not cars or booking.car_type_id in cars)
        and (not services or all(line.service_id in services for line in booking.lines))
        and (wheel is None or booking.wheel_inches is None or booking.wheel_inches <= wheel)
    )

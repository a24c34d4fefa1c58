"""How long a visit takes and what it costs: one breakdown, shown to everybody and kept with the booking."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, select
from sqlalchemy.orm import selectinload

from tirefit.database import db
from tirefit.errors import UnknownCarType, UnknownService
from tirefit.models import Booking, CarType, Service, ServicePoint, ServicePointService, ServicePrice, WheelSurcharge
from tirefit.models.services import Names
from tirefit.schedule.availability import Needs

MOST_SERVICES = 20  # in one visit
SMALLEST_WHEEL, LARGEST_WHEEL = 8, 40  # inches, as the schema has them


@dataclass(frozen=True)
class Line:
    """One service of a visit: minutes on this type of car, price in minor units."""

    service_id: int
    names: Names
    minutes: int
    price: int


@dataclass(frozen=True)
class Breakdown:
    """A whole visit: its lines, what large wheels add (`wheel_minutes`), and the sums.

    `moving` is the reservation of a visit that has one already: that time counts as free for it.
    """

    car_type: CarType
    lines: tuple[Line, ...]
    currency: str
    wheel_inches: int | None = None
    wheel_minutes: int = 0
    moving: int | None = None

    @property
    def total_minutes(self) -> int:
        return sum(line.minutes for line in self.lines) + self.wheel_minutes

    @property
    def service_ids(self) -> tuple[int, ...]:
        return tuple(line.service_id for line in self.lines)

    @property
    def needs(self) -> Needs:
        """What the visit asks of a post."""
        return Needs(self.car_type.id, self.service_ids, self.wheel_inches, self.moving)

    @property
    def total_price(self) -> int:
        return sum(line.price for line in self.lines)


@dataclass(frozen=True)
class OfferedService:
    """A service of a station, with what it takes on each type of car it is done on: car_type_id → (minutes, price)."""

    service: Service
    on: dict[int, tuple[int, int]]

    @property
    def from_minutes(self) -> int:
        return min(minutes for minutes, _ in self.on.values())

    @property
    def from_price(self) -> int:
        return min(price for _, price in self.on.values())


def offered_services(point: ServicePoint) -> list[OfferedService]:
    """What a station offers, in its own order; a service without a price for any car is not offered."""
    return _offered_on(car_types(), point)


def _offered_on(cars: Sequence[CarType], point: ServicePoint) -> list[OfferedService]:
    of_point = {"point_id": point.id}
    prices = {(price.service_id, price.car_type_id): price for price in db.session.execute(PRICES, of_point)}
    found = db.session.scalars(SERVICES, of_point).all()
    offered = [
        OfferedService(
            service,
            {
                car.id: (price.minutes or service.duration_for_car_type(car), price.amount)
                for car in cars
                if (price := prices.get((service.id, car.id))) is not None
            },
        )
        for service in found
    ]
    return [each for each in offered if each.on]


def car_types() -> list[CarType]:
    return list(db.session.scalars(CARS))


# Made once, like those of schedule.reservations.
CARS = select(CarType).where(CarType.active).order_by(CarType.position, CarType.id)
PRICES = select(ServicePrice.service_id, ServicePrice.car_type_id, ServicePrice.amount, ServicePrice.minutes).where(
    ServicePrice.service_point_id == bindparam("point_id")
)
SERVICES = (
    select(Service)
    .join(ServicePointService, ServicePointService.service_id == Service.id)
    .where(ServicePointService.service_point_id == bindparam("point_id"), Service.active)
    .order_by(ServicePointService.position, Service.id)
    .options(selectinload(Service.durations))
)


def calculate_booking_duration(
    service_ids: Sequence[int], car_type_id: int, point: ServicePoint, wheel_inches: int | None = None
) -> Breakdown:
    """Required minutes and price of these services on this type of car, at this station: Σ `duration_for_car_type`.

    A service named twice counts once. Wheels from a size on that the station has named take longer. Raises
    UnknownCarType, and UnknownService for an empty list, for more than twenty, and for a service that the station does
    not offer or does not do on such a car.
    """
    cars = car_types()
    visit = _breakdown(service_ids, car_type_id, cars, _offered_on(cars, point), point.currency)
    return visit if wheel_inches is None else on_wheels(visit, wheel_inches, wheel_surcharges(point))


def minutes_anywhere(service_ids: Sequence[int], car_type_id: int) -> list[Line]:
    """The same minutes where no station is named yet, and so without a price. Raises UnknownCarType, UnknownService."""
    car_type = next((car for car in car_types() if car.id == car_type_id), None)
    if car_type is None:
        raise UnknownCarType()
    wanted = list(dict.fromkeys(service_ids))
    found = select(Service).where(Service.id.in_(wanted), Service.active).options(selectinload(Service.durations))
    by_id = {service.id: service for service in db.session.scalars(found)}
    if not wanted or len(wanted) > MOST_SERVICES:
        raise UnknownService()
    for service_id in wanted:
        if service_id not in by_id:
            raise UnknownService(service_id=service_id)
    return [Line(id, by_id[id].names, by_id[id].duration_for_car_type(car_type), 0) for id in wanted]


def agreed(booking: Booking) -> Breakdown:
    """A booking's visit as it was agreed, whatever the station asks today."""
    return Breakdown(
        booking.car_type,
        tuple(Line(line.service_id, line.names, line.minutes, line.price) for line in booking.lines),
        booking.currency,
        booking.wheel_inches,
        booking.wheel_minutes,
        booking.reservation_id,
    )


def breakdown(
    service_ids: Sequence[int], car_type_id: int, offered: Sequence[OfferedService], currency: str
) -> Breakdown:
    """The same, of a station's offer that has been read already."""
    return _breakdown(service_ids, car_type_id, car_types(), offered, currency)


def _breakdown(
    service_ids: Sequence[int],
    car_type_id: int,
    cars: Sequence[CarType],
    offered: Sequence[OfferedService],
    currency: str,
) -> Breakdown:
    car_type = next((car for car in cars if car.id == car_type_id), None)
    if car_type is None:
        raise UnknownCarType()
    wanted = list(dict.fromkeys(service_ids))
    if not wanted or len(wanted) > MOST_SERVICES:
        raise UnknownService()
    by_id = {each.service.id: each for each in offered}
    lines = []
    for service_id in wanted:
        if service_id not in by_id or car_type_id not in by_id[service_id].on:
            raise UnknownService(service_id=service_id)
        minutes, price = by_id[service_id].on[car_type_id]
        lines.append(Line(service_id, by_id[service_id].service.names, minutes, price))
    return Breakdown(car_type, tuple(lines), currency)


def wheel_surcharges(point: ServicePoint) -> dict[int, int]:
    """From which size of wheel on (inches) a visit takes how many minutes more. Empty: the size does not matter."""
    rows = db.session.execute(
        select(WheelSurcharge.from_inches, WheelSurcharge.minutes)
        .where(WheelSurcharge.service_point_id == point.id)
        .order_by(WheelSurcharge.from_inches)
    )
    return {inches: minutes for inches, minutes in rows}  # noqa: C416 (a Row is no pair to mypy)


@dataclass(frozen=True)
class WheelSizes:
    """Neighbouring sizes of wheels, in inches, that a station treats alike; None: there is no end on that side."""

    first: int | None
    last: int | None

    @property
    def inches(self) -> int:
        """The size that stands for all of them."""
        return self.first or self.last or SMALLEST_WHEEL

    def __contains__(self, inches: int | None) -> bool:
        first, last = self.first or SMALLEST_WHEEL, self.last or LARGEST_WHEEL
        return inches is not None and first <= inches <= last


def wheel_sizes(point: ServicePoint, surcharges: Mapping[int, int]) -> list[WheelSizes]:
    """Which sizes a customer is asked to choose from: those between which minutes, or the posts that take them, differ.

    Empty at a station where no size takes longer.
    """
    if not surcharges:
        return []
    limits = {post.largest_wheel + 1 for post in point.posts if post.active and post.largest_wheel is not None}
    return sizes_between(surcharges.keys() | limits)


def sizes_between(steps: Iterable[int]) -> list[WheelSizes]:
    """All sizes, told apart where one of the steps begins."""
    firsts = sorted(size for size in {SMALLEST_WHEEL, *steps} if size <= LARGEST_WHEEL)
    bounds = zip([None, *firsts[1:]], [*(after - 1 for after in firsts[1:]), None], strict=True)
    return [WheelSizes(first, last) for first, last in bounds]


def on_wheels(visit: Breakdown, inches: int, surcharges: Mapping[int, int]) -> Breakdown:
    """The visit on wheels of that size: the surcharge of the largest size that they reach, once for the whole visit."""
    reached = [size for size in surcharges if size <= inches]
    return replace(visit, wheel_inches=inches, wheel_minutes=surcharges[max(reached)] if reached else 0)

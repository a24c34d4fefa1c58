"""What a station does: services × cars, minutes and price of each. A change holds for bookings made from now on.

Services and types of cars are the network's; which of them a station does, for how long and for how much, is its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import joinedload, selectinload

from tirefit import audit, clock
from tirefit.booking.durations import car_types
from tirefit.database import command, db
from tirefit.errors import ServicesChanged, UnknownService
from tirefit.models import (
    CarType,
    PostCarType,
    PostService,
    Service,
    ServiceCategory,
    ServicePoint,
    ServicePointService,
    ServicePost,
    ServicePrice,
)
from tirefit.models.services import Names
from tirefit.schedule.slots import load_hours, lock_station
from tirefit.schedule.windows import local_day, opening_windows

SHORTEST, LONGEST = 5, 480  # minutes of a service
DEAREST = 100_000_000  # minor units
MINUTE = timedelta(minutes=1)
TWO_WEEKS = timedelta(days=13)

CellId = tuple[int, int]  # service, type of car


@dataclass(frozen=True)
class Cell:
    """Minutes, and the price in minor units, of a service on a type of car."""

    minutes: int
    price: int


@dataclass(frozen=True)
class Row:
    """A service of the station; on what it does not name, it is not done."""

    service: Service
    on: dict[int, Cell]


@dataclass(frozen=True)
class Matrix:
    """Rows in the station's order; per post, how many minutes at most it gives to one visit (`longest`), and the cars
    and services that it names where it takes only some.
    """

    cars: tuple[CarType, ...]
    rows: tuple[Row, ...]
    posts: tuple["PostLimits", ...]

    @property
    def groups(self) -> list[tuple[ServiceCategory | None, list[Row]]]:
        """Rows by category, in the order in which the station first names one of it."""
        found: dict[int | None, list[Row]] = {}
        for row in self.rows:
            found.setdefault(row.service.category_id, []).append(row)
        return [(rows[0].service.category, rows) for rows in found.values()]

    def cell(self, service_id: int, car_type_id: int) -> Cell | None:
        return next((row.on.get(car_type_id) for row in self.rows if row.service.id == service_id), None)

    def has(self, service_id: int, car_type_id: int) -> bool:
        return any(row.service.id == service_id for row in self.rows) and any(c.id == car_type_id for c in self.cars)

    def fitting(self, service_id: int, car_type_id: int, minutes: int) -> list[int]:
        """The numbers of the posts on which that many minutes of it fit."""
        return [post.number for post in self.posts if post.fits(service_id, car_type_id, minutes)]


@dataclass(frozen=True)
class PostLimits:
    number: int
    open_minutes: int  # the longest stretch that it is open
    slot_duration: int
    car_type_ids: frozenset[int]
    service_ids: frozenset[int]

    @property
    def longest(self) -> int:
        return self.open_minutes // self.slot_duration * self.slot_duration

    def fits(self, service_id: int, car_type_id: int, minutes: int) -> bool:
        takes_car = not self.car_type_ids or car_type_id in self.car_type_ids
        return takes_car and (not self.service_ids or service_id in self.service_ids) and minutes <= self.longest


def load_matrix(point: ServicePoint) -> Matrix:
    """Everything that the station does, also services that it does on no car yet."""
    cars = car_types()
    prices = {
        (price.service_id, price.car_type_id): price
        for price in db.session.scalars(select(ServicePrice).where(ServicePrice.service_point_id == point.id))
    }
    rows = [
        Row(
            service,
            {car.id: cell_of(service, car, prices[key]) for car in cars if (key := (service.id, car.id)) in prices},
        )
        for service in station_services(point)
    ]
    return Matrix(tuple(cars), tuple(rows), tuple(_limits(point)))


def station_services(point: ServicePoint) -> list[Service]:
    """What the station does, in its own order."""
    services = (
        select(Service)
        .join(ServicePointService, ServicePointService.service_id == Service.id)
        .where(ServicePointService.service_point_id == point.id, Service.active)
        .order_by(ServicePointService.position, Service.id)
        .options(selectinload(Service.durations), joinedload(Service.category))
    )
    return list(db.session.scalars(services))


def cell_of(service: Service, car: CarType, price: ServicePrice) -> Cell:
    """The station's own minutes; where it has named none, the network's."""
    return Cell(price.minutes or service.duration_for_car_type(car), price.amount)


@command
def save_cells(
    point_id: int, cells: Mapping[CellId, tuple[Cell | None, Cell | None]], *, user_id: int | None = None
) -> int:
    """Write what has been changed of the matrix: id → what the page showed, and what it shall be (None: not done).

    → how many cells differ now. What the page did not change stays, whoever else changed it. Raises ServicesChanged,
    with the cells as they are, when somebody has changed the same ones meanwhile; UnknownService for a cell that the
    station does not have.
    """
    point = lock_station(point_id)
    matrix = load_matrix(point)
    wanted = {id: (was, now) for id, (was, now) in cells.items() if was != now}
    if not all(matrix.has(*id) for id in wanted):
        raise UnknownService()
    lost = {id: matrix.cell(*id) for id, (was, now) in wanted.items() if matrix.cell(*id) not in (was, now)}
    if lost:
        raise ServicesChanged(cells=lost)
    changed = {id: now for id, (_was, now) in wanted.items() if matrix.cell(*id) != now}
    for (service_id, car_type_id), now in changed.items():
        _write_cell(point_id, service_id, car_type_id, now)
    _leave_traces(point_id, matrix, changed, user_id)
    return len(changed)


@command
def add_service(point_id: int, names: Names, category: str = "", *, user_id: int | None = None) -> Service:
    """Let the station do something new; for how long and for how much, the matrix says afterwards."""
    lock_station(point_id)
    service = Service(names=names, base_duration=30, category=category_named(category, names) if category else None)
    db.session.add(service)
    db.session.flush()
    _offer(point_id, service.id)
    audit.record("service_added", "service", service.id, label=name_of(names), point_id=point_id, user_id=user_id)
    return service


@command
def drop_service(point_id: int, service_id: int, *, user_id: int | None = None) -> None:
    """The station no longer does it. Bookings that have it stay as they were agreed."""
    lock_station(point_id)
    service = db.session.get(Service, service_id)
    mine = select(ServicePointService).where(
        ServicePointService.service_point_id == point_id, ServicePointService.service_id == service_id
    )
    if service is None or db.session.scalar(mine) is None:
        return
    label = name_of(service.names)
    audit.record("service_dropped", "service", service_id, label=label, point_id=point_id, user_id=user_id)
    for model in (ServicePrice, ServicePointService):
        db.session.execute(delete(model).where(model.service_point_id == point_id, model.service_id == service_id))


@command
def add_car_type(point_id: int, names: Names, *, user_id: int | None = None) -> CarType:
    """A type of car that the network did not know; no station does anything on it until its matrix says so."""
    last = db.session.scalar(select(func.max(CarType.position))) or 0
    count = db.session.scalar(select(func.max(CarType.id))) or 0
    car = CarType(code=f"type-{count + 1}", names=names, position=last + 1)
    db.session.add(car)
    db.session.flush()
    audit.record("car_type_added", "service", car.id, label=name_of(names), point_id=point_id, user_id=user_id)
    return car


@command
def add_starter_set(point_id: int, *, user_id: int | None = None) -> None:
    """What most stations do, on five types of cars, to begin with. A station that has services keeps them as they are.

    What the network knows by the same Russian name is taken from there.
    """
    write_starter_set(lock_station(point_id), user_id)


def write_starter_set(point: ServicePoint, user_id: int | None) -> None:
    """Inside a command that has locked the station: what `add_starter_set` does."""
    point_id = point.id
    if db.session.scalar(select(ServicePointService).where(ServicePointService.service_point_id == point_id).limit(1)):
        return
    audit.record("starter_added", "service", "", point_id=point_id, user_id=user_id)
    known_cars = {car.code: car for car in db.session.scalars(select(CarType))}
    for position, (code, names) in enumerate(STARTER_CARS):
        if code not in known_cars:
            known_cars[code] = CarType(code=code, names=names, position=position)
            db.session.add(known_cars[code])
    known = {service.names.get("ru"): service for service in db.session.scalars(select(Service).where(Service.active))}
    for names, minutes, prices in STARTER:
        service = known.get(names["ru"]) or Service(names=names, base_duration=minutes[0])
        db.session.add(service)
        db.session.flush()
        _offer(point_id, service.id)
        for (code, _names), length, price in zip(STARTER_CARS, minutes, prices, strict=True):
            amount = _rounded(price * PERCENT_OF_HRYVNIA.get(point.currency, 100) // 100) * 100
            _write_cell(point_id, service.id, known_cars[code].id, Cell(length, amount))


def _leave_traces(point_id: int, matrix: Matrix, changed: Mapping[CellId, Cell | None], user_id: int | None) -> None:
    """One for each service, by the names of cars."""
    for row in matrix.rows:
        cars = [car for car in matrix.cars if (row.service.id, car.id) in changed]
        if cars:
            audit.record(
                "prices_changed",
                "service",
                row.service.id,
                label=name_of(row.service.names),
                point_id=point_id,
                user_id=user_id,
                before={name_of(car.names): _said(row.on.get(car.id)) for car in cars},
                after={name_of(car.names): _said(changed[row.service.id, car.id]) for car in cars},
            )


def name_of(names: Names) -> str:
    """As the journal calls it: in Russian, else as it was first called."""
    return str(names.get("ru") or next(iter(names.values()), ""))


def _said(cell: Cell | None) -> str | None:
    return f"{cell.minutes} · {cell.price / 100:g}" if cell else None


def _write_cell(point_id: int, service_id: int, car_type_id: int, cell: Cell | None) -> None:
    here = (
        ServicePrice.service_point_id == point_id,
        ServicePrice.service_id == service_id,
        ServicePrice.car_type_id == car_type_id,
    )
    price = db.session.scalar(select(ServicePrice).where(*here))
    if cell is None:
        if price is not None:
            db.session.delete(price)
        return
    if price is None:
        price = ServicePrice(service_point_id=point_id, service_id=service_id, car_type_id=car_type_id)
        db.session.add(price)
    price.minutes, price.amount = cell.minutes, cell.price


def _offer(point_id: int, service_id: int) -> None:
    mine = select(func.max(ServicePointService.position)).where(ServicePointService.service_point_id == point_id)
    last = db.session.scalar(mine)
    position = 0 if last is None else last + 1
    db.session.add(ServicePointService(service_point_id=point_id, service_id=service_id, position=position))
    db.session.flush()


def category_named(name: str, names: Names) -> ServiceCategory:
    """The category of that name in any language; a new one where there is none."""
    for known in db.session.scalars(select(ServiceCategory)):
        if name.casefold() in (str(each).casefold() for each in known.names.values()):
            return known
    last = db.session.scalar(select(func.max(ServiceCategory.position))) or 0
    return ServiceCategory(names=dict.fromkeys(names, name), position=last + 1)


def categories() -> Sequence[ServiceCategory]:
    return db.session.scalars(select(ServiceCategory).order_by(ServiceCategory.position, ServiceCategory.id)).all()


def _limits(point: ServicePoint) -> list[PostLimits]:
    """How long a visit each post can take at most: the longest stretch that it is open in the next two weeks, in whole
    slots of its own.
    """
    today = local_day(point.time_zone, clock.now())
    hours = load_hours(point, since=today)
    posts = [post for post in point.posts if post.active]
    cars = _named(PostCarType, PostCarType.car_type_id, posts)
    services = _named(PostService, PostService.service_id, posts)
    limits = []
    for post in posts:
        windows = opening_windows(hours, post.id, today, today + TWO_WEEKS)
        longest = max(((end - start) // MINUTE for start, end in windows), default=0)
        named = frozenset(cars[post.id]), frozenset(services[post.id])
        limits.append(PostLimits(post.post_number, longest, post.slot_duration, *named))
    return limits


def _named(model: Any, column: Any, posts: Sequence[ServicePost]) -> dict[int, list[int]]:
    """What each post names of cars or services; a post that names none takes all."""
    found: dict[int, list[int]] = {post.id: [] for post in posts}
    named = select(model.service_post_id, column).where(model.service_post_id.in_(found))
    for post_id, id in db.session.execute(named):
        found[post_id].append(id)
    return found


def _rounded(price: int) -> int:
    """As prices are written: 1 200, 45, 7."""
    step = 10 if price >= 100 else 5 if price >= 20 else 1
    return max(1, round(price / step)) * step


# --- to begin with

PERCENT_OF_HRYVNIA = {"UAH": 100, "RUB": 200, "KZT": 1200, "BYN": 8, "PLN": 9, "EUR": 2, "USD": 2, "GBP": 2}

STARTER_CARS: tuple[tuple[str, Names], ...] = (
    ("car", {"ru": "Легковая", "uk": "Легкова", "en": "Car"}),
    ("cross", {"ru": "Кроссовер", "uk": "Кросовер", "en": "Crossover"}),
    ("suv", {"ru": "Внедорожник", "uk": "Позашляховик", "en": "SUV"}),
    ("mini", {"ru": "Минивэн", "uk": "Мінівен", "en": "Minivan"}),
    ("van", {"ru": "Фургон", "uk": "Фургон", "en": "Van"}),
)

# names; minutes, and hryvnias, for each of these cars
STARTER: tuple[tuple[Names, tuple[int, ...], tuple[int, ...]], ...] = (
    (
        {"ru": "Сезонная переобувка", "uk": "Сезонна заміна шин", "en": "Seasonal tyre change"},
        (40, 50, 60, 50, 70),
        (1200, 1450, 1800, 1500, 2100),
    ),
    (
        {"ru": "Замена колёс в сборе", "uk": "Заміна коліс у зборі", "en": "Swap of complete wheels"},
        (20, 25, 30, 25, 35),
        (600, 700, 850, 750, 950),
    ),
    (
        {"ru": "Ремонт прокола", "uk": "Ремонт проколу", "en": "Puncture repair"},
        (20, 20, 20, 20, 25),
        (350, 350, 400, 350, 450),
    ),
    ({"ru": "Балансировка", "uk": "Балансування", "en": "Balancing"}, (30, 30, 40, 30, 40), (700, 800, 950, 800, 1100)),
)

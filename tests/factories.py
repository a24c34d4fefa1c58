"""The cast: station «Зимняя, 5» with posts of 30, 40 and 30 minutes; Ольга manages it, Иван is on shift.
Чужой manages another station. Анна books, Борис is a second too late.

Each function writes what it makes and returns it; call them inside an app context.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from zoneinfo import ZoneInfo

from argon2 import PasswordHasher
from flask.testing import FlaskClient
from sqlalchemy import Table, delete, func, insert, select, text, update

from tirefit import clock
from tirefit.booking.commands import Customer, create_booking
from tirefit.database import command, db
from tirefit.models import (
    Booking,
    CarType,
    Notification,
    Reservation,
    ScheduleTemplate,
    ScheduleWindow,
    Service,
    ServiceCategory,
    ServiceDuration,
    ServicePoint,
    ServicePointService,
    ServicePost,
    ServicePrice,
    User,
    UserRole,
    UserSession,
)
from tirefit.schedule.reservations import hash_of, new_token
from tirefit.schedule.rolling import generate_rolling_schedule

KYIV = ZoneInfo("Europe/Kyiv")
MONDAY = datetime(2026, 11, 2, 9, 0, tzinfo=KYIV)
PASSWORD = "пять болтов и одна секретка"

ANNA = Customer(name="Анна", phone="+380671234567", email="anna@example.com")
BORIS = Customer(name="Борис", phone="+380501234567", email="boris@example.com")

# code, names, percent of the base minutes and of the base price
CAR_TYPES = (
    ("car", {"ru": "Легковая", "uk": "Легкове авто", "en": "Passenger car"}, 100),
    ("suv", {"ru": "Внедорожник", "uk": "Позашляховик", "en": "SUV"}, 150),
)
# names, base minutes, price for a passenger car in kopecks
SERVICES = (
    ({"ru": "Сезонная переобувка", "uk": "Сезонна перевзувка", "en": "Seasonal tyre change"}, 40, 120000),
    ({"ru": "Балансировка", "uk": "Балансування", "en": "Balancing"}, 30, 70000),
    ({"ru": "Ремонт прокола", "uk": "Ремонт проколу", "en": "Puncture repair"}, 20, 35000),
)


def kyiv(text: str) -> datetime:
    """ "10:30" on that Monday, or "2026-11-03 10:30", by the station's clock; an aware instant in UTC."""
    day, _, time = text.rpartition(" ")
    local = datetime.fromisoformat(f"{day or MONDAY.date()} {time}")
    return local.replace(tzinfo=KYIV).astimezone(UTC)


def station(
    slug: str = "zimnyaya-5", name: str = "Зимняя, 5", posts: Sequence[int] = (30, 40, 30), **settings: object
) -> ServicePoint:
    """A station open Monday to Saturday from nine to six, with every service for every car, and its offer made."""
    asked = (db.engine.dialect.name, slug, name, tuple(posts), repr(sorted(settings.items())))
    alone = clock.now() == MONDAY and db.session.scalar(select(func.count()).select_from(ServicePoint)) == 0
    if alone and asked in _rows_made:
        _write_rows(_rows_made[asked])
        return db.session.scalars(select(ServicePoint)).one()
    point = _write_station(slug, name, posts, settings)
    generate_rolling_schedule(point.id)
    if alone:
        _rows_made[asked] = _read_rows()
    return db.session.get_one(ServicePoint, point.id)


def service(name: str = "Сезонная переобувка") -> Service:
    return next(found for found in db.session.scalars(select(Service)) if found.names["ru"] == name)


def car_type(code: str = "car") -> CarType:
    return db.session.scalars(select(CarType).where(CarType.code == code)).one()


@command
def user(name: str, email: str, role: str, point: ServicePoint | None = None, locale: str = "ru") -> User:
    found = User(name=name, email=email, password_hash=_hash(PASSWORD), locale=locale, created_at=MONDAY)
    found.roles = [UserRole(role=role, service_point_id=point.id if point else None)]
    db.session.add(found)
    return found


def sign_in(client: FlaskClient, user: User) -> FlaskClient:
    """A browser in which this person has signed in, without waiting for the slow hash."""
    token = new_token()
    _write_session(user.id, hash_of(token))
    with client.session_transaction() as session:
        session["user"] = token
    return client


def booking(
    point: ServicePoint,
    starts_at: str | datetime,
    customer: Customer = ANNA,
    services: Sequence[str] = ("Сезонная переобувка",),
    car: str = "car",
    **wishes: object,
) -> Booking:
    """A booking as the customer makes it; `starts_at` may be "10:30"."""
    return create_booking(
        point.id,
        [service(name).id for name in services],
        car_type(car).id,
        customer,
        token=wishes.pop("token", None) or new_token(),
        starts_at=kyiv(starts_at) if isinstance(starts_at, str) else starts_at,
        **wishes,
    )


@command
def clear_bookings() -> None:
    """No letter, no reservation; what was booked is cancelled. For tests that play one history after another."""
    db.session.execute(delete(Notification))
    db.session.execute(update(Booking).values(reservation_id=None, status="cancelled_by_station"))
    db.session.execute(delete(Reservation))


@command
def _write_session(user_id: int, token_hash: str) -> None:
    now = clock.now()
    db.session.add(UserSession(token_hash=token_hash, user_id=user_id, created_at=now, last_seen_at=now))


# What was written for a station on an empty database: thousands of tests begin with the same one, and generating takes
# as long as many of them.
_rows_made: dict[tuple[object, ...], dict[Table, object]] = {}


def _read_rows() -> dict[Table, object]:
    return {table: rows for table in db.metadata.sorted_tables if (rows := _rows_of(table))}


def _rows_of(table: Table) -> object:
    if db.engine.dialect.name == "sqlite":
        return list(map(dict, db.session.execute(select(table)).mappings()))
    with db.session.connection().connection.cursor().copy(f"COPY {table} TO STDOUT") as copy:
        return b"".join(copy)


@command
def _write_rows(rows_of: dict[Table, object]) -> None:
    if db.engine.dialect.name == "sqlite":
        for table, rows in rows_of.items():
            db.session.execute(insert(table), rows)
        return
    for table, rows in rows_of.items():
        with db.session.connection().connection.cursor().copy(f"COPY {table} FROM STDIN") as copy:
            copy.write(rows)
    counted = [table.name for table in rows_of if "id" in table.columns]
    last = (f"setval(pg_get_serial_sequence('{name}', 'id'), (SELECT max(id) FROM {name}))" for name in counted)
    db.session.execute(text(f"SELECT {', '.join(last)}"))


@command
def _write_station(slug: str, name: str, posts: Sequence[int], settings: dict[str, object]) -> ServicePoint:
    ways = {"lead_minutes": 0, "horizon_days": 10, "max_open_bookings_per_contact": 100}  # what is rarely at issue
    about = {"city": "Киев", "address": "ул. Зимняя, 5", "phone": "+380442000505", "email": f"{slug}@example.com"}
    point = ServicePoint(slug=slug, name=name, **(ways | about | settings))
    point.posts = [
        ServicePost(post_number=number, slot_duration=minutes) for number, minutes in enumerate(posts, start=1)
    ]
    db.session.add(point)
    db.session.flush()
    week = ScheduleTemplate(service_point_id=point.id, name="Обычная неделя")
    week.windows = [ScheduleWindow(weekday=day, opens=9 * 60, closes=18 * 60) for day in range(6)]
    db.session.add(week)
    cars, services = _catalogue()
    for position, (service, price) in enumerate(services):
        db.session.add(ServicePointService(service_point_id=point.id, service_id=service.id, position=position))
        db.session.add_all(
            ServicePrice(
                service_point_id=point.id,
                service_id=service.id,
                car_type_id=car.id,
                amount=price * car.duration_factor // 100,
            )
            for car in cars
        )
    return point


def _catalogue() -> tuple[list[CarType], list[tuple[Service, int]]]:
    """Cars and services are the network's: the first station brings them, the others find them."""
    cars = list(db.session.scalars(select(CarType).order_by(CarType.position)))
    services = list(db.session.scalars(select(Service).order_by(Service.id)))
    if not cars:
        cars = [
            CarType(code=code, names=names, duration_factor=factor, position=position)
            for position, (code, names, factor) in enumerate(CAR_TYPES)
        ]
        category = ServiceCategory(names={"ru": "Шиномонтаж", "uk": "Шиномонтаж", "en": "Tyre fitting"})
        services = [Service(names=names, base_duration=minutes, category=category) for names, minutes, _ in SERVICES]
        db.session.add_all([*cars, *services])
        db.session.flush()
        puncture, suv = services[2], cars[1]  # one wheel takes as long on any car
        db.session.add(ServiceDuration(service_id=puncture.id, car_type_id=suv.id, minutes=20))
    return cars, [(service, price) for service, (_, _, price) in zip(services, SERVICES, strict=True)]


@cache
def _hash(password: str) -> str:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(password)  # a real one, only quick

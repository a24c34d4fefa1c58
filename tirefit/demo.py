"""A believable little network with bookings around now, for a newcomer's first look. All of it or nothing.

Everything here is invented. The dice are loaded the same way every time; only "now" differs.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from tirefit import accounts, clock, demo_history
from tirefit.booking.durations import OfferedService, car_types, offered_services
from tirefit.database import command, db
from tirefit.models import (
    Booking,
    BookingEvent,
    BookingService,
    CarType,
    Notification,
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
    WheelSurcharge,
)
from tirefit.models.services import Names
from tirefit.schedule import grid, reservations, slots
from tirefit.schedule.grid import Run, Span
from tirefit.schedule.windows import local_day, opening_windows

A_DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)

CARS = [
    # code, names, percent of the base minutes
    ("car", {"ru": "Легковая", "uk": "Легкова", "en": "Car"}, 100),
    ("cross", {"ru": "Кроссовер", "uk": "Кросовер", "en": "Crossover"}, 120),
    ("suv", {"ru": "Внедорожник", "uk": "Позашляховик", "en": "SUV"}, 150),
    ("mini", {"ru": "Минивэн", "uk": "Мінівен", "en": "Minivan"}, 125),
    ("van", {"ru": "Фургон", "uk": "Фургон", "en": "Van"}, 175),
]
CATEGORIES = [
    {"ru": "Шины и колёса", "uk": "Шини й колеса", "en": "Tyres and wheels"},
    {"ru": "Ремонт", "uk": "Ремонт", "en": "Repairs"},
]
SERVICES: list[tuple[int, Names, Names, list[int], list[int]]] = [
    # category, names, descriptions, minutes per car, price per car in whole hryvnias
    (
        0,
        {"ru": "Сезонная переобувка", "uk": "Сезонна заміна шин", "en": "Seasonal tyre change"},
        {
            "ru": "4 колеса: снять, перебортовать, отбалансировать",
            "uk": "4 колеса: зняти, перебортувати, відбалансувати",
            "en": "4 wheels: take off, refit, balance",
        },
        [40, 50, 60, 50, 70],
        [1200, 1450, 1800, 1500, 2100],
    ),
    (
        0,
        {"ru": "Замена колёс в сборе", "uk": "Заміна коліс у зборі", "en": "Wheel swap"},
        {
            "ru": "Если у вас два комплекта дисков",
            "uk": "Якщо у вас два комплекти дисків",
            "en": "If you have two sets",
        },
        [20, 25, 30, 25, 35],
        [600, 700, 850, 750, 950],
    ),
    (
        1,
        {"ru": "Ремонт прокола", "uk": "Ремонт проколу", "en": "Puncture repair"},
        {"ru": "Одно колесо", "uk": "Одне колесо", "en": "One wheel"},
        [20, 20, 25, 20, 30],
        [350, 350, 400, 350, 450],
    ),
    (
        0,
        {"ru": "Балансировка", "uk": "Балансування", "en": "Balancing"},
        {"ru": "4 колеса", "uk": "4 колеса", "en": "4 wheels"},
        [30, 30, 40, 30, 45],
        [700, 800, 900, 800, 1000],
    ),
]
LARGE_WHEELS = {18: 5, 20: 15}  # from which size on, how many minutes more


@dataclass(frozen=True)
class Login:
    """Somebody who can sign in to the demo, with the password that is shown once."""

    email: str
    password: str
    role: str
    station: str  # its name; empty: all of them


@command
def load_demo() -> list[Login]:
    """Fill an empty database; → who can sign in. One that has a station is left alone, and the list is empty."""
    if db.session.scalar(select(ServicePoint.id).limit(1)) is not None:
        return []
    dice = random.Random(2026)
    _write_catalogue()
    points = [_write_small_station(), _write_big_station()]
    logins = _write_people(points)
    for point in points:
        _offer_services(point)
        _write_past(point)
        today = local_day(point.time_zone, clock.now())
        slots.regenerate(point, point.posts, today, today + point.horizon_days * A_DAY)
        point.slots_until = today + point.horizon_days * A_DAY
        _fill(point, dice)
        demo_history.write_counts(point)
    return logins


def _write_catalogue() -> None:
    cars = [
        CarType(code=code, names=names, duration_factor=factor, position=n)
        for n, (code, names, factor) in enumerate(CARS)
    ]
    categories = [ServiceCategory(names=names, position=n) for n, names in enumerate(CATEGORIES)]
    db.session.add_all([*cars, *categories])
    db.session.flush()
    for category, names, descriptions, minutes, _ in SERVICES:
        service = Service(
            category_id=categories[category].id, names=names, descriptions=descriptions, base_duration=minutes[0]
        )
        service.durations = [
            ServiceDuration(car_type_id=car.id, minutes=each) for car, each in zip(cars, minutes, strict=True)
        ]
        db.session.add(service)
    db.session.flush()


def _write_small_station() -> ServicePoint:
    """Three posts at 30, 40 and 30 minutes, with a lunch break: the plan's example. Large wheels take longer here."""
    point = ServicePoint(
        slug="sadovaya",
        name="Шина-Сервис",
        city="Киев",
        address="ул. Садовая, 14, въезд со двора",
        phone="+380441234567",
        email="sadovaya@tirefit.example",
        time_zone="Europe/Kyiv",
    )
    workday = [(540, 780), (840, 1200)]
    windows = [(day, *span) for day in range(6) for span in workday] + [(6, 600, 960)]
    point = _write_station(point, [30, 40, 30], windows)
    db.session.add_all(
        WheelSurcharge(service_point_id=point.id, from_inches=size, minutes=more) for size, more in LARGE_WHEELS.items()
    )
    return point


def _write_big_station() -> ServicePoint:
    """Five posts, open round the clock: there is something on its board whenever a newcomer looks."""
    point = ServicePoint(
        slug="levoberezhnaya",
        name="Левобережная",
        city="Киев",
        address="просп. Броварской, 21",
        phone="+380445551921",
        email="levoberezhnaya@tirefit.example",
        time_zone="Europe/Kyiv",
    )
    return _write_station(point, [30, 40, 30, 60, 45], [(day, 0, 1440) for day in range(7)])


def _write_station(point: ServicePoint, lengths: list[int], windows: list[tuple[int, int, int]]) -> ServicePoint:
    point.posts = [
        ServicePost(post_number=number, name=f"Пост {number}", slot_duration=length)
        for number, length in enumerate(lengths, 1)
    ]
    db.session.add(point)
    db.session.flush()
    db.session.add(
        ScheduleTemplate(
            service_point_id=point.id,
            name="Обычная неделя",
            windows=[ScheduleWindow(weekday=day, opens=opens, closes=closes) for day, opens, closes in windows],
        )
    )
    db.session.flush()
    return point


def _offer_services(point: ServicePoint) -> None:
    cars = car_types()
    services = db.session.scalars(select(Service).order_by(Service.id)).all()
    for position, (service, (*_, prices)) in enumerate(zip(services, SERVICES, strict=True)):
        db.session.add(ServicePointService(service_point_id=point.id, service_id=service.id, position=position))
        for car, price in zip(cars, prices, strict=True):
            db.session.add(
                ServicePrice(service_point_id=point.id, service_id=service.id, car_type_id=car.id, amount=price * 100)
            )
    db.session.flush()


def _write_past(point: ServicePoint) -> None:
    people = select(User.id, User.name).join(UserRole).where(UserRole.service_point_id == point.id)
    found = db.session.execute(people.order_by(UserRole.role, User.id)).all()
    manager, fitter = found[0], found[-1]
    cast = demo_history.Cast(manager.id, fitter.id, fitter.name)
    demo_history.write(point, offered_services(point), car_types(), cast, local_day(point.time_zone, clock.now()))


def _fill(point: ServicePoint, dice: random.Random) -> None:
    """Bookings from yesterday to a week ahead: the nearer the fuller, with the usual troubles of a day around now."""
    offered, cars = offered_services(point), car_types()
    today = local_day(point.time_zone, clock.now())
    hours = slots.load_hours(point)
    with db.session.no_autoflush:  # all bookings are written at once
        bookings = [
            booking
            for post in point.posts
            for booking in _of_post(
                point, post, opening_windows(hours, post.id, today - A_DAY, today + 6 * A_DAY), offered, cars, dice
            )
        ]
    db.session.add_all(bookings)
    db.session.flush()
    traces = [trace for booking in bookings for trace in _traces(booking)]
    traces.sort(key=lambda trace: trace.at)
    db.session.add_all(traces)
    for booking in bookings:
        if booking.status == "confirmed" and booking.starts_at > clock.now() and dice.random() < 0.03:
            _write_failed_letter(booking)


def _of_post(
    point: ServicePoint,
    post: ServicePost,
    windows: list[Span],
    offered: list[OfferedService],
    cars: list[CarType],
    dice: random.Random,
) -> Iterator[Booking]:
    today, cells = local_day(point.time_zone, clock.now()), grid.cut(windows, post.slot_duration, [])
    at, before = 0, ""
    while at < len(cells):
        days_ahead = (local_day(point.time_zone, cells[at][0]) - today).days
        job, car = dice.choice(offered), dice.choices(cars, weights=[6, 5, 3, 2, 1])[0]
        run = _row_of(cells, at, timedelta(minutes=job.on[car.id][0]))
        is_near = abs(cells[at][0] - clock.now()) < timedelta(hours=2)
        if run and dice.random() < (0.9 if is_near else 0.75 if days_ahead <= 0 else 0.6 - 0.07 * days_ahead):
            status = _status_around_now(run, dice)
            if status == before == "in_progress":  # the car before is not ready yet
                status = "arrived"
            yield _booking(point, post, run, job, car, status, dice)
            before = status
            at += sum(1 for cell in cells[at:] if cell[1] <= run[1])
        else:
            at += 1


def _row_of(cells: list[Span], at: int, need: timedelta) -> Span | None:
    start = cells[at][0]
    for i in range(at, len(cells)):
        if i > at and cells[i][0] != cells[i - 1][1]:
            return None
        if cells[i][1] - start >= need:
            return start, cells[i][1]
    return None


def _booking(
    point: ServicePoint,
    post: ServicePost,
    span: Span,
    job: OfferedService,
    car: CarType,
    status: str,
    dice: random.Random,
) -> Booking:
    minutes, price = job.on[car.id]
    made_at = min(clock.now(), span[0]) - timedelta(hours=dice.randint(3, 90), minutes=dice.randint(0, 59))
    arrived_at = span[0] - dice.randint(0, 12) * MINUTE
    started_at = span[0] + dice.randint(0, 4) * MINUTE
    booking = Booking(
        number=demo_history.number(dice),
        service_point_id=point.id,
        service_post_id=post.id,
        starts_at=span[0],
        ends_at=span[1],
        car_type_id=car.id,
        plate=demo_history.plate(dice),
        customer_name=dice.choice(demo_history.FIRST_NAMES),
        customer_phone=f"+38067555{dice.randint(0, 9999):04d}",
        total_duration=minutes,
        total_price=price,
        currency=point.currency,
        status=status,
        source=dice.choices(["online", "staff"], weights=[4, 1])[0],
        locale=point.locale,
        created_at=made_at,
        arrived_at=min(arrived_at, clock.now()) if status in {"arrived", "in_progress", "completed"} else None,
        started_at=min(started_at, clock.now()) if status in {"in_progress", "completed"} else None,
        completed_at=min(span[1] - dice.randint(0, 6) * MINUTE, clock.now()) if status == "completed" else None,
        lines=[
            BookingService(position=0, service_id=job.service.id, names=job.service.names, minutes=minutes, price=price)
        ],
    )
    if status in {"confirmed", "arrived", "in_progress"}:
        booking.reservation_id = _occupy(point, post, span)
    return booking


def _status_around_now(span: Span, dice: random.Random) -> str:
    now = clock.now()
    if span[1] <= now:
        if now - span[1] < 25 * MINUTE and dice.random() < 0.4:
            return "in_progress"  # over its time
        return dice.choices(["completed", "no_show"], weights=[14, 1])[0]
    if span[0] <= now:
        late = now - span[0] > 10 * MINUTE and dice.random() < 0.3
        return "confirmed" if late else "in_progress"
    return "arrived" if span[0] - now < 30 * MINUTE and dice.random() < 0.5 else "confirmed"


def _occupy(point: ServicePoint, post: ServicePost, span: Span) -> int:
    run = Run(post.id, post.post_number, *span, slots=1, waste_minutes=0, left_minutes=0, right_minutes=0)
    reservation_id = reservations.take(point.id, run, "booking", on_grid=False)
    assert reservation_id is not None  # the post's day was empty, and cells do not overlap
    return reservation_id


def _traces(booking: Booking) -> Iterator[BookingEvent]:
    ends_at = booking.completed_at if booking.status == "completed" else None
    steps = (
        ("created", booking.created_at),
        ("arrive", booking.arrived_at),
        ("start", booking.started_at),
        ("complete", ends_at),
    )
    for event, at in steps:
        if at is not None:
            actor = "customer" if event == "created" and booking.source == "online" else "system"
            after = {"status": booking.status}
            yield BookingEvent(booking_id=booking.id, at=at, actor=actor, event=event, before={}, after=after)


def _write_failed_letter(booking: Booking) -> None:
    booking.customer_email = "no-such-box@tirefit.example"
    db.session.add(
        Notification(
            booking_id=booking.id,
            service_point_id=booking.service_point_id,
            revision=booking.revision,
            kind="booking_created",
            recipient=booking.customer_email,
            locale=booking.locale,
            message_id=f"<demo.{booking.number}@tirefit.example>",
            state="failed",
            due_at=booking.created_at,
            attempts=1,
            last_error="550 5.1.1 mailbox does not exist",
            created_at=booking.created_at,
        )
    )


def _write_people(points: list[ServicePoint]) -> list[Login]:
    small, big = points
    people = [
        ("admin@tirefit.example", "Администратор", "admin", None),
        ("olga@tirefit.example", "Ольга Кравец", "manager", big),
        ("ivan@tirefit.example", "Иван Бондарь", "staff", big),
        ("maria@tirefit.example", "Мария Ткач", "manager", small),
    ]
    logins = []
    for email, name, role, point in people:
        password = accounts.write_user(email, role, [point.id if point else None], name=name)
        logins.append(Login(email, password, role, point.name if point else ""))
    return logins

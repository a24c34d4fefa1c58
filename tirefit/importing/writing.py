"""Writing what was planned: the catalogue, each station, and bookings some at a time, each one transaction.

Whatever stops it, running it again goes on: a row that has been dealt with stands in `imported_rows`, written in the
same transaction. A station is closed for online booking until all of its bookings are there.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from sqlalchemy import select

from tirefit import clock, revisions
from tirefit.booking.commands import new_number
from tirefit.database import command, db
from tirefit.importing.plan import OldBooking, OldStation, Plan
from tirefit.importing.values import slug
from tirefit.models import (
    Booking,
    BookingEvent,
    BookingService,
    CarType,
    ExceptionWindow,
    ImportedRow,
    ScheduleException,
    ScheduleTemplate,
    ScheduleWindow,
    Service,
    ServicePoint,
    ServicePointService,
    ServicePost,
    ServicePrice,
)
from tirefit.schedule import reservations
from tirefit.schedule.grid import a_stretch
from tirefit.schedule.rolling import generate_rolling_schedule

AT_ONCE = 500  # bookings in one transaction
OPENED = "opened"  # a station's last step
CANCELLED = {"cancelled_by_customer": "cancel_by_customer", "cancelled_by_station": "cancel_by_station"}


def write(plan: Plan, country: str, currency: str, tell: Callable[[int, int], None] = lambda done, of: None) -> None:
    """Write what of the plan has not been written yet. `tell(done, of)` is called as bookings are dealt with."""
    _write_catalogue(plan)
    for station in plan.stations.values():
        _write_station(station, country, currency)
    done = _dealt_with("bookings")
    waiting = [booking for booking in plan.bookings if booking.old_id not in done]
    for start in range(0, len(waiting), AT_ONCE):
        _write_bookings(waiting[start : start + AT_ONCE], plan)
        tell(start + len(waiting[start : start + AT_ONCE]), len(waiting))
    _write_unplaced(plan)
    for station in plan.stations.values():
        if (point_id := _open_station(station)) is not None:
            generate_rolling_schedule(point_id)


def counts() -> Counter[tuple[str, str]]:
    """What has been dealt with so far: (old table, state) → rows."""
    found = db.session.execute(select(ImportedRow.kind, ImportedRow.state)).all()
    return Counter((row.kind, row.state) for row in found if row.kind != OPENED)


@command
def _write_catalogue(plan: Plan) -> None:
    """Cars and services; one of the same name that is there already is the same."""
    cars = {car.names.get("ru", "").lower(): car for car in db.session.scalars(select(CarType))}
    done = _dealt_with("car_types")
    for old_id, name in plan.car_types.items():
        if old_id in done:
            continue
        if name.lower() not in cars:
            cars[name.lower()] = CarType(code=f"{slug(name)}-{old_id}", names={"ru": name}, position=len(cars))
            db.session.add(cars[name.lower()])
            db.session.flush()
        _remember("car_types", old_id, cars[name.lower()].id)
    services = {service.names.get("ru", "").lower(): service for service in db.session.scalars(select(Service))}
    done = _dealt_with("services")
    for old_id, (name, minutes) in plan.services.items():
        if old_id in done:
            continue
        if name.lower() not in services:
            services[name.lower()] = Service(names={"ru": name}, base_duration=minutes)
            db.session.add(services[name.lower()])
            db.session.flush()
        _remember("services", old_id, services[name.lower()].id)


@command
def _write_station(station: OldStation, country: str, currency: str) -> None:
    """A station with its posts, hours and services; closed for now."""
    if station.old_id in _dealt_with("service_points"):
        return
    about = {name: value for name, value in station.about.items() if name != "active"}
    point = ServicePoint(slug=_free_slug(station.name), name=station.name, active=False, **about)
    point.time_zone, point.country, point.currency = station.zone, country, currency
    point.posts = [
        ServicePost(
            post_number=post.number,
            slot_duration=post.length,
            name=post.name or f"Пост {post.number}",
            active=post.active,
        )
        for post in station.posts
    ]
    db.session.add(point)
    db.session.flush()
    weeks: list[tuple[int | None, str, list[tuple[int, int, int]]]] = [(None, "Обычная неделя", station.week)]
    ids = {post.post_number: post.id for post in point.posts}
    weeks += [(ids[post.number], f"Пост {post.number}", post.week) for post in station.posts if post.week is not None]
    for post_id, name, week in weeks:
        template = ScheduleTemplate(service_point_id=point.id, service_post_id=post_id, name=name)
        template.windows = [ScheduleWindow(weekday=day, opens=opens, closes=closes) for day, opens, closes in week]
        db.session.add(template)
    for day, (reason, windows) in station.exceptions.items():
        exception = ScheduleException(service_point_id=point.id, day=day, reason=reason)
        exception.windows = [ExceptionWindow(opens=opens, closes=closes) for opens, closes in windows]
        db.session.add(exception)
    _offer(station, point)
    _remember("service_points", station.old_id, point.id)


def _offer(station: OldStation, point: ServicePoint) -> None:
    services, cars = _known("services"), set(_known("car_types").values())
    offered = set()
    for position, (old_id, price) in enumerate(station.offers.items()):
        service_id = services[old_id]
        if price is None or service_id in offered:
            continue
        offered.add(service_id)
        db.session.add(ServicePointService(service_point_id=point.id, service_id=service_id, position=position))
        db.session.add_all(
            ServicePrice(service_point_id=point.id, service_id=service_id, car_type_id=car, amount=price)
            for car in sorted(cars)
        )
    db.session.flush()


@command
def _write_bookings(bookings: Sequence[OldBooking], plan: Plan) -> None:
    points, cars, services = _known("service_points"), _known("car_types"), _known("services")
    some_car = db.session.scalars(select(CarType.id).order_by(CarType.position, CarType.id)).first()
    posts = {
        (post.service_point_id, post.post_number): post
        for post in db.session.scalars(
            select(ServicePost).where(ServicePost.service_point_id.in_({points[each.station] for each in bookings}))
        )
    }
    currencies = {row.id: row.currency for row in db.session.execute(select(ServicePoint.id, ServicePoint.currency))}
    made: list[tuple[OldBooking, Booking]] = []
    for old in bookings:
        point_id = points[old.station]
        post = posts[point_id, old.post_number]
        reservation_id = None
        if old.takes_time:
            run = a_stretch(post.id, old.starts_at, old.ends_at)
            reservation_id = reservations.occupy(point_id, run, "booking")
        if old.clash or (old.takes_time and reservation_id is None):
            _remember("bookings", old.old_id, None, "clash", point_id=point_id, data=_told(old))
            continue
        car = cars.get(old.car_type, some_car)
        if car is None:
            _remember("bookings", old.old_id, None, "unplaced", "no type of car is known", point_id, _told(old))
            continue
        booking = _as_booking(old, point_id, post.id, car, currencies[point_id])
        booking.reservation_id = reservation_id
        names = {service: plan.services[service] for service in old.services}
        booking.lines = [
            BookingService(position=n, service_id=services[service], names={"ru": name}, minutes=minutes, price=0)
            for n, (service, (name, minutes)) in enumerate(names.items())
        ]
        db.session.add(booking)
        made.append((old, booking))
    db.session.flush()
    for old, booking in made:
        _leave_traces(old, booking)
        _remember("bookings", old.old_id, booking.id)
    for point_id in {booking.service_point_id for _, booking in made}:
        revisions.touch(point_id)


def _as_booking(old: OldBooking, point_id: int, post_id: int, car_type_id: int, currency: str) -> Booking:
    is_over = old.status == "completed"
    return Booking(
        number=new_number(),
        service_point_id=point_id,
        service_post_id=post_id,
        starts_at=old.starts_at,
        ends_at=old.ends_at,
        car_type_id=car_type_id,
        plate=old.plate,
        customer_name=old.name,
        customer_phone=old.phone,
        customer_email=old.email,
        notes=old.notes,
        total_duration=int((old.ends_at - old.starts_at).total_seconds()) // 60,
        total_price=old.price,
        currency=currency,
        status=old.status,
        source="staff",
        locale="ru",
        created_at=clock.now(),
        completed_at=old.ends_at if is_over else None,
    )


def _leave_traces(old: OldBooking, booking: Booking) -> None:
    """Where it comes from; and, of a cancelled one, the step that can be taken back."""
    now = clock.now()
    came = {"status": "confirmed" if old.status in CANCELLED else old.status, "old_status": old.was}
    traces: list[tuple[str, dict[str, str], dict[str, str]]] = [("imported", {}, came)]
    if old.status in CANCELLED:
        traces.append((CANCELLED[old.status], {"status": "confirmed"}, {"status": old.status}))
    db.session.add_all(
        BookingEvent(booking_id=booking.id, at=now, actor="system", event=event, before=before, after=after)
        for event, before, after in traces
    )


@command
def _write_unplaced(plan: Plan) -> None:
    """What could not be placed is kept too, with what it said, for people to see."""
    done, points = {kind: _dealt_with(kind) for kind in plan.read}, _known("service_points")
    for kind, old_id, why, row in plan.unplaced:
        if old_id in done.get(kind, set()) or not old_id:
            continue
        done.setdefault(kind, set()).add(old_id)
        said = {str(name): str(value)[:200] for name, value in row.items() if value is not None}
        _remember(kind, old_id, None, "unplaced", why, points.get(str(row.get("service_point_id"))), said)


@command
def _open_station(station: OldStation) -> int | None:
    """All of it is there: customers may come, if they could before; → the station, where it was still closed."""
    if station.old_id in _dealt_with(OPENED):
        return None
    point = db.session.get_one(ServicePoint, _known("service_points")[station.old_id])
    point.active = bool(station.about["active"])
    _remember(OPENED, station.old_id, point.id)
    return point.id if point.active else None


def _remember(
    kind: str,
    old_id: str,
    new_id: int | None,
    state: str = "written",
    reason: str = "",
    point_id: int | None = None,
    data: dict[str, str] | None = None,
) -> None:
    row = ImportedRow(kind=kind, old_id=old_id, new_id=new_id, state=state, reason=reason, data=data or {})
    row.service_point_id = point_id
    db.session.add(row)


def _told(old: OldBooking) -> dict[str, str]:
    """What the manager needs to settle it with the customer."""
    return {
        "starts_at": old.starts_at.isoformat(),
        "ends_at": old.ends_at.isoformat(),
        "post_number": str(old.post_number),
        "name": old.name,
        "phone": old.phone,
        "plate": old.plate,
        "notes": old.notes,
    }


def _dealt_with(kind: str) -> set[str]:
    return set(db.session.scalars(select(ImportedRow.old_id).where(ImportedRow.kind == kind)))


def _known(kind: str) -> dict[str, int]:
    found = select(ImportedRow.old_id, ImportedRow.new_id).where(ImportedRow.kind == kind)
    return {row.old_id: row.new_id for row in db.session.execute(found) if row.new_id is not None}


def _free_slug(name: str) -> str:
    wanted = slug(name)
    taken = set(db.session.scalars(select(ServicePoint.slug).where(ServicePoint.slug.startswith(wanted))))
    return next(s for s in (wanted, *(f"{wanted}-{n}" for n in range(2, 10_000))) if s not in taken)

"""What becomes of every row of the old system. Nothing is written here: the dry run shows this very plan."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from tirefit import clock
from tirefit.importing import values
from tirefit.importing.source import Row, Source
from tirefit.importing.values import first, minute, truth, whole
from tirefit.schedule.slots import LONGEST, SHORTEST
from tirefit.schedule.windows import instant, is_valid_day
from tirefit.web.forms import text

ORDINARY_LENGTH = 60  # minutes, where the old system said nothing
MOST_POSTS = 999
ORDINARY_DAY = (9 * 60, 18 * 60)
STATUSES = {
    "pending": "pending",
    "confirmed": "confirmed",
    "in_progress": "in_progress",
    "arrived": "arrived",
    "completed": "completed",
    "done": "completed",
    "canceled_by_client": "cancelled_by_customer",
    "cancelled_by_client": "cancelled_by_customer",
    "cancelled_by_customer": "cancelled_by_customer",
    "canceled_by_partner": "cancelled_by_station",
    "cancelled_by_partner": "cancelled_by_station",
    "cancelled_by_station": "cancelled_by_station",
    "cancelled": "cancelled_by_station",
    "canceled": "cancelled_by_station",
    "no_show": "no_show",
}
OPEN = {"pending", "confirmed", "arrived", "in_progress"}


@dataclass
class OldPost:
    number: int
    length: int
    name: str = ""
    active: bool = True
    week: list[tuple[int, int, int]] | None = None  # of its own
    old_id: str | None = None


@dataclass
class OldStation:
    old_id: str
    name: str
    about: dict[str, Any]
    zone: str
    posts: list[OldPost]
    week: list[tuple[int, int, int]]
    exceptions: dict[date, tuple[str, list[tuple[int, int]]]]
    offers: dict[str, int | None] = field(default_factory=dict)  # old service → price in minor units


@dataclass
class OldBooking:
    """A booking as it will be written; `clash`: its time is somebody else's, so the manager decides."""

    old_id: str
    station: str
    post_number: int
    starts_at: datetime
    ends_at: datetime
    status: str
    was: str
    car_type: str
    services: list[str]
    name: str
    phone: str
    email: str | None
    plate: str
    notes: str
    price: int
    clash: bool = False

    @property
    def takes_time(self) -> bool:
        return self.status in OPEN and not self.clash


@dataclass
class Plan:
    """Every old row, read once: what it becomes, or why it cannot be placed."""

    car_types: dict[str, str] = field(default_factory=dict)  # old id → name
    services: dict[str, tuple[str, int]] = field(default_factory=dict)  # old id → name, minutes
    stations: dict[str, OldStation] = field(default_factory=dict)
    bookings: list[OldBooking] = field(default_factory=list)
    read: Counter[str] = field(default_factory=Counter)
    unplaced: list[tuple[str, str, str, Row]] = field(default_factory=list)  # table, old id, why, the row
    notes: Counter[str] = field(default_factory=Counter)

    def refuse(self, table: str, row: Row, why: str) -> None:
        self.unplaced.append((table, str(row.get("id", "")), why, row))


def make_plan(source: Source, zone: str, country: str) -> Plan:
    """Read everything, and decide about every row."""
    plan = Plan()
    for row in _read(plan, source, "car_types"):
        plan.car_types[str(row["id"])] = _name(row) or f"Тип {row['id']}"
    for row in _read(plan, source, "services"):
        minutes = whole(first(row, "default_duration", "base_duration", "duration")) or ORDINARY_LENGTH
        plan.services[str(row["id"])] = (_name(row) or f"Услуга {row['id']}", max(5, min(480, minutes)))
    _read_stations(plan, source, zone)
    _read_hours(plan, source)
    for row in _read(plan, source, "service_point_services"):
        station, service = plan.stations.get(str(row.get("service_point_id"))), str(row.get("service_id"))
        if station is None or service not in plan.services:
            plan.refuse("service_point_services", row, "no such station or service")
        elif truth(first(row, "is_available", "is_active", "active"), otherwise=True):
            station.offers[service] = values.money(first(row, "price", "amount"))
            plan.notes["services without a price, so not offered"] += station.offers[service] is None
    _read_bookings(plan, source, country)
    return plan


def _read(plan: Plan, source: Source, table: str) -> Iterator[Row]:
    """The rows of a table; those that come twice, or without an id, are told."""
    seen: set[str] = set()
    for row in source.rows(table):
        plan.read[table] += 1
        if "id" in row and row["id"] is None:
            plan.refuse(table, row, "no id")
        elif "id" in row and str(row["id"]) in seen:
            plan.refuse(table, row, "the same id twice")
        else:
            seen.add(str(row.get("id")))
            yield row


def _read_stations(plan: Plan, source: Source, zone: str) -> None:
    counts: dict[str, tuple[int, int]] = {}
    for row in _read(plan, source, "service_points"):
        old_id = str(row["id"])
        about = {
            "city": _line(first(row, "city", "city_name")),
            "address": _line(row.get("address")),
            "phone": _line(first(row, "phone", "contact_phone")),
            "email": text.email_of(str(first(row, "email", "contact_email") or "")),
            "active": truth(first(row, "is_active", "active"), otherwise=True),
        }
        length = _length(whole(first(row, "default_slot_duration", "slot_duration")))
        counts[old_id] = (whole(row.get("post_count")) or 0, length)
        own_zone = str(first(row, "time_zone", "timezone") or zone)
        name = _name(row) or f"Станция {old_id}"
        plan.stations[old_id] = OldStation(old_id, name, about, own_zone, [], [], {})
    for row in _read(plan, source, "service_posts"):
        _read_post(plan, row, counts)
    for old_id, station in plan.stations.items():
        count, length = counts[old_id]
        if not station.posts:
            plan.notes["stations whose post_count was cut to 999"] += count > MOST_POSTS
            station.posts = [OldPost(number, length) for number in range(1, min(count, MOST_POSTS) + 1)]
            plan.notes["posts made from post_count"] += len(station.posts)


def _read_post(plan: Plan, row: Row, counts: dict[str, tuple[int, int]]) -> None:
    station = plan.stations.get(str(row.get("service_point_id")))
    number = whole(first(row, "post_number", "number"))
    if station is None:
        return plan.refuse("service_posts", row, "no such station")
    if number is None or not 1 <= number <= MOST_POSTS or number in {post.number for post in station.posts}:
        return plan.refuse("service_posts", row, "its number is none, or taken")
    length = _length(whole(first(row, "slot_duration", "duration")) or counts[station.old_id][1])
    active = truth(first(row, "is_active", "active"), otherwise=True)
    post = OldPost(number, length, _line(row.get("name")), active, _own_week(row), str(row.get("id", "")))
    station.posts.append(post)
    station.posts.sort(key=lambda post: post.number)
    return None


def _own_week(row: Row) -> list[tuple[int, int, int]] | None:
    """A post's `working_days` and `custom_hours`; None: as its station."""
    days, hours = values.structure(row.get("working_days")), values.structure(row.get("custom_hours"))
    if not isinstance(days, dict | list) or not days:
        days = None
    if not isinstance(hours, dict) or not hours:
        hours = None
    if days is None and hours is None:
        return None
    windows = []
    for n, name in enumerate(values.WEEKDAYS):
        works = days is None or (truth(days.get(name), False) if isinstance(days, dict) else name in days or n in days)
        of_day = (hours or {}).get(name, hours or {})
        of_day = of_day if isinstance(of_day, dict) else {}
        opens = minute(first(of_day, "start", "open", "from"))
        closes = minute(first(of_day, "end", "close", "to"))
        window = (opens, closes) if opens is not None and closes is not None else ORDINARY_DAY
        if works and is_valid_day([window]):
            windows.append((n, *window))
    return windows


def _read_hours(plan: Plan, source: Source) -> None:
    for row in _read(plan, source, "schedule_templates"):
        station = plan.stations.get(str(row.get("service_point_id")))
        day = values.weekday(first(row, "weekday", "day_of_week", "weekday_id"))
        window = _window(row)
        if station is None or day is None:
            plan.refuse("schedule_templates", row, "no such station or weekday")
        elif not truth(first(row, "is_working_day", "is_active"), otherwise=True):
            plan.notes["weekdays off"] += 1
        elif window is None or not is_valid_day([window, *((o, c) for n, o, c in station.week if n == day)]):
            plan.refuse("schedule_templates", row, "its hours are none, or lie over others")
        else:
            station.week.append((day, *window))
    for row in _read(plan, source, "schedule_exceptions"):
        station = plan.stations.get(str(row.get("service_point_id")))
        off = values.day(first(row, "exception_date", "date", "day"))
        window = _window(row)
        is_closed = truth(first(row, "is_closed", "closed"), otherwise=window is None)
        if station is None or off is None:
            plan.refuse("schedule_exceptions", row, "no such station or day")
        elif not is_closed and (window is None or not is_valid_day([window])):
            plan.refuse("schedule_exceptions", row, "its hours are none")
        else:
            reason = _line(first(row, "reason", "description"))
            station.exceptions[off] = (reason, [] if is_closed or window is None else [window])
    for station in plan.stations.values():
        if not station.week:
            plan.notes["stations without hours: Monday to Saturday, nine to six"] += 1
            station.week = [(n, *ORDINARY_DAY) for n in range(6)]


def _read_bookings(plan: Plan, source: Source, country: str) -> None:
    clients = {str(row["id"]): row for row in _read(plan, source, "clients")}
    services: dict[str, list[str]] = defaultdict(list)
    for row in source.rows("booking_services"):
        plan.read["booking_services"] += 1
        services[str(row.get("booking_id"))].append(str(row.get("service_id")))
    for row in _read(plan, source, "bookings"):
        booking = _booking(plan, row, clients, services.get(str(row["id"]), []), country)
        if booking is not None:
            plan.bookings.append(booking)
    _place(plan)


def _booking(plan: Plan, row: Row, clients: dict[str, Row], services: list[str], country: str) -> OldBooking | None:
    station = plan.stations.get(str(row.get("service_point_id")))
    if station is None or not station.posts:
        plan.refuse("bookings", row, "no such station, or one without posts")
        return None
    day, start = values.day(first(row, "booking_date", "date")), minute(first(row, "start_time", "starts_at", "time"))
    if day is None or start is None or not date(2000, 1, 1) <= day <= date(2099, 12, 31):
        plan.refuse("bookings", row, "its date or time cannot be read")
        return None
    was = str(first(row, "status", "status_name", "aasm_state") or "confirmed").strip().lower()
    if was not in STATUSES:
        plan.refuse("bookings", row, f"unknown status {was[:40]}")
        return None
    known = [service for service in dict.fromkeys(services) if service in plan.services]
    post_number = _post_of(row, station)
    starts_at = instant(station.zone, day, start)
    ends_at = _end(plan, row, station, day, start, starts_at, known, post_number)
    status = STATUSES[was]
    if status in OPEN and ends_at <= clock.now():
        plan.notes["bookings of the past that nobody had closed: completed"] += 1
        status = "completed"
    name, phone, email, unread = _contacts(row, clients.get(str(row.get("client_id")), {}), country)
    plan.notes["phones that cannot be read: kept in the notes"] += bool(unread)
    notes = _line(first(row, "notes", "comment"))[:500]
    return OldBooking(
        old_id=str(row["id"]),
        station=station.old_id,
        post_number=post_number or 0,
        starts_at=starts_at,
        ends_at=ends_at,
        status=status,
        was=was,
        car_type=str(first(row, "car_type_id") or ""),
        services=known,
        name=name,
        phone=phone,
        email=email,
        plate=_line(first(row, "license_plate", "car_number", "plate"))[: text.PLATE_LENGTH],
        notes=f"{notes} {unread}".strip(),
        price=values.money(first(row, "total_price", "price")) or 0,
    )


def _end(
    plan: Plan,
    row: Row,
    station: OldStation,
    day: date,
    start: int,
    starts_at: datetime,
    services: list[str],
    post_number: int | None,
) -> datetime:
    """The old end; where there is none, as long as the work takes, else one slot of the post."""
    end = minute(first(row, "end_time", "ends_at"))
    if end is not None and end != start:
        ends_at = instant(station.zone, day, end if end > start else end + 1440)
        if starts_at < ends_at <= starts_at + timedelta(days=1):
            return ends_at
    plan.notes["bookings without an end: as long as their work"] += 1
    post = next((post for post in station.posts if post.number == post_number), station.posts[0])
    return starts_at + timedelta(minutes=sum(plan.services[each][1] for each in services) or post.length)


def _place(plan: Plan) -> None:
    """Give open bookings their posts: the one they name, else the first that is free; none free is a clash.

    In the order of their time, then of their ids: the same plan every time.
    """
    taken: dict[tuple[str, int], list[tuple[datetime, datetime]]] = defaultdict(list)
    plan.bookings.sort(key=lambda each: (each.starts_at, len(each.old_id), each.old_id))
    for booking in plan.bookings:
        numbers = [post.number for post in plan.stations[booking.station].posts]
        wanted = [booking.post_number] if booking.post_number else numbers
        if booking.status not in OPEN:
            booking.post_number = wanted[0]
            continue
        free = (n for n in wanted if not _is_taken(taken[booking.station, n], booking))
        found = next(free, None)
        booking.clash, booking.post_number = found is None, found or wanted[0]
        if found is not None:
            taken[booking.station, found].append((booking.starts_at, booking.ends_at))


def _is_taken(spans: list[tuple[datetime, datetime]], booking: OldBooking) -> bool:
    """They come by their start and none lies over another, so only the last can reach into this one."""
    return bool(spans) and spans[-1][1] > booking.starts_at


def _post_of(row: Row, station: OldStation) -> int | None:
    number, old_id = whole(first(row, "post_number", "slot_post_number")), str(row.get("service_post_id"))
    return next((post.number for post in station.posts if post.number == number or post.old_id == old_id), None)


def _contacts(row: Row, client: Row, country: str) -> tuple[str, str, str | None, str]:
    """Name, phone, e-mail; and the phone as it was, where it is none."""
    given = first(row, "service_recipient_first_name", "client_name", "customer_name")
    whole_name = " ".join(str(part) for part in (client.get("first_name"), client.get("last_name")) if part)
    name = text.name_of(str(given or first(client, "name", "full_name") or whole_name))
    typed = str(first(row, "service_recipient_phone", "client_phone", "phone") or client.get("phone") or "")
    phone = text.phone_of(typed, country) if typed else ""
    email = text.email_of(str(first(row, "email", "client_email") or client.get("email") or ""))
    return name or "—", phone or "", email, _line(typed)[:40] if phone is None else ""


def _window(row: Row) -> tuple[int, int] | None:
    opens = minute(first(row, "opening_time", "start_time", "opens"))
    closes = minute(first(row, "closing_time", "end_time", "closes"))
    if opens is None or closes is None:
        return None
    return opens, closes if closes > opens else closes + 1440


def _length(minutes: int | None) -> int:
    return ORDINARY_LENGTH if minutes is None else max(SHORTEST, min(LONGEST, minutes))


def _name(row: Row) -> str:
    return _line(first(row, "name", "title"))[:120]


def _line(value: Any) -> str:
    return text.fit(str(value if value is not None else "")[:1000].replace("\n", " ")) or ""

"""Finding a station's bookings among all it ever had: by what people remember, and by filters. Only reads.

The words are kept by tirefit.models.words; a search is one range of their index per word, however long the history.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.orm import selectinload

from tirefit.database import db
from tirefit.models import Booking, BookingService, BookingWord, CarType, Notification, ServicePoint
from tirefit.models.services import Names
from tirefit.models.words import PHONE, fold, parts_of
from tirefit.schedule.windows import day_span

A_PAGE = 50
MOST_WORDS = 6
STATUS_FILTERS = {
    "pending": ("pending",),
    "confirmed": ("confirmed",),
    "arrived": ("arrived",),
    "in_progress": ("in_progress",),
    "completed": ("completed",),
    "no_show": ("no_show",),
    "cancelled": ("cancelled_by_customer", "cancelled_by_station"),
}
LAST = "\U0010ffff"


@dataclass(frozen=True)
class Wanted:
    """What is looked for: the text as it was typed, and filters; what is empty filters nothing. Both days count."""

    text: str = ""
    first_day: date | None = None
    last_day: date | None = None
    status: str = ""  # one of STATUS_FILTERS
    post_id: int | None = None
    source: str = ""
    oldest_first: bool = False

    @property
    def has_days(self) -> bool:
        return self.first_day is not None or self.last_day is not None


@dataclass(frozen=True)
class Found:
    """One page of what was found. `hidden`: when nothing was, how many each filter hides, by the filter's name."""

    total: int
    bookings: Sequence[Booking]
    page: int
    hidden: dict[str, int]

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // A_PAGE))


def find_bookings(point: ServicePoint, wanted: Wanted, page: int = 1) -> Found:
    """A station's bookings that fit, fifty a page; the page is moved into those that there are."""
    total = db.session.scalar(select(func.count()).select_from(Booking).where(*_conditions(point, wanted))) or 0
    if total == 0:
        return Found(0, (), 1, _hidden(point, wanted))
    page = max(1, min(page, -(-total // A_PAGE)))
    rows = (
        select(Booking)
        .where(*_conditions(point, wanted))
        .order_by(*_order(wanted))
        .limit(A_PAGE)
        .offset((page - 1) * A_PAGE)
        .options(selectinload(Booking.lines))
    )
    return Found(total, db.session.scalars(rows).all(), page, {})


@dataclass(frozen=True)
class Row:
    """A booking as a file has it, without an object for each."""

    number: str
    starts_at: datetime
    ends_at: datetime
    service_post_id: int
    status: str
    plate: str
    car_names: Names
    customer_name: str
    customer_phone: str
    customer_email: str | None
    total_duration: int
    total_price: int
    currency: str
    source: str
    created_at: datetime
    notes: str
    jobs: tuple[Names, ...]


def all_rows(point: ServicePoint, wanted: Wanted) -> list[Row]:
    """All that fits, for a file: two statements, whatever the size."""
    fits = _conditions(point, wanted)
    lines = select(BookingService.booking_id, BookingService.names).join(
        Booking, Booking.id == BookingService.booking_id
    )
    jobs: dict[int, list[Names]] = {}
    for booking_id, names in db.session.execute(lines.where(*fits).order_by(BookingService.position)):
        jobs.setdefault(booking_id, []).append(names)
    columns: list[Any] = [
        Booking.id,
        Booking.number,
        Booking.starts_at,
        Booking.ends_at,
        Booking.service_post_id,
        Booking.status,
        Booking.plate,
        CarType.names,
        Booking.customer_name,
        Booking.customer_phone,
        Booking.customer_email,
        Booking.total_duration,
        Booking.total_price,
        Booking.currency,
        Booking.source,
        Booking.created_at,
        Booking.notes,
    ]
    found = select(*columns).join(CarType, CarType.id == Booking.car_type_id)
    rows: Iterable[Any] = db.session.execute(found.where(*fits).order_by(*_order(wanted)))
    return [_row(jobs, *values) for values in rows]


def _row(jobs: Mapping[int, Sequence[Names]], booking_id: int, *values: Any) -> Row:
    return Row(*[*values, tuple(jobs.get(booking_id, ()))])


def visits_of_car(booking: Booking) -> Sequence[Booking]:
    """All visits of the same car at the same station, this one too, the newest first; at most fifty."""
    plate = "".join(parts_of(booking.plate))
    if not plate:
        return [booking]
    same = select(BookingWord.booking_id).where(
        BookingWord.service_point_id == booking.service_point_id, BookingWord.word == plate
    )
    found = select(Booking).where(Booking.id.in_(same)).order_by(Booking.starts_at.desc()).limit(A_PAGE)
    visits = db.session.scalars(found.options(selectinload(Booking.lines))).all()
    return [each for each in visits if "".join(parts_of(each.plate)) == plate]


def letters_about(booking: Booking) -> Sequence[Notification]:
    """Every letter that was written about a booking, the newest first."""
    return db.session.scalars(
        select(Notification).where(Notification.booking_id == booking.id).order_by(Notification.id.desc())
    ).all()


def _conditions(point: ServicePoint, wanted: Wanted) -> list[ColumnElement[bool]]:
    return [_is_meant(point, wanted.text), *_filters(point, wanted).values()]


def _is_meant(point: ServicePoint, text: str) -> ColumnElement[bool]:
    """Bookings of the station that have all the words. A search goes by the words' index alone, which knows the
    station: named beside it, the station would only lead the database into reading its whole history.
    """
    words = _words(text)
    if not words:
        return Booking.service_point_id == point.id
    return and_(*(Booking.id.in_(_with_word(point, word)) for word in words))


def _with_word(point: ServicePoint, word: str) -> Any:
    begins = [word]
    if word.isdigit():
        begins.append(PHONE + (word[-9:] if len(word) >= 10 else word)[::-1])
    ranges = [and_(BookingWord.word >= each, BookingWord.word < each + LAST) for each in begins]
    return select(BookingWord.booking_id).where(BookingWord.service_point_id == point.id, or_(*ranges))


def _words(text: str) -> list[str]:
    """A number typed with spaces, brackets and dashes is one word; everything else is as many as it looks."""
    words = list(dict.fromkeys(parts_of(text)))[:MOST_WORDS]
    if words and not any(map(str.isalpha, fold(text))):
        return ["".join(parts_of(text))[:40]]
    return [word[:40] for word in words]


def _filters(point: ServicePoint, wanted: Wanted) -> dict[str, ColumnElement[bool]]:
    filters: dict[str, ColumnElement[bool]] = {}
    if wanted.has_days:
        bounds = []
        if wanted.first_day is not None:
            bounds.append(Booking.starts_at >= day_span(point.time_zone, wanted.first_day)[0])
        if wanted.last_day is not None:
            bounds.append(Booking.starts_at < day_span(point.time_zone, wanted.last_day)[1])
        filters["days"] = and_(*bounds)
    if wanted.status:
        filters["status"] = Booking.status.in_(STATUS_FILTERS[wanted.status])
    if wanted.post_id is not None:
        filters["post"] = Booking.service_post_id == wanted.post_id
    if wanted.source:
        filters["source"] = Booking.source == wanted.source
    return filters


def _hidden(point: ServicePoint, wanted: Wanted) -> dict[str, int]:
    """How many there would be without each of the filters, and ("all") without any; those that hide nothing are not
    named.
    """
    filters = _filters(point, wanted)
    if not filters:
        return {}
    counts = [
        func.count().filter(and_(true(), *(each for other, each in filters.items() if name not in (other, "all"))))
        for name in [*filters, "all"]
    ]
    found = db.session.execute(select(*counts).select_from(Booking).where(_is_meant(point, wanted.text))).one()
    named = dict(zip([*filters, "all"], found, strict=True))
    if len(filters) == 1:
        named.pop("all")
    return {name: count for name, count in named.items() if count}


def without(wanted: Wanted, name: str) -> Wanted:
    """The same question without one of its filters (a name of `Found.hidden`)."""
    empty: dict[str, dict[str, Any]] = {
        "days": {"first_day": None, "last_day": None},
        "status": {"status": ""},
        "post": {"post_id": None},
        "source": {"source": ""},
    }
    gone = empty.get(name) or {key: value for each in empty.values() for key, value in each.items()}
    return replace(wanted, **gone)


def _order(wanted: Wanted) -> tuple[Any, Any]:
    if wanted.oldest_first:
        return Booking.starts_at, Booking.id
    return Booking.starts_at.desc(), Booking.id.desc()

"""Finding a station's bookings among all it ever had: by what people remember, and by filters.

The words are kept by tirefit.models.words; a search is one range of their index per word, however long the history.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, bindparam, func, select, true, union_all
from sqlalchemy.orm import selectinload

from tirefit import audit, clock
from tirefit.database import command, db
from tirefit.models import LIVE, Booking, BookingService, BookingWord, CarType, Notification, ServicePoint
from tirefit.models.services import Names
from tirefit.models.words import PHONE, fold, parts_of
from tirefit.schedule.windows import day_span, local_day

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

BOOKINGS, LINES = Booking.__table__, BookingService.__table__
_booking, _line, _word = BOOKINGS.c, LINES.c, BookingWord.__table__.c


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


class Line(NamedTuple):
    """A service of a hit, by its names."""

    names: Names


class Hit(NamedTuple):
    """A booking as a list shows it. (No object of the ORM: making those takes longer than asking for them.)"""

    id: int
    number: str
    starts_at: datetime
    service_post_id: int
    plate: str
    customer_name: str
    customer_phone: str
    status: str
    source: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Found:
    """One page of what was found. `hidden`: when nothing was, how many each filter hides, by the filter's name."""

    total: int
    bookings: Sequence[Hit]
    page: int
    hidden: dict[str, int]

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // A_PAGE))


def find_bookings(point: ServicePoint, wanted: Wanted, page: int = 1) -> Found:
    """A station's bookings that fit, fifty a page; the page is moved into those that there are.

    One statement where few fit, three at most.
    """
    asked, values = _asked(point, wanted)
    page = max(1, page)
    hits = _hits(asked, values, page)
    if hits and page == 1 and len(hits) < A_PAGE:
        return Found(len(hits), hits, 1, {})
    total = db.session.execute(_count(asked), values).scalar_one() if hits or page > 1 else 0
    if total == 0:
        return Found(0, (), 1, _hidden(point, wanted))
    last = -(-total // A_PAGE)
    return Found(total, hits if page <= last else _hits(asked, values, last), min(page, last), {})


def _hits(asked: "Asked", values: Mapping[str, Any], page: int) -> list[Hit]:
    which = {**values, "rows": A_PAGE, "skip": (page - 1) * A_PAGE}
    rows = db.session.connection().execute(_page(asked), which).all()
    return [
        Hit._make((*booking, tuple(Line(names) for *_, names in lines if names is not None)))
        for booking, lines in groupby(rows, key=lambda row: row[:-1])
    ]


@cache
def _page(asked: "Asked") -> Select[Any]:
    columns = [_booking[name] for name in Hit._fields if name != "lines"]
    page = (
        select(*columns)
        .where(*asked.conditions())
        .order_by(*asked.order(_booking))
        .limit(bindparam("rows"))
        .offset(bindparam("skip"))
        .subquery()
    )
    lines = page.outerjoin(LINES, _line.booking_id == page.c.id)
    return select(*page.c, _line.names).select_from(lines).order_by(*asked.order(page.c), _line.position)


@cache
def _count(asked: "Asked") -> Select[Any]:
    return select(func.count()).select_from(BOOKINGS).where(*asked.conditions())


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
    asked, values = _asked(point, wanted)
    fits = asked.conditions()
    lines = select(_line.booking_id, _line.names).join(BOOKINGS, _booking.id == _line.booking_id)
    jobs: dict[int, list[Names]] = {}
    for booking_id, names in db.session.execute(lines.where(*fits).order_by(_line.position), values):
        jobs.setdefault(booking_id, []).append(names)
    columns: list[Any] = [_booking.id] + [_booking[name] for name in Row.__dataclass_fields__ if name in _booking]
    columns.insert(7, CarType.names)
    found = select(*columns).join(CarType, CarType.id == _booking.car_type_id)
    rows: Iterable[Any] = db.session.execute(found.where(*fits).order_by(*asked.order(_booking)), values)
    return [_row(jobs, *values) for values in rows]


@command
def note_export(point_id: int, label: str, *, user_id: int | None) -> None:
    """People's names and phones have been saved to a file: by whom, and how many (`label`)."""
    audit.record("bookings_exported", "export", "", label=label, point_id=point_id, user_id=user_id)


def _row(jobs: Mapping[int, Sequence[Names]], booking_id: int, *values: Any) -> Row:
    return Row(*[*values, tuple(jobs.get(booking_id, ()))])


def booked_days(point: ServicePoint) -> dict[date, int]:
    """On which days ahead customers are expected, and how many."""
    starts = select(Booking.starts_at).where(
        Booking.service_point_id == point.id, Booking.status.in_(LIVE), Booking.ends_at > clock.now()
    )
    return dict(Counter(local_day(point.time_zone, start) for start in db.session.scalars(starts)))


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


class Asked(NamedTuple):
    """How a question reads, whatever is asked for: its statements are made once, and the values bound."""

    words: tuple[int, ...]  # of each word, in how many ranges of the index it is looked for
    filters: tuple[str, ...]
    oldest_first: bool

    def conditions(self) -> list[ColumnElement[bool]]:
        return [self.is_meant(), *self.filtered().values()]

    def is_meant(self) -> ColumnElement[bool]:
        """Bookings of the station that have all the words. A search goes by the words' index alone, which knows the
        station: named beside it, the station would only lead the database into reading its whole history.
        """
        if not self.words:
            return _booking.service_point_id == bindparam("point")
        return and_(*(_booking.id.in_(_with_word(n, count)) for n, count in enumerate(self.words)))

    def filtered(self) -> dict[str, ColumnElement[bool]]:
        """By the names of `Found.hidden`."""
        conditions = {
            "first": _booking.starts_at >= bindparam("first"),
            "last": _booking.starts_at < bindparam("last"),
            "status": _booking.status.in_(bindparam("statuses", expanding=True)),
            "post": _booking.service_post_id == bindparam("post"),
            "source": _booking.source == bindparam("source"),
        }
        days = [conditions[name] for name in ("first", "last") if name in self.filters]
        others = {name: conditions[name] for name in ("status", "post", "source") if name in self.filters}
        return ({"days": and_(*days)} if days else {}) | others

    def order(self, columns: Any) -> tuple[Any, Any]:
        if self.oldest_first:
            return columns.starts_at, columns.id
        return columns.starts_at.desc(), columns.id.desc()


def _asked(point: ServicePoint, wanted: Wanted) -> tuple[Asked, dict[str, Any]]:
    """→ how the question reads, and its values."""
    values: dict[str, Any] = {"point": point.id}
    counts = []
    for n, word in enumerate(_words(wanted.text)):
        begins = [word]
        if word.isdigit():
            begins.append(PHONE + (word[-9:] if len(word) >= 10 else word)[::-1])
        counts.append(len(begins))
        for k, each in enumerate(begins):
            values |= {f"from_{n}_{k}": each, f"to_{n}_{k}": each + LAST}
    filters: dict[str, Any] = {}
    if wanted.first_day is not None:
        filters["first"] = values["first"] = day_span(point.time_zone, wanted.first_day)[0]
    if wanted.last_day is not None:
        filters["last"] = values["last"] = day_span(point.time_zone, wanted.last_day)[1]
    if wanted.status:
        filters["status"] = values["statuses"] = STATUS_FILTERS[wanted.status]
    if wanted.post_id is not None:
        filters["post"] = values["post"] = wanted.post_id
    if wanted.source:
        filters["source"] = values["source"] = wanted.source
    return Asked(tuple(counts), tuple(filters), wanted.oldest_first), values


def _with_word(n: int, count: int) -> Any:
    """Each range is asked for itself: of two joined by OR, SQLite reads all words of the station instead."""
    ranges = [
        select(_word.booking_id).where(
            _word.service_point_id == bindparam("point"),
            _word.word >= bindparam(f"from_{n}_{k}"),
            _word.word < bindparam(f"to_{n}_{k}"),
        )
        for k in range(count)
    ]
    return ranges[0] if count == 1 else union_all(*ranges)


def _words(text: str) -> list[str]:
    """A number typed with spaces, brackets and dashes is one word; everything else is as many as it looks."""
    words = list(dict.fromkeys(parts_of(text)))[:MOST_WORDS]
    if words and not any(map(str.isalpha, fold(text))):
        return ["".join(parts_of(text))[:40]]
    return [word[:40] for word in words]


def _hidden(point: ServicePoint, wanted: Wanted) -> dict[str, int]:
    """How many there would be without each of the filters, and ("all") without any; those that hide nothing are not
    named.
    """
    asked, values = _asked(point, wanted)
    filters = asked.filtered()
    if not filters:
        return {}
    counts = [
        func.count().filter(and_(true(), *(each for other, each in filters.items() if name not in (other, "all"))))
        for name in [*filters, "all"]
    ]
    found = db.session.execute(select(*counts).select_from(BOOKINGS).where(asked.is_meant()), values).one()
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

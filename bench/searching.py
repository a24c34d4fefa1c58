"""A manager's search among fifty thousand bookings of one station, beside two floors.

One is every other question's: the same statements through the bare driver. The other, for a search that finds few, is
the query that none can do without: reading what it shows, the ids known, through the same library. Of the three
hundredths of a millisecond that the bare driver needs, SQLAlchemy's time for any statement at all is a multiple: that
figure is listed, and says nothing about searching.

Asked as a page asks: within the transaction in which somebody has signed in and the station was read. So neither side
begins or ends one, and what is compared is the question alone.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import bindparam, select

from bench import stage
from bench.questions import Cost, in_turns
from bench.stage import Scale
from tirefit import clock
from tirefit.database import db
from tirefit.finding import Hit, Wanted, find_bookings
from tirefit.models import Booking, BookingService, BookingWord
from tirefit.models.words import words_of

BOOKINGS = 50_000
PLATES = 10_000  # different ones: five visits of each car
LINE = ("booking_id", "position", "service_id", "names", "minutes", "price")
NAMES = '{"ru": "Сезонная переобувка", "uk": "Сезонна заміна шин", "en": "Seasonal tyre change"}'
BY_ID = ", beside its hits by id"
LINES = BookingService.__table__
KNOWN = (
    select(*(getattr(Booking, name) for name in Hit._fields if name != "lines"), LINES.c.names)
    .outerjoin(LINES, LINES.c.booking_id == Booking.id)
    .where(Booking.id.in_(bindparam("ids", expanding=True)))
    .order_by(Booking.starts_at.desc(), Booking.id.desc(), LINES.c.position)
)
ASKED = {
    "search: a plate": [Wanted(f"{n * 997 % PLATES:04}bb") for n in range(1, 11)],
    "search: end of a phone": [Wanted(f"{n * 991 % PLATES:04}") for n in range(1, 11)],
    "search: a name that all have": [Wanted("клиент")],
    "search: nothing, the list": [Wanted()],
}


def measure(scale: Scale, rounds: int) -> dict[str, Cost]:
    number = scale.asked[0]
    _load(number)
    point = stage.station(number)
    found = find_bookings(point, ASKED["search: a plate"][0])
    assert found.total == BOOKINGS // PLATES, found.total
    costs = {}
    for name, questions in ASKED.items():
        calls = [lambda wanted=wanted: find_bookings(point, wanted).total for wanted in questions]
        is_small = len(calls) > 1
        costs[name] = in_turns(calls, rounds if is_small else 5, in_one_transaction=10 if is_small else 1)
        if is_small:
            found = [find_bookings(point, wanted).bookings for wanted in questions]
            known = [lambda ids=[hit.id for hit in hits]: _read(ids) for hits in found]
            costs[f"{name}{BY_ID}"] = in_turns(calls, rounds, known, in_one_transaction=10)
        db.session.rollback()
    return costs


def _read(ids: list[int]) -> int:
    return len(db.session.connection().execute(KNOWN, {"ids": ids}).all())


def _load(number: int) -> None:
    """Visits of the years before, an hour apart on the station's first post; with the words that the program writes."""
    start = clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=10)
    with stage.writing() as write:
        first = write.value("SELECT max(id) FROM bookings") + 1
        visits = [_visit(number, first + n, n, start - timedelta(hours=n)) for n in range(BOOKINGS)]
        for n in range(0, BOOKINGS, 5000):  # no statement of a minute
            write(Booking, (*stage.BOOKING, "plate"), visits[n : n + 5000])
            write(BookingService, LINE, ((first + k, 0, 1, NAMES, 30, 120000) for k in range(n, n + 5000)))
            write(BookingWord, ("service_point_id", "word", "booking_id"), _words(visits[n : n + 5000]))
    stage.settle()


def _visit(station: int, id: int, n: int, start: Any) -> tuple[Any, ...]:
    end = start + timedelta(minutes=30)
    about = dict(zip(stage.BOOKING, stage.as_booking(station, id, stage.post_id(station, 1), start, end), strict=True))
    about |= {"reservation_id": None, "status": "completed", "customer_name": f"Клиент {n}"}
    about |= {"customer_phone": f"+38050000{n % PLATES:04}"}
    return (*about.values(), f"AA{n % PLATES:04}BB")


def _words(visits: list[tuple[Any, ...]]) -> Iterator[tuple[int, str, int]]:
    for visit in visits:
        about = dict(zip((*stage.BOOKING, "plate"), visit, strict=True))
        named = ("number", "plate", "customer_name", "customer_phone")
        for word in sorted(words_of(Booking(**{name: about[name] for name in named}))):
            yield about["service_point_id"], word, about["id"]

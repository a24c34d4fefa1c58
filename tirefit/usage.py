"""How many look at a station's times, and how many do not get one: counted by the hour.

Looking costs no write: each process counts in memory, and writes what it has once a minute. A process that dies takes
a minute of counts along, which is what they are worth.
"""

import time
from collections import Counter
from contextlib import suppress
from datetime import datetime
from threading import Lock

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from tirefit import clock
from tirefit.database import command, db, worth_no_waiting
from tirefit.models import UsageCount

LOOKED, HELD, REFUSED, EMPTY = "looked", "held", "refused", "empty"
WRITTEN_EVERY = 60  # seconds

Key = tuple[int, datetime, str]


class Buffer:
    """What has been counted since it was last written."""

    def __init__(self) -> None:
        self._lock, self._counts = Lock(), Counter[Key]()
        self._due = 0.0

    def add(self, point_id: int, kind: str) -> None:
        hour = clock.now().replace(minute=0, second=0, microsecond=0)
        with self._lock:
            if not self._counts:
                self._due = time.monotonic() + WRITTEN_EVERY
            self._counts[point_id, hour, kind] += 1

    def take(self) -> Counter[Key]:
        """All of it; the buffer is empty afterwards."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        return counts

    @property
    def is_due(self) -> bool:
        return bool(self._counts) and time.monotonic() >= self._due


_buffer = Buffer()


def count(point_id: int, kind: str) -> None:
    """One visitor more who looked at times, held one, was refused (it was taken), or saw a day without any."""
    _buffer.add(point_id, kind)


def write_when_due() -> None:
    """Called after each request; mostly there is nothing to do."""
    if _buffer.is_due:
        with (
            worth_no_waiting(),
            suppress(SQLAlchemyError),
        ):  # counts are worth no page that has been made
            write(_buffer.take())


def write_all() -> None:
    """Write what has been counted, now."""
    write(_buffer.take())


@command
def write(counts: Counter[Key]) -> None:
    insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
    for (point_id, hour, kind), more in sorted(counts.items()):  # one order for all processes: no deadlock
        row = insert(UsageCount).values(service_point_id=point_id, hour=hour, kind=kind, count=more)
        key = ["service_point_id", "hour", "kind"]
        db.session.execute(row.on_conflict_do_update(index_elements=key, set_={"count": UsageCount.count + more}))

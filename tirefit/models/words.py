"""What a booking is found by: its words, kept by the table itself whoever writes a booking.

A word is folded, so that А and A, В and B, small and capital letters are the same. All questions are for words that
begin with something, within one station: one range of the primary key.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, ForeignKey, Index, Text, delete, event, insert, inspect
from sqlalchemy.orm import Mapped, Mapper, mapped_column

from tirefit.database import Base
from tirefit.models.bookings import Booking

LOOK_ALIKE = str.maketrans("авеіїкмнорстухё", "abeiikmhopctyxe")
PHONE = "#"  # before a phone's digits, which are kept backwards: it is the end of a number that people remember


class BookingWord(Base):
    """One word by which a station finds a booking: of the name, of the plate, the number, the phone's digits."""

    __tablename__ = "booking_words"
    __table_args__ = (Index("ix_booking_words_booking_id", "booking_id"), {"sqlite_with_rowid": False})

    service_point_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    word: Mapped[str] = mapped_column(Text().with_variant(Text(collation="C"), "postgresql"), primary_key=True)
    booking_id: Mapped[int] = mapped_column(
        ForeignKey("bookings.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )


WRITE = insert(BookingWord)


def fold(text: str) -> str:
    """Letters that look alike become one: «АА 1234 ВС» typed in Cyrillic or in Latin is "aa 1234 bc"."""
    return unicodedata.normalize("NFC", text.casefold()).translate(LOOK_ALIKE)


def parts_of(text: str) -> list[str]:
    """The stretches of letters and digits, folded."""
    return re.findall(r"[^\W_]+", fold(text))


def words_of(booking: Booking) -> set[str]:
    """A plate is found by each of its groups: from its beginning, from its digits, from its last letters."""
    plate = "".join(parts_of(booking.plate or ""))
    groups = [found.start() for found in re.finditer(r"\d+|\D+", plate)]
    words = {plate[start:] for start in groups} | set(parts_of(booking.customer_name or ""))
    digits = "".join(filter(str.isdigit, booking.customer_phone or ""))
    return words | {fold(booking.number)} | ({PHONE + digits[::-1]} if digits else set())


@event.listens_for(Booking, "after_insert")
def _write(mapper: Mapper[Any], connection: Connection, booking: Booking) -> None:
    connection.execute(WRITE, list(_rows(booking)))


@event.listens_for(Booking, "after_update")
def _rewrite(mapper: Mapper[Any], connection: Connection, booking: Booking) -> None:
    now = inspect(booking).attrs
    if any(now[name].history.has_changes() for name in ("plate", "customer_name", "customer_phone", "number")):
        connection.execute(delete(BookingWord).where(BookingWord.booking_id == booking.id))
        connection.execute(WRITE, list(_rows(booking)))


def _rows(booking: Booking) -> Iterator[dict[str, Any]]:
    for word in sorted(words_of(booking)):
        yield {"service_point_id": booking.service_point_id, "word": word, "booking_id": booking.id}

"""Words by which a station finds its bookings, and those of the bookings that are there."""

import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

LOOK_ALIKE = str.maketrans("авеіїкмнорстухё", "abeiikmhopctyxe")
BATCH = 1000

bookings = sa.table("bookings", *map(sa.column, ("id", "service_point_id", "number", "plate", "customer_name")))
bookings.append_column(sa.column("customer_phone"))
words = sa.table("booking_words", *map(sa.column, ("service_point_id", "word", "booking_id")))


def upgrade():
    op.create_table(
        "booking_words",
        sa.Column("service_point_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("word", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), primary_key=True),
        sa.Column(
            "booking_id",
            sa.Integer,
            sa.ForeignKey("bookings.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_booking_words_booking_id", "booking_words", ["booking_id"])
    backfill(op.get_bind())


def backfill(connection):
    last = 0
    while True:
        some = sa.select(bookings).where(bookings.c.id > last).order_by(bookings.c.id).limit(BATCH)
        found = connection.execute(some).all()
        if not found:
            return
        rows = [
            {"service_point_id": booking.service_point_id, "word": word, "booking_id": booking.id}
            for booking in found
            for word in sorted(words_of(booking))
        ]
        connection.execute(sa.insert(words), rows)
        last = found[-1].id


def words_of(booking):
    plate = "".join(parts_of(booking.plate))
    groups = [found.start() for found in re.finditer(r"\d+|\D+", plate)]
    digits = "".join(filter(str.isdigit, booking.customer_phone))
    found = {plate[start:] for start in groups} | set(parts_of(booking.customer_name)) | {fold(booking.number)}
    return found | ({"#" + digits[::-1]} if digits else set())


def parts_of(text):
    return re.findall(r"[^\W_]+", fold(text))


def fold(text):
    return unicodedata.normalize("NFC", text.casefold()).translate(LOOK_ALIKE)


def downgrade():
    op.drop_table("booking_words")

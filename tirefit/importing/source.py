"""Where the old rows come from: a database, or a folder of CSV files named like its tables. Only reads."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import MetaData, Table, create_engine, inspect, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

Row = dict[str, Any]
NOTHING = {"", "\\N", "NULL", "null"}
TABLES = (
    *("service_points", "service_posts", "schedule_templates", "schedule_exceptions", "services"),
    *("service_point_services", "car_types", "clients", "bookings", "booking_services"),
)
NEEDED = ("service_points", "bookings")


class SourceUnreadable(Exception):
    """The source is not there, or is no old system."""


class Source(Protocol):
    def rows(self, table: str) -> Iterator[Row]:
        """The rows of a table in the order of their ids; none where the old system had no such table."""


def open_source(place: str) -> Source:
    """A database by its URL, or a folder. Raises SourceUnreadable."""
    return _Database(place) if "://" in place else _Folder(Path(place))


class _Database:
    def __init__(self, url: str) -> None:
        plain = url.replace("postgres://", "postgresql://", 1)
        driver = plain.replace("postgresql://", "postgresql+psycopg://", 1)
        try:
            self._engine = create_engine(driver, poolclass=NullPool)
            found = set(inspect(self._engine).get_table_names())
        except SQLAlchemyError as error:
            raise SourceUnreadable(str(error).partition("\n")[0]) from None
        if "booking_links" in found:
            raise SourceUnreadable("that is a database of TireFit itself")
        _require(found)
        self._tables = {name: Table(name, MetaData(), autoload_with=self._engine) for name in TABLES if name in found}

    def rows(self, table: str) -> Iterator[Row]:
        if table not in self._tables:
            return
        found = self._tables[table]
        ordered = select(found).order_by(*([found.c.id] if "id" in found.c else []))
        with self._engine.connect() as connection:
            for row in connection.execution_options(yield_per=1000).execute(ordered).mappings():
                yield dict(row)


class _Folder:
    """CSV in UTF-8 (with or without a byte order mark) or cp1251, with commas or semicolons, a header in each file."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise SourceUnreadable(f"there is no folder {folder}")
        self._folder = folder
        _require({path.stem for path in folder.glob("*.csv")})

    def rows(self, table: str) -> Iterator[Row]:
        path = self._folder / f"{table}.csv"
        if not path.exists():
            return
        text = _decode(path.read_bytes())
        header = text.partition("\n")[0]
        separator = ";" if header.count(";") > header.count(",") else ","
        for row in csv.DictReader(io.StringIO(text, newline=""), delimiter=separator):
            yield {
                (name or "").strip().lower(): None if value is None or value.strip() in NOTHING else value.strip()
                for name, value in row.items()
                if isinstance(value, str | None)
            }


def _decode(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1251", errors="replace")


def _require(found: set[str]) -> None:
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise SourceUnreadable(f"no table {', '.join(missing)} there")

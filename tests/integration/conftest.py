from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import event

from tests.history import app_on
from tirefit.database import db


@pytest.fixture
def old(database: str, empty_database: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """An empty database of its own, with its app's context pushed. The value is its dialect."""
    with app_on(empty_database(database), tmp_path):
        yield database


@pytest.fixture
def statements(app: Flask) -> Callable[[], AbstractContextManager[list[str]]]:
    """`with statements() as seen:` collects the SQL that is executed, without the pragmas of a transaction's start."""

    @contextmanager
    def collect() -> Iterator[list[str]]:
        seen: list[str] = []

        def note(connection, cursor, statement, *rest) -> None:
            if not statement.startswith(("PRAGMA", "BEGIN")):
                seen.append(statement)

        event.listen(db.engine, "before_cursor_execute", note)
        try:
            yield seen
        finally:
            event.remove(db.engine, "before_cursor_execute", note)

    return collect

"""The floor: the very statements that a function sent, sent again through the bare driver, every row fetched.

Same text, same parameters, same transactions, same settings of the connection. What is left out is all that is ours:
building statements, turning rows into Python's and the domain's types, and the rules.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from tirefit.database import db


@dataclass
class Recording:
    """What a function sent to the database, in order."""

    steps: list[tuple[str, Any, bool]] = field(default_factory=list)  # statement or "COMMIT"/"ROLLBACK", values, many

    @property
    def statements(self) -> int:
        """Statements of the function itself: not the beginning and the end of its transactions."""
        return sum(not sql.startswith(("BEGIN", "COMMIT", "ROLLBACK", "PRAGMA")) for sql, _, _ in self.steps)


@contextmanager
def recorded() -> Iterator[Recording]:
    """`with recorded() as recording:` keeps all that goes to the database meanwhile."""
    recording = Recording()

    def executed(connection: Any, cursor: Any, statement: str, values: Any, context: Any, many: bool) -> None:
        recording.steps.append((statement, values, many))

    def committed(connection: Any) -> None:
        recording.steps.append(("COMMIT", None, False))

    def rolled_back(connection: Any) -> None:
        recording.steps.append(("ROLLBACK", None, False))

    listeners = {"before_cursor_execute": executed, "commit": committed, "rollback": rolled_back}
    for name, listener in listeners.items():
        event.listen(db.engine, name, listener)
    try:
        yield recording
    finally:
        for name, listener in listeners.items():
            event.remove(db.engine, name, listener)


class Driver:
    """A bare connection of its own, with the settings of the program's, that repeats recordings."""

    def __init__(self) -> None:
        pooled = db.engine.raw_connection()
        self.connection: Any = pooled.driver_connection
        pooled.detach()
        if db.engine.dialect.name == "postgresql":
            self.connection.rollback()
            self.connection.read_only = None

    def repeat(self, recording: Recording) -> None:
        """Send it all again, in the same order and transactions; fetch all that comes back."""
        connection = self.connection
        for statement, values, many in recording.steps:
            if statement == "COMMIT":
                connection.commit()
            elif statement == "ROLLBACK":
                connection.rollback()
            else:
                cursor = connection.cursor()
                if many:
                    cursor.executemany(statement, values)
                else:
                    cursor.execute(statement, values)
                    if cursor.description is not None:
                        cursor.fetchall()
                cursor.close()

    def bytes_of(self, recording: Recording) -> int:
        """How many bytes of values a reading recording fetches: on PostgreSQL as they travel, on SQLite as text."""
        total = 0
        for statement, values, many in recording.steps:
            if many or statement in ("COMMIT", "ROLLBACK"):
                continue
            cursor = self.connection.cursor()
            cursor.execute(statement, values)
            if cursor.description is not None:
                total += sum(len(str(value)) for row in cursor.fetchall() for value in row if value is not None)
            cursor.close()
        self.connection.rollback()
        return total

    def close(self) -> None:
        self.connection.rollback()
        self.connection.close()

"""Rows that wait to leave: letters and webhooks. Whoever takes one out holds a lease, and only they say how it ended.

Such a table has `state` (`pending` until it is over), `due_at`, `attempts`, `lease` and `leased_until`. A sender that
comes back late, when its row has gone to another, changes nothing; one that dies leaves its row to the next.
"""

import secrets
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, update

from tirefit.database import db

LEASE = timedelta(seconds=90)  # longer than anybody outside is waited for
BACK_OFF = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 30))  # the last one again and again
MOST_ATTEMPTS = 51  # with these waits: a day of trying
LONGEST_ERROR = 500


def is_due(table: Any, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """Rows that may be taken now: due, and in nobody's hands."""
    return (
        table.state == "pending",
        table.due_at <= now,
        (table.leased_until.is_(None)) | (table.leased_until <= now),
    )


def in_turn(table: Any) -> tuple[Any, ...]:
    """The order in which they are taken: one that never works delays no other."""
    return (table.attempts, table.due_at, table.id)


def take(row: Any, now: datetime) -> str:
    """Inside a command that has locked the row: it is the asker's for 90 seconds; → the lease."""
    row.attempts += 1
    row.lease, row.leased_until = secrets.token_hex(16), now + LEASE
    return str(row.lease)


def next_try(attempts: int, now: datetime) -> datetime:
    """When to try again after so many attempts: in 1, 2, 5, 10, then every 30 minutes."""
    return now + BACK_OFF[min(attempts, len(BACK_OFF)) - 1]


def finish(table: Any, id: int, lease: str, **values: object) -> bool:
    """Fenced: only the present lease may write, and what is over stays as it is. → Was the lease the present one?"""
    finished = db.session.execute(
        update(table)
        .where(table.id == id, table.lease == lease, table.state == "pending")
        .values(lease=None, leased_until=None, **values)
        .returning(table.id)
    )
    return finished.scalar() is not None

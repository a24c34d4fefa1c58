"""One short name for everything that stands in the database: two that are equal say that nothing has changed."""

import hashlib
from collections.abc import Collection

from sqlalchemy import text

from tirefit.database import db


def checksum(without: Collection[str] = ()) -> str:
    """Of every row of every table. `without` names columns that may differ: "user_sessions.last_seen_at"."""
    db.session.rollback()
    digest = hashlib.sha256()
    for table in db.metadata.sorted_tables:
        columns = ", ".join(column.name for column in table.columns if f"{table.name}.{column.name}" not in without)
        rows = db.session.execute(text(f"SELECT {columns} FROM {table.name}")).all()
        digest.update(repr((table.name, sorted(map(repr, rows)))).encode())
    db.session.rollback()
    return digest.hexdigest()

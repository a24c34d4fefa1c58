"""Whether what a station's screens show has changed since they last asked: one number per station.

It grows with every command that touched the station's day, in that command's transaction and as the last thing in it:
so the row, which everybody at the station writes, is locked for no longer than the commit takes.
"""

from dataclasses import dataclass

from sqlalchemy import update
from sqlalchemy.dialects import postgresql, sqlite

from tirefit.database import before_commit, db
from tirefit.models import BoardRevision, ServicePoint


def touch(point_id: int) -> None:
    """Inside a command: the station's screens have something new to show once this is committed."""
    before_commit(_OneMore(point_id))


def of_station(point: ServicePoint) -> int:
    """How often the station's day had changed when it was read."""
    return point.board_revision.revision if point.board_revision else 0


@dataclass(frozen=True)
class _OneMore:
    """Counts one command. Two of the same station are equal, and so count once."""

    point_id: int

    def __call__(self) -> None:
        db.session.flush()
        mine = update(BoardRevision).where(BoardRevision.service_point_id == self.point_id)
        grown = mine.values(revision=BoardRevision.revision + 1).returning(BoardRevision.revision)
        if db.session.execute(grown).first() is None:
            insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
            first = insert(BoardRevision).values(service_point_id=self.point_id, revision=1)
            again = {"revision": BoardRevision.revision + 1}
            db.session.execute(first.on_conflict_do_update(index_elements=["service_point_id"], set_=again))

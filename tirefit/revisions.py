"""Whether what a station's screens show has changed since they last asked: one number per station.

It grows with every command that touched the station's day, in that command's transaction and as the last thing in it:
so the row, which everybody at the station writes, is locked for no longer than the commit takes. Holds do not touch it,
for customers should not queue at it: the few that there are at a station are looked at beside it.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Select, Text, bindparam, cast, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import joinedload, with_expression
from sqlalchemy.orm.strategy_options import _AbstractLoad

from tirefit import clock
from tirefit.database import before_commit, db
from tirefit.models import BoardRevision, Reservation, ServicePoint

E = TypeVar("E")


def touch(point_id: int) -> None:
    """Inside a command: the station's screens have something new to show once this is committed."""
    before_commit(_OneMore(point_id))


def with_revision(statement: Select[E], path: _AbstractLoad | None = None) -> Select[E]:
    """Read stations together with what `of_station` tells of them; `path` leads to the station from what is read."""
    live = (Reservation.service_point_id == ServicePoint.id, Reservation.expires_at > clock.now())
    newest, how_many = func.coalesce(func.max(Reservation.id), 0), func.count()
    held = select(cast(newest, Text) + "-" + cast(how_many, Text)).where(*live).correlate(ServicePoint)
    loading = path.joinedload if path else joinedload
    seeing = path.with_expression if path else with_expression
    return statement.options(
        loading(ServicePoint.board_revision), seeing(ServicePoint.held, held.scalar_subquery())
    ).execution_options(populate_existing=True)


def of_station(point: ServicePoint) -> str:
    """How often the station's day had changed when it was read, and which times were held."""
    return f"{point.board_revision.revision if point.board_revision else 0}.{point.held}"


@dataclass(frozen=True)
class _OneMore:
    """Counts one command. Two of the same station are equal, and so count once."""

    point_id: int

    def __call__(self) -> None:
        db.session.flush()
        if db.session.execute(ONE_MORE, {"point_id": self.point_id}).first() is None:
            insert = sqlite.insert if db.engine.dialect.name == "sqlite" else postgresql.insert
            first = insert(BoardRevision).values(service_point_id=self.point_id, revision=1)
            again = {"revision": BoardRevision.revision + 1}
            db.session.execute(first.on_conflict_do_update(index_elements=["service_point_id"], set_=again))


_table: Any = BoardRevision.__table__
ONE_MORE = (
    update(_table)
    .where(_table.c.service_point_id == bindparam("point_id"))
    .values(revision=_table.c.revision + 1)
    .returning(_table.c.revision)
)

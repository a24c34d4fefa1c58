"""Bookings of the old system that could not be written: somebody has their time. People settle them one by one."""

from collections.abc import Sequence

from sqlalchemy import select

from tirefit import audit, clock
from tirefit.database import command, db
from tirefit.models import ImportedRow, ServicePoint


def of_station(point: ServicePoint) -> Sequence[ImportedRow]:
    """What is still to be settled, in the order of the old rows."""
    waiting = select(ImportedRow).where(
        ImportedRow.service_point_id == point.id, ImportedRow.state != "written", ImportedRow.settled_at.is_(None)
    )
    return db.session.scalars(waiting.order_by(ImportedRow.id)).all()


@command
def settle(row_id: int, point_id: int, *, user_id: int | None = None) -> bool:
    """Somebody has seen to it: it leaves the list, and whose it was is forgotten; → whether it was on it."""
    row = db.session.get(ImportedRow, row_id, with_for_update=True)
    if row is None or row.service_point_id != point_id or row.state == "written" or row.settled_at is not None:
        return False
    row.settled_at, row.data = clock.now(), {}
    audit.record("import_settled", "import", row.id, label=row.old_id, point_id=point_id, user_id=user_id)
    return True

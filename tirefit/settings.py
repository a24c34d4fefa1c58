"""A station's settings: changed a section at a time, never over what somebody else has saved meanwhile."""

from collections.abc import Mapping
from typing import Any

from tirefit import audit, revisions
from tirefit.database import command, db
from tirefit.errors import SettingsChanged
from tirefit.schedule.rolling import catch_up
from tirefit.schedule.slots import lock_station, offered_days, regenerate

SHAPE_THE_OFFER = ("time_zone", "horizon_days")


@command
def change(point_id: int, values: Mapping[str, Any], *, seen: int, user_id: int | None) -> bool:
    """Give a station these settings; → whether anything is other than it was.

    Where they shape its days, the offer is cut again around what is reserved: bookings keep their instants. `seen` is
    the revision that the page showed: raises SettingsChanged, with what is kept now, when it is older than that.
    """
    point = lock_station(point_id)
    before = {name: getattr(point, name) for name in values}
    changed = [name for name in values if before[name] != values[name]]
    if not changed:
        return False
    if point.settings_revision != seen:
        raise SettingsChanged(now=before, revision=point.settings_revision)
    for name in changed:
        setattr(point, name, values[name])
    point.settings_revision += 1
    db.session.flush()
    if set(changed) & set(SHAPE_THE_OFFER):
        regenerate(point, point.posts, *offered_days(point))
        catch_up(point)
    audit.record(
        "settings_changed",
        "station",
        point_id,
        label=point.name,
        point_id=point_id,
        user_id=user_id,
        before=before,
        after=dict(values),
    )
    revisions.touch(point_id)
    return True

"""Opening the days ahead: each night, by hand, or when somebody wants a day that should be there.

No page depends on the nightly job: what it has not written yet is computed from the same difference (`unwritten`), and
whoever takes such a time writes the days first (`catch_up`).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import bindparam, case, func, insert, select, update
from sqlalchemy.orm.attributes import set_committed_value

from tirefit import clock
from tirefit.database import command, db
from tirefit.models import ScheduleRun, ServicePoint, ServicePost
from tirefit.schedule.slots import A_DAY, Cell, Days, difference, horizon, load_hours, pace_of, regenerate
from tirefit.schedule.windows import Span, local_day

STATIONS_AT_ONCE = 20  # in one transaction: few commits, and no post locked for long


def generate_rolling_schedule(
    point_id: int | None = None,
    tell: Callable[[int, int, int], None] = lambda done, total, added: None,
    *,
    days: int | None = None,
    again: bool = False,
) -> int:
    """Open the days ahead, up to each active station's horizon (or `days` ahead); → how many slots were added.

    Some stations at a time are one transaction, each with its own watermark (`slots_until`): whatever stops this,
    running it again goes on where it stopped; running it twice, or two at once, does nothing twice. `again` compares
    the days below the watermark too, and mends what is missing there. `tell(done, total, added)` is called after each
    transaction, and a run that has anything to do leaves its progress in schedule_runs.
    """
    behind = _stations_behind(point_id, days, again)
    if not behind:
        return 0
    run_id, added = None, 0
    for start in range(0, len(behind), STATIONS_AT_ONCE):
        batch = dict(behind[start : start + STATIONS_AT_ONCE])
        run_id, more = _extend_offers(batch, run_id, len(behind), days, again)
        added += more
        tell(start + len(batch), len(behind), added)
    return added


def _stations_behind(point_id: int | None, days: int | None, again: bool) -> list[tuple[int, bool]]:
    """Active stations whose offer does not reach their horizon, or with a length of slots whose day has come; and
    whether it is that.
    """
    stations = ACTIVE_STATIONS if point_id is None else ACTIVE_STATIONS.where(ServicePoint.id == point_id)
    now, behind = clock.now(), []
    for id, zone, horizon_days, until, next_from in db.session.execute(stations):
        today = local_day(zone, now)
        begins = next_from is not None and next_from <= today
        if begins or again or until is None or until < today + (days or horizon_days) * A_DAY:
            behind.append((id, begins))
    return behind


ACTIVE_STATIONS = (
    select(ServicePoint.id, ServicePoint.time_zone, ServicePoint.horizon_days, ServicePoint.slots_until)
    .add_columns(func.min(ServicePost.next_from))  # where one is to come
    .outerjoin(ServicePost, (ServicePost.service_point_id == ServicePoint.id) & ServicePost.next_from.is_not(None))
    .where(ServicePoint.active)
    .group_by(ServicePoint.id)
    .order_by(ServicePoint.id)
)


@command
def _extend_offers(
    stations: Mapping[int, bool], run_id: int | None, total: int, days: int | None, again: bool
) -> tuple[int, int]:
    """Bring these stations' offers up to their horizons, and the run's row with them; → its id, slots added."""
    points = db.session.scalars(LOCKED_STATIONS, {"ids": list(stations)}).all()
    _begin_lengths([point for point in points if stations[point.id]])
    added = sum(_extend_offer(point, days, again) for point in points)
    _write_watermarks(points)
    now, done = clock.now(), len(stations)
    if run_id is None:
        finished_at = now if done == total else None
        begun = {"total": total, "done": done, "added": added, "created_at": now, "finished_at": finished_at}
        return db.session.execute(BEGIN_RUN, begun).scalar_one(), added
    db.session.execute(GO_ON, {"run_id": run_id, "stations": done, "slots": added, "now": now})
    return run_id, added


LOCKED_STATIONS = (
    select(ServicePoint)
    .where(ServicePoint.id.in_(bindparam("ids", expanding=True)))
    .order_by(ServicePoint.id)
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)
_runs: Any = ScheduleRun.__table__
BEGIN_RUN = insert(_runs).values(kind="rolling", subject={}, before=None, after=None).returning(_runs.c.id)
_all_done = _runs.c.done + bindparam("stations") >= _runs.c.total
GO_ON = (
    update(_runs)
    .where(_runs.c.id == bindparam("run_id"))
    .values(
        done=_runs.c.done + bindparam("stations"),
        added=_runs.c.added + bindparam("slots"),
        finished_at=case((_all_done, bindparam("now", type_=_runs.c.finished_at.type))),
    )
)


def _begin_lengths(points: Sequence[ServicePoint]) -> None:
    """A slot length whose day has come is the post's own. The offer was cut so already: nothing moves."""
    if not points:
        return
    zones = {point.id: point.time_zone for point in points}
    for post in db.session.scalars(POSTS_TO_CHANGE, {"ids": list(zones)}).all():
        today = local_day(zones[post.service_point_id], clock.now())
        if post.next_from is not None and post.next_from <= today:
            post.slot_duration, post.next_slot_duration, post.next_from = post.length_on(today), None, None
    db.session.flush()  # the posts are read again when they are locked


POSTS_TO_CHANGE = select(ServicePost).where(
    ServicePost.service_point_id.in_(bindparam("ids", expanding=True)), ServicePost.next_from.is_not(None)
)


def catch_up(point: ServicePoint) -> None:
    """Inside a command: open the days that have come within a station's horizon, when the nightly job has not.

    What customers see of such days is the same without it (`unwritten`), so whoever wants their time writes them first.
    """
    if _missing_days(point):
        db.session.refresh(point, with_for_update={"key_share": True})
        _extend_offer(point)
        _write_watermarks([point])


def unwritten(point_id: int, span: Span) -> list[Cell]:
    """The offer round a span that should have been generated by now and has not been: what `catch_up` would write.

    Nothing, and no statement, where the nightly job has come. Writes nothing.
    """
    point = db.session.get_one(ServicePoint, point_id)
    missing = _missing_days(point)
    if missing is None:
        return []
    first, last = max(missing[0], local_day(point.time_zone, span[0]) - A_DAY), missing[1]
    last = min(last, local_day(point.time_zone, span[1]) + A_DAY)
    if first > last:
        return []
    paces, hours = [pace_of(post) for post in point.posts], load_hours(point, since=first - 2 * A_DAY)
    return list(difference(point, paces, hours, first, last).added)


def _extend_offer(point: ServicePoint, days: int | None = None, again: bool = False) -> int:
    """Inside a command that has locked the station: write its missing days; → how many slots were added.

    `_write_watermarks` comes after it, once for all stations of the command.
    """
    missing = _missing_days(point, days, again)
    if missing is None:
        return 0
    added = len(regenerate(point, None, *missing).added)
    # As if it had been read so: the session shall not write it once more, station by station.
    set_committed_value(point, "slots_until", max(missing[1], point.slots_until or missing[1]))
    return added


def _write_watermarks(points: Sequence[ServicePoint]) -> None:
    marks = [{"point_id": point.id, "until": point.slots_until} for point in points]
    if marks:  # without any, a statement for many would be one that lacks its values
        db.session.execute(WATERMARK, marks)


_stations: Any = ServicePoint.__table__
WATERMARK = update(_stations).where(_stations.c.id == bindparam("point_id")).values(slots_until=bindparam("until"))


def _missing_days(point: ServicePoint, days: int | None = None, again: bool = False) -> Days | None:
    """First and last local day that should be offered by now and are not (with `again`: all that should be)."""
    today, until = horizon(point, days)
    first = today if again or point.slots_until is None else max(today, point.slots_until + A_DAY)
    return (first, until) if first <= until else None

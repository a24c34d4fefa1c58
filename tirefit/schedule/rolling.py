"""Opening the days ahead: each night, by hand, or when somebody wants a day that should be there.

No page depends on the nightly job: what it has not written yet is computed from the same difference (`unwritten`), and
whoever takes such a time writes the days first (`catch_up`).
"""

from collections.abc import Callable, Sequence
from datetime import date

from sqlalchemy import func, select
from sqlalchemy.orm import selectinload

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
    run_id, added = _begin_rolling_run(len(behind)), 0
    for start in range(0, len(behind), STATIONS_AT_ONCE):
        batch = behind[start : start + STATIONS_AT_ONCE]
        added += _extend_offers(batch, run_id, days, again)
        tell(start + len(batch), len(behind), added)
    return added


def _stations_behind(point_id: int | None, days: int | None, again: bool) -> list[int]:
    """Active stations whose offer does not reach their horizon, or with a length of slots whose day has come."""
    stations = (
        select(ServicePoint.id, ServicePoint.time_zone, ServicePoint.horizon_days, ServicePoint.slots_until)
        .where(ServicePoint.active)
        .order_by(ServicePoint.id)
    )
    if point_id is not None:
        stations = stations.where(ServicePoint.id == point_id)
    now = clock.now()
    begin = dict(
        db.session.execute(
            select(ServicePost.service_point_id, func.min(ServicePost.next_from))
            .where(ServicePost.next_from.is_not(None))
            .group_by(ServicePost.service_point_id)
        ).all()
    )
    return [
        id
        for id, zone, horizon_days, until in db.session.execute(stations)
        if again
        or until is None
        or until < local_day(zone, now) + (days or horizon_days) * A_DAY
        or (begin.get(id) or date.max) <= local_day(zone, now)
    ]


@command
def _begin_rolling_run(stations: int) -> int:
    run = ScheduleRun(
        kind="rolling", subject={}, before=None, after=None, total=stations, done=0, created_at=clock.now()
    )
    db.session.add(run)
    db.session.flush()
    return run.id


@command
def _extend_offers(point_ids: Sequence[int], run_id: int, days: int | None, again: bool) -> int:
    """Bring these stations' offers up to their horizons, and the run's row with them."""
    added = 0
    for point in db.session.scalars(
        select(ServicePoint)
        .where(ServicePoint.id.in_(point_ids))
        .order_by(ServicePoint.id)
        .options(selectinload(ServicePoint.posts))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    ).all():
        with db.session.no_autoflush:  # all watermarks are written together, at the end
            _begin_lengths(point)
            added += _extend_offer(point, days, again)
    run = db.session.get_one(ScheduleRun, run_id, populate_existing=True)
    run.added += added
    run.done += len(point_ids)
    run.finished_at = clock.now() if run.done >= run.total else None
    return added


def _begin_lengths(point: ServicePoint) -> None:
    """A slot length whose day has come is the post's own. The offer was cut so already: nothing moves."""
    today = local_day(point.time_zone, clock.now())
    for post in point.posts:
        if post.next_from is not None and post.next_from <= today:
            post.slot_duration, post.next_slot_duration, post.next_from = post.length_on(today), None, None
            db.session.flush()  # the posts are read again when they are locked


def catch_up(point: ServicePoint) -> None:
    """Inside a command: open the days that have come within a station's horizon, when the nightly job has not.

    What customers see of such days is the same without it (`unwritten`), so whoever wants their time writes them first.
    """
    if _missing_days(point):
        db.session.refresh(point, with_for_update={"key_share": True})
        _extend_offer(point)


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
    """Inside a command that has locked the station: write its missing days; → how many slots were added."""
    missing = _missing_days(point, days, again)
    if missing is None:
        return 0
    added = len(regenerate(point, point.posts, *missing).added)
    point.slots_until = max(missing[1], point.slots_until or missing[1])
    return added


def _missing_days(point: ServicePoint, days: int | None = None, again: bool = False) -> Days | None:
    """First and last local day that should be offered by now and are not (with `again`: all that should be)."""
    today, until = horizon(point, days)
    first = today if again or point.slots_until is None else max(today, point.slots_until + A_DAY)
    return (first, until) if first <= until else None

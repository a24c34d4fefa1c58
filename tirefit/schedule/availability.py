"""What is free. The list, the check, the hold, the booking and the board all ask here; no other module decides it.

Three statements per question (posts, offers, reservations) and one merge pass, for a day and for two months alike. An
expired hold is as good as none, whether or not any job has tidied it away. A list may be stale by the time it is read:
the write decides, with these same functions. Why a time cannot be had is told by schedule.reasons.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import BindParameter, ColumnElement, Integer, Select, bindparam, func, or_, select

from tirefit import clock
from tirefit.database import db
from tirefit.models import PostCarType, PostService, Reservation, ScheduleSlot, ServicePoint, ServicePost
from tirefit.schedule.grid import Run, Span, runs
from tirefit.schedule.windows import day_span, each_day, local_day

TYPICAL_JOB_MINUTES = 30  # free time shorter than this is hard to sell
MOST_DAYS = 62  # of an overview
A_DAY = timedelta(days=1)
ALL = 1000  # a post that takes every car (or does every service) is broader than any that names some


@dataclass(frozen=True)
class Needs:
    """What a job asks of a post, beside its minutes. What is not said does not matter.

    `moving` is the job's own reservation when it is being moved: the time it has counts as free for it.
    """

    car_type_id: int | None = None
    service_ids: tuple[int, ...] = ()
    wheel_inches: int | None = None
    moving: int | None = None


ANYTHING = Needs()


@dataclass(frozen=True)
class Time:
    """A time a customer may choose: when it starts, until when the post chosen for it is occupied, on how many it
    could."""

    starts_at: datetime
    ends_at: datetime
    available_posts: int
    waste_minutes: int
    post_number: int


@dataclass(frozen=True)
class Day:
    """One local day of a station for one job.

    `offered` counts the different times at which a slot of such a post begins.
    """

    date: date
    times: tuple[Time, ...]
    offered: int

    @property
    def state(self) -> str:
        """`open` (there are times), `full` (the station works, but nothing is left) or `shut`."""
        return "open" if self.times else "full" if self.offered else "shut"


@dataclass(frozen=True)
class PostAbility:
    """Whether a post can take a job, thing by thing; and how much else it could (`breadth`)."""

    service_post_id: int
    post_number: int
    active: bool
    takes_car: bool
    takes_services: bool
    takes_wheel: bool
    breadth: int
    service_point_id: int

    @property
    def is_able(self) -> bool:
        return self.takes_car and self.takes_services and self.takes_wheel


class Reserved(NamedTuple):
    """Time of a post that somebody has: it is not touched, whatever changes."""

    id: int
    service_post_id: int
    kind: str
    starts_at: datetime
    ends_at: datetime
    expires_at: datetime | None

    @property
    def span(self) -> Span:
        return self.starts_at, self.ends_at

    @classmethod
    def columns(cls) -> list[Any]:
        return [Reservation.__table__.c[name] for name in cls._fields]


AbilitySelect = Select[int, int, int, bool, bool, bool, bool, int]
SlotsByPost = dict[int, list[Span]]
ReservedByPost = dict[int, list[Reserved]]


@dataclass(frozen=True)
class PostTime:
    """A post's slots and live reservations in some stretch of time, both sorted."""

    service_post_id: int
    post_number: int
    breadth: int
    slots: tuple[Span, ...]
    taken: tuple[Span, ...]


def available_at_time(
    point: ServicePoint, starts_at: datetime, minutes: int | None, needs: Needs = ANYTHING
) -> list[Run]:
    """The posts on which such a job can start exactly then, the best choice first; none: nobody can.

    `minutes` None asks for one slot. The plan's example, posts 30/40/30 from 09:00 and nothing booked, one slot: three
    posts at 09:00, two at 09:30, one at 09:40, two at 10:00, one at 10:20, two at 10:30, three at 11:00.
    """
    start, end = bookable_span(point)
    if not start <= starts_at < end:
        return []
    posts = load_posts(point.id, around(point, starts_at), needs)
    return best_first(bookable_runs_of(point, posts, (starts_at, starts_at + timedelta.resolution), minutes))


def station_runs_at(
    point: ServicePoint, starts_at: datetime, minutes: int | None, needs: Needs = ANYTHING
) -> list[Run]:
    """The same for the station's own people, whom notice, horizon and closed online booking do not bind."""
    found = station_runs(point, around(point, starts_at), minutes, needs)
    return best_first(run for run in found if run.starts_at == starts_at)


def station_runs(point: ServicePoint, span: Span, minutes: int | None, needs: Needs = ANYTHING) -> list[Run]:
    """Every run that starts within the span and that the station's own people could use."""
    return [
        run
        for post in load_posts(point.id, span, needs)
        for run in runs(post.service_post_id, post.post_number, post.slots, post.taken, minutes, post.breadth)
        if span[0] <= run.starts_at < span[1]
    ]


def find_available_slots_for_duration(
    point: ServicePoint, first_day: date, last_day: date, minutes: int | None, needs: Needs = ANYTHING
) -> list[Run]:
    """Every run of every post that such a job could take on these local days, by time."""
    span = day_span(point.time_zone, first_day)[0], day_span(point.time_zone, last_day)[1]
    return sorted(_bookable_runs(point, span, minutes, needs), key=lambda run: (run.starts_at, run.post_number))


def days(point: ServicePoint, first_day: date, count: int, minutes: int | None, needs: Needs = ANYTHING) -> list[Day]:
    """`count` local days from `first_day`, at most 62, each with the times at which such a job can start."""
    last_day = first_day + timedelta(days=min(count, MOST_DAYS) - 1)
    span = day_span(point.time_zone, first_day)[0], day_span(point.time_zone, last_day)[1]
    posts = load_posts(point.id, span, needs)
    offered = sorted({start for post in posts for start, _ in post.slots})
    times = as_times(bookable_runs_of(point, posts, span, minutes))
    starts = [time.starts_at for time in times]
    found = []
    for day in each_day(first_day, last_day):
        start, end = day_span(point.time_zone, day)
        of_day = times[bisect_left(starts, start) : bisect_left(starts, end)]
        found.append(Day(day, tuple(of_day), bisect_left(offered, end) - bisect_left(offered, start)))
    return found


def nearest(point: ServicePoint, minutes: int | None, needs: Needs = ANYTHING) -> Time | None:
    """The soonest time such a job can start at the station, or None within its horizon.

    Looks through a window that widens only while nothing is found.
    """
    start, end = bookable_span(point)
    width = A_DAY
    while start < end:
        times = as_times(_bookable_runs(point, (start, min(end, start + width)), minutes, needs))
        if times:
            return times[0]
        start, width = start + width, width * 4
    return None


def best_first(found: Iterable[Run]) -> list[Run]:
    """The order in which posts are chosen.

    The least able one that can take it (the others are kept for those who need them), then the least waste, then the
    least unsellable remainder, then the lowest number.
    """
    return sorted(found, key=_choice)


def fragment_minutes(run: Run) -> int:
    """Free minutes before and after a run that are too few for a typical job."""
    return sum(left for left in (run.left_minutes, run.right_minutes) if 0 < left < TYPICAL_JOB_MINUTES)


def _choice(run: Run) -> tuple[int, ...]:
    return run.breadth, run.waste_minutes, fragment_minutes(run), run.post_number


def as_times(found: Iterable[Run]) -> list[Time]:
    """Runs of all posts, as a customer sees them: one entry per time, with the post that would be chosen."""
    by_start: dict[datetime, list[Run]] = {}
    for run in found:
        by_start.setdefault(run.starts_at, []).append(run)
    return [
        Time(start, (best := min(group, key=_choice)).ends_at, len(group), best.waste_minutes, best.post_number)
        for start, group in sorted(by_start.items())
    ]


def bookable_span(point: ServicePoint) -> Span:
    """From when to when customers may start: after the least notice, until the end of the horizon's last day."""
    now = clock.now()
    last_day = local_day(point.time_zone, now) + timedelta(days=point.horizon_days)
    return now + timedelta(minutes=point.lead_minutes), day_span(point.time_zone, last_day)[1]


def load_posts(point_id: int, span: Span, needs: Needs = ANYTHING) -> list[PostTime]:
    """Slots and live reservations, as columns, of those posts that can take such a job, round this time."""
    slots, reserved = load_slots(point_id, span), load_reserved(point_id, span, needs.moving)
    return able_posts(load_abilities(point_id, needs), slots, reserved)


def able_posts(abilities: Iterable[PostAbility], slots: SlotsByPost, reserved: ReservedByPost) -> list[PostTime]:
    return [
        PostTime(
            post.service_post_id,
            post.post_number,
            post.breadth,
            tuple(slots.get(post.service_post_id, ())),
            tuple(found.span for found in reserved.get(post.service_post_id, ())),
        )
        for post in abilities
        if post.is_able
    ]


# The statements below are made once, when the program starts: to make one anew costs more than to ask it. And they
# are made of tables: rows that become no objects need nothing of the ORM. schedule.cities makes them for many stations.
_slot, _reservation, _post = (model.__table__.c for model in (ScheduleSlot, Reservation, ServicePost))


def live(now: datetime | BindParameter[datetime] | None = None) -> ColumnElement[bool]:
    """A reservation that occupies its time: all but expired holds."""
    return or_(_reservation.expires_at.is_(None), _reservation.expires_at > (clock.now() if now is None else now))


def slots_of(stations: ColumnElement[bool]) -> Select[int, datetime, datetime]:
    """One range of the primary key (station, start, post)."""
    return (
        select(_slot.service_post_id, _slot.starts_at, _slot.ends_at)
        .where(stations, _slot.starts_at >= bindparam("start"), _slot.starts_at < bindparam("end"))
        .order_by(_slot.starts_at)
    )


SLOTS = slots_of(_slot.service_point_id == bindparam("point_id"))


def load_slots(point_id: int, span: Span) -> SlotsByPost:
    """The offer of each post round this time.

    A row of slots before the span may be what a run's left side is, and a run may end after it. Days that the nightly
    job has not opened yet, though it should have, are offered as it would: nobody waits for it.
    """
    from tirefit.schedule.rolling import unwritten  # which asks this module who has time

    slots = slots_by_post(SLOTS, {"point_id": point_id}, span)
    for start, post_id, end in unwritten(point_id, span):
        slots[post_id].append((start, end))
    return slots


def slots_by_post(statement: Select[int, datetime, datetime], which: dict[str, Any], span: Span) -> SlotsByPost:
    slots: SlotsByPost = defaultdict(list)
    values = {**which, "start": span[0] - A_DAY, "end": span[1] + A_DAY}
    for post_id, start, end in db.session.execute(statement, values).all():
        slots[post_id].append((start, end))
    return slots


def reserved_of(stations: ColumnElement[bool]) -> Select[Any]:
    """One range of the index (station, start)."""
    return (
        select(*Reserved.columns())
        .where(
            stations,
            _reservation.starts_at > bindparam("start"),
            _reservation.starts_at < bindparam("end"),
            _reservation.id != bindparam("without"),
            live(bindparam("now")),
        )
        .order_by(_reservation.starts_at)
    )


RESERVED = reserved_of(_reservation.service_point_id == bindparam("point_id"))


def load_reserved(point_id: int, span: Span, without: int | None = None) -> ReservedByPost:
    """Live reservations of each post round this time, but one."""
    return reserved_by_post(RESERVED, {"point_id": point_id}, span, without)


def reserved_by_post(
    statement: Select[Any], which: dict[str, Any], span: Span, without: int | None = None
) -> ReservedByPost:
    reserved: ReservedByPost = defaultdict(list)
    values = {**which, "start": span[0] - 2 * A_DAY, "end": span[1] + A_DAY, "without": without or 0}
    for found in map(Reserved._make, db.session.execute(statement, {**values, "now": clock.now()}).all()):
        reserved[found.service_post_id].append(found)
    return reserved


def abilities_of(stations: ColumnElement[bool]) -> AbilitySelect:
    """Of every post: may it take `car_type_id`, all of `service_ids` (there are `services`), `wheel_inches`?"""
    cars = select(func.count()).where(PostCarType.service_post_id == _post.id).scalar_subquery()
    jobs = select(func.count()).where(PostService.service_post_id == _post.id).scalar_subquery()
    car_type_id = bindparam("car_type_id", type_=Integer)
    this_car = select(PostCarType.car_type_id).where(
        PostCarType.service_post_id == _post.id, PostCarType.car_type_id == car_type_id
    )
    these_jobs = (
        select(func.count())
        .where(
            PostService.service_post_id == _post.id,
            PostService.service_id.in_(bindparam("service_ids", expanding=True)),
        )
        .scalar_subquery()
    )
    wheel_inches = bindparam("wheel_inches", type_=Integer)
    return (
        select(
            _post.service_point_id,
            _post.id,
            _post.post_number,
            _post.active,
            or_(car_type_id.is_(None), cars == 0, this_car.exists()),
            or_(jobs == 0, these_jobs == bindparam("services", type_=Integer)),
            or_(wheel_inches.is_(None), _post.largest_wheel.is_(None), _post.largest_wheel >= wheel_inches),
            func.coalesce(func.nullif(cars, 0), ALL) + func.coalesce(func.nullif(jobs, 0), ALL),
        )
        .where(stations)
        .order_by(_post.id)
    )


ABILITIES = abilities_of(_post.service_point_id == bindparam("point_id"))


def load_abilities(point_id: int, needs: Needs = ANYTHING) -> list[PostAbility]:
    """Every post of a station, by id, and whether it could take such a job: one statement."""
    return abilities(ABILITIES, {"point_id": point_id}, needs)


def abilities(statement: AbilitySelect, which: dict[str, Any], needs: Needs) -> list[PostAbility]:
    values = {
        "car_type_id": needs.car_type_id,
        "service_ids": needs.service_ids,
        "services": len(set(needs.service_ids)),
        "wheel_inches": needs.wheel_inches,
    }
    return [
        PostAbility(id, number, active, bool(car), bool(services), bool(wheels), breadth, point_id)
        for point_id, id, number, active, car, services, wheels, breadth in db.session.execute(
            statement, {**which, **values}
        ).all()
    ]


def around(point: ServicePoint, moment: datetime) -> Span:
    """The local day a moment lies on."""
    return day_span(point.time_zone, local_day(point.time_zone, moment))


def _bookable_runs(point: ServicePoint, span: Span, minutes: int | None, needs: Needs) -> Iterator[Run]:
    return bookable_runs_of(point, load_posts(point.id, span, needs), span, minutes)


def bookable_runs_of(point: ServicePoint, posts: Sequence[PostTime], span: Span, minutes: int | None) -> Iterator[Run]:
    """Every run of these posts that starts within the span and that customers may book now."""
    earliest, end = bookable_span(point)
    start, end = max(span[0], earliest), min(span[1], end)
    if not point.active:
        return
    for post in posts:
        yield from runs(
            post.service_post_id, post.post_number, post.slots, post.taken, minutes, post.breadth, (start, end)
        )

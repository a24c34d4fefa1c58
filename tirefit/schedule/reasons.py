"""Why a time cannot be had: post by post, and in one word for the customer. The same slots, reservations and runs as in
schedule.availability; where that offers a post, there is no reason here, and the other way round.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from tirefit import clock
from tirefit.errors import (
    BeyondHorizon,
    InThePast,
    PostCannotTakeIt,
    Problem,
    ServicesDoNotFit,
    SlotNotOffered,
    SlotTaken,
    TimeMatchesNoSlot,
    TooSoon,
)
from tirefit.models import ServicePoint
from tirefit.schedule.availability import (
    ANYTHING,
    Needs,
    PostAbility,
    Reserved,
    around,
    bookable_span,
    load_abilities,
    load_reserved,
    load_slots,
)
from tirefit.schedule.grid import Run, Span, runs
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import day_span, local_day, local_windows

LONGEST_CLOSED_SEASON = 366  # days


@dataclass(frozen=True)
class PostAnswer:
    """Can this post start the job then? `reason` is None when it can (`run` says how), else a code.

    Codes, the first that holds: station_closed_online, in_the_past, too_soon, beyond_horizon, post_inactive, car_type,
    service, wheel_size, held (facts: until), overlaps (the reservation), too_short, off_grid, closed.
    """

    service_post_id: int
    post_number: int
    reason: str | None
    run: Run | None = None
    by: Reserved | None = None


@dataclass(frozen=True)
class Reopening:
    """The first local day of a new season, and the one from which it is within the station's horizon."""

    opens: date
    bookable_from: date


@dataclass(frozen=True)
class PostSlot:
    """One slot of a post's day: `free`, `held`, `booked`, `blocked`, `walk_in` or `past`."""

    starts_at: datetime
    ends_at: datetime
    status: str


@dataclass(frozen=True)
class PostDay:
    """A post's day for staff and for the API: its slots, and the soonest time the job could start on it that day."""

    service_post_id: int
    post_number: int
    slots: tuple[PostSlot, ...]
    next_available_at: datetime | None


STATUS = {"hold": "held", "booking": "booked", "block": "blocked", "walk_in": "walk_in"}

# The reasons of single posts, from the one that is nearest to "yes" on.
WORDS: dict[str, type[Problem]] = {
    "held": SlotTaken,
    "overlaps": SlotTaken,
    "too_short": ServicesDoNotFit,
    "off_grid": TimeMatchesNoSlot,
    "wheel_size": PostCannotTakeIt,
    "service": PostCannotTakeIt,
    "car_type": PostCannotTakeIt,
    "closed": SlotNotOffered,
    "post_inactive": SlotNotOffered,
    "station_closed_online": SlotNotOffered,
    "too_soon": TooSoon,
    "beyond_horizon": BeyondHorizon,
    "in_the_past": InThePast,
}


def why_not(point: ServicePoint, starts_at: datetime, minutes: int | None, needs: Needs = ANYTHING) -> list[PostAnswer]:
    """Each post's answer to "can this job start then?", by number.

    Asks what availability asks, and keeps the reasons.
    """
    abilities = sorted(load_abilities(point.id, needs), key=lambda post: post.post_number)
    if (general := _of_the_station(point, starts_at)) is not None:
        return [PostAnswer(post.service_post_id, post.post_number, general) for post in abilities]
    span = around(point, starts_at)
    slots, taken = load_slots(point.id, span), load_reserved(point.id, span, needs.moving)
    return [
        _answer(post, starts_at, minutes, slots.get(post.service_post_id, []), taken.get(post.service_post_id, []))
        for post in abilities
    ]


def reopening(point: ServicePoint) -> Reopening | None:
    """When a closed station opens again; None while it is open on some day that can be booked, or stays closed for a
    year by all its plans say."""
    today = local_day(point.time_zone, clock.now())
    hours = load_hours(point, since=today)
    posts = [post.id for post in point.posts if post.active]
    for ahead in range(LONGEST_CLOSED_SEASON + 1):
        day = today + timedelta(days=ahead)
        if any(local_windows(hours, post_id, day) for post_id in posts):
            bookable_from = day - timedelta(days=point.horizon_days)
            return Reopening(day, bookable_from) if bookable_from > today else None
    return None


def refusal(
    point: ServicePoint,
    starts_at: datetime,
    minutes: int | None,
    needs: Needs = ANYTHING,
    post_number: int | None = None,
) -> Problem:
    """Why nobody (or not the post that is named) can start such a job then: each validation with its own error.

    `slot_must_be_available`: not past (InThePast), enough notice (TooSoon), within the horizon (BeyondHorizon), offered
    at all (SlotNotOffered), on a post that can take it (PostCannotTakeIt). `booking_time_matches_slot`: a slot begins
    then (TimeMatchesNoSlot). `services_fit_in_time_slot`: the offer after it is long enough (ServicesDoNotFit).
    `no_conflicting_bookings`: nobody else has it (SlotTaken). Of several posts' reasons, the one nearest to "yes".
    """
    answers = why_not(point, starts_at, minutes, needs)
    reasons = {answer.reason for answer in answers if post_number in (None, answer.post_number)}
    reason = next((reason for reason in WORDS if reason in reasons), "closed")
    return WORDS[reason](
        starts_at=starts_at, minutes=minutes, lead_minutes=point.lead_minutes, horizon_days=point.horizon_days
    )


def by_posts(point: ServicePoint, day: date, minutes: int | None = None, needs: Needs = ANYTHING) -> list[PostDay]:
    """One local day of each post: every slot with what has become of it, and when the job could start next."""
    span, now = day_span(point.time_zone, day), clock.now()
    slots, taken = load_slots(point.id, span), load_reserved(point.id, span, needs.moving)
    start, end = bookable_span(point)
    found = []
    for post in sorted(load_abilities(point.id, needs), key=lambda post: post.post_number):
        cells, busy = slots.get(post.service_post_id, []), taken.get(post.service_post_id, [])
        possible = (
            run.starts_at
            for run in runs(post.service_post_id, post.post_number, cells, [each.span for each in busy], minutes)
            if max(span[0], start) <= run.starts_at < min(span[1], end)
        )
        found.append(
            PostDay(
                post.service_post_id,
                post.post_number,
                tuple(PostSlot(*cell, _status(cell, busy, now)) for cell in cells if span[0] <= cell[0] < span[1]),
                next(possible, None) if post.is_able and point.active else None,
            )
        )
    return found


def _of_the_station(point: ServicePoint, starts_at: datetime) -> str | None:
    start, end = bookable_span(point)
    if not point.active:
        return "station_closed_online"
    if starts_at < clock.now():
        return "in_the_past"
    if starts_at < start:
        return "too_soon"
    return "beyond_horizon" if starts_at >= end else None


def _answer(
    post: PostAbility, starts_at: datetime, minutes: int | None, cells: list[Span], taken: list[Reserved]
) -> PostAnswer:
    def answer(reason: str | None, run: Run | None = None, by: Reserved | None = None) -> PostAnswer:
        return PostAnswer(post.service_post_id, post.post_number, reason, run, by)

    if not post.active:
        return answer("post_inactive")
    for is_taken, reason in (
        (post.takes_car, "car_type"),
        (post.takes_services, "service"),
        (post.takes_wheel, "wheel_size"),
    ):
        if not is_taken:
            return answer(reason)
    if run := _run_at(post, starts_at, minutes, cells, [each.span for each in taken]):
        return answer(None, run)
    if possible := _run_at(post, starts_at, minutes, cells, []):
        by = next(each for each in taken if each.starts_at < possible.ends_at and possible.starts_at < each.ends_at)
        return answer("held" if by.kind == "hold" else "overlaps", by=by)
    if any(cell[0] == starts_at for cell in cells):
        return answer("too_short")
    if over_it := next((each for each in taken if each.starts_at <= starts_at < each.ends_at), None):
        return answer("held" if over_it.kind == "hold" else "overlaps", by=over_it)
    inside = any(cell[0] < starts_at < cell[1] for cell in cells)
    return answer("off_grid" if inside else "closed")


def _run_at(
    post: PostAbility, starts_at: datetime, minutes: int | None, cells: list[Span], taken: list[Span]
) -> Run | None:
    found = runs(post.service_post_id, post.post_number, cells, taken, minutes, post.breadth)
    return next((run for run in found if run.starts_at == starts_at), None)


def _status(cell: Span, taken: list[Reserved], now: datetime) -> str:
    by = next((each for each in taken if each.starts_at < cell[1] and cell[0] < each.ends_at), None)
    if by is not None:
        return STATUS[by.kind]
    return "past" if cell[0] < now else "free"

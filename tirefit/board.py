"""A station's day as its people see it: posts beside each other, time downwards, and what wants attention.

Only reads. What is free comes from schedule.availability, when posts are open from schedule.windows; here they are put
together with the bookings, with one set of statements for a whole day.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import groupby

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.orm import joinedload

from tirefit import clock, revisions
from tirefit.booking.at_the_gate import delays
from tirefit.booking.commands import needs_of
from tirefit.database import db
from tirefit.models import (
    LIVE,
    Booking,
    Notification,
    Reservation,
    ScheduleException,
    ServicePoint,
    ServicePost,
)
from tirefit.schedule import grid
from tirefit.schedule.availability import live, load_slots, station_runs
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import Span, day_span, local_day, local_time, opening_windows

LATE_AFTER = timedelta(minutes=10)
A_DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
AN_HOUR = timedelta(hours=1)
STEP = 5  # minutes: the page's positions are classes in these steps

OCCUPYING = {"arrived", "in_progress", "completed", "pending", "confirmed"}


@dataclass(frozen=True)
class Card:
    """A stretch of a post's time that is not free. `state` is how it looks and what it is called.

    pending, booked, delayed (those before it take longer), late, unmarked (a day that is over, and nobody said what
    became of it), arrived, work, over (in work past its end), done, noshow, cancelled; hold, walk_in, block; and from
    the hours: break, shut.
    """

    state: str
    starts_at: datetime
    ends_at: datetime
    post: ServicePost
    booking: Booking | None = None
    reason: str = ""
    over_minutes: int = 0
    delay_minutes: int = 0
    reservation_id: int | None = None


@dataclass(frozen=True)
class Column:
    """A post on this day: cards in order, and its free slots in its own step."""

    post: ServicePost
    cards: tuple[Card, ...]
    free: tuple[Span, ...]
    places: frozenset[datetime] = frozenset()  # where the booking that is being moved could start


@dataclass(frozen=True)
class Attention:
    """Something a person of the station should look at now.

    over, late, unmarked, problem (the bay says so), delayed, waiting, blocked (its post has been closed for that time),
    letter, outside.
    """

    kind: str
    cards: tuple[Card, ...]
    minutes: int = 0


@dataclass(frozen=True)
class Day:
    """Everything the board shows. `starts_at` and `ends_at` are the page's axis of time."""

    point: ServicePoint
    date: date
    now: datetime
    starts_at: datetime
    ends_at: datetime
    columns: tuple[Column, ...]
    cards: tuple[Card, ...]  # of customers, by time; cancelled ones too
    attention: tuple[Attention, ...]
    is_open: bool
    reason: str  # why the day is not as its weekday
    load: int  # percent of the open time that is taken
    revision: str  # the same while nothing has changed and the clock adds nothing

    @property
    def minutes(self) -> int:
        return (self.ends_at - self.starts_at) // MINUTE

    @property
    def is_today(self) -> bool:
        return self.date == local_day(self.point.time_zone, self.now)

    @property
    def shows_now(self) -> bool:
        return self.starts_at <= self.now < self.ends_at

    @property
    def hours(self) -> list[datetime]:
        """Full hours of the axis; on the night the clock goes back, one wall time comes twice."""
        return [self.starts_at + n * AN_HOUR for n in range(-(-self.minutes // 60))]

    @property
    def by_hour(self) -> list[tuple[datetime, list[Card]]]:
        """The same cards in one row, under the full hours they begin in."""
        groups = groupby(self.cards, key=lambda card: card.starts_at - _past_the_hour(self.point, card.starts_at))
        return [(hour, list(cards)) for hour, cards in groups]

    def state_of(self, booking: Booking) -> str:
        return state_of(booking, self.point, self.now)

    def at(self, moment: datetime) -> int:
        """Where a moment is, in minutes from the top, in steps of five."""
        inside = min(max(moment, self.starts_at), self.ends_at)
        return (inside - self.starts_at) // MINUTE // STEP * STEP

    def length(self, start: datetime, end: datetime) -> int:
        return max(STEP, self.at(end) - self.at(start))

    def count(self, *states: str) -> int:
        return sum(card.state in states for card in self.cards)

    @property
    def total(self) -> int:
        return len(self.cards) - self.count("cancelled", "hold")


def revision_of(seen: str, now: datetime) -> str:
    """What has changed at the station, and which minute it is: lateness is told in minutes."""
    return f"{seen}.{int(now.timestamp()) // 60}"


def load_day(point: ServicePoint, day: date, moving: Booking | None = None) -> Day:
    """The board of one local day of a station, 23, 24 or 25 hours long.

    With a booking that is being moved, each post also tells where it could go: its own time counts as free.
    """
    now, span = clock.now(), day_span(point.time_zone, day)
    revision = revision_of(revisions.of_station(point), now)  # before anything else: what changes now is seen next
    posts = {post.id: post for post in point.posts}
    hours = load_hours(point)
    open_hours = {id: opening_windows(hours, id, day - A_DAY, day + A_DAY) for id in posts}
    windows = {id: _inside(spans, span) for id, spans in open_hours.items()}
    bookings, undelivered = _bookings_and_letters(point, span)
    cards = _with_delays([_card(booking, posts[booking.service_post_id], point, now) for booking in bookings], now)
    others = _other_reservations(point, span)
    cards += [_other_card(found, posts[found.service_post_id]) for found in others]
    cards.sort(key=lambda card: (card.starts_at, card.post.post_number))
    shown = [post for post in posts.values() if post.active or any(card.post is post for card in cards)]
    starts_at, ends_at = _axis(point, span, [windows[post.id] for post in shown], cards)
    slots = load_slots(point.id, span)
    free = {id: _free(slots.get(id, []), id, [*bookings, *others], span, now) for id in posts}
    places = _places(point, span, now, moving) if moving else {}
    is_open = any(windows[post.id] for post in shown if post.active)
    return Day(
        point=point,
        date=day,
        now=now,
        starts_at=starts_at,
        ends_at=ends_at,
        columns=tuple(
            replace(
                _column(post, cards, windows[post.id], free.get(post.id, []), (starts_at, ends_at)),
                places=frozenset(places.get(post.id, ())),
            )
            for post in shown
        ),
        cards=tuple(card for card in cards if card.state != "block"),
        attention=tuple(_attention(cards, open_hours, undelivered, others, now)),
        is_open=is_open,
        reason=_reason(point, day) if (None, day) in hours.exceptions else "",
        load=_load([windows[post.id] for post in shown if post.active], cards),
        revision=revision,
    )


def load_of_posts(point: ServicePoint, first_day: date, days: int) -> dict[int, int]:
    """What part of each post's open time is taken on these local days, in percent."""
    last_day = first_day + (days - 1) * A_DAY
    span = day_span(point.time_zone, first_day)[0], day_span(point.time_zone, last_day)[1]
    posts = {post.id: post for post in point.posts}
    hours = load_hours(point)
    cards = [_card(booking, posts[booking.service_post_id], point, clock.now()) for booking in bookings_in(point, span)]
    cards += [_other_card(found, posts[found.service_post_id]) for found in _other_reservations(point, span)]
    return {
        id: _load(
            [_inside(opening_windows(hours, id, first_day - A_DAY, last_day), span)],
            [card for card in cards if card.post is post],
        )
        for id, post in posts.items()
    }


def _free(
    cells: Sequence[Span], post_id: int, found: Sequence[Booking | Reservation], span: Span, now: datetime
) -> list[Span]:
    """The post's free slots from now on. A booking that is over or cancelled has given its time back."""
    taken = sorted(
        (each.starts_at, each.ends_at)
        for each in found
        if each.service_post_id == post_id and not (isinstance(each, Booking) and each.reservation_id is None)
    )
    return [cell for cell in grid.free_cells(cells, taken) if max(span[0], now) <= cell[0] < span[1]]


def _places(point: ServicePoint, span: Span, now: datetime, moving: Booking) -> dict[int, list[datetime]]:
    """Where a booking could start on each post, but for where it stands already."""
    places: dict[int, list[datetime]] = {}
    for run in station_runs(point, span, moving.total_duration, needs_of(moving)):
        stays = (run.service_post_id, run.starts_at) == (moving.service_post_id, moving.starts_at)
        if run.starts_at >= now and not stays:
            places.setdefault(run.service_post_id, []).append(run.starts_at)
    return places


def delay_of(booking: Booking) -> int:
    """By how many minutes a booking will begin later than booked, because those before it take longer."""
    point, now = booking.service_point, clock.now()
    if booking.status not in LIVE:
        return 0
    of_day = bookings_in(point, day_span(point.time_zone, local_day(point.time_zone, booking.starts_at)))
    return delays(of_day, now).get(booking.id, A_DAY * 0) // MINUTE


def state_of(booking: Booking, point: ServicePoint, now: datetime) -> str:
    """How a booking stands at this moment: its status, and what the clock adds to it."""
    if booking.status == "confirmed":
        if booking.late_minutes and now < booking.starts_at + LATE_AFTER:
            return "late"
        if local_day(point.time_zone, booking.starts_at) < local_day(point.time_zone, now):
            return "unmarked"
        return "late" if now >= booking.starts_at + LATE_AFTER else "booked"
    if booking.status == "in_progress":
        return "over" if now > booking.ends_at else "work"
    same = {"pending": "pending", "arrived": "arrived", "completed": "done", "no_show": "noshow"}
    return same.get(booking.status, "cancelled")


def _card(booking: Booking, post: ServicePost, point: ServicePoint, now: datetime) -> Card:
    state = state_of(booking, point, now)
    over = (now - booking.ends_at) // MINUTE if state == "over" else 0
    return Card(state, booking.starts_at, booking.ends_at, post, booking, over_minutes=over)


def _other_card(found: Reservation, post: ServicePost) -> Card:
    return Card(found.kind, found.starts_at, found.ends_at, post, reason=found.reason, reservation_id=found.id)


def _with_delays(cards: Sequence[Card], now: datetime) -> list[Card]:
    """Who will start later than booked, because the one before takes longer."""
    late = delays([card.booking for card in cards if card.booking is not None], now)
    return [
        replace(
            card,
            delay_minutes=late[card.booking.id] // MINUTE,
            state="delayed" if card.state == "booked" else card.state,
        )
        if card.booking is not None and late.get(card.booking.id, A_DAY * 0) >= MINUTE
        else card
        for card in cards
    ]


def _column(
    post: ServicePost, cards: Sequence[Card], windows: Sequence[Span], free: Sequence[Span], axis: Span
) -> Column:
    """A post's cards on top of the hours at which it does not work.

    What is over (done, did not come) has given back the rest of its time: it is drawn up to whatever comes after it.
    """
    mine = [card for card in cards if card.post is post and card.state != "cancelled"]
    live = [card for card in mine if card.state not in ("done", "noshow")]
    starts = sorted({card.starts_at for card in live} | {start for start, _ in free})
    drawn = list(live)
    for card in mine:
        if card.state in ("done", "noshow"):
            next_start = next((start for start in starts if start > card.starts_at), card.ends_at)
            overlaps = any(other.starts_at <= card.starts_at < other.ends_at for other in live)
            if not overlaps and card.starts_at not in starts:
                drawn.append(replace(card, ends_at=min(card.ends_at, next_start)))
    closed = [
        Card("break" if windows and windows[0][0] < start and end < windows[-1][1] else "shut", start, end, post)
        for start, end in grid.gaps(axis, windows)
    ]
    return Column(post, (*closed, *sorted(drawn, key=lambda card: card.starts_at)), tuple(free))


def _attention(
    cards: Sequence[Card],
    open_hours: dict[int, list[Span]],
    undelivered: set[int],
    others: Sequence[Reservation],
    now: datetime,
) -> Iterable[Attention]:
    """The most urgent first; in each kind the oldest first."""
    for state in ("over", "late", "unmarked"):
        for card in cards:
            if card.state == state:
                since = card.ends_at if state == "over" else card.starts_at
                yield Attention(state, (card,), (now - since) // MINUTE)
    for card in cards:
        if card.booking is not None and card.booking.problem:
            yield Attention("problem", (card,))
    told: set[int] = set()
    for card in cards:
        if card.state == "delayed" and card.post.id not in told:  # the first of a post; the others follow from it
            told.add(card.post.id)
            yield Attention("delayed", (card,), card.delay_minutes)
    if waiting := tuple(card for card in cards if card.state == "arrived"):
        yield Attention("waiting", waiting)
    for card in cards:
        is_live = card.booking is not None and card.booking.status in LIVE
        if is_live and any(_covers(block, card) for block in others):
            yield Attention("blocked", (card,))
    for card in cards:
        if card.booking is not None and card.booking.id in undelivered:
            yield Attention("letter", (card,))
    for card in cards:
        is_live = card.booking is not None and card.booking.status in LIVE
        if is_live and any(grid.gaps((card.starts_at, card.ends_at), open_hours[card.post.id])):
            yield Attention("outside", (card,))


def _covers(block: Reservation, card: Card) -> bool:
    """Was the post to be closed at that time, too? (A block takes only what is free of it.)"""
    if block.kind != "block" or block.service_post_id != card.post.id or not block.wanted:
        return False
    start, end = (datetime.fromisoformat(block.wanted[name]) for name in ("from", "to"))
    return start < card.ends_at and card.starts_at < end


def _load(windows: Iterable[Sequence[Span]], cards: Iterable[Card]) -> int:
    offered = sum((end - start) // MINUTE for of_post in windows for start, end in of_post)
    offered -= sum((card.ends_at - card.starts_at) // MINUTE for card in cards if card.state == "block")
    taken = sum(
        (card.ends_at - card.starts_at) // MINUTE
        for card in cards
        if card.state == "walk_in" or (card.booking is not None and card.booking.status in OCCUPYING)
    )
    return min(100, round(100 * taken / offered)) if offered > 0 else 0


def _axis(point: ServicePoint, day: Span, windows: Iterable[Sequence[Span]], cards: Iterable[Card]) -> Span:
    """From the full hour before the first thing of the day to the full hour after the last one."""
    spans = [span for of_post in windows for span in of_post]
    spans += [(card.starts_at, card.ends_at) for card in cards if card.state != "cancelled"]
    if not spans:
        return day
    first, last = max(day[0], min(start for start, _ in spans)), min(day[1], max(end for _, end in spans))
    return first - _past_the_hour(point, first), min(day[1], last + -_past_the_hour(point, last) % AN_HOUR)


def _past_the_hour(point: ServicePoint, moment: datetime) -> timedelta:
    local = local_time(point.time_zone, moment)
    return timedelta(minutes=local.minute, seconds=local.second)


def _inside(spans: Iterable[Span], limits: Span) -> list[Span]:
    cut = [(max(start, limits[0]), min(end, limits[1])) for start, end in spans]
    return [(start, end) for start, end in cut if start < end]


def bookings_in(point: ServicePoint, span: Span) -> Sequence[Booking]:
    """All bookings that touch this time, whatever became of them, by start."""
    return db.session.scalars(_touching(point, span)).unique().all()


def _bookings_and_letters(point: ServicePoint, span: Span) -> tuple[list[Booking], set[int]]:
    """The same, and the ids of those of whom a letter has not arrived."""
    rows = db.session.execute(_touching(point, span).add_columns(_letter_failed())).unique().all()
    return [row[0] for row in rows], {row[0].id for row in rows if row[1]}


def _touching(point: ServicePoint, span: Span) -> Select[Booking]:
    touching = select(Booking).where(
        Booking.service_point_id == point.id,
        Booking.starts_at > span[0] - A_DAY,  # none is longer than a day
        Booking.starts_at < span[1],
        Booking.ends_at > span[0],
    )
    return touching.options(joinedload(Booking.car_type), joinedload(Booking.lines)).order_by(Booking.starts_at)


def _other_reservations(point: ServicePoint, span: Span) -> Sequence[Reservation]:
    """Holds, walk-ins and blocks. An expired hold is as good as none."""
    return db.session.scalars(
        select(Reservation).where(
            Reservation.service_point_id == point.id,
            Reservation.kind != "booking",
            Reservation.starts_at > span[0] - A_DAY,
            Reservation.starts_at < span[1],
            Reservation.ends_at > span[0],
            live(),
        )
    ).all()


def _letter_failed() -> ColumnElement[bool]:
    """Has a letter to the booking's customer failed for good?"""
    failed = select(Notification.id).where(
        Notification.booking_id == Booking.id,
        Notification.state == "failed",
        Notification.recipient == Booking.customer_email,
    )
    return failed.exists()


def _reason(point: ServicePoint, day: date) -> str:
    found = db.session.scalar(
        select(ScheduleException.reason).where(
            ScheduleException.service_point_id == point.id,
            ScheduleException.service_post_id.is_(None),
            ScheduleException.day == day,
        )
    )
    return found or ""

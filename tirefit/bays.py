"""The tablet at a post: how it is paired with it, and what its screen shows.

A tablet has no password. Its manager is shown a code, once; the tablet is given it, and from then on the random token
in its cookie is its right, until the manager takes that away. Only hashes are kept. What the buttons do stands in
booking.steps and booking.at_the_gate.
"""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import contains_eager

from tirefit import audit, clock, revisions
from tirefit.board import bookings_in, revision_of, state_of
from tirefit.booking.at_the_gate import MINUTE, delays, expected_end
from tirefit.booking.states import BY_HAND, USER, possible_events
from tirefit.booking.steps import UNDO_WITHIN, can_undo
from tirefit.database import command, db, worth_no_waiting
from tirefit.errors import WrongCode
from tirefit.limits import Limit, require_few
from tirefit.models import (
    LIVE,
    BayDevice,
    Booking,
    BookingEvent,
    Reservation,
    ServicePoint,
    ServicePost,
    User,
    UserRole,
)
from tirefit.schedule.availability import A_DAY, Reserved, load_reserved
from tirefit.schedule.grid import Span, gaps
from tirefit.schedule.reservations import hash_of, new_token
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import local_day, opening_windows

CODE_LASTS = timedelta(minutes=10)
CODE_LENGTH = 6
# Signs that stand on a Latin and on a Cyrillic keyboard, and of which none is read as another one.
CODE_SIGNS = "ABCEHKMPTXY245679"
TWINS = str.maketrans("АВСЕНКМРТХУ", "ABCEHKMPTXY")
PAIRINGS = Limit("pairing", 20, CODE_LASTS)
SEEN_EVERY = timedelta(minutes=5)  # how exactly the last visit is known

MORE = 10  # minutes: what the button adds
NEXT = 3  # so many bookings to come are shown
STEPS = ("arrive", "start", "complete")
SAID = (*BY_HAND, "undo", "extended", "problem", "problem_solved")  # what the screen repeats after it was done


# --- pairing


@command
def offer_code(post_id: int, *, user_id: int | None = None) -> str:
    """A code that pairs one tablet with this post within ten minutes; told only now. An earlier one is void."""
    post = db.session.get_one(ServicePost, post_id)
    now = clock.now()
    unused = BayDevice.token_hash.is_(None)
    mine = BayDevice.service_post_id == post.id
    db.session.execute(delete(BayDevice).where(unused, or_(mine, BayDevice.code_expires_at <= now)))
    code = _new_code()
    db.session.add(
        BayDevice(
            service_point_id=post.service_point_id,
            service_post_id=post.id,
            code_hash=hash_of(code),
            code_expires_at=now + CODE_LASTS,
            created_at=now,
        )
    )
    _record("bay_offered", post.id, post.service_point_id, user_id)
    return code


def pair(code: str, network: str) -> str:
    """Make the tablet that was given this code its post's; → the token for its cookie, known to nobody else.

    Upper case, spaces and the alphabet do not matter. Raises WrongCode when there is no such code (any more), and
    TooManyAttempts after twenty within ten minutes from one network, right ones too.
    """
    _count_attempt(network)
    return _pair("".join(code.upper().translate(TWINS).split()))


def device_of(token: str) -> BayDevice | None:
    """The tablet whose cookie this is, with its post, its station and how often the station's day has changed: all
    that an unchanged screen asks for. None: it was never paired, or is cut off.
    """
    found = select(BayDevice).join(BayDevice.post).join(ServicePost.service_point)
    found = found.where(BayDevice.token_hash == hash_of(token), BayDevice.revoked_at.is_(None))
    station = contains_eager(BayDevice.post).contains_eager(ServicePost.service_point)
    device = db.session.scalar(revisions.with_revision(found, station))
    if device is not None and (device.last_seen_at is None or clock.now() >= device.last_seen_at + SEEN_EVERY):
        with worth_no_waiting():  # the screen is worth more than the note that it was seen
            _note_visit(device.id)
    return device


def devices_of(point: ServicePoint) -> list[BayDevice]:
    """The station's tablets, and the codes that may still become one, by post."""
    paired = BayDevice.token_hash.is_not(None) & BayDevice.revoked_at.is_(None)
    found = select(BayDevice).where(
        BayDevice.service_point_id == point.id, or_(paired, BayDevice.code_expires_at > clock.now())
    )
    return list(db.session.scalars(found.order_by(BayDevice.id)))


@command
def disconnect(device_id: int, *, user_id: int | None = None) -> None:
    """Cut a tablet off. What it asks for next is refused. Twice is once."""
    device = db.session.get(BayDevice, device_id, with_for_update=True)
    if device is not None and device.revoked_at is None:
        device.revoked_at = clock.now()
        _record("bay_disconnected", device.service_post_id, device.service_point_id, user_id)


def people_of(point: ServicePoint) -> list[User]:
    """Whose work it can be: everybody with an account at this station, by name."""
    here = select(UserRole.user_id).where(UserRole.service_point_id == point.id)
    found = select(User).where(User.active, User.id.in_(here)).order_by(User.name, User.id)
    return list(db.session.scalars(found).unique())


@command
def _count_attempt(network: str) -> None:
    require_few(PAIRINGS, network)


@command
def _pair(code: str) -> str:
    """One tablet for one code: the row is locked, and whoever comes second finds no code in it."""
    waiting = select(BayDevice).where(BayDevice.code_hash == hash_of(code), BayDevice.code_expires_at > clock.now())
    device = db.session.scalar(waiting.with_for_update())
    if device is None:
        raise WrongCode()
    token = new_token()
    device.token_hash, device.code_hash, device.code_expires_at = hash_of(token), None, None
    device.paired_at = device.last_seen_at = clock.now()
    _record("bay_paired", device.service_post_id, device.service_point_id)
    return token


def _record(event: str, post_id: int, point_id: int, user_id: int | None = None) -> None:
    number = db.session.get_one(ServicePost, post_id).post_number
    audit.record(event, "bay", post_id, label=str(number), point_id=point_id, user_id=user_id)


@command
def _note_visit(device_id: int) -> None:
    db.session.get_one(BayDevice, device_id).last_seen_at = clock.now()


def _new_code() -> str:
    while True:
        code = "".join(secrets.choice(CODE_SIGNS) for _ in range(CODE_LENGTH))
        if db.session.scalar(select(BayDevice.id).where(BayDevice.code_hash == hash_of(code))) is None:
            return code


# --- the screen


@dataclass(frozen=True)
class Row:
    """What comes next on the post: a booking, with how late it will start; or free time (`booking` None)."""

    starts_at: datetime
    booking: Booking | None = None
    delay_minutes: int = 0


@dataclass(frozen=True)
class KnockOn:
    """What ten minutes more would lead to: the new end, and how late the next one starts (0: in time)."""

    ends_at: datetime
    starts_at: datetime | None
    delay_minutes: int


@dataclass(frozen=True)
class Said:
    """The last thing that somebody did with a booking of this post; it can be taken back while `may_undo`."""

    event: str
    booking: Booking
    may_undo: bool


@dataclass(frozen=True)
class Screen:
    """All that a post's screen shows at one moment.

    `state`: work, over (its time), arrived, waiting (its time has begun and nobody is here), coming (one that was
    chosen, before its time), pending; without a car: free, held (somebody is just booking), block, break, shut, off.
    `booking` is whom the buttons are about; in a free time, who comes next. `until`: when the state without a car ends.
    """

    post: ServicePost
    point: ServicePoint
    now: datetime
    revision: str
    state: str
    booking: Booking | None
    until: datetime | None
    reason: str
    rows: tuple[Row, ...]
    verb: str | None  # the main button
    may_miss: bool  # "did not come"
    knock_on: KnockOn | None
    said: Said | None

    @property
    def ends_at(self) -> datetime | None:
        return (self.booking.expected_end_at or self.booking.ends_at) if self.booking else None

    @property
    def gone(self) -> int:
        """Minutes of work, as clocks on the wall tell them."""
        began = self.booking.started_at if self.booking else None
        return (_minute(self.now) - _minute(began)) // MINUTE if began else 0

    @property
    def planned(self) -> int:
        """Minutes the work may take: as agreed; fewer where it began late, more where it was said to take longer."""
        assert self.booking is not None and self.ends_at is not None
        left = (self.ends_at - _minute(self.booking.started_at or self.booking.starts_at)) // MINUTE
        agreed = self.booking.total_duration
        return (left if self.booking.expected_end_at else min(left, agreed)) if left > 0 else agreed


def revision(point: ServicePoint) -> str:
    """What a post's screen shows, in a word; the station was read with its `board_revision`."""
    return revision_of(revisions.of_station(point), clock.now())


def load_screen(post: ServicePost, number: str | None = None) -> Screen:
    """What the post's people should see now. `number` brings one of its bookings to the front, if it has it."""
    point, now = post.service_point, clock.now()
    seen = revision(point)  # before anything else: what changes from now on is seen by the next question
    mine = [
        booking
        for booking in bookings_in(point, (now - A_DAY, now + A_DAY))
        if booking.service_post_id == post.id and booking.status in LIVE
    ]
    reserved = load_reserved(point.id, (now - A_DAY, now + A_DAY)).get(post.id, [])
    windows = _opening(post, now)
    chosen = next((booking for booking in mine if booking.number == number), None)
    current = chosen or _current(mine, point, now)
    state, until, reason = (
        (_state_with(current, point, now), None, "") if current else _state_without(post, reserved, windows, now)
    )
    ahead = [booking for booking in mine if booking is not current and booking.ends_at > now]
    if state == "free" and ahead and ahead[0].status == "confirmed":
        current = ahead.pop(0)
    missed = [booking for booking in mine if booking is not current and _is_missed(booking, point, now)]
    in_work = next((booking for booking in mine if booking.status == "in_progress"), None)
    possible = possible_events(current.status, USER) if current else []
    busy = in_work is not None and in_work is not current  # two cars do not stand on one post
    verbs = [event for event in STEPS if event in possible and not (event == "start" and busy)]
    return Screen(
        post=post,
        point=point,
        now=now,
        revision=seen,
        state=state,
        booking=current,
        until=until,
        reason=reason,
        rows=tuple(_rows(post, missed[-1:] + ahead[:NEXT], mine, reserved, windows, now, state)),
        verb=next(iter(verbs), None),
        may_miss="no_show" in possible and current is not None and current.starts_at <= now,
        knock_on=_knock_on(current, mine) if current is not None and current.status == "in_progress" else None,
        said=_said(post, now),
    )


def booking_at(point: ServicePoint, number: str) -> Booking | None:
    """A booking of the station by its number, on whichever post it is by now."""
    found = select(Booking).where(Booking.service_point_id == point.id, Booking.number == number)
    return db.session.scalar(found) if number.isprintable() else None


def _current(mine: Sequence[Booking], point: ServicePoint, now: datetime) -> Booking | None:
    """Who is in work; else who is here; else whose time it is; else who should have come last."""
    today = local_day(point.time_zone, now)
    still = [each for each in mine if each.ends_at > now or local_day(point.time_zone, each.starts_at) == today]
    due = [each for each in still if each.status == "confirmed" and each.starts_at <= now]
    for found in (
        [each for each in mine if each.status == "in_progress"],
        [each for each in still if each.status == "arrived"],
        [each for each in due if each.ends_at > now],
        due[-1:],
    ):
        if found:
            return found[0]
    return None


def _is_missed(booking: Booking, point: ServicePoint, now: datetime) -> bool:
    """Nobody has said what became of it, and its time is over today: the car may still come."""
    today = local_day(point.time_zone, now)
    return booking.ends_at <= now and local_day(point.time_zone, booking.starts_at) == today


def _state_with(booking: Booking, point: ServicePoint, now: datetime) -> str:
    state = state_of(booking, point, now)
    if state == "work" and booking.expected_end_at and now > booking.expected_end_at:
        return "over"
    if state == "over" and booking.expected_end_at and now <= booking.expected_end_at:
        return "work"  # longer than booked, and as long as was said
    if booking.status == "confirmed":
        return "waiting" if booking.starts_at <= now else "coming"
    return state


def _state_without(
    post: ServicePost, reserved: Sequence[Reserved], windows: Sequence[Span], now: datetime
) -> tuple[str, datetime | None, str]:
    """Why no car stands here, until when (None: not today), and what was written as the reason."""
    taken = next((each for each in reserved if each.starts_at <= now < each.ends_at and each.kind != "booking"), None)
    if taken is not None:
        reason = db.session.scalar(select(Reservation.reason).where(Reservation.id == taken.id)) or ""
        return ("block" if taken.kind == "block" else "held"), taken.ends_at, reason
    if not post.active:
        return "off", None, ""
    zone = post.service_point.time_zone
    today = local_day(zone, now)
    for start, end in windows:
        if start <= now < end:
            until = min([end] + [each.starts_at for each in reserved if each.starts_at > now])
            return "free", until if local_day(zone, until) == today else None, ""
    next_start = next((start for start, _ in windows if start > now), None)
    was_open = any(end <= now and local_day(zone, start) == today for start, end in windows)
    is_break = was_open and next_start is not None and local_day(zone, next_start) == today
    return ("break" if is_break else "shut"), next_start, ""


def _opening(post: ServicePost, now: datetime) -> list[Span]:
    """When the post is open from yesterday to tomorrow; what goes on without a gap is one stretch."""
    point = post.service_point
    today = local_day(point.time_zone, now)
    spans: list[Span] = []
    for start, end in opening_windows(load_hours(point, since=today - A_DAY), post.id, today - A_DAY, today + A_DAY):
        if spans and spans[-1][1] == start:
            spans[-1] = spans[-1][0], end
        else:
            spans.append((start, end))
    return spans


def _rows(
    post: ServicePost,
    shown: Sequence[Booking],
    mine: Sequence[Booking],
    reserved: Sequence[Reserved],
    windows: Sequence[Span],
    now: datetime,
    state: str,
) -> Iterator[Row]:
    """The bookings to come, and the free time between them in which another car could be taken."""
    late = delays(mine, now)
    rows = [Row(each.starts_at, each, late[each.id] // MINUTE if each.id in late else 0) for each in shown]
    last = max((each.starts_at for each in shown), default=now)
    taken = sorted(each.span for each in reserved)
    for start, end in windows:
        for free_from, free_until in gaps((max(start, now), max(min(end, last), now)), taken):
            is_now = free_from <= now and state == "free"
            if not is_now and (free_until - free_from) // MINUTE >= post.slot_duration:
                rows.append(Row(free_from))
    yield from sorted(rows, key=lambda row: row.starts_at)


def _knock_on(booking: Booking, mine: Sequence[Booking]) -> KnockOn:
    ends_at = expected_end(booking, MORE)
    after = next((each for each in mine if each is not booking and each.starts_at >= booking.ends_at), None)
    delay = (ends_at - after.starts_at) // MINUTE if after else 0
    return KnockOn(ends_at, ends_at if delay > 0 else None, max(delay, 0))


def _said(post: ServicePost, now: datetime) -> Said | None:
    last = db.session.execute(
        select(BookingEvent.event, Booking)
        .join(Booking, Booking.id == BookingEvent.booking_id)
        .where(
            Booking.service_point_id == post.service_point_id,
            Booking.service_post_id == post.id,
            Booking.starts_at > now - A_DAY,
            BookingEvent.actor == USER,
            BookingEvent.event.in_(SAID),
            BookingEvent.at > now - UNDO_WITHIN,
        )
        .order_by(BookingEvent.id.desc())
        .limit(1)
    ).one_or_none()
    if last is None:
        return None
    event, booking = last
    return Said(event, booking, event in BY_HAND and can_undo(booking) is not None)


def _minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)

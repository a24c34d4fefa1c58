"""The demo's past: some weeks behind today and the same weeks a year ago, so that reports and journals tell something.

Rows are written many at once, past the commands: what is over holds no time. The dice are loaded the same way each
time. Nobody in it exists.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select

from tirefit import usage
from tirefit.booking.commands import NUMBER_LENGTH, SPEAKABLE
from tirefit.booking.durations import OfferedService
from tirefit.database import db
from tirefit.models import (
    AuditEntry,
    Booking,
    BookingEvent,
    BookingService,
    BookingWord,
    CarType,
    Notification,
    ServicePoint,
    UsageCount,
)
from tirefit.models.words import words_of
from tirefit.schedule import grid, slots
from tirefit.schedule.windows import local_time, opening_windows

FIRST_NAMES = [
    "Олег",
    "Анна",
    "Тарас",
    "Ольга",
    "Дмитро",
    "Лариса",
    "Евгений",
    "Жанна",
    "Кирилл",
    "Марина",
    "Павел",
    "Инна",
]
PLATE_LETTERS = "АВЕІКМНОРСТХ"

A_DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
WEEKS_BEHIND = 6
A_YEAR = 52 * 7 * A_DAY  # the same days of the week
A_YEAR_AGO = 30  # days
# How likely a car comes within an hour of the day, in percent: the morning, before lunch, after work.
BUSY = dict(zip(range(7, 22), (4, 10, 18, 26, 24, 17, 12, 13, 15, 19, 27, 24, 14, 6, 3), strict=True))
WEEKDAY = (0.8, 0.7, 0.75, 0.85, 1.1, 1.4, 1.0)  # Friday and Saturday
LEADS = ([0, 1, 2, 3, 5, 8, 12, 20], [18, 24, 18, 13, 12, 8, 5, 2])  # days ahead, weights
ENDS = (["completed", "no_show", "cancelled_by_customer", "cancelled_by_station"], [86, 6, 6, 2])
STEPS = {
    "completed": "complete",
    "no_show": "no_show",
    "cancelled_by_customer": "cancel_by_customer",
    "cancelled_by_station": "cancel_by_station",
}


@dataclass(frozen=True)
class Cast:
    """Who did it: the station's manager and its fitter."""

    manager_id: int
    fitter_id: int
    fitter: str


def write(
    point: ServicePoint, offered: Sequence[OfferedService], cars: Sequence[CarType], cast: Cast, today: date
) -> None:
    """Inside a command: the past of a station that has posts and hours."""
    dice = random.Random(f"{point.slug} past")
    visits = [
        visit
        for first, last, share in (
            (today - A_YEAR - A_YEAR_AGO * A_DAY, today - A_YEAR + 6 * A_DAY, 0.8),
            (today - WEEKS_BEHIND * 7 * A_DAY, today - 2 * A_DAY, 1.0),
        )
        for visit in _visits(point, offered, cars, first, last, share, dice)
    ]
    visits = list({visit["number"]: visit for visit in visits}.values())  # a number that fell twice is one visit
    visits.sort(key=lambda visit: visit["created_at"])
    lines = [visit.pop("line") for visit in visits]
    db.session.execute(insert(Booking), visits)
    rows = select(Booking.number, Booking.id).where(Booking.service_point_id == point.id)
    ids = {row.number: row.id for row in db.session.execute(rows)}
    for visit, line in zip(visits, lines, strict=True):
        visit["id"] = line["booking_id"] = ids[visit["number"]]
    db.session.execute(insert(BookingService), lines)
    db.session.execute(insert(BookingWord), [row for visit in visits for row in _words(visit)])
    events = [event for visit in visits for event in _events(visit, cast)]
    db.session.execute(insert(BookingEvent), sorted(events, key=lambda event: event["at"]))
    db.session.execute(insert(Notification), [letter for visit in visits for letter in _letters(visit, dice)])
    db.session.execute(insert(AuditEntry), _changes(point, cast, visits[-1]["created_at"]))


def _visits(
    point: ServicePoint,
    offered: Sequence[OfferedService],
    cars: Sequence[CarType],
    first: date,
    last: date,
    share: float,
    dice: random.Random,
) -> list[dict[str, Any]]:
    hours, found = slots.load_hours(point, since=first - A_DAY), []
    for post in point.posts:
        free_from: datetime | None = None
        for start, end in grid.cut(opening_windows(hours, post.id, first, last), post.slot_duration, []):
            local = local_time(point.time_zone, start)
            likely = BUSY.get(local.hour, 0) / 100 * WEEKDAY[local.weekday()] * share
            if (free_from and start < free_from) or dice.random() >= likely:
                continue
            job, car = dice.choice(offered), dice.choices(cars, weights=[6, 5, 3, 2, 1])[0]
            minutes, price = job.on[car.id]
            slots_needed = -(-minutes // post.slot_duration)
            free_from = start + slots_needed * (end - start)
            found.append(_visit(point, post.id, (start, free_from), job, car, minutes, price, dice))
    return found


def _visit(
    point: ServicePoint,
    post_id: int,
    span: tuple[datetime, datetime],
    job: OfferedService,
    car: CarType,
    minutes: int,
    price: int,
    dice: random.Random,
) -> dict[str, Any]:
    status = dice.choices(*ENDS)[0]
    is_done = status == "completed"
    started_at = span[0] + dice.randint(0, 6) * MINUTE
    slow = 1.15 if post_id % 3 == 2 else 0.92  # one fitter in three takes his time
    real = max(8, round(minutes * dice.gauss(slow, 0.16)))
    digits = f"{dice.randint(0, 9999):04d}"
    return {
        "number": number(dice),
        "service_point_id": point.id,
        "service_post_id": post_id,
        "starts_at": span[0],
        "ends_at": span[1],
        "car_type_id": car.id,
        "plate": plate(dice),
        "customer_name": dice.choice(FIRST_NAMES),
        "customer_phone": f"+38067555{digits}",
        "customer_email": f"customer{digits}@tirefit.example" if dice.random() < 0.5 else None,
        "total_duration": minutes,
        "total_price": price,
        "currency": point.currency,
        "status": status,
        "source": dice.choices(["online", "staff"], weights=[4, 1])[0],
        "locale": point.locale,
        "created_at": span[0] - dice.choices(*LEADS)[0] * A_DAY - dice.randint(20, 300) * MINUTE,
        "arrived_at": span[0] - dice.randint(0, 12) * MINUTE if is_done else None,
        "started_at": started_at if is_done else None,
        "completed_at": started_at + real * MINUTE if is_done else None,
        "line": {
            "position": 0,
            "service_id": job.service.id,
            "names": job.service.names,
            "minutes": minutes,
            "price": price,
        },
    }


def _words(visit: dict[str, Any]) -> list[dict[str, Any]]:
    words = words_of(Booking(**{name: visit[name] for name in ("number", "plate", "customer_name", "customer_phone")}))
    return [{"service_point_id": visit["service_point_id"], "word": word, "booking_id": visit["id"]} for word in words]


def _events(visit: dict[str, Any], cast: Cast) -> list[dict[str, Any]]:
    online, status = visit["source"] == "online", visit["status"]
    closes = None if status == "cancelled_by_customer" else cast.fitter_id
    ended_at = visit["completed_at"] or (
        visit["starts_at"] + 20 * MINUTE if status == "no_show" else visit["starts_at"] - 40 * MINUTE
    )
    steps = [
        ("created", visit["created_at"], None if online else cast.manager_id, {}, "confirmed"),
        (STEPS[status], max(ended_at, visit["created_at"]), closes, {"status": "confirmed"}, status),
    ]
    return [
        {
            "booking_id": visit["id"],
            "at": at,
            "actor": "user" if user_id else "customer",
            "user_id": user_id,
            "event": event,
            "before": before,
            "after": {"status": becomes},
        }
        for event, at, user_id, before, becomes in steps
    ]


def _letters(visit: dict[str, Any], dice: random.Random) -> list[dict[str, Any]]:
    if not visit["customer_email"]:
        return []
    is_sent = dice.random() < 0.97
    at = visit["created_at"] + dice.randint(2, 20) * timedelta(seconds=1)
    return [
        {
            "booking_id": visit["id"],
            "service_point_id": visit["service_point_id"],
            "revision": 1,
            "kind": "booking_created",
            "recipient": visit["customer_email"],
            "locale": visit["locale"],
            "message_id": f"demo.{visit['number']}",
            "state": "sent" if is_sent else "failed",
            "sent_at": at if is_sent else None,
            "last_error": "" if is_sent else "550 5.1.1 mailbox does not exist",
            "due_at": visit["created_at"],
            "attempts": 1,
            "created_at": visit["created_at"],
        }
    ]


def write_counts(point: ServicePoint) -> None:
    """Inside a command: who looked at its times, for all bookings that the station has.

    Four look for each who books; in the busiest hours some find nothing.
    """
    dice, counts = random.Random(f"{point.slug} counts"), Counter[tuple[datetime, str]]()
    online = select(Booking.created_at, Booking.starts_at).where(
        Booking.service_point_id == point.id, Booking.source == "online"
    )
    for created_at, starts_at in db.session.execute(online.order_by(Booking.id)):
        hour = created_at.replace(minute=0, second=0, microsecond=0)
        counts[hour, usage.LOOKED] += dice.randint(2, 6)
        counts[hour, usage.HELD] += 1 if dice.random() < 0.8 else 2
        if local_time(point.time_zone, starts_at).hour in (10, 11, 17, 18) and dice.random() < 0.12:
            counts[hour, usage.REFUSED] += 1
        if local_time(point.time_zone, created_at).hour >= 17 and dice.random() < 0.2:
            counts[hour, usage.EMPTY] += 1
    rows = [
        {"service_point_id": point.id, "hour": hour, "kind": kind, "count": count}
        for (hour, kind), count in counts.items()
    ]
    db.session.execute(insert(UsageCount), rows)


def _changes(point: ServicePoint, cast: Cast, until: datetime) -> list[dict[str, Any]]:
    """What the manager has changed in these weeks."""
    post = point.posts[1]
    shorter, longer = {"slot_duration": 30}, {"slot_duration": post.slot_duration}
    told: list[tuple[int, str, str, int, str, Any, Any]] = [
        (40, "post_changed", "post", post.id, post.name, shorter, longer),
        (33, "settings_changed", "station", point.id, point.name, {"hold_minutes": 5}, {"hold_minutes": 10}),
        (19, "role_changed", "user", cast.fitter_id, cast.fitter, {"role": "manager"}, {"role": "staff"}),
        (9, "settings_changed", "station", point.id, point.name, {"horizon_days": 30}, {"horizon_days": 60}),
    ]
    return [
        {
            "at": until - days * A_DAY,
            "user_id": cast.manager_id,
            "service_point_id": point.id,
            "event": event,
            "kind": kind,
            "thing_id": str(thing_id),
            "label": label,
            "before": before,
            "after": after,
        }
        for days, event, kind, thing_id, label, before, after in told
    ]


def number(dice: random.Random) -> str:
    return "".join(dice.choices(SPEAKABLE, k=NUMBER_LENGTH))


def plate(dice: random.Random) -> str:
    letters = "".join(dice.choice(PLATE_LETTERS) for _ in range(2))
    return f"{dice.choice(['АА', 'КА', 'АІ', 'АЕ'])} {dice.randint(1, 9999):04d} {letters}"

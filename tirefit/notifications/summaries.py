"""The evening letter of a station: who comes tomorrow, how full the day is, and what has gone wrong meanwhile."""

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import select

from tirefit import clock
from tirefit.board import load_day
from tirefit.database import command, db
from tirefit.models import ServicePoint, User, UserRole
from tirefit.notifications import outbox
from tirefit.notifications.kinds import A_DAY
from tirefit.schedule.slots import load_hours
from tirefit.schedule.windows import Hours, instant, local_day, opening_windows

EVENING = 18 * 60  # of a day on which nobody works
MOST_LISTED, MOST_NAMED = 30, 8  # visits in the HTML, and of each worry: it stays small, and the board has them all
NOT_LATER_THAN = timedelta(hours=6)  # after the station has closed: then the next evening's letter comes


def write_due_summaries() -> int:
    """Write the letters about tomorrow for every station that has closed for today; → how many are new.

    Asked again, or twice at once, it writes none again. Where tomorrow is a day off without a booking there is none.
    """
    now, written = clock.now(), 0
    wanted = select(ServicePoint.id).where(ServicePoint.active, ServicePoint.send_summary).order_by(ServicePoint.id)
    for point_id in db.session.scalars(wanted).all():
        point = db.session.get_one(ServicePoint, point_id)
        hours = load_hours(point)
        today = local_day(point.time_zone, now)
        for day in (today - A_DAY, today):  # a station may close after midnight
            due_at = _closes_at(point, hours, day)
            if due_at <= now < due_at + NOT_LATER_THAN and _is_worth_a_letter(point, day + A_DAY):
                written += _write(point_id, day + A_DAY, due_at)
    return written


def of_day(point: ServicePoint, day: date) -> dict[str, Any]:
    """What the letter tells: the visits of the day, by time, and what a person should see to before it begins."""
    planned = load_day(point, day)
    visits = [card for card in planned.cards if card.booking is not None and card.state != "cancelled"]
    worries = {
        kind: [item.cards[0] for item in planned.attention if item.kind == kind]
        for kind in ("letter", "outside", "blocked")
    }
    worries["pending"] = [card for card in visits if card.state == "pending"]
    return {
        "day": day,
        "visits": visits,
        "load": planned.load,
        "is_open": planned.is_open,
        "reason": planned.reason,
        "worries": worries,
        "most_listed": MOST_LISTED,
        "most_named": MOST_NAMED,
    }


@command
def _write(point_id: int, day: date, due_at: datetime) -> int:
    point = db.session.get_one(ServicePoint, point_id)
    return sum(
        outbox.write_topic(
            "daily_summary",
            f"{point.slug} {day}",
            email,
            locale,
            service_point_id=point.id,
            due_at=due_at,
        )
        for email, locale in _readers(point).items()
    )


def _readers(point: ServicePoint) -> dict[str, str]:
    """The station's address and its managers', each once, with the language they read."""
    managers = (
        select(User.email, User.locale)
        .join(UserRole, UserRole.user_id == User.id)
        .where(UserRole.service_point_id == point.id, UserRole.role == "manager", User.active)
        .order_by(User.id)
    )
    found = {row.email: row.locale for row in db.session.execute(managers)}
    return found | ({point.email.lower(): point.locale} if point.email else {})


def _closes_at(point: ServicePoint, hours: Hours, day: date) -> datetime:
    """When the last post of the station closes on that day; on a day off, in the evening."""
    ends = [end for post in point.posts if post.active for _start, end in opening_windows(hours, post.id, day, day)]
    return max(ends, default=instant(point.time_zone, day, EVENING))


def _is_worth_a_letter(point: ServicePoint, day: date) -> bool:
    facts = of_day(point, day)
    return bool(facts["visits"] or facts["is_open"])

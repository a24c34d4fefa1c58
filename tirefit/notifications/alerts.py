"""What is wrong with the installation as a whole, and the letter about it: to its admins, once a day for each cause."""

from datetime import timedelta
from typing import Any

from sqlalchemy import select

from tirefit import clock
from tirefit.database import command, db
from tirefit.models import Notification, ServicePoint, User, UserRole, overlap_guard_is_there
from tirefit.notifications import outbox
from tirefit.schedule.windows import local_day

LETTERS_WAIT = timedelta(minutes=30)
BEHIND = timedelta(days=1)  # the job that opens new days comes every hour
MOST_NAMED = 10


def causes() -> dict[str, dict[str, Any]]:
    """What is wrong now: cause → its facts, about no person.

    `letters`: some have been due for half an hour and none leaves; `guard`: nothing keeps a time from being sold twice;
    `horizon`: stations whose new days have not been opened for more than a day.
    """
    found: dict[str, dict[str, Any]] = {}
    if stuck := letters_are_stuck():
        found["letters"] = stuck
    if not overlap_guard_is_there(db.session.connection()):
        found["guard"] = {}
    if behind := stations_behind():
        found["horizon"] = {"count": len(behind), "stations": behind[:MOST_NAMED]}
    return found


def letters_are_stuck() -> dict[str, Any] | None:
    """Letters have waited for half an hour, and meanwhile none has left: how many wait, and for how many minutes."""
    age = outbox.oldest_due_age()
    if age < LETTERS_WAIT:
        return None
    since = clock.now() - LETTERS_WAIT
    left = select(Notification.id).where(Notification.state == "sent", Notification.sent_at > since)
    if db.session.scalar(left.limit(1)) is not None:
        return None
    return {"count": outbox.how_many_wait(), "minutes": int(age.total_seconds()) // 60}


def stations_behind() -> list[str]:
    """The names of active stations whose offer ends a day or more before their horizon."""
    now = clock.now()
    found = db.session.execute(
        select(ServicePoint.name, ServicePoint.time_zone, ServicePoint.horizon_days, ServicePoint.slots_until)
        .where(ServicePoint.active, ServicePoint.slots_until.is_not(None))
        .order_by(ServicePoint.name)
    )
    return [
        name
        for name, zone, horizon_days, until in found
        if until and until < local_day(zone, now) + timedelta(days=horizon_days) - BEHIND
    ]


@command
def write_alerts() -> list[str]:
    """Tell every admin what is wrong, each cause once a day; → the causes that are there, told now or before."""
    found, today = causes(), clock.now().date()
    admins = select(User.email, User.locale).join(UserRole).where(UserRole.role == "admin", User.active)
    for email, locale in db.session.execute(admins.order_by(User.id)).all():
        for cause, facts in found.items():
            outbox.write_topic("system_alert", f"{cause} {today}", email, locale, facts=facts | {"cause": cause})
    return list(found)

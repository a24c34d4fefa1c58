"""The choice among free times: what to offer instead of a time that is gone."""

from datetime import date, datetime, timedelta

from tirefit.models import ServicePoint
from tirefit.schedule import availability
from tirefit.schedule.availability import ANYTHING, Needs, Time
from tirefit.schedule.windows import local_day, local_time

NEAR = timedelta(hours=3)
DAY_OF_DISTANCE = timedelta(hours=12)  # a day away is worth as much as half a day within the day


def alternatives(
    point: ServicePoint, starts_at: datetime, minutes: int, needs: Needs = ANYTHING, count: int = 3
) -> list[Time]:
    """The free times nearest to one that is gone, at most `count`, the most helpful first.

    The nearest earlier and the nearest later within three hours of the same day; the same time of day on the next day
    that has it; then the nearest of all, where a day of distance counts as twelve hours.
    """
    day = local_day(point.time_zone, starts_at)
    days = availability.days(
        point, max(day, local_day(point.time_zone, availability.bookable_span(point)[0])), 14, minutes, needs
    )
    free = [time for found in days for time in found.times if time.starts_at != starts_at]
    near = [time for time in free if abs(time.starts_at - starts_at) <= NEAR and _day(point, time) == day]
    wall = local_time(point.time_zone, starts_at).time()
    chosen = [
        *[time for time in near if time.starts_at < starts_at][-1:],
        *[time for time in near if time.starts_at > starts_at][:1],
        *[t for t in free if _day(point, t) > day and local_time(point.time_zone, t.starts_at).time() == wall][:1],
    ]

    def distance(time: Time) -> timedelta:
        days_away = abs((_day(point, time) - day).days)
        same_day = starts_at + timedelta(days=(_day(point, time) - day).days)
        return abs(time.starts_at - same_day) + DAY_OF_DISTANCE * days_away

    rest = sorted((time for time in free if time not in chosen), key=lambda time: (distance(time), time.starts_at))
    return (chosen + rest)[:count]


def _day(point: ServicePoint, time: Time) -> date:
    return local_day(point.time_zone, time.starts_at)

"""Public holidays of a station's country, as suggestions for days off. Nothing here closes a day.

The calendars are the library's (`holidays`), country by country and year by year. A manager takes over the days they
want with `changes.close_days`; from then on each is an exception like any other.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

from holidays import PUBLIC, WORKDAY, country_holidays
from sqlalchemy import and_, or_, select

from tirefit import clock
from tirefit.database import db
from tirefit.models import Reservation, ScheduleException, ServicePoint
from tirefit.schedule.windows import day_span, local_day

A_YEAR = timedelta(days=365)
LIBRARY_NAMES = {"en": "en_US"}  # what the library calls our languages, where it differs


@dataclass(frozen=True)
class Suggestion:
    """A public holiday ahead.

    People may have to work on it by law (`is_working_day`); the station may have an exception for it already
    (`is_settled`); `booked` customers are expected.
    """

    day: date
    name: str
    language: str  # of the name: `uk`, …
    is_working_day: bool
    is_settled: bool
    booked: int


def suggestions(point: ServicePoint, language: str) -> list[Suggestion]:
    """The public holidays of the next twelve months, in order; none where the library does not know the country.

    Names are in `language`, or in the country's own where the library has no such translation.
    """
    today = local_day(point.time_zone, clock.now())
    found = _public_holidays(point.country, today, today + A_YEAR, language)
    if not found:
        return []
    settled, booked = _exceptions(point, list(found)), _booked(point, list(found))
    return [
        Suggestion(day, *about, is_settled=day in settled, booked=booked[day]) for day, about in sorted(found.items())
    ]


def _public_holidays(country: str, first_day: date, last_day: date, language: str) -> dict[date, tuple[str, str, bool]]:
    """Day → its name, the language of that, and whether it is a working day by law.

    Where a country has suspended its days off, as Ukraine has under martial law, the library keeps them apart as
    holidays on which people work: stations may close on them all the same.
    """
    try:
        calendar = country_holidays(country)
    except NotImplementedError:
        return {}
    wanted = LIBRARY_NAMES.get(language, language)
    spoken = wanted if wanted in calendar.supported_languages else calendar.default_language
    for category in (PUBLIC, WORKDAY):
        if category not in calendar.supported_categories:
            continue
        years = range(first_day.year, last_day.year + 1)
        days = country_holidays(country, years=years, language=spoken, categories=(category,))
        about = (str(spoken or language)[:2], category == WORKDAY)
        if found := {day: (name, *about) for day, name in days.items() if first_day <= day <= last_day}:
            return found
    return {}


def _exceptions(point: ServicePoint, days: list[date]) -> set[date]:
    found = select(ScheduleException.day).where(
        ScheduleException.service_point_id == point.id,
        ScheduleException.service_post_id.is_(None),
        ScheduleException.day.in_(days),
    )
    return set(db.session.scalars(found))


def _booked(point: ServicePoint, days: list[date]) -> Counter[date]:
    """How many customers are expected on each of these days."""
    spans = (day_span(point.time_zone, day) for day in days)
    starts = select(Reservation.starts_at).where(
        Reservation.service_point_id == point.id,
        Reservation.kind.in_(["booking", "walk_in"]),
        or_(*(and_(Reservation.starts_at >= start, Reservation.starts_at < end) for start, end in spans)),
    )
    return Counter(local_day(point.time_zone, start) for start in db.session.scalars(starts))

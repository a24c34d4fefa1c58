"""Instants as programs get them: ISO 8601 with the offset that the station's clock has then."""

from datetime import date, datetime

from tirefit.models import ServicePoint
from tirefit.schedule.windows import instant, local_time


def local(point: ServicePoint, moment: datetime) -> datetime:
    return local_time(point.time_zone, moment)


def iso(point: ServicePoint, moment: datetime | None) -> str | None:
    return None if moment is None else local(point, moment).isoformat()


def wall_time(point: ServicePoint, day: date, text: str) -> datetime:
    """ "09:30" on a local day, as an instant."""
    hours, minutes = text.split(":")
    return instant(point.time_zone, day, int(hours) * 60 + int(minutes))

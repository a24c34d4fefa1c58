"""The job that a program asks about: services on a car, minutes, or one slot."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from tirefit.api.problems import invalid_fields
from tirefit.booking.durations import calculate_booking_duration
from tirefit.models import ServicePoint
from tirefit.schedule.availability import ANYTHING, Needs


class Job(NamedTuple):
    """How long it takes (None: one slot) and what it asks of a post."""

    minutes: int | None
    needs: Needs


def job_of(point: ServicePoint, asked: Mapping[str, Any]) -> Job:
    """Raises UnknownService, UnknownCarType, and Invalid where it is neither services and a car nor minutes."""
    services, car, minutes = asked.get("service_ids"), asked.get("car_type_id"), asked.get("duration_minutes")
    if services is None and car is None:
        return Job(minutes, Needs(wheel_inches=asked.get("wheel_inches")) if "wheel_inches" in asked else ANYTHING)
    if minutes is not None:
        raise invalid_fields({"query": {"duration_minutes": ["one_or_the_other"]}})
    if services is None or car is None:
        raise invalid_fields({"query": {"service_ids" if services is None else "car_type_id": ["required"]}})
    visit = calculate_booking_duration(services, car, point, asked.get("wheel_inches"))
    return Job(visit.total_minutes, visit.needs)

"""What an import does, in lines for whoever runs it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tirefit.importing.plan import Plan

MOST_SHOWN = 20


def summary(plan: Plan) -> dict[str, Any]:
    """The plan in numbers: what the dry run shows, and what the real run ends with."""
    placed = [booking for booking in plan.bookings if not booking.clash]
    return {
        "read": dict(plan.read),
        "stations": len(plan.stations),
        "posts": sum(len(station.posts) for station in plan.stations.values()),
        "services": len(plan.services),
        "car_types": len(plan.car_types),
        "bookings": len(placed),
        "bookings_ahead": sum(booking.takes_time for booking in placed),
        "price": sum(booking.price for booking in placed),
        "clashes": len(plan.bookings) - len(placed),
        "unplaced": dict(Counter(f"{table}: {why}" for table, _, why, _ in plan.unplaced)),
        "notes": {name: count for name, count in plan.notes.items() if count},
    }


def lines(plan: Plan) -> Iterator[str]:
    found = summary(plan)
    yield "Read: " + ", ".join(f"{table} {count}" for table, count in found["read"].items())
    yield f"Stations: {found['stations']}, posts: {found['posts']}, services: {found['services']}."
    yield f"Bookings: {found['bookings']}, of them ahead: {found['bookings_ahead']}; clashes: {found['clashes']}."
    for name, count in found["notes"].items():
        yield f"  note: {name}: {count}"
    for name, count in found["unplaced"].items():
        yield f"  cannot be placed: {name}: {count}"
    clashes = [booking for booking in plan.bookings if booking.clash]
    for booking in clashes[:MOST_SHOWN]:
        where = plan.stations[booking.station].name
        yield f"  clash: {where}, post {booking.post_number}, {booking.starts_at:%Y-%m-%d %H:%M}Z, {booking.name}"
    if len(clashes) > MOST_SHOWN:
        yield f"  … and {len(clashes) - MOST_SHOWN} more; the manager finds all of them on the station's page"

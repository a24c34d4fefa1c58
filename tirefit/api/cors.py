"""Which sites may read the API from a browser: those that a station lists may read what everybody may, no more."""

from flask import Response, request
from sqlalchemy import select

from tirefit.database import db
from tirefit.models import ServicePoint
from tirefit.web.load import LARGEST_ID

READS = ("api_catalogue.", "api_availability.", "api_bookings.optimal_slots")


def allow(answer: Response) -> None:
    """Let a browser on a listed site read this answer. Off unless the station says so."""
    if request.method not in {"GET", "HEAD", "OPTIONS"} or not (request.endpoint or "").startswith(READS):
        return
    answer.vary.add("Origin")
    origin = request.headers.get("Origin")
    if origin is None or not _is_listed(origin):
        return
    answer.headers["Access-Control-Allow-Origin"] = origin
    answer.headers["Access-Control-Expose-Headers"] = "ETag, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset"
    if request.method == "OPTIONS":
        answer.headers["Access-Control-Allow-Methods"] = "GET"
        answer.headers["Access-Control-Allow-Headers"] = "If-None-Match"
        answer.headers["Access-Control-Max-Age"] = "600"


def _is_listed(origin: str) -> bool:
    """By the station that the address names; what names none is for the sites of all of them."""
    named = (request.view_args or {}).get("service_point_id") or request.args.get("service_point_id", type=int)
    stations = select(ServicePoint.web_origins).where(ServicePoint.active)
    if named is not None:
        stations = stations.where(ServicePoint.id == min(named, LARGEST_ID))
    return any(origin in listed for listed in db.session.scalars(stations))

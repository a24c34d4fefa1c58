"""Is it alive, and is it ready? For whoever watches the process; nothing here is about a person or a booking."""

from typing import Any

from flask import Blueprint
from sqlalchemy.exc import SQLAlchemyError

from tirefit import config, jobs
from tirefit.database import db, schema_state
from tirefit.models import overlap_guard_is_there
from tirefit.notifications import outbox
from tirefit.web import policy

bp = Blueprint("health", __name__, url_prefix="/health")

Answer = tuple[dict[str, Any], int, dict[str, str]]
NOT_KEPT = {"Cache-Control": "no-store"}


@bp.get("/live")
@policy.public
def live() -> Answer:
    """The process answers. Says nothing about what it needs."""
    return {"status": "ok", "version": config.VERSION}, 200, NOT_KEPT


@bp.get("/ready")
@policy.public
def ready() -> Answer:
    """It can take bookings: the database is there, its schema is not behind, and it refuses overlaps. Redis may be
    away, and a newer release may have migrated already: this one goes on until it is replaced.
    """
    facts = _facts()
    wrong = {"unreachable", "behind", "missing"} & set(facts.values())
    status = "failed" if wrong else "degraded" if facts["redis"] == "degraded" else "ok"
    return {"status": status, "version": config.VERSION, **facts}, 503 if wrong else 200, NOT_KEPT


def _facts() -> dict[str, Any]:
    redis = jobs.queue_state()
    facts: dict[str, Any] = {"redis": redis, "jobs": "thread" if redis == "none" else "queue"}
    try:
        connection = db.session.connection()
        facts["database"] = "ok"
        facts["schema"] = schema_state(connection)
        facts["overlap_guard"] = "ok" if overlap_guard_is_there(connection) else "missing"
        if facts["schema"] != "behind":
            facts["oldest_due_letter_seconds"] = int(outbox.oldest_due_age().total_seconds())
    except SQLAlchemyError:
        facts["database"] = "unreachable"
    return facts

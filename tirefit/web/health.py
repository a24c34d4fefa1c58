"""Is it alive, and is it ready? For whoever watches the process; nothing here is about a person or a booking."""

from functools import cache
from typing import Any

from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Blueprint, current_app
from sqlalchemy.exc import SQLAlchemyError

from tirefit import config, jobs
from tirefit.database import db
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
    """It can take bookings: the database is there, at its newest schema, and refuses overlaps. Redis may be away."""
    facts = _facts()
    wrong = {"unreachable", "behind", "missing"} & set(facts.values())
    status = "failed" if wrong else "degraded" if facts["redis"] == "degraded" else "ok"
    return {"status": status, "version": config.VERSION, **facts}, 503 if wrong else 200, NOT_KEPT


def _facts() -> dict[str, Any]:
    redis = jobs.queue_state()
    facts: dict[str, Any] = {"redis": redis, "jobs": "thread" if redis == "none" else "queue"}
    try:
        connection = db.session.connection()
        heads = MigrationContext.configure(connection).get_current_heads()
        facts["database"] = "ok"
        facts["schema"] = "ok" if set(heads) == _newest() else "behind"
        facts["overlap_guard"] = "ok" if overlap_guard_is_there(connection) else "missing"
        if facts["schema"] == "ok":
            facts["oldest_due_letter_seconds"] = int(outbox.oldest_due_age().total_seconds())
    except SQLAlchemyError:
        facts["database"] = "unreachable"
    return facts


@cache
def _newest() -> frozenset[str]:
    directory = current_app.extensions["migrate"].directory
    return frozenset(ScriptDirectory(directory).get_heads())

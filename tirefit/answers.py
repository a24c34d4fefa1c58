"""Answers to requests that carry a key of their own: the same request again is answered the same, and does nothing.

An answer is kept in the transaction of the change that it tells about, so neither is ever there without the other.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import delete

from tirefit import clock
from tirefit.database import command, db
from tirefit.models import AnsweredRequest

KEPT = timedelta(days=1)


def find(name_hash: str) -> AnsweredRequest | None:
    """What such a request has been answered, within the last day."""
    db.session.rollback()  # what another has committed meanwhile
    found = db.session.get(AnsweredRequest, name_hash, populate_existing=True)
    return found if found is not None and found.at > clock.now() - KEPT else None


def keep(name_hash: str, request_hash: str, answer: Mapping[str, Any]) -> None:
    """Inside the command that did what was asked. A second one at the same moment fails, whole."""
    before = AnsweredRequest.at <= clock.now() - KEPT
    db.session.execute(delete(AnsweredRequest).where(AnsweredRequest.name_hash == name_hash, before))
    db.session.add(AnsweredRequest(name_hash=name_hash, request_hash=request_hash, answer=dict(answer), at=clock.now()))


@command
def sweep() -> int:
    """Forget answers that are older than a day; → how many."""
    old = delete(AnsweredRequest).where(AnsweredRequest.at <= clock.now() - KEPT)
    return len(db.session.scalars(old.returning(AnsweredRequest.name_hash)).all())

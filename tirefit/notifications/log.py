"""The station's log of letters: what waits, what has left, what did not and why; and sending it once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import joinedload

from tirefit import audit, clock, revisions
from tirefit.booking.record import note
from tirefit.booking.states import USER
from tirefit.database import command, db
from tirefit.models import Notification, ServicePoint
from tirefit.notifications import outbox

STATES = ("pending", "sent", "failed", "cancelled")
A_PAGE = 50
RESENT_AT_ONCE = 200


@dataclass(frozen=True)
class Page:
    """Some letters of a station, the newest first. `following`: from which id the next page begins, if there is one."""

    letters: Sequence[Notification]
    counts: dict[str, int]
    following: int | None
    last_sent_at: datetime | None


def read(point: ServicePoint, state: str = "", before_id: int | None = None) -> Page:
    """The letters of a station in one state, or in any."""
    of_station = Notification.service_point_id == point.id
    columns = Notification.state, func.count(), func.max(Notification.sent_at)
    by_state = db.session.execute(select(*columns).where(of_station).group_by(Notification.state)).all()
    counts = dict.fromkeys(STATES, 0) | {state: count for state, count, _last in by_state}
    found = select(Notification).where(of_station).options(joinedload(Notification.booking))
    if state:
        found = found.where(Notification.state == state)
    if before_id is not None:
        found = found.where(Notification.id < before_id)
    letters = db.session.scalars(found.order_by(Notification.id.desc()).limit(A_PAGE + 1)).all()
    following = letters[A_PAGE - 1].id if len(letters) > A_PAGE else None
    last_sent_at = max((last for _state, _count, last in by_state if last is not None), default=None)
    return Page(letters[:A_PAGE], counts, following, last_sent_at)


@command
def resend(letter_id: int, *, user_id: int | None) -> bool:
    """Try a letter that has failed once more, at once, under the Message-ID that it had; → False if it has not failed.

    It leaves only if it is still true: the claim looks at the booking as it does for every letter.
    """
    return bool(_again([letter_id], user_id))


@command
def resend_failed(point_id: int, *, user_id: int | None) -> int:
    """The same for all that have failed at a station, the newest two hundred; → how many. Twice at once is once."""
    failed = (
        select(Notification.id)
        .where(Notification.service_point_id == point_id, Notification.state == "failed")
        .order_by(Notification.id.desc())
        .limit(RESENT_AT_ONCE)
    )
    return _again(list(db.session.scalars(failed)), user_id)


def _again(letter_ids: Sequence[int], user_id: int | None) -> int:
    locked = select(Notification).where(Notification.id.in_(letter_ids), Notification.state == "failed")
    letters = db.session.scalars(locked.order_by(Notification.id).with_for_update()).all()
    for letter in letters:
        letter.state, letter.due_at, letter.attempts = "pending", clock.now(), 0
        letter.lease = letter.leased_until = None
        if letter.booking is not None:
            note(letter.booking, "letter_resent", after={"kind": letter.kind}, actor=USER, user_id=user_id)
        else:
            point_id = letter.service_point_id
            audit.record("letter_resent", "letter", letter.id, label=letter.topic, point_id=point_id, user_id=user_id)
        if letter.service_point_id is not None:
            revisions.touch(letter.service_point_id)
    if letters:
        outbox.announce()
    return len(letters)

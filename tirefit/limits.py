"""How often one network may ask for the same thing. Counted in the database, so it holds in every process.

Only the throttle of the API is counted in memory: a question writes nothing, and costs a process nobody else's time.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

from sqlalchemy import delete, func, select

from tirefit import clock
from tirefit.database import db, one_at_a_time
from tirefit.errors import TooManyAttempts
from tirefit.models import Attempt


@dataclass(frozen=True)
class Limit:
    """So many of a kind within so long."""

    kind: str
    most: int
    within: timedelta


# A whole mobile network may share one address: generous to people, and still in the way of a script.
BOOKINGS = Limit("booking", 30, timedelta(hours=1))
MOVES = Limit("move", 30, timedelta(hours=1))  # each writes to the station, too
LINKS = Limit("link", 10, timedelta(hours=1))
PASSWORDS = Limit("wrong password of the day", 20, timedelta(days=1))  # of one account
# A million codes, three of which fit: whoever knows the password needs decades.
CODES = (Limit("code", 5, timedelta(minutes=5)), Limit("code of the day", 50, timedelta(days=1)))


def require_few(limit: Limit, subject: str) -> None:
    """Inside a command: count one more of this kind by this subject. Raises TooManyAttempts, with when to come back.

    What is refused (or fails later in the command) is not counted: it leaves no row.
    """
    one_at_a_time(f"{limit.kind} {subject}")
    since = clock.now() - limit.within
    mine = (Attempt.kind == limit.kind, Attempt.subject == subject)
    db.session.execute(delete(Attempt).where(Attempt.kind == limit.kind, Attempt.at <= since))
    count, first = db.session.execute(select(func.count(), func.min(Attempt.at)).where(*mine)).one()
    if count >= limit.most:
        raise TooManyAttempts(retry_after=max(1, int((first - since).total_seconds())))
    db.session.add(Attempt(kind=limit.kind, subject=subject, at=clock.now()))


def forget(limit: Limit, subject: str) -> None:
    """Inside a command: what was counted of this kind by this subject no longer is."""
    db.session.execute(delete(Attempt).where(Attempt.kind == limit.kind, Attempt.subject == subject))


@dataclass(frozen=True)
class Allowance:
    """What somebody may still ask in this minute."""

    most: int
    left: int
    seconds: int  # until the next minute begins

    @property
    def is_used_up(self) -> bool:
        return self.left < 0


@dataclass
class Throttle:
    """So many requests of one subject in a minute of the clock. Each process counts for itself."""

    minute: int = 0
    asked: Counter[str] = field(default_factory=Counter)

    def count(self, subject: str, most: int) -> Allowance:
        """One more of this subject; → what is left. Keeps nothing longer than the minute."""
        now = int(clock.now().timestamp())
        if self.minute != now // 60:
            self.minute, self.asked = now // 60, Counter()
        self.asked[subject] += 1
        return Allowance(most, most - self.asked[subject], 60 - now % 60)

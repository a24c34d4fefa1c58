"""Tokens: how programs of a station's people are known. Shown once; only their hashes are kept.

A token may never do more than its owner may at that moment: whoever leaves a station leaves with all their tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import joinedload

from tirefit import accounts, audit, clock
from tirefit.database import command, db
from tirefit.errors import UnknownPerson, UnknownStation
from tirefit.models import ApiToken, ServicePoint, User
from tirefit.schedule.reservations import hash_of, new_token

PREFIX = "tf_"  # so that people and scanners of secrets know one when they see it
LONGEST_NAME = 80


@dataclass(frozen=True)
class Bearer:
    """Who a token speaks for."""

    token: ApiToken
    user: User

    def role_at(self, point_id: int) -> str | None:
        """What the token may do at a station; None: for it the station does not exist."""
        if self.token.service_point_id not in (None, point_id):
            return None
        role = accounts.role_at(self.user, point_id)
        if role is None:
            return None
        return min(role, self.token.role, key=accounts.RANKS.__getitem__)


def bearer_of(token: str) -> Bearer | None:
    """Whom a token speaks for. None: unknown, revoked, or its owner's account is closed."""
    found = db.session.scalar(
        select(ApiToken)
        .where(ApiToken.token_hash == hash_of(token), ApiToken.revoked_at.is_(None))
        .options(joinedload(ApiToken.user).joinedload(User.roles))
    )
    return Bearer(found, found.user) if found is not None and found.user.active else None


@command
def add_token(email: str, role: str = "manager", station: str | None = None, *, name: str = "") -> str:
    """Give a person a token for their programs, at one station or at all of theirs; → the token, told only now.

    Raises UnknownPerson, and UnknownStation when they have no such station.
    """
    user = db.session.scalar(select(User).where(User.email == accounts.fold_email(email), User.active))
    if user is None:
        raise UnknownPerson(email=email)
    point = db.session.scalar(select(ServicePoint).where(ServicePoint.slug == station)) if station else None
    if station and (point is None or accounts.role_at(user, point.id) is None):
        raise UnknownStation(slugs=[station])
    return _write(user, role, point.id if point else None, name)


@command
def make_token(user_id: int, point_id: int, role: str, *, name: str) -> str:
    """The same at one station, for whoever is signed in there; → the token, told only now."""
    return _write(db.session.get_one(User, user_id), role, point_id, name)


@command
def revoke_token(token_id: int, point_id: int, *, user_id: int | None = None) -> bool:
    """A token of this station opens nothing any more; → whether there was one."""
    found = db.session.get(ApiToken, token_id, populate_existing=True)
    if found is None or found.service_point_id != point_id or found.revoked_at is not None:
        return False
    found.revoked_at = clock.now()
    audit.record("token_revoked", "token", found.id, label=found.name, point_id=point_id, user_id=user_id)
    return True


def of_station(point: ServicePoint) -> Sequence[ApiToken]:
    """The tokens that open something at this station alone, the newest first."""
    alive = select(ApiToken).where(ApiToken.service_point_id == point.id, ApiToken.revoked_at.is_(None))
    return db.session.scalars(alive.options(joinedload(ApiToken.user)).order_by(ApiToken.id.desc())).all()


def _write(user: User, role: str, point_id: int | None, name: str) -> str:
    token = PREFIX + new_token()
    made = ApiToken(
        token_hash=hash_of(token),
        hint=token[-4:],
        user_id=user.id,
        service_point_id=point_id,
        role=role,
        name=name,
        created_at=clock.now(),
    )
    db.session.add(made)
    db.session.flush()
    audit.record(
        *("token_made", "token", made.id), label=name, point_id=point_id, user_id=user.id, after={"role": role}
    )
    return token

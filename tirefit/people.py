"""People and rights: who is let in, by whom, to what, and who is shown out.

Whoever gives a right has it: a manager lets people into the stations they manage, an admin everywhere. Somebody must
always be left who may do everything.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, or_, select, update

from tirefit import accounts, audit, clock, second_step
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import EmailTaken, InvitationGone, LastAdmin, NotYours, WrongCredentials
from tirefit.models import Invitation, PersonLink, ServicePoint, User, UserRole, UserSession, WaitingSignIn
from tirefit.notifications import outbox

INVITATION_LASTS = timedelta(days=7)
ADMINS = "admins"  # whose number is looked at one command after the other


@dataclass(frozen=True)
class Person:
    """Somebody of a station: the role there, where they are signed in (the newest first), and whether with a second
    step.
    """

    user: User
    role: str
    sessions: tuple[UserSession, ...]
    has_second_step: bool


def people_at(point: ServicePoint) -> list[Person]:
    """Everybody with a role at a station, and the admins; those without a password any more stand last."""
    mine = or_(UserRole.service_point_id == point.id, UserRole.service_point_id.is_(None))
    here = select(UserRole.user_id).where(mine)
    users = db.session.scalars(
        select(User).where(User.id.in_(here)).order_by(User.active.desc(), User.name, User.id)
    ).all()
    sessions = sessions_of([user.id for user in users])
    careful = second_step.who_has_it([user.id for user in users])
    return [
        Person(
            user,
            accounts.role_at(user, point.id) or "",
            tuple(session for session in sessions if session.user_id == user.id),
            user.id in careful,
        )
        for user in users
    ]


def known_as(email: str) -> User | None:
    """Whose account has this address, at whichever station they are."""
    return db.session.scalar(select(User).where(User.email == accounts.fold_email(email)))


def sessions_of(user_ids: Sequence[int]) -> list[UserSession]:
    """Where people are signed in now, the one that was last used first."""
    now = clock.now()
    alive = (UserSession.last_seen_at > now - accounts.IDLE, UserSession.created_at > now - accounts.ABSOLUTE)
    found = select(UserSession).where(UserSession.user_id.in_(user_ids), *alive)
    return list(db.session.scalars(found.order_by(UserSession.last_seen_at.desc(), UserSession.token_hash)).unique())


# --- letting in


@command
def invite(email: str, role: str, point_id: int | None, *, by: int, locale: str = "ru") -> str:
    """Make a link by which somebody becomes one of the people within a week; → its token, told only now.

    A letter with a link of its own goes there too, in the language `locale`. An earlier invitation of the same address
    is void. Raises EmailTaken, NotYours.
    """
    email = accounts.fold_email(email)
    _require_right(by, role, point_id)
    if db.session.scalar(select(User.id).where(User.email == email)) is not None:
        raise EmailTaken(email=email)
    now = clock.now()
    old = or_(Invitation.email == email, Invitation.expires_at <= now)
    db.session.execute(delete(Invitation).where(old))
    token = secrets.token_urlsafe(16)
    invitation = Invitation(
        email=email,
        role=role,
        service_point_id=point_id,
        token_hash=accounts.hash_of(token),
        invited_by_id=by,
        created_at=now,
        expires_at=now + INVITATION_LASTS,
    )
    db.session.add(invitation)
    db.session.flush()
    topic, facts = f"invitation {invitation.id}", {"invitation_id": invitation.id}
    outbox.write_topic("invitation", topic, email, locale, service_point_id=point_id, facts=facts)
    _record("user_invited", email, email, point_id, by, after={"role": role})
    return token


def invitation_of(token: str) -> Invitation:
    """What a link offers. Raises InvitationGone."""
    token_hash = accounts.hash_of(token)
    by_letter = select(PersonLink.invitation_id).where(PersonLink.token_hash == token_hash)
    is_it = or_(Invitation.token_hash == token_hash, Invitation.id.in_(by_letter))
    invitation = db.session.scalar(select(Invitation).where(is_it, Invitation.expires_at > clock.now()))
    if invitation is None:
        raise InvitationGone()
    return invitation


def invitations_to(point: ServicePoint) -> list[Invitation]:
    """Who is expected at a station."""
    open_ones = select(Invitation).where(Invitation.service_point_id == point.id, Invitation.expires_at > clock.now())
    return list(db.session.scalars(open_ones.order_by(Invitation.id)))


@command
def accept(token: str, name: str, password: str, locale: str) -> str:
    """Become one of the people by a link; → the e-mail to sign in with.

    Raises InvitationGone, EmailTaken, PasswordUnfit, PasswordGuessable.
    """
    one_at_a_time(f"invitation {invitation_of(token).id}")  # its two links are one invitation
    invitation = invitation_of(token)
    accounts.write_user(
        invitation.email,
        invitation.role,
        [invitation.service_point_id],
        name=name,
        password=password,
        locale=locale,
        by_id=invitation.invited_by_id,
    )
    db.session.delete(invitation)
    return invitation.email


@command
def withdraw(invitation_id: int, point_id: int, *, by: int) -> None:
    """Take an invitation to this station back. One that is not there is taken back already."""
    found = db.session.get(Invitation, invitation_id)
    if found is not None and found.service_point_id == point_id:
        _record("invitation_withdrawn", found.email, found.email, point_id, by)
        db.session.delete(found)


# --- rights


@command
def set_role(user_id: int, point_id: int, role: str | None, *, by: int) -> None:
    """What somebody is at a station from now on: staff, manager, an admin of all, or (None) nobody.

    Raises NotYours, LastAdmin.
    """
    one_at_a_time(ADMINS)
    user = db.session.get_one(User, user_id, populate_existing=True)
    was = accounts.role_at(user, point_id)
    if role == was:
        return
    for each in (role, was):
        if each is not None:
            _require_right(by, each, None if each == "admin" else point_id)
    if was == "admin":
        _require_another_admin(user_id)
    gone = None if was == "admin" else point_id
    user.roles = [held for held in user.roles if role != "admin" and held.service_point_id != gone]
    db.session.flush()
    if role is not None:
        user.roles.append(UserRole(role=role, service_point_id=None if role == "admin" else point_id))
        db.session.flush()
        second_step.keep_to_rules(user_id)
    _record("role_changed", user.id, user.name, point_id, by, before={"role": was}, after={"role": role})


@command
def set_active(user_id: int, active: bool, *, by: int) -> None:
    """Close somebody's account, or open it again. Closed, it is signed out everywhere. Raises LastAdmin, NotYours."""
    one_at_a_time(ADMINS)
    user = db.session.get_one(User, user_id, populate_existing=True)
    for held in user.roles:
        _require_right(by, held.role, held.service_point_id)
    if user.active == active:
        return
    if not active and any(held.role == "admin" for held in user.roles):
        _require_another_admin(user_id)
    user.active = active
    if not active:
        db.session.execute(delete(UserSession).where(UserSession.user_id == user_id))
    for held in user.roles:
        _record(
            "user_opened" if active else "user_closed", user.id, user.name, held.service_point_id, by,
            before={"active": not active}, after={"active": active},
        )  # fmt: skip


# --- one's own


@command
def change_password(user_id: int, old: str, new: str, keep: str) -> None:
    """A new password for oneself; every other browser is signed out (`keep` is the token of this one).

    Raises WrongCredentials, PasswordUnfit, PasswordGuessable.
    """
    user = db.session.get_one(User, user_id, populate_existing=True)
    if not accounts.is_password_of(user, old):
        raise WrongCredentials()
    user.password_hash = accounts.hashed(new, user.email, user.name)
    others = UserSession.token_hash != accounts.hash_of(keep)
    db.session.execute(delete(UserSession).where(UserSession.user_id == user_id, others))
    db.session.execute(delete(WaitingSignIn).where(WaitingSignIn.user_id == user_id))
    for held in user.roles:
        _record("password_changed", user.id, user.name, held.service_point_id, user_id)


@command
def end_session(user_id: int, name: str) -> None:
    """Sign one browser of a person out. `name` is what `name_of` calls it; one that is gone is gone."""
    for session in sessions_of([user_id]):
        if name_of(session) == name:
            db.session.delete(session)


@command
def note_browser(token: str, browser: str) -> None:
    """What the browser that has just signed in calls itself, in a few words."""
    mine = update(UserSession).where(UserSession.token_hash == accounts.hash_of(token))
    db.session.execute(mine.values(browser=browser))


def name_of(session: UserSession) -> str:
    """How a page names a session, without telling what is kept of its token."""
    return accounts.hash_of(session.token_hash)[:16]


def is_this(session: UserSession, token: str) -> bool:
    return session.token_hash == accounts.hash_of(token)


def _require_right(by: int, role: str, point_id: int | None) -> None:
    giver = db.session.get_one(User, by)
    is_admin = any(held.role == "admin" for held in giver.roles)
    manages = point_id is not None and accounts.is_at_least(accounts.role_at(giver, point_id), "manager")
    if not (is_admin or (role != "admin" and manages)):
        raise NotYours()


def _require_another_admin(user_id: int) -> None:
    others = (
        select(func.count())
        .select_from(UserRole)
        .join(User, User.id == UserRole.user_id)
        .where(UserRole.role == "admin", User.active, User.id != user_id)
    )
    if not db.session.scalar(others):
        raise LastAdmin()


def _record(
    event: str, thing_id: int | str, label: str, point_id: int | None, by: int | None, **change: object
) -> None:
    audit.record(event, "user", thing_id, label=label, point_id=point_id, user_id=by, **change)  # type: ignore[arg-type]

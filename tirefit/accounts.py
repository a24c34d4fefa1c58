"""People of the stations: how they sign in, how long that lasts, and what they may do where. Customers need no account.

A session is a row; the browser has a random token, of which only the hash is stored. Failed sign-ins are counted in the
database, so the limit holds in every process. Who may call which page is said in tirefit/web/policy.py.
"""

import ipaddress
import logging
import re
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from argon2 import PasswordHasher
from argon2.exceptions import VerificationError
from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import joinedload

from tirefit import audit, clock, limits, passwords
from tirefit.database import command, db, on_commit, worth_no_waiting
from tirefit.errors import (
    EmailInvalid,
    EmailTaken,
    OnlyByLink,
    PasswordUnfit,
    TooManyAttempts,
    UnknownStation,
    WrongCredentials,
)
from tirefit.models import (
    LoginAttempt,
    SecondStep,
    SecondStepRule,
    ServicePoint,
    User,
    UserRole,
    UserSession,
    WaitingSignIn,
)

IDLE = timedelta(hours=8)
ABSOLUTE = timedelta(hours=12)
SEEN_EVERY = timedelta(minutes=5)  # how exactly the last visit is known
WAITS = timedelta(minutes=10)  # a right password for its second step

MOST_ATTEMPTS = 10
ATTEMPTS_LAST = timedelta(minutes=5)

GENERATED = "abcdefghjkmnpqrstuvwxyz23456789"  # nothing that is read as something else

RANKS = {"staff": 1, "manager": 2, "admin": 3}

security = logging.getLogger("tirefit.security")
_hasher = PasswordHasher()
_nobody = _hasher.hash(secrets.token_hex(16))  # so that an unknown person takes as long as a wrong password


@dataclass(frozen=True)
class SignIn:
    """What the browser keeps after a right password: a session's token, or (`waits`) the token of a sign-in that still
    owes its second step (tirefit/second_step.py).
    """

    token: str
    waits: bool


def sign_in(email: str, password: str, address: str) -> SignIn:
    """Let in whoever e-mail and password belong to, or let them wait for their second step.

    Raises WrongCredentials, the same for an unknown person, a wrong password and a closed account, and as late.
    Raises TooManyAttempts after ten failures of one account or from one address within five minutes, and OnlyByLink
    after twenty of one account in a day, for the right password too.
    """
    email, password = fold_email(email), _fold(password)
    if not (_is_password(password) and _is_text(email)):
        raise WrongCredentials()  # could not be right, and is not worth a slow hash
    attempts = _begin_attempt(_account(email), _subject("address", network_of(address)))
    user = db.session.scalar(select(User).where(User.email == email, User.active))
    if not _matches(user.password_hash if user else _nobody, password) or user is None:
        raise WrongCredentials()
    return _start_session(user.id, password, attempts)


def signed_in(token: str) -> User | None:
    """Whose session this token opens. None: signed out, 8 hours idle, 12 hours old, or the account is closed."""
    # One statement, with the stations: open boards ask every ten seconds, and every page shows where else one can go.
    whole = joinedload(UserSession.user).joinedload(User.roles).joinedload(UserRole.service_point)
    session = db.session.get(UserSession, _hash(token), options=[whole])
    now = clock.now()
    if session is None or not session.user.active:
        return None
    if now >= min(session.last_seen_at + IDLE, session.created_at + ABSOLUTE):
        return None
    if now >= session.last_seen_at + SEEN_EVERY:
        with worth_no_waiting():  # the page is worth more than the note that it was seen
            _note_visit(session.token_hash)
    return session.user


@command
def sign_out(token: str) -> None:
    """End a session, wherever its cookie may have been copied to."""
    db.session.execute(delete(UserSession).where(UserSession.token_hash == _hash(token)))


@command
def add_user(
    email: str, role: str, stations: Sequence[str] = (), *, name: str = "", password: str = "", locale: str = "ru"
) -> str:
    """Give a person an account, with a role at these stations (an admin: everywhere); → the password, told only now.

    Without `password` one is made. Raises EmailInvalid, EmailTaken, UnknownStation, PasswordUnfit,
    PasswordGuessable.
    """
    return write_user(email, role, _places(role, stations), name=name, password=password, locale=locale)


def write_user(
    email: str,
    role: str,
    point_ids: Sequence[int | None],
    *,
    name: str = "",
    password: str = "",
    locale: str = "ru",
    by_id: int | None = None,
) -> str:
    """Inside a command: what `add_user` does, for stations known by id (an admin's is None).

    `by_id` is who lets them in, for the journal.
    """
    email, password = fold_email(email), _fold(password) or new_password()
    password_hash = hashed(password, email, name)
    if not _is_text(email) or not re.fullmatch(r"[^@\s]+@[^@\s]+", email):
        raise EmailInvalid(email=email)
    if db.session.scalar(select(User.id).where(User.email == email)) is not None:
        raise EmailTaken(email=email)
    user = User(
        email=email,
        name=name or email.partition("@")[0],
        password_hash=password_hash,
        locale=locale,
        created_at=clock.now(),
    )
    user.roles = [UserRole(role=role, service_point_id=point_id) for point_id in point_ids]
    db.session.add(user)
    db.session.flush()
    forget_wrong_passwords(email)  # tried before there was a right one
    for point_id in point_ids:
        given = {"email": email, "role": role}
        audit.record("user_added", "user", user.id, label=user.name, point_id=point_id, user_id=by_id, after=given)
    return password


def hashed(password: str, *about: str) -> str:
    """What is kept of a new password; `about` is what is known of its owner.

    Raises PasswordUnfit, PasswordGuessable.
    """
    password = _fold(password)
    if not _is_text(password):
        raise PasswordUnfit(shortest=passwords.SHORTEST, longest=passwords.LONGEST)
    passwords.require_fit(password, *about)
    return _hasher.hash(password)


def is_password_of(user: User, password: str) -> bool:
    return _matches(user.password_hash, _fold(password))


def hash_of(token: str) -> str:
    """What is kept of a token that a person's browser or letter has."""
    return _hash(token)


def role_at(user: User, point_id: int) -> str | None:
    """The role a person has at a station; None: for them it does not exist."""
    return next((held.role for held in user.roles if held.service_point_id in (None, point_id)), None)


def is_at_least(role: str | None, needed: str) -> bool:
    return role is not None and RANKS[role] >= RANKS[needed]


def stations_of(user: User, needed: str = "staff") -> list[ServicePoint]:
    """The stations at which a person may do what `needed` may, by name."""
    held = [role for role in user.roles if is_at_least(role.role, needed)]
    if any(role.service_point_id is None for role in held):
        return list(db.session.scalars(select(ServicePoint).order_by(ServicePoint.name, ServicePoint.id)))
    mine = [role.service_point for role in held if role.service_point is not None]
    return sorted(mine, key=lambda point: (point.name, point.id))


def fold_email(email: str) -> str:
    return _fold(email).strip().lower()


def forget_wrong_passwords(email: str) -> None:
    """Inside a command: whoever has this address has shown it, by the right password or by a link sent there."""
    account = _account(email)
    db.session.execute(delete(LoginAttempt).where(LoginAttempt.subject == account))
    limits.forget(limits.PASSWORDS, account)


def new_password() -> str:
    """Four groups of four: 79 bits, and can be read out over the telephone."""
    return "-".join("".join(secrets.choice(GENERATED) for _ in range(4)) for _ in range(4))


@command
def _begin_attempt(account: str, network: str) -> list[int]:
    """Count this attempt as failed until it has succeeded; → its rows. Raises OnlyByLink, TooManyAttempts."""
    since, subjects = clock.now() - ATTEMPTS_LAST, (account, network)
    if db.engine.dialect.name == "postgresql":  # SQLite has one writer: there attempts already come one by one
        for subject in sorted(subjects):
            db.session.execute(select(func.pg_advisory_xact_lock(func.hashtext(subject))))
    db.session.execute(delete(LoginAttempt).where(LoginAttempt.at <= since))
    try:
        limits.require_few(limits.PASSWORDS, account)
    except TooManyAttempts as problem:  # said first: it is no use to come back in five minutes
        raise OnlyByLink(**problem.facts) from None
    for subject in subjects:
        times = select(LoginAttempt.at).where(LoginAttempt.subject == subject).order_by(LoginAttempt.at.desc())
        recent = db.session.scalars(times.limit(MOST_ATTEMPTS)).all()
        if len(recent) == MOST_ATTEMPTS:
            raise TooManyAttempts(retry_after=_seconds(recent[-1] - since))
    attempts = [LoginAttempt(subject=subject, at=clock.now()) for subject in subjects]
    db.session.add_all(attempts)
    db.session.flush()
    return [attempt.id for attempt in attempts]


@command
def _start_session(user_id: int, password: str, attempts: Sequence[int]) -> SignIn:
    user = db.session.get_one(User, user_id)
    if _hasher.check_needs_rehash(user.password_hash):
        user.password_hash = _hasher.hash(password)
    db.session.execute(delete(LoginAttempt).where(LoginAttempt.id.in_(attempts)))
    forget_wrong_passwords(user.email)
    if has_second_step(user_id) or must_have_second_step(user):
        return SignIn(_let_wait(user_id), waits=True)
    return SignIn(open_session(user_id), waits=False)


def open_session(user_id: int) -> str:
    """Inside a command, when every step of signing in is done: a session; → its token, known to the browser alone."""
    token, now = secrets.token_urlsafe(16), clock.now()
    db.session.execute(delete(UserSession).where(UserSession.created_at <= now - ABSOLUTE))
    db.session.add(UserSession(token_hash=_hash(token), user_id=user_id, created_at=now, last_seen_at=now))
    db.session.execute(update(User).where(User.id == user_id).values(last_seen_at=now))
    on_commit(lambda: security.info("user %s signed in", user_id))
    return token


def _let_wait(user_id: int) -> str:
    token, now = secrets.token_urlsafe(16), clock.now()
    db.session.execute(delete(WaitingSignIn).where(WaitingSignIn.created_at <= now - WAITS))
    db.session.add(WaitingSignIn(token_hash=_hash(token), user_id=user_id, created_at=now))
    return token


def has_second_step(user_id: int) -> bool:
    """Does a password alone no longer let this person in?"""
    step = db.session.get(SecondStep, user_id, populate_existing=True)
    return step is not None and step.on_since is not None


def must_have_second_step(user: User) -> bool:
    """Does one of the person's roles ask for a second step?"""
    asked = select(SecondStepRule.role).where(SecondStepRule.role.in_({held.role for held in user.roles}))
    return db.session.scalar(asked.limit(1)) is not None


@command
def _note_visit(token_hash: str) -> None:
    now = clock.now()
    mine = update(UserSession).where(UserSession.token_hash == token_hash).values(last_seen_at=now)
    user_id = db.session.scalar(mine.returning(UserSession.user_id))
    db.session.execute(update(User).where(User.id == user_id).values(last_seen_at=now))


def _places(role: str, slugs: Sequence[str]) -> list[int | None]:
    if role == "admin":
        return [None]
    found = {
        row.slug: row.id
        for row in db.session.execute(select(ServicePoint.slug, ServicePoint.id).where(ServicePoint.slug.in_(slugs)))
    }
    unknown = sorted(set(slugs) - set(found))
    if unknown or not found:
        raise UnknownStation(slugs=unknown)
    return list(found.values())


def _matches(password_hash: str, password: str) -> bool:
    try:
        return _hasher.verify(password_hash, password)
    except VerificationError:
        return False


def _is_password(password: str) -> bool:
    return 0 < len(password) <= passwords.LONGEST and _is_text(password)


def _is_text(text: str) -> bool:
    """Without control characters and halves of characters: what databases and hashes take."""
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)


def _fold(text: str) -> str:
    """One person types é as one character, another as two: the same."""
    return unicodedata.normalize("NFC", text)


def network_of(address: str) -> str:
    """What one household or office has: an IPv4 address, or an IPv6 network of 64 bits."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((ip, 64), strict=False)) if ip.version == 6 else str(ip)


def _account(email: str) -> str:
    return _subject("account", email)


def _subject(kind: str, value: str) -> str:
    return _hash(f"{kind} {value}")


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _seconds(delta: timedelta) -> int:
    return max(1, int(delta.total_seconds()))

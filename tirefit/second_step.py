"""The second step of signing in: a code from an application on one's phone, or a recovery code when the phone is gone.

A session is opened only when both steps are done. Until then a right password gives a waiting sign-in, which opens the
page that asks for the code (or, where the role demands a second step and there is none yet, the page that sets it up)
and nothing else. So no page has to ask again whether the second step was taken.
"""

import hmac
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

import pyotp
from sqlalchemy import delete, func, select

from tirefit import accounts, audit, clock, limits
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import SecondCodeWrong, SecondStepDemanded, SignInTooOld, UnknownPerson, WrongCredentials
from tirefit.models import RecoveryCode, SecondStep, SecondStepRule, User, UserRole, UserSession, WaitingSignIn

LASTS = 30  # seconds that a code is shown for
APART = 1  # so many codes earlier or later still fit: phones' clocks differ, and people type slowly
RECOVERY_CODES = 8
ISSUER = "TireFit"  # as the application names the account


@dataclass(frozen=True)
class State:
    """A person's second step. `key` is there only while it is being set up."""

    on_since: datetime | None
    key: str | None
    codes_left: int
    demanded: bool  # by the role


def state_of(user: User) -> State:
    step = db.session.get(SecondStep, user.id, populate_existing=True)
    codes = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user.id)
    return State(
        on_since=step.on_since if step else None,
        key=step.key if step and step.on_since is None else None,
        codes_left=db.session.scalar(codes) or 0,
        demanded=accounts.must_have_second_step(user),
    )


def address_of_key(user: User) -> str | None:
    """What the application reads from the picture while the second step is being set up; None at any other time."""
    key = state_of(user).key
    return pyotp.TOTP(key).provisioning_uri(name=user.email, issuer_name=ISSUER) if key else None


def who_has_it(user_ids: Collection[int]) -> set[int]:
    """Those of these people who sign in with a second step."""
    found = select(SecondStep.user_id).where(SecondStep.user_id.in_(user_ids), SecondStep.on_since.is_not(None))
    return set(db.session.scalars(found))


# --- signing in


def waiting(token: str) -> User | None:
    """Whose sign-in waits for its second step under this token; None: nobody's, or for more than ten minutes."""
    found = db.session.get(WaitingSignIn, accounts.hash_of(token))
    if found is None or clock.now() >= found.created_at + accounts.WAITS:
        return None
    user = db.session.get(User, found.user_id)
    return user if user is not None and user.active else None


def finish(token: str, code: str) -> str:
    """Open the session that waits under `token`, with a code of either kind; → the session's token.

    Raises SignInTooOld, SecondCodeWrong; TooManyAttempts after five wrong codes in five minutes, for the right one too.
    """
    user = waiting(token)
    if user is None:
        raise SignInTooOld()
    _count_try(user.id)
    return _finish(token, user.id, code)


@command
def give_up(token: str) -> None:
    """Forget a waiting sign-in."""
    db.session.execute(delete(WaitingSignIn).where(WaitingSignIn.token_hash == accounts.hash_of(token)))


@command
def _finish(token: str, user_id: int, code: str) -> str:
    one_at_a_time(f"second step {user_id}")
    _require_code(user_id, code)
    return _open(token, user_id)


def _open(token: str, user_id: int) -> str:
    """The waiting sign-in becomes a session, once."""
    mine = delete(WaitingSignIn).where(WaitingSignIn.token_hash == accounts.hash_of(token))
    if not db.session.scalar(mine.returning(WaitingSignIn.user_id)):
        raise SignInTooOld()
    return accounts.open_session(user_id)


# --- setting it up


@command
def begin(user_id: int) -> None:
    """Make a key for the application. Nothing is asked for at sign-in until `confirm`; asked again, a new key is made.

    Where the second step is on, nothing happens.
    """
    one_at_a_time(f"second step {user_id}")
    if accounts.has_second_step(user_id):
        return
    db.session.merge(SecondStep(user_id=user_id, key=pyotp.random_base32(), last_used=0, on_since=None))


@dataclass(frozen=True)
class TurnedOn:
    """The recovery codes, told only now, and the session that this opened where a sign-in was waiting for it."""

    codes: list[str]
    session: str | None


def confirm(user_id: int, code: str, *, keep: str | None = None, waits: str | None = None) -> TurnedOn:
    """Turn the second step on, with a first code from the application.

    Every other browser is signed out (`keep` is the token of this one's session); a sign-in that `waits` under this
    token is finished. Raises SecondCodeWrong, TooManyAttempts, SignInTooOld.
    """
    _count_try(user_id)
    return _confirm(user_id, code, keep, waits)


@command
def _confirm(user_id: int, code: str, keep: str | None, waits: str | None) -> TurnedOn:
    one_at_a_time(f"second step {user_id}")
    step = db.session.get(SecondStep, user_id, populate_existing=True)
    if step is None or step.on_since is not None or not _fits(step, code):
        raise SecondCodeWrong()
    step.on_since = clock.now()
    _forget_tries(user_id)
    _sign_out_everywhere(user_id, but=keep)
    _record("second_step_on", user_id, by=user_id)
    return TurnedOn(_new_codes(user_id), _open(waits, user_id) if waits else None)


def renew_codes(user_id: int, code: str) -> list[str]:
    """Make new recovery codes, told only now; those of before no longer help.

    Raises SecondCodeWrong, TooManyAttempts.
    """
    _count_try(user_id)
    return _renew_codes(user_id, code)


@command
def _renew_codes(user_id: int, code: str) -> list[str]:
    one_at_a_time(f"second step {user_id}")
    _require_code(user_id, code)
    _record("recovery_codes_made", user_id, by=user_id)
    return _new_codes(user_id)


@command
def turn_off(user_id: int, password: str) -> None:
    """Sign in with the password alone from now on. Raises WrongCredentials, SecondStepDemanded."""
    user = db.session.get_one(User, user_id)
    if not accounts.is_password_of(user, password):
        raise WrongCredentials()
    if accounts.must_have_second_step(user):
        raise SecondStepDemanded()
    _drop(user_id, by=user_id)


@command
def reset(user_id: int, *, by: int | None) -> None:
    """For somebody who has lost the phone and the codes: it is as if it had never been set up, and they are signed out
    everywhere. `by` None: at the command line.
    """
    _drop(user_id, by=by)
    _sign_out_everywhere(user_id)


def reset_of(email: str) -> None:
    """The same at the command line. Raises UnknownPerson."""
    user_id = db.session.scalar(select(User.id).where(User.email == accounts.fold_email(email)))
    if user_id is None:
        raise UnknownPerson(email=email)
    reset(user_id, by=None)


# --- who must have it


def demanded_of() -> set[str]:
    """The roles that sign in with a second step."""
    return set(db.session.scalars(select(SecondStepRule.role)))


@command
def demand_of(roles: Collection[str], *, by: int) -> None:
    """From now on exactly these roles sign in with a second step; who has one of them and no second step yet is signed
    out, and sets it up when signing in.
    """
    before, after = demanded_of(), set(roles) & set(accounts.RANKS)
    if before == after:
        return
    db.session.execute(delete(SecondStepRule))
    db.session.add_all(SecondStepRule(role=role, since=clock.now()) for role in after)
    db.session.flush()
    for user_id in db.session.scalars(select(UserRole.user_id).where(UserRole.role.in_(after)).distinct()):
        keep_to_rules(user_id)
    was, became = ({"roles": sorted(each, key=accounts.RANKS.__getitem__)} for each in (before, after))
    audit.record("second_step_demanded", "user", "", point_id=None, user_id=by, before=was, after=became)


def keep_to_rules(user_id: int) -> None:
    """Inside a command that gave somebody a role: if it asks for a second step and there is none, they sign in anew."""
    user = db.session.get_one(User, user_id)
    if accounts.must_have_second_step(user) and not accounts.has_second_step(user_id):
        _sign_out_everywhere(user_id)


# --- codes


def _require_code(user_id: int, code: str) -> None:
    """Use up a code from the application or a recovery code. Raises SecondCodeWrong."""
    step = db.session.get(SecondStep, user_id, populate_existing=True)
    if step is None or step.on_since is None:
        raise SecondCodeWrong()
    if not _fits(step, code):
        mine = (RecoveryCode.user_id == user_id, RecoveryCode.code_hash == _hash_of_code(user_id, code))
        used = db.session.scalar(delete(RecoveryCode).where(*mine).returning(RecoveryCode.user_id))
        if used is None:
            raise SecondCodeWrong()
        _record("recovery_code_used", user_id, by=user_id)
    _forget_tries(user_id)


def _fits(step: SecondStep, code: str) -> bool:
    """Is it the application's code of now, or of half a minute around? Each is taken once, and none older than it."""
    digits = "".join(code.split())
    now = int(clock.now().timestamp()) // LASTS
    for count in range(now - APART, now + APART + 1):
        shown = pyotp.TOTP(step.key).generate_otp(count)
        if count > step.last_used and hmac.compare_digest(shown.encode(), digits.encode()):
            step.last_used = count
            return True
    return False


def _new_codes(user_id: int) -> list[str]:
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    codes = ["-".join("".join(secrets.choice(accounts.GENERATED) for _ in range(5)) for _ in range(5))
             for _ in range(RECOVERY_CODES)]  # fmt: skip
    db.session.add_all(RecoveryCode(user_id=user_id, code_hash=_hash_of_code(user_id, code)) for code in codes)
    return codes


def _hash_of_code(user_id: int, code: str) -> str:
    signs = "".join(sign for sign in code.lower() if sign.isalnum())
    return accounts.hash_of(f"recovery {user_id} {signs}")


@command
def _count_try(user_id: int) -> None:
    """One try more, counted until one has succeeded."""
    for limit in limits.CODES:
        limits.require_few(limit, _subject(user_id))


def _forget_tries(user_id: int) -> None:
    for limit in limits.CODES:
        limits.forget(limit, _subject(user_id))


def _subject(user_id: int) -> str:
    return accounts.hash_of(f"user {user_id}")


def _drop(user_id: int, *, by: int | None) -> None:
    gone = db.session.scalar(delete(SecondStep).where(SecondStep.user_id == user_id).returning(SecondStep.on_since))
    db.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))
    if gone is not None:
        _record("second_step_off", user_id, by=by)


def _sign_out_everywhere(user_id: int, but: str | None = None) -> None:
    kept = UserSession.token_hash == accounts.hash_of(but or "")
    db.session.execute(delete(UserSession).where(UserSession.user_id == user_id, ~kept))


def _record(event: str, user_id: int, *, by: int | None) -> None:
    user = db.session.get_one(User, user_id)
    for held in user.roles:
        audit.record(event, "user", user_id, label=user.name, point_id=held.service_point_id, user_id=by)

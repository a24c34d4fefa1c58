"""A forgotten password: a link to the address of the account, good for an hour and for one new password.

Whether there is such an account is told by nothing but the letter.
"""

from datetime import timedelta

from sqlalchemy import delete, select

from tirefit import accounts, audit, clock
from tirefit.database import command, db, one_at_a_time
from tirefit.errors import ResetGone, UnknownPerson
from tirefit.limits import Limit, require_few
from tirefit.models import PersonLink, User, UserSession, WaitingSignIn
from tirefit.notifications import outbox

ASKED = Limit("password reset", 10, timedelta(hours=1))  # by one network
ONE_LETTER_IN = 600  # seconds: asked again meanwhile, it is the same letter


@command
def ask(email: str, network: str) -> None:
    """Send whoever has this address a link to choose a new password. Raises TooManyAttempts."""
    require_few(ASKED, network)
    user = db.session.scalar(select(User).where(User.email == accounts.fold_email(email), User.active))
    if user is not None:
        lately = int(clock.now().timestamp()) // ONE_LETTER_IN
        topic = f"password {user.id} {lately}"
        outbox.write_topic("password_reset", topic, user.email, user.locale, facts={"user_id": user.id})


@command
def link_for(email: str) -> str:
    """What the letter's link would end with, for who asks in person. Raises UnknownPerson."""
    user = db.session.scalar(select(User).where(User.email == accounts.fold_email(email), User.active))
    token = outbox.new_key({"user_id": user.id}, clock.now()) if user else None
    if token is None:
        raise UnknownPerson()
    return token


def owner_of(token: str) -> User:
    """Whose password the link changes. Raises ResetGone when it has been used, or is older than an hour."""
    link = db.session.get(PersonLink, accounts.hash_of(token))
    user = db.session.get(User, link.user_id) if link and link.user_id and link.expires_at > clock.now() else None
    if user is None or not user.active:
        raise ResetGone()
    return user


@command
def choose(token: str, password: str) -> None:
    """Give the owner of the link a new password, with which they are let in however many wrong ones were tried before.
    Every browser of theirs is signed out, and no link opens any more.

    Raises ResetGone, PasswordUnfit, PasswordGuessable.
    """
    one_at_a_time(f"password {owner_of(token).id}")
    db.session.expire_all()
    user = owner_of(token)
    user.password_hash = accounts.hashed(password, user.email, user.name)
    accounts.forget_wrong_passwords(user.email)  # a stranger's guesses keep nobody out who reads the letters
    db.session.execute(delete(PersonLink).where(PersonLink.user_id == user.id))
    db.session.execute(delete(UserSession).where(UserSession.user_id == user.id))
    db.session.execute(delete(WaitingSignIn).where(WaitingSignIn.user_id == user.id))
    for held in user.roles:
        audit.record(
            "password_reset", "user", user.id, label=user.name, point_id=held.service_point_id, user_id=user.id
        )

"""People of the stations. Customers need no account."""

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from tirefit.database import Base
from tirefit.models.stations import ServicePoint

ROLES = ("admin", "manager", "staff")


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)  # lower case
    name: Mapped[str]
    password_hash: Mapped[str]  # argon2id
    locale: Mapped[str] = mapped_column(default="ru", server_default="ru")
    active: Mapped[bool] = mapped_column(default=True, server_default="1")
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]  # within minutes

    roles: Mapped[list["UserRole"]] = relationship(cascade="all, delete-orphan", lazy="selectin")


class UserRole(Base):
    """What a user may do, and where. An admin may everything everywhere, and so has no station."""

    __tablename__ = "user_roles"
    __table_args__ = (
        UniqueConstraint("user_id", "service_point_id"),
        CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),
        CheckConstraint("(role = 'admin') = (service_point_id IS NULL)", name="admins_have_no_station"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    service_point_id: Mapped[int | None] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    role: Mapped[str]

    service_point: Mapped[ServicePoint | None] = relationship(viewonly=True)


class UserSession(Base):
    """A signed-in browser. Deleting the row signs it out, wherever its cookie has been copied to."""

    __tablename__ = "user_sessions"
    __table_args__ = (Index("ix_user_sessions_user_id", "user_id"),)

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
    browser: Mapped[str] = mapped_column(
        default="", server_default=""
    )  # «Firefox, Android»: what its owner knows it by

    user: Mapped[User] = relationship(lazy="joined")


class SecondStep(Base):
    """The application on a person's phone that makes codes for signing in. Without `on_since` it is being set up."""

    __tablename__ = "second_steps"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str]  # base32; codes cannot be checked without it
    last_used: Mapped[int] = mapped_column(default=0, server_default="0")  # which 30 seconds the last code was of
    on_since: Mapped[datetime | None]


class RecoveryCode(Base):
    """What stands in for the phone once. Used, it is gone."""

    __tablename__ = "recovery_codes"
    __table_args__ = (Index("ix_recovery_codes_user_id", "user_id"),)

    code_hash: Mapped[str] = mapped_column(primary_key=True)  # of 123 random bits
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))


class WaitingSignIn(Base):
    """A browser whose password was right and that still owes a code. It opens no page but the one that asks."""

    __tablename__ = "waiting_sign_ins"
    __table_args__ = (Index("ix_waiting_sign_ins_user_id", "user_id"),)

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    created_at: Mapped[datetime]


class SecondStepRule(Base):
    """Whoever has this role anywhere signs in with a second step."""

    __tablename__ = "second_step_rules"
    __table_args__ = (CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),)

    role: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class Invitation(Base):
    """Somebody may become one of the station's people by the link that only they were given. Used once, then gone."""

    __tablename__ = "invitations"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),
        CheckConstraint("(role = 'admin') = (service_point_id IS NULL)", name="admins_have_no_station"),
        Index("ix_invitations_service_point_id", "service_point_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str]
    role: Mapped[str]
    service_point_id: Mapped[int | None] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    token_hash: Mapped[str] = mapped_column(unique=True)
    invited_by_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class PersonLink(Base):
    """What a letter to one of the people opens, once: an invitation, or a new password. Only its hash is kept."""

    __tablename__ = "person_links"
    __table_args__ = (
        CheckConstraint("(invitation_id IS NULL) <> (user_id IS NULL)", name="opens_one_thing"),
        Index("ix_person_links_invitation_id", "invitation_id"),
        Index("ix_person_links_user_id", "user_id"),
    )

    token_hash: Mapped[str] = mapped_column(primary_key=True)
    invitation_id: Mapped[int | None] = mapped_column(ForeignKey("invitations.id", ondelete="CASCADE"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    expires_at: Mapped[datetime]


class LoginAttempt(Base):
    """A failed sign-in, remembered for as long as the limit counts back."""

    __tablename__ = "login_attempts"
    __table_args__ = (Index("ix_login_attempts_subject_at", "subject", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    subject: Mapped[str]  # sha256 of the e-mail or of the address it came from
    at: Mapped[datetime]


class Attempt(Base):
    """Something that may be asked only so often, kept for as long as its limit counts back (tirefit/limits.py)."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_kind_subject_at", "kind", "subject", "at"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    subject: Mapped[str]  # sha256 of the network or the address
    at: Mapped[datetime]


class AnsweredRequest(Base):
    """What a request with an `Idempotency-Key` was answered: the same one again gets the same, and changes nothing."""

    __tablename__ = "answered_requests"
    __table_args__ = (Index("ix_answered_requests_at", "at"),)  # the old ones are swept away

    name_hash: Mapped[str] = mapped_column(primary_key=True)  # of who asked, where, and with which key
    request_hash: Mapped[str]  # of what was asked
    answer: Mapped[dict[str, Any]] = mapped_column(JSON)
    at: Mapped[datetime]


class ApiToken(Base):
    """How a program of a station's people is known. It may do what both it and its owner may; at one station, or at all
    of the owner's.
    """

    __tablename__ = "api_tokens"
    __table_args__ = (
        CheckConstraint("role IN ('admin', 'manager', 'staff')", name="role"),
        Index("ix_api_tokens_service_point_id", "service_point_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    token_hash: Mapped[str] = mapped_column(unique=True)
    hint: Mapped[str]  # its last signs: people tell their tokens apart by them
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    service_point_id: Mapped[int | None] = mapped_column(ForeignKey("service_points.id", ondelete="CASCADE"))
    role: Mapped[str]
    name: Mapped[str] = mapped_column(default="", server_default="")
    created_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    user: Mapped[User] = relationship()

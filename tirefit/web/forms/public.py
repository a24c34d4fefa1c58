"""What customers send: the time they tapped, and who they are."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, Field, HiddenField, StringField, ValidationError
from wtforms.validators import Length

from tirefit.models import ServicePoint
from tirefit.schedule.reservations import new_token
from tirefit.web.forms import text

A_TOKEN = re.compile(r"[A-Za-z0-9_-]{22}")
MOST_IDS = 50
YEARS = range(2020, 2100)


class InstantField(Field):
    """A moment in ISO 8601 with its offset, as our own buttons carry it."""

    data: Any  # a datetime once the form is valid

    def process_formdata(self, values: Sequence[str]) -> None:
        self.data = instant_of(values[0]) if values else None
        if self.data is None:
            raise ValueError(_l("Выберите время ещё раз"))


class NonceField(HiddenField):
    """The name under which a hold is asked for: the same twice is the same hold. Anything odd becomes a fresh one."""

    def process_formdata(self, values: Sequence[str]) -> None:
        self.data = values[0] if values and A_TOKEN.fullmatch(values[0]) else new_token()


class HoldForm(FlaskForm):
    """A tapped time. The choices that led to it come along as they stand in an address (picker.choice_in)."""

    at = InstantField()
    nonce = NonceField()


class ContactsForm(FlaskForm):
    """Two fields, and a third for whoever wants letters. `more` is for robots: people do not see it."""

    name = StringField(_l("Имя"))
    phone = StringField(_l("Телефон"))
    email = StringField(_l("Email"))
    remember = BooleanField(_l("Запомнить меня на этом телефоне"))
    more = StringField(validators=[Length(max=0, message=_l("Оставьте это поле пустым"))])

    def __init__(self, point: ServicePoint, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = point

    def validate_name(self, field: StringField) -> None:
        if not (field.data or "").strip():
            raise ValidationError(_l("Введите имя"))
        field.data = or_refuse(field, text.name_of(field.data), _l("Введите имя буквами, не длиннее 80 знаков"))

    def validate_phone(self, field: StringField) -> None:
        """What was typed is shown again; what is kept is `customer_phone`."""
        self.customer_phone = or_refuse(
            field,
            text.phone_of(field.data or "", self.point.country),
            _l("Введите номер полностью — например, 067 123 45 67"),
        )

    def validate_email(self, field: StringField) -> None:
        self.customer_email = None
        if (field.data or "").strip():
            self.customer_email = or_refuse(
                field, text.email_of(field.data), _l("Проверьте адрес — например, anna@example.com")
            )


class PlateForm(FlaskForm):
    plate = StringField(_l("Госномер"))

    def validate_plate(self, field: StringField) -> None:
        field.data = or_refuse(
            field, text.plate_of(field.data or ""), _l("Введите номер буквами и цифрами, не длиннее 12 знаков")
        )


class EmailForm(FlaskForm):
    """Where a link is to be sent."""

    email = StringField(_l("Email"))

    def validate_email(self, field: StringField) -> None:
        field.data = or_refuse(
            field, text.email_of(field.data or ""), _l("Проверьте адрес — например, anna@example.com")
        )


def instant_of(value: str) -> datetime | None:
    """A moment in ISO 8601 with its offset, in UTC; None for anything else."""
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None or moment.year not in YEARS:
            return None
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def as_id(value: str) -> int | None:
    """An id of a row as digits; None for everything else that may stand in an address."""
    return int(value) if re.fullmatch(r"[0-9]{1,9}", value) else None


def or_refuse(field: Field, value: str | None, words: Any) -> str:
    """The value, or the refusal. What cannot even be shown again is not."""
    if value is None:
        if len(field.data or "") > 300 or text.fit(field.data or "") is None:
            field.data = ""
        raise ValidationError(words)
    return value

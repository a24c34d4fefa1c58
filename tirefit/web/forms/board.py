"""What the board's buttons send: where a booking goes, and which version of it was looked at."""

from datetime import datetime
from typing import Any

from flask import request
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, StringField, ValidationError

from tirefit.models import ServicePoint
from tirefit.web.forms import text
from tirefit.web.forms.public import NonceField, as_id, instant_of, or_refuse


class PlaceForm(FlaskForm):
    """One lit place: "2 2026-11-24T12:40:00+00:00", the post's number and the start."""

    place = StringField()
    tell = BooleanField()

    post_number: int
    starts_at: datetime

    def validate_place(self, field: StringField) -> None:
        number, _, moment = (field.data or "").partition(" ")
        post_number, starts_at = as_id(number), instant_of(moment)
        if post_number is None or starts_at is None:
            raise ValidationError(_l("Выберите место ещё раз"))
        self.post_number, self.starts_at = post_number, starts_at

    @property
    def tell_customer(self) -> bool | None:
        """As the box says; None (the rule decides) where there was no box."""
        return bool(self.tell.data) if "asks" in request.form else None


class WalkInForm(FlaskForm):
    """What may be known of a car at the gate, and need not be."""

    plate = StringField(_l("Госномер"))
    phone = StringField(_l("Телефон"))
    nonce = NonceField()

    customer_phone = ""

    def __init__(self, point: ServicePoint, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = point

    def validate_plate(self, field: StringField) -> None:
        if (field.data or "").strip():
            field.data = or_refuse(field, text.plate_of(field.data or ""), _l("Введите номер буквами и цифрами"))

    def validate_phone(self, field: StringField) -> None:
        if (field.data or "").strip():
            self.customer_phone = or_refuse(
                field, text.phone_of(field.data or "", self.point.country), _l("Введите номер полностью")
            )


def version_seen() -> int | None:
    """The version of the booking that the page showed. Without one (an old page), the last word wins."""
    value: Any = request.form.get("version", "")
    return as_id(value)

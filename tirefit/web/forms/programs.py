"""What a manager says about programs and sites."""

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import RadioField, StringField, TextAreaField, ValidationError
from wtforms.validators import Length

from tirefit.errors import OriginInvalid
from tirefit.sites import MOST, origin_of
from tirefit.tokens import LONGEST_NAME
from tirefit.web.forms import text
from tirefit.web.forms.public import or_refuse


class TokenForm(FlaskForm):
    """What a token is for, and how much it may."""

    name = StringField(_l("Для чего"))
    role = RadioField(_l("Что может"), choices=["staff", "manager"], default="staff")

    def validate_name(self, field: StringField) -> None:
        name = text.fit(field.data or "")
        field.data = or_refuse(
            field, name if name and len(name) <= LONGEST_NAME else None, _l("Назовите программу, не длиннее 80 знаков")
        )


class SitesForm(FlaskForm):
    """One address a line."""

    sites = TextAreaField(_l("Адреса сайтов, по одному в строке"), validators=[Length(max=4000)])

    @property
    def addresses(self) -> list[str]:
        return [line for line in (self.sites.data or "").split() if line]

    def validate_sites(self, field: Any) -> None:
        try:
            for address in self.addresses[: MOST + 1]:
                origin_of(address)
        except OriginInvalid:
            raise ValidationError(_l("Нужен адрес сайта, например https://shop.example")) from None
        if len(self.addresses) > MOST:
            raise ValidationError(_l("Не больше двадцати сайтов"))

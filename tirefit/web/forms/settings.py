"""A station's settings, a form for each section. Fields are called as the station's columns are."""

from typing import Any

from babel import Locale
from flask_babel import get_locale
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, HiddenField, SelectField, StringField, ValidationError

from tirefit.founding import currency_of
from tirefit.i18n import LANGUAGES
from tirefit.models import ServicePoint
from tirefit.web.forms import text
from tirefit.web.forms.founding import time_zones
from tirefit.web.forms.manage import Line, WholeNumber
from tirefit.web.forms.public import as_id, or_refuse

WEEK = 7 * 24 * 60  # minutes


class SettingsForm(FlaskForm):
    """`seen` is the revision that the page showed."""

    seen = HiddenField()

    def __init__(self, point: ServicePoint, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point = point
        for field in self:
            if isinstance(field, SelectField):
                field.choices = self.choices_of(field.name)

    @property
    def names(self) -> list[str]:
        return [field.name for field in self if field.name not in ("seen", "csrf_token")]

    @property
    def values(self) -> dict[str, Any]:
        """Once the form has been found valid."""
        return {name: self[name].data for name in self.names}

    @property
    def revision(self) -> int:
        return as_id(self.seen.data or "") or 0

    def choices_of(self, name: str) -> list[tuple[str, str]]:
        return []


class StationSettings(SettingsForm):
    name = Line(_l("Название станции"), 80)
    city = Line(_l("Город"), 60)
    address = Line(_l("Адрес"), 120)
    phone = StringField(_l("Телефон станции"))
    email = StringField(_l("Почта станции, для писем о записях"))
    time_zone = SelectField(_l("Часовой пояс"))
    active = BooleanField(_l("Принимает записи"))

    def choices_of(self, name: str) -> list[tuple[str, str]]:
        zones = time_zones()
        mine = [] if self.point.time_zone in zones else [self.point.time_zone]
        return [(zone, zone.replace("_", " ")) for zone in [*mine, *zones]]

    def validate_name(self, field: Line) -> None:
        if not any(map(str.isalnum, field.data)):
            raise ValidationError(_l("Введите название: его увидят клиенты"))

    def validate_phone(self, field: StringField) -> None:
        self.e164 = ""
        if (field.data or "").strip():
            found = text.phone_of(field.data or "", self.point.country)
            self.e164 = or_refuse(field, found, _l("Введите номер полностью — например, 067 123 45 67"))

    def validate_email(self, field: StringField) -> None:
        if (field.data or "").strip():
            found = text.email_of(field.data or "")
            field.data = or_refuse(field, found, _l("Проверьте адрес — например, anna@example.com"))

    @property
    def values(self) -> dict[str, Any]:
        return super().values | {"phone": self.e164, "email": self.email.data or None}


class BookingSettings(SettingsForm):
    hold_minutes = WholeNumber(_l("Сколько минут держим время, пока клиент пишет"), 5, 30, _l("Введите от 5 до 30"))
    horizon_days = WholeNumber(_l("На сколько дней вперёд открыта запись"), 1, 366, _l("Введите от 1 до 366"))
    lead_minutes = WholeNumber(_l("Не позже чем за столько минут до начала"), 0, WEEK, _l("Введите от 0 до 10080"))
    cancel_cutoff_minutes = WholeNumber(
        _l("Отменить и перенести онлайн можно не позже чем за столько минут"), 0, WEEK, _l("Введите от 0 до 10080")
    )
    max_open_bookings_per_contact = WholeNumber(_l("Записей на один телефон"), 1, 100, _l("Введите от 1 до 100"))
    auto_confirm = BooleanField(_l("Подтверждать записи сразу, без звонка"))


class LetterSettings(SettingsForm):
    send_reminders = BooleanField(_l("Напоминать клиентам за день и за два часа"))
    send_thanks = BooleanField(_l("Благодарить после визита"))
    review_url = Line(_l("Ссылка на отзывы, для письма с благодарностью"), 300)
    send_summary = BooleanField(_l("Вечером присылать станции сводку на завтра"))

    def validate_review_url(self, field: Line) -> None:
        if field.data and not field.data.startswith(("https://", "http://")):
            raise ValidationError(_l("Ссылка начинается с https://"))


class MoneySettings(SettingsForm):
    locale = SelectField(_l("Язык станции: писем и страниц для тех, кто не выбрал другой"))
    country = SelectField(_l("Страна: как читать телефоны, какие праздники"))
    currency = SelectField(_l("Валюта новых записей"))

    def choices_of(self, name: str) -> list[tuple[str, str]]:
        locale = get_locale() or Locale("ru")
        if name == "locale":
            return list(LANGUAGES.items())
        if name == "country":
            found = [(code, words) for code, words in locale.territories.items() if len(code) == 2 and code.isalpha()]
            return sorted(found, key=lambda each: str(each[1]))
        known = {currency_of(self.point.country), "UAH", "EUR", "PLN", "USD", "KZT", "MDL", "RON", "GBP"}
        return [
            (code, f"{code} · {locale.currencies.get(code, code)}") for code in sorted(known | {self.point.currency})
        ]

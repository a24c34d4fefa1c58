"""What is asked before a station's first bookable time: where it is, its posts, its hours."""

from typing import Any
from zoneinfo import available_timezones

from babel.core import get_global
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import SelectField, StringField, ValidationError

from tirefit.founding import MOST_POSTS, Place, country_of
from tirefit.schedule.slots import LONGEST, SHORTEST
from tirefit.web.forms import text
from tirefit.web.forms.account import NewPassword
from tirefit.web.forms.manage import Line, WholeNumber, Window, read_row
from tirefit.web.forms.public import or_refuse

HOME = "Europe/Kyiv"
GROUPS = {"week": range(5), "saturday": (5,), "sunday": (6,)}  # rows of the form → weekdays


def time_zones() -> list[str]:
    """Zones of real places, as the tz database names them."""
    known = available_timezones()
    return sorted(zone for zone in get_global("zone_territories") if zone in known and "/" in zone)


class StationForm(FlaskForm):
    """A station as it is first told of."""

    name = Line(_l("Название станции"), 80)
    city = Line(_l("Город"), 60)
    address = Line(_l("Адрес"), 120)
    phone = StringField(_l("Телефон станции"))
    time_zone = SelectField(_l("Часовой пояс"), default=HOME)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.time_zone.choices = [(zone, zone.replace("_", " ")) for zone in time_zones()]

    def validate_name(self, field: Line) -> None:
        if not any(map(str.isalnum, field.data)):
            raise ValidationError(_l("Введите название: его увидят клиенты"))

    def validate_phone(self, field: StringField) -> None:
        self.e164 = ""
        if (field.data or "").strip():
            found = text.phone_of(field.data or "", country_of(self.time_zone.data or HOME))
            self.e164 = or_refuse(field, found, _l("Введите номер полностью — например, 067 123 45 67"))

    @property
    def place(self) -> Place:
        """Once the form has been found valid."""
        return Place(self.name.data, self.city.data, self.address.data, self.e164, self.time_zone.data)


class FirstForm(StationForm):
    """The first station comes with the first admin, who can read the console."""

    code = Line(_l("Код установки"), 40)
    email = StringField(_l("Ваш email"))
    password = NewPassword(_l("Пароль"))

    def validate_email(self, field: StringField) -> None:
        field.data = or_refuse(
            field, text.email_of(field.data or ""), _l("Проверьте адрес — например, anna@example.com")
        )


class PostsForm(FlaskForm):
    count = WholeNumber(_l("Сколько постов"), 1, MOST_POSTS, _l("Введите число от 1 до 30"))
    minutes = WholeNumber(_l("Сколько минут занимает одна машина"), SHORTEST, LONGEST, _l("Введите от 5 до 480 минут"))


class HoursForm(FlaskForm):
    """Three rows; one left empty is closed."""

    week_from = StringField(_l("Пн–Пт, с"))
    week_to = StringField(_l("Пн–Пт, до"))
    saturday_from = StringField(_l("Суббота, с"))
    saturday_to = StringField(_l("Суббота, до"))
    sunday_from = StringField(_l("Воскресенье, с"))
    sunday_to = StringField(_l("Воскресенье, до"))

    windows: list[Window]

    def validate(self, extra_validators: Any = None) -> bool:
        fine = bool(super().validate(extra_validators))
        self.windows = []
        for group, weekdays in GROUPS.items():
            first, last = self[f"{group}_from"], self[f"{group}_to"]
            for field in (first, last):
                field.data = (text.fit(field.data or "") or "")[:8]
            try:
                self.windows += [(day, *span) for day in weekdays for span in read_row([first.data, last.data])]
            except ValueError as error:
                first.errors, fine = [error.args[0]], False
        if fine and not self.windows:
            self.week_from.errors, fine = [_l("Откройте хотя бы один день")], False
        return fine

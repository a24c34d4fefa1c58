"""Days unlike their weekdays, as a manager says it: from when to when, which posts, closed or at what hours."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import Field, HiddenField, SelectMultipleField, StringField, ValidationError

from tirefit.models import ServicePoint
from tirefit.web.forms.desk import day_of
from tirefit.web.forms.manage import FARTHEST, Line, read_row, showable

CLOSED, HOURS = "closed", "hours"
LONGEST_RANGE = 366  # days


class ExceptionForm(FlaskForm):
    """`hours` are from, to, and a break; `post` names posts, none of them means the whole station."""

    first = StringField(_l("С какого дня"))
    last = StringField(_l("По какой"))
    post = SelectMultipleField(_l("Какие посты"), validate_choice=False)
    how = StringField(_l("Как работаем"))
    reason = Line(_l("Причина"), 120)
    seen = HiddenField()

    first_day: date
    last_day: date

    def __init__(self, point: ServicePoint, today: date, typed: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.point, self.today = point, today
        for field in (self.first, self.last):  # what cannot be shown again is not
            if isinstance(field.data, str):
                field.data = showable(field.data[:12])
        self.typed = ([showable(text[:8]) for text in typed[:4]] + [""] * 4)[:4]
        self.windows: list[tuple[int, int]] = []

    @property
    def post_ids(self) -> list[int]:
        chosen = set(self.post.data or ())
        return [post.id for post in self.point.posts if str(post.post_number) in chosen]

    def validate_first(self, field: Field) -> None:
        found = day_of(field.data or "")
        if found is None or not self.today <= found <= self.today + FARTHEST:
            raise ValidationError(_l("Выберите дату от сегодня и не дальше двух лет"))
        self.first_day = self.last_day = found

    def validate_last(self, field: Field) -> None:
        first: date | None = getattr(self, "first_day", None)
        found = day_of(field.data) if field.data else first
        if first is None:
            return  # what is wrong with the first day is said there
        if found is None or not 0 <= (found - first).days < LONGEST_RANGE:
            raise ValidationError(_l("Последний день — не раньше первого и не позже чем через год"))
        self.last_day = found

    def validate_post(self, field: Field) -> None:
        if len(self.post_ids) < len(set(field.data or ())):
            raise ValidationError(_l("Такого поста нет"))

    def validate_how(self, field: Field) -> None:
        if field.data not in (CLOSED, HOURS):
            raise ValidationError(_l("Выберите: закрыто или другие часы"))
        if field.data == HOURS:
            try:
                self.windows = read_row(self.typed)
            except ValueError as error:
                raise ValidationError(error.args[0]) from None
            if not self.windows:
                raise ValidationError(_l("Укажите и начало, и конец дня"))

"""What a station's manager sends: a post, a week, a day off. Forms check shape, the domain decides the rest."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    Field,
    HiddenField,
    RadioField,
    SelectChoice,
    SelectMultipleField,
    StringField,
    ValidationError,
)

from tirefit.models import CarType, ScheduleTemplate, Service, ServicePost
from tirefit.schedule.changes import Abilities
from tirefit.schedule.holidays import Suggestion
from tirefit.schedule.slots import LONGEST, SHORTEST
from tirefit.schedule.subjects import state_of_post
from tirefit.web.forms.text import fit

CHIPS = (20, 30, 40, 45, 60)  # minutes that most posts have
OTHER = "other"
BREAKS = 2  # a day has room for, and for as many as it already has
FARTHEST = timedelta(days=730)
SCOPE = ("valid_from", "valid_until", "post", "priority")

Window = tuple[int, int, int]  # weekday, opens, closes


class WholeNumber(Field):
    """Digits. What was typed instead is shown again."""

    data: int | str

    def __init__(self, label: Any, lowest: int, highest: int, message: Any, **kwargs: Any) -> None:
        super().__init__(label, **kwargs)
        self.lowest, self.highest, self.message = lowest, highest, message

    def process_formdata(self, values: Sequence[str]) -> None:
        typed = (values[0] if values else "").strip()
        self.data = int(typed) if re.fullmatch(r"[0-9]{1,9}", typed) else showable(typed[:20])

    def pre_validate(self, form: FlaskForm) -> None:
        if not isinstance(self.data, int) or not self.lowest <= self.data <= self.highest:
            raise ValidationError(self.message)


class Line(StringField):
    """One line of text that can be kept and shown."""

    data: str

    def __init__(self, label: Any, longest: int, **kwargs: Any) -> None:
        super().__init__(label, **kwargs)
        self.longest = longest

    def pre_validate(self, form: FlaskForm) -> None:
        line = fit(self.data or "")
        if line is None or len(line) > self.longest:
            self.data = "" if line is None else line[: self.longest]
            raise ValidationError(_l("Одна строка обычного текста, не длиннее %(count)s знаков", count=self.longest))
        self.data = line


class FirstPostsForm(FlaskForm):
    """How many posts a station has to begin with, and how long a slot of each is."""

    count = WholeNumber(_l("Сколько постов на станции?"), 1, 30, _l("Введите число от 1 до 30"))
    minutes = WholeNumber(_l("Длительность слота, минут"), SHORTEST, LONGEST, _l("Введите от 5 до 480 минут"))


class Wheel(WholeNumber):
    """Inches; nothing typed: any."""

    data: int | str | None  # type: ignore[assignment]

    def __init__(self, label: Any, **kwargs: Any) -> None:
        super().__init__(label, 8, 40, _l("Введите диаметр от 8 до 40 дюймов или оставьте пусто"), **kwargs)

    def process_formdata(self, values: Sequence[str]) -> None:
        if not (values and values[0].strip()):
            self.data = None
        else:
            super().process_formdata(values)

    def pre_validate(self, form: FlaskForm) -> None:
        if self.data is not None:
            super().pre_validate(form)


class PostForm(FlaskForm):
    """A post. `seen` is what its fields held when the page was made: two people do not overwrite each other.

    All types of car ticked mean: whatever comes, also types that are added later; and so with services.
    """

    post_number = WholeNumber(_l("Номер"), 1, 999, _l("Введите номер от 1 до 999"))
    name = Line(_l("Название"), 60)
    slot = RadioField(
        _l("Длительность слота, минут"),
        choices=[*(SelectChoice(str(minutes)) for minutes in CHIPS), SelectChoice(OTHER, _l("другая"))],
        validate_choice=False,
    )
    slot_other = StringField(_l("Сколько минут"))
    description = Line(_l("Что обслуживает"), 120)
    active = BooleanField(_l("Принимает онлайн-запись"))
    car = SelectMultipleField(_l("Какие машины принимает"), validate_choice=False)
    job = SelectMultipleField(_l("Какие работы делает"), validate_choice=False)
    largest_wheel = Wheel(_l("Колёса до, дюймов"))
    from_day = StringField(_l("Применить длительность с"))
    names_abilities = HiddenField()  # a form without it says nothing of what the post can take
    seen = HiddenField()

    def __init__(self, cars: Sequence[CarType], services: Sequence[Service], today: date, **kwargs: Any) -> None:
        self.cars, self.services, self.today = cars, services, today
        super().__init__(**kwargs)
        self.car.data, self.job.data = self.car.data or [], self.job.data or []

    @property
    def abilities(self) -> Abilities | None:
        """None: the form does not ask, the post takes what it took."""
        if not self.names_abilities.data:
            return None
        return Abilities(
            _named(self.car.data, [each.id for each in self.cars]),
            _named(self.job.data, [each.id for each in self.services]),
            self.largest_wheel.data if isinstance(self.largest_wheel.data, int) else None,
        )

    @property
    def begins(self) -> date | None:
        """The day from which the length shall hold; None: at once."""
        return _date_of(self.from_day.data or "")

    def validate_car(self, field: Field) -> None:
        if self._lacks(field, self.cars):
            raise ValidationError(_l("Отметьте хотя бы один тип машины"))

    def validate_job(self, field: Field) -> None:
        if self._lacks(field, self.services):
            raise ValidationError(_l("Отметьте хотя бы одну работу"))

    def _lacks(self, field: Field, offered: Sequence[CarType] | Sequence[Service]) -> bool:
        ticked = set(field.data or ())
        return bool(self.names_abilities.data and offered) and not any(str(each.id) in ticked for each in offered)

    def validate_from_day(self, field: Field) -> None:
        field.data = showable(str(field.data or "")[:12]).strip()
        begins = self.begins
        if field.data and (begins is None or not self.today <= begins <= self.today + FARTHEST):
            raise ValidationError(_l("Выберите дату от сегодня и не дальше двух лет"))

    @property
    def slot_duration(self) -> int:
        """Minutes, once the form has been found valid."""
        return int(self.slot_other.data if self.slot.data == OTHER else self.slot.data)

    def validate_slot(self, field: Field) -> None:
        self.slot_other.data = showable(str(self.slot_other.data or "")[:20])
        typed = str((self.slot_other.data if field.data == OTHER else field.data) or "").strip()
        if not re.fullmatch(r"[0-9]{1,4}", typed) or not SHORTEST <= int(typed) <= LONGEST:
            raise ValidationError(_l("Введите от %(low)s до %(high)s минут", low=SHORTEST, high=LONGEST))

    @classmethod
    def of(cls, post: ServicePost, cars: Sequence[CarType], services: Sequence[Service], today: date) -> "PostForm":
        minutes = post.next_slot_duration or post.slot_duration
        slot = str(minutes) if minutes in CHIPS else OTHER
        return cls(
            cars,
            services,
            today,
            formdata=None,
            data={
                "post_number": post.post_number,
                "name": post.name,
                "slot": slot,
                "slot_other": minutes if slot == OTHER else "",
                "from_day": post.next_from.isoformat() if post.next_from else "",
                "car": _ticked([row.car_type_id for row in post.car_types], [each.id for each in cars]),
                "job": _ticked([row.service_id for row in post.services], [each.id for each in services]),
                "largest_wheel": post.largest_wheel,
                "description": post.description,
                "active": post.active,
                "seen": seen(post),
            },
        )


def seen(post: ServicePost) -> str:
    state = state_of_post(post)
    return "|".join(str(state[name]) for name in sorted(state))


def _named(ticked: Sequence[str] | None, offered: Sequence[int]) -> tuple[int, ...]:
    """The ids that a post names; all that are offered: none, it takes whatever comes."""
    found = tuple(id for id in offered if str(id) in set(ticked or ()))
    return () if len(found) == len(offered) else found


def _ticked(named: Sequence[int], offered: Sequence[int]) -> list[str]:
    return [str(id) for id in offered if not named or id in named]


class WeekForm:
    """A week as people write it: from, to, and breaks for each weekday; an empty row is a day off.

    Not a WTForms form: its fields are a table. `rows[weekday]` holds what was typed, `errors[weekday]` what is wrong.
    """

    def __init__(self, name: str, rows: list[list[str]], seen: str) -> None:
        self.name, self.rows, self.seen = name, rows, seen
        self.errors: dict[int, Any] = {}
        self.name_error: Any = None
        self.scope, self.scope_error = Scope(), None
        self.windows: list[Window] = []

    @classmethod
    def of(cls, template: ScheduleTemplate | None, name: str) -> "WeekForm":
        windows = [(w.weekday, w.opens, w.closes) for w in template.windows] if template else []
        form = cls(template.name if template else name, rows_of(windows), week_seen(windows, template))
        form.windows = windows
        if template is not None:
            form.scope = Scope.of(template)
        return form

    @classmethod
    def read(cls, sent: Any) -> "WeekForm":
        scope = Scope(
            *(showable(sent.get(name, "")[:12]) for name in ("valid_from", "valid_until", "post", "priority"))
        )
        rows = [[showable(typed[:8]) for typed in sent.getlist(f"day{weekday}")[:12]] for weekday in range(7)]
        whole = [row + [""] * (2 + 2 * BREAKS - len(row)) for row in rows]
        form = cls(sent.get("name", ""), whole, sent.get("seen", ""))
        form.scope = scope
        return form

    def validate(self) -> bool:
        try:
            self.scope.check()
        except ValueError as error:
            self.scope_error = error.args[0]
        line = fit(self.name)
        if not line or len(line) > 60:
            self.name_error = _l("Введите название, не длиннее 60 знаков")
        self.name = (line or "")[:60]
        for weekday, row in enumerate(self.rows):
            try:
                self.windows += [(weekday, opens, closes) for opens, closes in read_row(row)]
            except ValueError as error:
                self.errors[weekday] = error.args[0]
        return self.is_valid

    @property
    def is_valid(self) -> bool:
        return not self.errors and self.name_error is None and self.scope_error is None


@dataclass
class Scope:
    """When a week rules and for which post, as it was typed: dates (none: all year), a post's number (none: all posts),
    and which of two plans for the same days is stronger.
    """

    valid_from: str = ""
    valid_until: str = ""
    post: str = ""
    priority: str = "0"

    @classmethod
    def of(cls, template: ScheduleTemplate) -> "Scope":
        first, last = (day.isoformat() if day else "" for day in (template.valid_from, template.valid_until))
        return cls(first, last, str(template.service_post_id or ""), str(template.priority))

    def check(self) -> None:
        """Raises ValueError with words."""
        first, last = self.dates
        if (self.valid_from and first is None) or (self.valid_until and last is None):
            raise ValueError(_l("Введите даты сезона"))
        if first and last and last < first:
            raise ValueError(_l("Сезон кончается раньше, чем начинается"))
        if not re.fullmatch(r"[0-9]{0,9}", self.post) or not re.fullmatch(r"[0-9]?", self.priority):
            raise ValueError(_l("Важность — число от 0 до 9"))

    @property
    def dates(self) -> tuple[date | None, date | None]:
        return _date_of(self.valid_from), _date_of(self.valid_until)

    @property
    def post_id(self) -> int | None:
        return int(self.post) if self.post else None


def _date_of(text: str) -> date | None:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return None
    return found if 2000 <= found.year < 2100 else None


def showable(typed: str) -> str:
    """What cannot be shown again must not become an empty field either: that would be a day off."""
    return "?" if fit(typed) is None else typed


def read_row(row: Sequence[str]) -> list[tuple[int, int]]:
    """The windows of one day out of what was typed for it. Raises ValueError with words."""
    typed = [text.strip() for text in row]
    if not any(typed):
        return []
    times = [read_time(text) if text else None for text in typed]
    opens, closes, rest = times[0], times[1], times[2:]
    if opens is None or closes is None:
        raise ValueError(_l("Укажите и начало, и конец дня"))
    if opens >= 24 * 60:
        raise ValueError(_l("День начинается до полуночи"))
    if closes <= opens:
        raise ValueError(_l("Конец раньше начала. Если работаете за полночь, пишите 26:00 вместо 02:00"))
    breaks = []
    for start, end in zip(rest[::2], rest[1::2], strict=False):
        if start is None and end is None:
            continue
        if start is None or end is None:
            raise ValueError(_l("Укажите и начало, и конец перерыва"))
        if end <= start:
            raise ValueError(_l("Перерыв кончается раньше, чем начинается"))
        breaks.append((start, end))
    windows = []
    for start, end in sorted(breaks):
        if start <= opens or end >= closes:
            raise ValueError(_l("Перерыв пересекается с другим или выходит за часы работы"))
        windows.append((opens, start))
        opens = end
    return [*windows, (opens, closes)]


def read_time(typed: str) -> int:
    """8:00, 08.00, 0800, 8 → minutes after midnight; up to 48:00, for work past midnight."""
    found = re.fullmatch(r"([0-9]{1,2})(?:[:.\-]?([0-9]{2}))?", typed)
    if not found or int(found[1]) > 48 or int(found[2] or 0) > 59 or int(found[1]) * 60 + int(found[2] or 0) > 2880:
        raise ValueError(_l("Введите время как 08:00"))
    return int(found[1]) * 60 + int(found[2] or 0)


def rows_of(windows: Iterable[Window]) -> list[list[str]]:
    """The other way round: from, to, then the gaps between windows as breaks."""
    rows = []
    for weekday in range(7):
        day = sorted((opens, closes) for found, opens, closes in windows if found == weekday)
        row = [day[0][0], day[-1][1]] if day else []
        for (_opens, closes), (opens, _closes) in pairwise(day):
            row += [closes, opens]
        typed = [f"{minute // 60:02d}:{minute % 60:02d}" for minute in row]
        rows.append(typed + [""] * (2 + 2 * BREAKS - len(typed)))
    return rows


def week_seen(windows: Iterable[Window], template: ScheduleTemplate | None = None) -> str:
    hours = ",".join(f"{day}-{opens}-{closes}" for day, opens, closes in sorted(windows))
    if template is None or Scope.of(template) == Scope():
        return hours
    return f"{hours} {template.valid_from} {template.valid_until} {template.service_post_id} {template.priority}"


class HolidaysForm(FlaskForm):
    """Which of the suggested holidays the station is to be closed on. `seen`: what the preview said that touches."""

    day = SelectMultipleField(_l("Праздники"), validate_choice=False)
    seen = HiddenField()

    def __init__(self, offered: Sequence[Suggestion], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.offered = offered

    @property
    def ticked(self) -> list[date]:
        """Those of the ticked days that are not settled yet."""
        sent = set(self.day.data or ())
        return [each.day for each in self.offered if each.day.isoformat() in sent and not each.is_settled]

    @property
    def reasons(self) -> dict[date, str]:
        ticked = set(self.day.data or ())
        return {each.day: each.name for each in self.offered if each.day.isoformat() in ticked}

    def validate_day(self, field: Field) -> None:
        if not self.reasons:
            raise ValidationError(_l("Отметьте хотя бы один день"))
        if len(self.reasons) < len(set(field.data)):
            raise ValidationError(_l("Этих дней в списке нет. Отметьте дни заново"))

"""What the manager's desk is asked for and sends: which bookings to show, and a booking taken by phone."""

from datetime import date, datetime
from typing import Any

from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import MultiDict
from wtforms import StringField, ValidationError

from tirefit.finding import STATUS_FILTERS, Wanted
from tirefit.models import SOURCES, ServicePoint
from tirefit.schedule.windows import instant
from tirefit.web.forms import text
from tirefit.web.forms.manage import read_time
from tirefit.web.forms.public import ContactsForm, NonceField, as_id, instant_of, or_refuse
from tirefit.web.forms.text import fit

LONGEST_SEARCH = 80
OTHER = "other"


def read_wanted(point: ServicePoint, values: MultiDict[str, str]) -> Wanted:
    """The question in an address. What makes no sense there filters nothing."""
    number = as_id(values.get("post", ""))
    status, source = values.get("status", ""), values.get("source", "")
    return Wanted(
        text=(fit(values.get("q", "")[:LONGEST_SEARCH]) or ""),
        first_day=day_of(values.get("from", "")),
        last_day=day_of(values.get("to", "")),
        status=status if status in STATUS_FILTERS else "",
        post_id=next((post.id for post in point.posts if post.post_number == number), None),
        source=source if source in SOURCES else "",
        oldest_first=values.get("sort") == "oldest",
    )


def query_of(point: ServicePoint, wanted: Wanted) -> dict[str, Any]:
    """The same the other way round: what an address says."""
    number = next((post.post_number for post in point.posts if post.id == wanted.post_id), None)
    query = {
        "q": wanted.text,
        "from": wanted.first_day,
        "to": wanted.last_day,
        "status": wanted.status,
        "post": number,
        "source": wanted.source,
        "sort": "oldest" if wanted.oldest_first else "",
    }
    return {name: value for name, value in query.items() if value}


def day_of(value: str) -> date | None:
    """2026-11-24, in this century; None for anything else."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return None
    return day if 2000 <= day.year < 2100 else None


class PhoneForm(ContactsForm):
    """A booking that is taken by phone. `at` is a time that was offered, or "other": then `time` and `post` say it."""

    at = StringField(_l("Время"))
    time = StringField(_l("Другое время"))
    post = StringField(_l("Пост"))
    plate = StringField(_l("Госномер"))
    notes = StringField(_l("Заметка"))
    nonce = NonceField()

    starts_at: datetime | None = None
    post_number: int | None = None

    def __init__(self, point: ServicePoint, day: date, **kwargs: Any) -> None:
        super().__init__(point, **kwargs)
        self.day = day

    def validate_at(self, field: StringField) -> None:
        if field.data != OTHER:
            self.starts_at = instant_of(field.data or "")
            if self.starts_at is None:
                raise ValidationError(_l("Выберите время"))
            return
        self.post_number = as_id(self.post.data or "")
        self.starts_at = moment_of(self.point, self.day, (self.time.data or "").strip())
        if self.starts_at is None:
            raise ValidationError(_l("Введите время как 14:20"))

    def validate_plate(self, field: StringField) -> None:
        if (field.data or "").strip():
            field.data = or_refuse(field, text.plate_of(field.data or ""), _l("Введите номер буквами и цифрами"))

    def validate_notes(self, field: StringField) -> None:
        if (field.data or "").strip():
            field.data = or_refuse(field, text.fit((field.data or "")[:300]), _l("Одна строка обычного текста"))


def moment_of(point: ServicePoint, day: date, wall: str) -> datetime | None:
    """14:20 of that day by the station's clock; None for anything else."""
    try:
        minute = read_time(wall)
    except ValueError:
        return None
    return instant(point.time_zone, day, minute) if wall and minute < 24 * 60 else None

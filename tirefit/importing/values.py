"""Values of the old system, as its database or its export writes them. What cannot be read is None."""

import json
import re
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
LATIN = dict(zip("абвгґдезиійклмнопрстуфыэ", "abvggdeziijklmnoprstufye", strict=True))
LATIN |= {"ё": "e", "є": "ye", "ж": "zh", "ї": "yi", "х": "kh", "ц": "ts", "ч": "ch", "ш": "sh", "щ": "shch"}
LATIN |= {"ъ": "", "ь": "", "ю": "yu", "я": "ya"}
TRUE, FALSE = {"1", "t", "true", "yes", "y", "да"}, {"0", "f", "false", "no", "n", "нет"}


def first(row: dict[str, Any], *names: str) -> Any:
    """The first of these columns that says anything."""
    return next((row[name] for name in names if row.get(name) is not None), None)


def whole(value: Any) -> int | None:
    try:
        return int(str(value).strip()) if value is not None and not isinstance(value, bool) else None
    except ValueError:
        return None


def truth(value: Any, otherwise: bool) -> bool:
    word = str(value).strip().lower()
    return True if word in TRUE else False if word in FALSE else otherwise


def money(value: Any) -> int | None:
    """In minor units: "1 200,50" → 120050."""
    if value is None:
        return None
    try:
        amount = Decimal(re.sub(r"[\s\u00a0]", "", str(value)).replace(",", "."))
        return int(amount * 100) if 0 <= amount < 10**7 else None
    except InvalidOperation:
        return None


def day(value: Any) -> date | None:
    """2026-11-24 or 24.11.2026."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    text = str(value or "").strip()[:10]
    for form in ("%Y-%m-%d", "%d.%m.%Y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 (a day has no zone)
        except ValueError:
            continue
    return None


def minute(value: Any) -> int | None:
    """Minutes after midnight of "9:30", "09:30:00", a time, or an old Rails time ("2000-01-01 09:30:00")."""
    if isinstance(value, timedelta):
        return int(value.total_seconds()) // 60
    if isinstance(value, datetime | time):
        return value.hour * 60 + value.minute
    found = re.search(r"(?:^|[ T])(\d{1,2}):(\d{2})", str(value or "").strip())
    if not found or not (int(found[1]) < 24 or (found[1], found[2]) == ("24", "00")) or int(found[2]) > 59:
        return None
    return int(found[1]) * 60 + int(found[2])


def weekday(value: Any) -> int | None:
    """Monday is 0: by name, or as Ruby counts (0 is Sunday, 7 too)."""
    word = str(value if value is not None else "").strip().lower()
    if word in WEEKDAYS:
        return WEEKDAYS.index(word)
    number = whole(value)
    return (number - 1) % 7 if number is not None and 0 <= number <= 7 else None


def structure(value: Any) -> Any:
    """JSON, as a column of it or as text; None for anything else."""
    if isinstance(value, dict | list):
        return value
    try:
        return json.loads(value) if isinstance(value, str) else None
    except ValueError:
        return None


def slug(name: str) -> str:
    latin = "".join(LATIN.get(sign, sign) for sign in name.lower())
    return re.sub(r"[^a-z0-9]+", "-", latin).strip("-")[:60] or "station"

"""What templates say about times, money and people, in the reader's language and on the station's clock."""

import re
from datetime import date, datetime
from typing import Any
from urllib.parse import urlencode

import phonenumbers
from babel.dates import format_date
from babel.numbers import format_decimal, get_currency_precision
from flask import Flask
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from tirefit import clock, i18n
from tirefit.booking.durations import Breakdown, WheelSizes
from tirefit.models import Booking, ServicePoint
from tirefit.schedule.availability import Day
from tirefit.schedule.windows import local_day, local_time

NBSP = "\N{NO-BREAK SPACE}"
SIGNS = {"UAH": "₴", "RUB": "₽", "KZT": "₸", "BYN": "Br", "PLN": "zł", "EUR": "€", "USD": "$", "GBP": "£"}

CANCEL_REASONS = {
    "plans": _l("Планы изменились"),
    "elsewhere": _l("Сделаю в другом месте"),
    "car": _l("Машина не на ходу"),
    "mistake": _l("Запись сделана по ошибке"),
    "other": _l("Другая причина"),
}


def init_app(app: Flask) -> None:
    for show in (
        station_time,
        station_date,
        station_date_short,
        station_day,
        station_day_name,
        short_day,
        weekday_day,
        day_of_week,
        clock_time,
        station_moment,
        station_iso,
        month_name,
        month_title,
        short_month,
        month_key,
        weekday_name,
        tread_of,
        route_link,
        sentence,
        money,
        amount,
        booking_state,
        moment,
        day_of,
        minutes,
        duration,
        breakdown,
        wheels,
        phone,
        in_my_language,
        cancel_reason,
        tyre_month,
        without_phones,
    ):
        app.add_template_filter(show)


def station_time(moment: datetime, point: ServicePoint) -> str:
    """14:20. On the night when the clock goes back and 03:30 comes twice, with the offset."""
    local = local_time(point.time_zone, moment)
    if local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset():
        return f"{local:%H:%M (UTC%z)}"
    return f"{local:%H:%M}"


def station_date(day: date | datetime, point: ServicePoint | None = None) -> str:
    """вторник, 24 ноября"""
    return format_date(_day(day, point), "EEEE, d MMMM", locale=i18n.language())


def station_date_short(day: date | datetime, point: ServicePoint | None = None) -> str:
    """вт, 24 ноября"""
    return format_date(_day(day, point), "EEE, d MMMM", locale=i18n.language())


def station_day_name(day: date, point: ServicePoint) -> str:
    """Сегодня, завтра, else the short name of the weekday."""
    ahead = (day - local_day(point.time_zone, clock.now())).days
    if ahead in (0, 1):
        return str(_("Завтра") if ahead else _("Сегодня"))
    return weekday_name(day)


def station_day(moment: datetime, point: ServicePoint) -> date:
    return local_day(point.time_zone, moment)


def short_day(day: date) -> str:
    """24 ноября"""
    return format_date(day, "d MMMM", locale=i18n.language())


def weekday_day(day: date) -> str:
    """Вт 24"""
    return sentence(format_date(day, "EEE d", locale=i18n.language()))


def day_of_week(weekday: int) -> str:
    """Пн for 0, …, Вс for 6"""
    return sentence(format_date(date(2024, 1, 1 + weekday), "EEE", locale=i18n.language()))  # that 1st was a Monday


def clock_time(minute: int) -> str:
    """Minutes after midnight as 09:00; what goes past midnight as 26:00, like in the form."""
    return f"{minute // 60:02d}:{minute % 60:02d}"


def station_moment(moment: datetime, point: ServicePoint) -> str:
    """сегодня в 14:20, завтра в 14:20, else «чт, 26 ноября, 14:20»"""
    time = station_time(moment, point)
    ahead = (local_day(point.time_zone, moment) - local_day(point.time_zone, clock.now())).days
    if ahead == 0:
        return str(_("сегодня в %(time)s", time=time))
    if ahead == 1:
        return str(_("завтра в %(time)s", time=time))
    return f"{station_date_short(moment, point)}, {time}"


def station_iso(moment: datetime, point: ServicePoint) -> str:
    """2026-11-24T14:20+02:00: how forms carry an instant, whole and readable."""
    return local_time(point.time_zone, moment).isoformat(timespec="minutes")


def month_name(day: date) -> str:
    """ноября (as in «24 ноября»)"""
    return format_date(day, "MMMM", locale=i18n.language())


def month_title(day: date) -> str:
    """ноябрь 2026"""
    return format_date(day, "LLLL y", locale=i18n.language())


def short_month(day: date) -> str:
    """ноя: what fits over a twelfth of a strip"""
    return format_date(day, "LLL", locale=i18n.language()).rstrip(".")


def month_key(day: date) -> str:
    """2026-11, as addresses carry it"""
    return f"{day:%Y-%m}"


def weekday_name(day: date) -> str:
    """Пн"""
    return sentence(format_date(day, "EEE", locale=i18n.language()))


def tread_of(day: Day) -> int:
    """How much of a day is left, in blocks of the tread: 0 to 5."""
    return -(-5 * len(day.times) // day.offered) if day.offered else 0


def route_link(point: ServicePoint) -> str:
    """To the station on the map that the phone opens such links with."""
    place = ", ".join(part for part in (point.name, point.city, point.address) if part)
    return "https://www.google.com/maps/dir/?" + urlencode({"api": 1, "destination": place})


def sentence(text: str) -> str:
    """With a capital first letter, the rest as it is."""
    return text[:1].upper() + text[1:]


def money(amount: int, currency: str) -> str:
    """1 450 ₴ (minor units in, whole units shown as whole)"""
    scale = get_currency_precision(currency)
    whole = amount % 10**scale == 0
    digits = format_decimal(amount / 10**scale, "#,##0" if whole else f"#,##0.{'0' * scale}", locale=i18n.language())
    sign = SIGNS.get(currency, currency)
    return f"{sign}{digits}" if i18n.language() == "en" and len(sign) == 1 else f"{digits}{NBSP}{sign}"


def amount(minor: int, currency: str) -> float:
    """1450 or 1450.5: money as forms and files have it, without its sign."""
    scale: int = 10 ** get_currency_precision(currency)
    return minor // scale if minor % scale == 0 else minor / scale


def moment(iso: str) -> datetime:
    """A moment as traces keep it."""
    return datetime.fromisoformat(iso)


def day_of(iso: str) -> date:
    """A date as runs keep it."""
    return date.fromisoformat(iso)


def booking_state(status: str) -> str:
    """How a booking of that status looks, whatever the clock adds to it: a name that board/_words.html knows."""
    same = {"confirmed": "booked", "in_progress": "work", "completed": "done", "no_show": "noshow"}
    return "cancelled" if status.startswith("cancelled") else same.get(status, status)


def minutes(count: int) -> str:
    """50 мин"""
    return str(_("%(count)s мин", count=count)).replace(" ", NBSP)


def duration(count: int) -> str:
    """24 мин, 2 ч, 1 ч 30 мин"""
    hours, rest = divmod(count, 60)
    parts = [_("%(count)s ч", count=hours)] if hours else []
    parts += [_("%(count)s мин", count=rest)] if rest or not hours else []
    return " ".join(parts).replace(" ", NBSP)


def breakdown(visit: Breakdown | Booking) -> str:
    """Of what the minutes of a visit are the sum; nothing where they are of one thing.

    35 мин = 30 + 5 за R18; 80 мин = Сезонная переобувка 40 + Балансировка 30 + 10 за R18
    """
    lines = [(in_my_language(line.names), line.minutes) for line in visit.lines]
    parts = [f"{name} {count}" if len(lines) > 1 else str(count) for name, count in lines]
    if visit.wheel_minutes:
        parts.append(str(_("%(count)s за R%(inches)s", count=visit.wheel_minutes, inches=visit.wheel_inches)))
    total = minutes(sum(count for _name, count in lines) + visit.wheel_minutes)
    return f"{total} = {' + '.join(parts)}" if len(parts) > 1 else ""


def wheels(sizes: WheelSizes) -> str:
    """до R15, R16–17, R18+"""
    if sizes.first is None:
        return str(_("до R%(inches)s", inches=sizes.last))
    if sizes.last is None:
        return f"R{sizes.first}+"
    return f"R{sizes.first}" if sizes.first == sizes.last else f"R{sizes.first}–{sizes.last}"


def phone(number: str, point: ServicePoint) -> str:
    """As people of the station's country write it; numbers of other countries with their code."""
    try:
        parsed = phonenumbers.parse(number, point.country)
    except phonenumbers.NumberParseException:
        return number
    at_home = phonenumbers.region_code_for_number(parsed) == point.country
    style = phonenumbers.PhoneNumberFormat
    return phonenumbers.format_number(parsed, style.NATIONAL if at_home else style.INTERNATIONAL).replace(" ", NBSP)


def in_my_language(names: dict[str, Any] | None) -> str:
    """Data that carries its own translations: {"ru": …, "uk": …, "en": …}. What is missing is shown in Russian."""
    names = names or {}
    return str(names.get(i18n.language()) or names.get(i18n.DEFAULT) or next(iter(names.values()), ""))


def cancel_reason(reason: str) -> str:
    """The words of a reason that customers choose from a list; what the station's people wrote, as it stands."""
    return str(CANCEL_REASONS.get(reason, reason))


def tyre_month(day: date) -> int:
    """In which month tyres are changed next, after a change on that day: April, or October."""
    return 10 if 2 <= day.month <= 7 else 4


def without_phones(text: str) -> str:
    """What a customer wrote, for a screen that everybody in the hall can read: long numbers are left out."""
    return re.sub(r"\+?\d(?:[\s().-]*\d){6,}", "…", text)


def _day(day: date | datetime, point: ServicePoint | None) -> date:
    if not isinstance(day, datetime):
        return day
    if point is None:
        raise TypeError("an instant has a date only on a station's clock")
    return local_day(point.time_zone, day)

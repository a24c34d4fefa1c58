"""The journal in words: what was done, and from what to what. A new event, kind or part is one line here."""

import json
from datetime import date
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from tirefit.audit import BOOKINGS, CUSTOMER, Line
from tirefit.models import ServicePoint
from tirefit.schedule.windows import local_day
from tirefit.web import filters
from tirefit.web.forms.public import instant_of

KINDS = {
    BOOKINGS: _l("Записи"),
    "post": _l("Посты"),
    "template": _l("Часы работы"),
    "exception": _l("Выходные и особые дни"),
    "bay": _l("Планшеты"),
    "service": _l("Услуги и цены"),
    "user": _l("Сотрудники"),
    "token": _l("Токены программ"),
    "sites": _l("Сайты"),
    "station": _l("Настройки станции"),
    "letter": _l("Письма"),
    "feed": _l("Календари"),
    "export": _l("Выгрузки в файл"),
    "webhook": _l("Вебхуки"),
    "import": _l("Из прежней системы"),
}

EVENTS = {
    # of bookings: `thing` is the plate, else the name
    "created": _l("новая запись %(thing)s"),
    "walked_in": _l("%(thing)s принят без записи"),
    "confirm": _l("запись %(thing)s подтверждена"),
    "arrive": _l("%(thing)s приехал"),
    "start": _l("работа с %(thing)s начата"),
    "complete": _l("работа с %(thing)s закончена"),
    "no_show": _l("%(thing)s не приехал"),
    "cancel_by_customer": _l("запись %(thing)s отменена клиентом"),
    "cancel_by_station": _l("запись %(thing)s отменена станцией"),
    "restore_by_customer": _l("запись %(thing)s возвращена клиентом"),
    "restore_by_station": _l("запись %(thing)s возвращена станцией"),
    "undo": _l("последний шаг с %(thing)s отменён"),
    "rescheduled": _l("запись %(thing)s перенесена"),
    "adjusted": _l("запись %(thing)s перемещена"),
    "extended": _l("работа с %(thing)s продлена"),
    "problem": _l("у %(thing)s проблема"),
    "problem_solved": _l("проблема с %(thing)s решена"),
    "late": _l("%(thing)s предупредил об опоздании"),
    "plate_set": _l("указан госномер %(thing)s"),
    "email_set": _l("указана почта для %(thing)s"),
    "link_renewed": _l("новая ссылка для %(thing)s"),
    "phone_shown": _l("открыт телефон %(thing)s"),
    "delay_told": _l("%(thing)s сообщили о задержке"),
    "forgotten": _l("данные клиента записи %(thing)s удалены"),
    "come": _l("%(thing)s подтвердил, что приедет"),
    "reminders_off": _l("%(thing)s отказался от напоминаний"),
    "reminders_on": _l("%(thing)s снова хочет напоминания"),
    # of both
    "letter_resent": _l("письмо отправлено ещё раз: %(thing)s"),
    # of everything else
    "post_created": _l("пост «%(thing)s» добавлен"),
    "post_changed": _l("пост «%(thing)s» изменён"),
    "post_deleted": _l("пост «%(thing)s» удалён"),
    "template_created": _l("неделя «%(thing)s» добавлена"),
    "template_changed": _l("неделя «%(thing)s» изменена"),
    "template_deleted": _l("неделя «%(thing)s» удалена"),
    "exception_created": _l("особый день %(thing)s добавлен"),
    "exception_changed": _l("особый день %(thing)s изменён"),
    "exception_deleted": _l("особый день %(thing)s убран"),
    "bay_offered": _l("выдан код для планшета, пост %(thing)s"),
    "bay_paired": _l("планшет подключён, пост %(thing)s"),
    "bay_disconnected": _l("планшет отключён, пост %(thing)s"),
    "service_added": _l("услуга «%(thing)s» добавлена"),
    "service_renamed": _l("услуга «%(thing)s»: название или группа"),
    "services_ordered": _l("услуга «%(thing)s»: другое место в списке"),
    "service_dropped": _l("услуга «%(thing)s» убрана"),
    "prices_changed": _l("минуты и цены «%(thing)s» изменены"),
    "starter_added": _l("взят обычный набор услуг"),
    "car_type_added": _l("тип машины «%(thing)s» добавлен"),
    "station_added": _l("станция «%(thing)s» добавлена"),
    "station_opened": _l("станция «%(thing)s» открыта для записи"),
    "settings_changed": _l("настройки станции «%(thing)s» изменены"),
    "user_invited": _l("%(thing)s приглашён"),
    "invitation_withdrawn": _l("приглашение для %(thing)s отозвано"),
    "role_changed": _l("права сотрудника %(thing)s изменены"),
    "user_closed": _l("вход для %(thing)s закрыт"),
    "user_opened": _l("вход для %(thing)s открыт"),
    "password_changed": _l("%(thing)s: новый пароль"),
    "password_reset": _l("%(thing)s: новый пароль по ссылке из письма"),
    "second_step_on": _l("%(thing)s входит в два шага"),
    "second_step_off": _l("%(thing)s: второй шаг снят"),
    "recovery_codes_made": _l("%(thing)s: новые запасные коды"),
    "recovery_code_used": _l("%(thing)s: вход по запасному коду"),
    "second_step_demanded": _l("изменено, кто входит в два шага"),
    "user_added": _l("сотрудник %(thing)s добавлен"),
    "imported": _l("запись %(thing)s перенесена из прежней системы"),
    "import_settled": _l("договорились о записи %(thing)s из прежней системы"),
    "feed_made": _l("сделан адрес календаря"),
    "feed_revoked": _l("календарь отключён"),
    "webhook_added": _l("вебхук %(thing)s добавлен"),
    "webhook_changed": _l("вебхук %(thing)s изменён"),
    "webhook_secret_renewed": _l("новый секрет вебхука %(thing)s"),
    "webhook_removed": _l("вебхук %(thing)s удалён"),
    "webhook_given_up": _l("вебхук %(thing)s выключен: он не отвечает"),
    "token_made": _l("токен «%(thing)s» сделан"),
    "token_revoked": _l("токен «%(thing)s» отозван"),
    "journal_exported": _l("журнал сохранён в файл, строк: %(thing)s"),
    "bookings_exported": _l("записи сохранены в файл: %(thing)s"),
    "sites_changed": _l("сайты с виджетом изменены"),
}

PARTS = {
    "status": _l("состояние"),
    "starts_at": _l("начало"),
    "ends_at": _l("конец"),
    "service_post_id": _l("пост"),
    "arrived_at": _l("приехал"),
    "started_at": _l("начало работы"),
    "completed_at": _l("конец работы"),
    "expected_end_at": _l("готово к"),
    "total_duration": _l("минут работы"),
    "total_price": _l("цена"),
    "car_type_id": _l("тип машины"),
    "services": _l("работы"),
    "plate": _l("госномер"),
    "customer_email": _l("почта клиента"),
    "late_minutes": _l("опоздание, мин"),
    "cancel_reason": _l("причина"),
    "problem": _l("проблема"),
    "minutes": _l("минут"),
    "post_number": _l("номер"),
    "slot_duration": _l("длительность слота"),
    "name": _l("название"),
    "category": _l("группа"),
    "position": _l("место в списке"),
    "next_slot_duration": _l("длительность слота потом"),
    "next_from": _l("с какого дня"),
    "url": _l("адрес"),
    "events": _l("события"),
    "description": _l("что обслуживает"),
    "active": _l("принимает запись"),
    "largest_wheel": _l("колёса до, дюймов"),
    "car_type_ids": _l("типы машин"),
    "service_ids": _l("работы"),
    "valid_from": _l("действует с"),
    "valid_until": _l("действует до"),
    "priority": _l("приоритет"),
    "windows": _l("часы"),
    "post_id": _l("пост"),
    "hold_minutes": _l("минут держим время"),
    "horizon_days": _l("дней вперёд"),
    "lead_minutes": _l("минут до начала"),
    "cancel_cutoff_minutes": _l("минут до отмены"),
    "max_open_bookings_per_contact": _l("записей на телефон"),
    "auto_confirm": _l("подтверждать сразу"),
    "time_zone": _l("часовой пояс"),
    "address": _l("адрес"),
    "city": _l("город"),
    "phone": _l("телефон"),
    "currency": _l("валюта"),
    "country": _l("страна"),
    "locale": _l("язык"),
    "send_reminders": _l("напоминания"),
    "send_thanks": _l("благодарности"),
    "send_summary": _l("сводка"),
    "review_url": _l("ссылка на отзывы"),
    "email": _l("почта"),
    "role": _l("роль"),
    "web_origins": _l("сайты"),
}

STATUSES = {
    "pending": _l("ждёт подтверждения"),
    "confirmed": _l("записан"),
    "arrived": _l("приехал"),
    "in_progress": _l("в работе"),
    "completed": _l("готово"),
    "cancelled_by_customer": _l("отменена клиентом"),
    "cancelled_by_station": _l("отменена станцией"),
    "no_show": _l("не приехал"),
}
ROLES = {"admin": _l("администратор"), "manager": _l("менеджер"), "staff": _l("мастер")}

TOLD = {"rescheduled", "adjusted"}  # a change of these is told at once, not only when somebody opens it
MOST_TOLD = 3


def author(line: Line) -> str:
    """Who did it."""
    return line.name or str(_("Клиент") if line.actor == CUSTOMER else _("Система"))


def deed(line: Line) -> str:
    """What was done to what: «запись АА 1234 ВС перенесена»."""
    words = EVENTS.get(line.event)
    return str(words) % {"thing": line.label} if words else f"{line.event} {line.label}"


def told(line: Line, point: ServicePoint) -> str:
    """From what to what, where that is short enough for the sentence: «12:00, пост 2 → 14:00, пост 2»."""
    if line.kind == BOOKINGS:
        return _moved(line, point) if line.event in TOLD else ""
    short = [change for change in line.changes if not isinstance(change[1], list | dict)]
    if line.before is None or line.after is None or not 0 < len(line.changes) == len(short) <= MOST_TOLD:
        return ""
    return ", ".join(
        f"{part(name)} {value(name, was, point)} → {value(name, became, point)}" for name, was, became in short
    )


def part(name: str) -> str:
    """What a part of a thing is called; a date is itself."""
    return str(PARTS.get(name, name))


def value(name: str, found: Any, point: ServicePoint) -> str:
    """A kept value, as people of the station would say it."""
    if found is None or found in ("", []):
        return "—"
    if isinstance(found, bool):
        return str(_("да") if found else _("нет"))
    if name.endswith("_at") and (moment := instant_of(str(found))):
        day = filters.short_day(local_day(point.time_zone, moment))
        return f"{day} {filters.station_time(moment, point)}"
    if name in ("service_post_id", "post_id"):
        return next((str(post.post_number) for post in point.posts if post.id == found), str(found))
    if name == "total_price":
        return filters.money(found, point.currency)
    if name == "windows":
        return ", ".join(map(_window, found))
    if isinstance(found, dict) and {"reason", "windows"} == set(found):  # of an exception's day
        hours = ", ".join(map(_window, found["windows"])) or str(_("закрыто"))
        return f"{hours} ({found['reason']})" if found["reason"] else hours
    words = {"status": STATUSES, "role": ROLES}.get(name, {})
    if isinstance(found, str | int):
        return str(words.get(str(found), found))
    return json.dumps(found, ensure_ascii=False)


def _moved(line: Line, point: ServicePoint) -> str:
    """Day, time and post, each only where it is known; the day where it changes."""
    before, after = line.before or {}, line.after or {}
    days = [_day(state, point) for state in (before, after)]
    return " → ".join(_place(state, point, days[0] != days[1]) for state in (before, after))


def _day(state: dict[str, Any], point: ServicePoint) -> date | None:
    moment = instant_of(str(state.get("starts_at")))
    return local_day(point.time_zone, moment) if moment else None


def _place(state: dict[str, Any], point: ServicePoint, with_day: bool) -> str:
    moment, post_id = instant_of(str(state.get("starts_at"))), state.get("service_post_id")
    words = []
    if moment:
        day = f"{filters.short_day(local_day(point.time_zone, moment))} " if with_day else ""
        words.append(day + filters.station_time(moment, point))
    if post_id:
        words.append(str(_("пост %(number)s", number=value("post_id", post_id, point))))
    return ", ".join(words)


def _window(window: list[int]) -> str:
    """[weekday, opens, closes] or [opens, closes], minutes of local time."""
    *weekday, opens, closes = window
    hours = f"{filters.clock_time(opens)}–{filters.clock_time(closes)}"
    return f"{filters.day_of_week(weekday[0])} {hours}" if weekday else hours

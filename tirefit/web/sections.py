"""The sections of the station's area: what the top bar leads to. A new section is one line here.

A page says in `area` to which section it belongs.
"""

from dataclasses import dataclass
from typing import Any

from flask import Flask, url_for
from flask_babel import lazy_gettext as _l

from tirefit import accounts
from tirefit.models import ServicePoint
from tirefit.web import policy


@dataclass(frozen=True)
class Section:
    """`part`: how its address names the station. `more`: it stands behind «Ещё», for it is needed less often."""

    key: str
    endpoint: str
    name: Any
    part: str = "slug"
    needed: str = "manager"
    more: bool = False


SECTIONS = (
    Section("board", "board.today", _l("Доска"), part="s", needed="staff"),
    Section("bookings", "desk.bookings", _l("Записи")),
    Section("posts", "manage.posts", _l("Посты и расписание"), part="s"),
    Section("services", "services.show", _l("Услуги и цены")),
    Section("reports", "reports.show", _l("Отчёты")),
    Section("staff", "staff.show", _l("Сотрудники"), more=True),
    Section("moved_in", "moved_in.show", _l("Из прежней системы"), more=True),
    Section("programs", "programs.show", _l("API и виджет"), more=True),
    Section("letters", "letters.show", _l("Письма"), more=True),
    Section("operations", "operations.mail", _l("Почта и очередь"), part="s", needed="admin", more=True),
    Section("settings", "settings.first", _l("Настройки"), more=True),
    Section("audit", "journal.show", _l("Журнал"), more=True),
)


def init_app(app: Flask) -> None:
    app.context_processor(lambda: {"sections_at": sections_at, "section_at": section_at, "address_of": address_of})


def sections_at(point: ServicePoint | None) -> list[Section]:
    """What whoever is signed in may open there. Without a station: where every day begins."""
    user = policy.me()
    if user is None:
        return []
    if point is None:
        return [SECTIONS[0]]
    role = accounts.role_at(user, point.id)
    return [section for section in SECTIONS if accounts.is_at_least(role, section.needed)]


def section_at(point: ServicePoint, area: str | None) -> Section:
    """The same section of another station; where one may not open it, its board."""
    return next((section for section in sections_at(point) if section.key == area), SECTIONS[0])


def address_of(section: Section, point: ServicePoint | None) -> str:
    return url_for(section.endpoint, **{section.part: point.slug if point else None})  # type: ignore[arg-type]

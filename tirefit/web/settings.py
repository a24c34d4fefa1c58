"""A station's settings, by section: one form, one button each."""

from typing import Any

from flask import Blueprint, abort, current_app, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from tirefit import settings
from tirefit.errors import SettingsChanged
from tirefit.models import ServicePoint
from tirefit.web import load, pages, policy
from tirefit.web.forms.settings import BookingSettings, LetterSettings, MoneySettings, SettingsForm, StationSettings

bp = Blueprint("settings", __name__, url_prefix="/manage/<slug:slug>/settings")

FORMS: dict[str, type[SettingsForm]] = {
    "station": StationSettings,
    "booking": BookingSettings,
    "letters": LetterSettings,
    "money": MoneySettings,
}
SECTIONS = {
    "station": _l("Станция"),
    "booking": _l("Запись"),
    "letters": _l("Письма"),
    "money": _l("Языки и деньги"),
    "widget": _l("Виджет и QR"),
    "data": _l("Данные"),
}


@bp.get("")
@policy.manager_of(load.point)
def first(point: ServicePoint) -> ResponseReturnValue:
    return redirect(url_for(".show", slug=point.slug, section="station"))


@bp.get("/<section>")
@policy.manager_of(load.point)
def show(point: ServicePoint, section: str) -> ResponseReturnValue:
    if section not in SECTIONS:
        abort(404)
    return _page(point, section, _form_of(point, section) if section in FORMS else None)


@bp.post("/<section>")
@policy.manager_of(load.point)
def save(point: ServicePoint, section: str) -> ResponseReturnValue:
    form = FORMS[section](point) if section in FORMS else abort(404)
    if not form.validate():
        return _page(point, section, form), 422
    try:
        is_new = settings.change(point.id, form.values, seen=form.revision, user_id=policy.my_id())
    except SettingsChanged as problem:
        form.seen.data = str(problem.facts["revision"])
        now = {name: kept for name, kept in problem.facts["now"].items() if kept != form.values[name]}
        return _page(point, section, form, problem=problem, now=now), problem.status
    flash(_("Сохранено.") if is_new else _("Всё и так сохранено."))
    return redirect(url_for(".show", slug=point.slug, section=section), 303)


def _form_of(point: ServicePoint, section: str) -> SettingsForm:
    kind = FORMS[section]
    kept = {name: getattr(point, name) for name in kind(point, formdata=None).names}
    return kind(point, formdata=None, data=kept | {"seen": str(point.settings_revision)})


def _page(point: ServicePoint, section: str, form: SettingsForm | None, **context: Any) -> str:
    return render_template(
        "manage/settings.html",
        point=point,
        section=section,
        sections=SECTIONS,
        form=form,
        retention_days=current_app.config["RETENTION_DAYS"],
        link=pages.whole_address(url_for("public.station", slug=point.slug)),
        here=url_for(".show", slug=point.slug, section=section),
        **context,
    )

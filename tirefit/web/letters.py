"""The station's letters: the log, sending once more, and every kind as it would look."""

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext
from flask_mail import Message

from tirefit import i18n
from tirefit.models import ServicePoint
from tirefit.notifications import alerts, delivery, log, samples
from tirefit.notifications.kinds import EVERY_KIND
from tirefit.web import framed, letter_words, load, policy
from tirefit.web.forms.public import as_id

bp = Blueprint("letters", __name__, url_prefix="/manage/<slug:slug>/notifications")


@bp.get("")
@policy.manager_of(load.point)
def show(point: ServicePoint) -> ResponseReturnValue:
    """`state` chooses a tab, `before` the letters older than one."""
    state = request.args.get("state", "")
    state = state if state in log.STATES else ""
    return render_template(
        "letters/log.html",
        point=point,
        state=state,
        states=log.STATES,
        page=log.read(point, state, as_id(request.args.get("before", ""))),
        stuck=alerts.letters_are_stuck(),
        way=delivery.way(),
        words=letter_words,
    )


@bp.post("/resend")
@policy.manager_of(load.point)
def resend(point: ServicePoint) -> ResponseReturnValue:
    """One letter (`letter`), or all that have failed."""
    letter_id = as_id(request.form.get("letter", ""))
    if letter_id is None:
        count = log.resend_failed(point.id, user_id=policy.my_id())
    else:
        if load.letter(point, letter_id) is None:
            abort(404)
        count = int(log.resend(letter_id, user_id=policy.my_id()))
    flash(
        ngettext("%(num)s письмо отправляем ещё раз.", "%(num)s писем отправляем ещё раз.", count)
        if count
        else _("Отправлять нечего: ни одно письмо не ждёт повтора.")
    )
    return redirect(url_for(".show", slug=point.slug, state="pending" if count else None), 303)


@bp.get("/preview")
@policy.manager_of(load.point)
def preview(point: ServicePoint) -> ResponseReturnValue:
    return _preview(point)


@bp.get("/preview.html")
@policy.manager_of(load.point)
def preview_html(point: ServicePoint) -> Response:
    return framed.letter(_sample(point).html or "")


@bp.post("/preview")
@policy.manager_of(load.point)
def send_sample(point: ServicePoint) -> ResponseReturnValue:
    """To whoever asks, and to nobody else. What the mail server answers is shown as it is."""
    user = policy.me()
    assert user is not None
    samples.count_one(user.id)
    return _preview(point, answer=delivery.try_out(_sample(point, user.email)))


def _preview(point: ServicePoint, answer: delivery.Attempt | None = None) -> ResponseReturnValue:
    kind, locale = _wanted()
    page = render_template(
        "letters/preview.html",
        point=point,
        kinds=_kinds(),
        kind=kind,
        locale=locale,
        sample=_sample(point),
        answer=answer,
        words=letter_words,
    )
    return framed.page(page)


def _sample(point: ServicePoint, recipient: str = "anna@example.com") -> Message:
    kind, locale = _wanted()
    return samples.compose(kind, point, locale, recipient)


def _wanted() -> tuple[str, str]:
    kind, locale = request.values.get("kind", ""), request.values.get("locale", "")
    return (
        kind if kind in _kinds() else "booking_created",
        locale if locale in i18n.LANGUAGES else i18n.language(),
    )


def _kinds() -> list[str]:
    return [kind for kind in EVERY_KIND if kind != "system_alert" or policy.is_admin()]

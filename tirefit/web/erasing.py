"""A customer asks to be forgotten: look what the station keeps about a phone, then forget it by typing its end."""

from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext

from tirefit.booking import privacy, states
from tirefit.models import Booking, ServicePoint
from tirefit.web import load, policy
from tirefit.web.forms.text import phone_of

bp = Blueprint("erasing", __name__, url_prefix="/manage/<slug:slug>/forget")

PROOF = 4  # digits at the end of the phone


@bp.get("")
@policy.manager_of(load.point)
def ask(point: ServicePoint) -> ResponseReturnValue:
    return _page(point)


@bp.post("")
@policy.manager_of(load.point)
def look(point: ServicePoint) -> ResponseReturnValue:
    """A phone goes in the body: addresses are kept in logs."""
    phone = _phone(point)
    if phone is None:
        return _page(point, wrong=_("Введите номер полностью — например, 067 123 45 67")), 422
    return _page(point, phone=phone, found=_bookings(point, phone))


@bp.post("/sure")
@policy.manager_of(load.point)
def forget(point: ServicePoint) -> ResponseReturnValue:
    phone = _phone(point)
    if phone is None:
        return redirect(url_for(".ask", slug=point.slug), 303)
    if request.form.get("proof", "").strip() != phone[-PROOF:]:
        found = _bookings(point, phone)
        return _page(point, phone=phone, found=found, unproven=_("Это не последние четыре цифры телефона")), 422
    count, ahead = privacy.forget_phone(point.id, phone, user_id=policy.my_id() or 0)
    flash(ngettext("Стёрто: %(num)s визит.", "Стёрто: %(num)s визитов.", count))
    if ahead:
        flash(_("Ещё впереди, сначала отмените: %(numbers)s.", numbers=", ".join(ahead)))
    return redirect(url_for(".ask", slug=point.slug), 303)


def _phone(point: ServicePoint) -> str | None:
    return phone_of(request.form.get("phone", ""), point.country)


def _bookings(point: ServicePoint, phone: str) -> list[Booking]:
    return [booking for booking in privacy.bookings_of(phone) if booking.service_point_id == point.id]


def _page(point: ServicePoint, **context: Any) -> str:
    return render_template(
        "manage/forget.html",
        point=point,
        typed=request.form.get("phone", ""),
        is_live=states.is_live,
        here=url_for(".ask", slug=point.slug),
        **context,
    )

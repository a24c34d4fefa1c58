"""People of a station: who they are, what they may do, where they are signed in; and inviting others."""

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import accounts, i18n, people, second_step
from tirefit.errors import EmailTaken, LastAdmin, NotYours, Problem
from tirefit.models import ServicePoint, User
from tirefit.notifications import delivery
from tirefit.web import load, pages, policy
from tirefit.web.forms.account import InviteForm

bp = Blueprint("staff", __name__, url_prefix="/manage/<slug:slug>/staff")

NOBODY = "none"


@bp.get("")
@policy.manager_of(load.point)
def show(point: ServicePoint) -> ResponseReturnValue:
    return _page(point, InviteForm(policy.is_admin(), formdata=None, data={"role": "staff"}))


@bp.post("/invite")
@policy.manager_of(load.point)
def invite(point: ServicePoint) -> ResponseReturnValue:
    """A letter goes there; its own link is shown once, to hand over where letters do not arrive."""
    form = InviteForm(policy.is_admin())
    if not form.validate():
        return _page(point, form), 422
    role = form.role.data
    try:
        token = people.invite(
            form.email.data, role, None if role == "admin" else point.id, by=_me().id, locale=i18n.language()
        )
    except EmailTaken as problem:
        return _admit(point, form, role) or (_page(point, form, problem), problem.status)
    except NotYours as problem:
        return _page(point, form, problem), problem.status
    link = pages.whole_address(url_for("account.invitation", token=token))
    fresh = InviteForm(policy.is_admin(), formdata=None, data={"role": "staff"})
    return _page(point, fresh, link=link, invited=form.email.data, way=delivery.way())


@bp.post("/invitations/<int:invitation_id>/withdraw")
@policy.manager_of(load.point)
def withdraw(point: ServicePoint, invitation_id: int) -> ResponseReturnValue:
    if invitation_id not in {each.id for each in people.invitations_to(point)}:
        abort(404)
    people.withdraw(invitation_id, point.id, by=_me().id)
    flash(_("Приглашение отозвано."))
    return _back(point)


@bp.post("/<int:user_id>/role")
@policy.manager_of(load.point)
def set_role(point: ServicePoint, user_id: int) -> ResponseReturnValue:
    user, role = _person(point, user_id), request.form.get("role", "")
    if role not in ("staff", "manager", "admin", NOBODY):
        abort(422)
    try:
        people.set_role(user.id, point.id, None if role == NOBODY else role, by=_me().id)
    except (LastAdmin, NotYours) as problem:
        return _refused(point, problem)
    flash(_("Права изменены: %(name)s.", name=user.name))
    return _back(point) if user.id != _me().id else redirect(url_for("board.today"), 303)


@bp.post("/<int:user_id>/active")
@policy.manager_of(load.point)
def set_active(point: ServicePoint, user_id: int) -> ResponseReturnValue:
    user, active = _person(point, user_id), request.form.get("active") == "1"
    try:
        people.set_active(user.id, active, by=_me().id)
    except (LastAdmin, NotYours) as problem:
        return _refused(point, problem)
    flash(_("Вход открыт: %(name)s.", name=user.name) if active else _("Вход закрыт: %(name)s.", name=user.name))
    return _back(point)


@bp.post("/<int:user_id>/sessions/end")
@policy.admin_of(load.point)
def end_session(point: ServicePoint, user_id: int) -> ResponseReturnValue:
    user = _person(point, user_id)
    people.end_session(user.id, request.form.get("session", ""))
    flash(_("Сеанс завершён: %(name)s.", name=user.name))
    return _back(point)


@bp.post("/<int:user_id>/second-step/reset")
@policy.admin_of(load.point)
def reset_second_step(point: ServicePoint, user_id: int) -> ResponseReturnValue:
    """For somebody who has lost the phone and the recovery codes, and has shown the admin who they are."""
    user = _person(point, user_id)
    second_step.reset(user.id, by=_me().id)
    flash(_("Второй шаг снят: %(name)s войдёт по паролю.", name=user.name))
    return _back(point)


@bp.post("/second-step")
@policy.admin_of(load.point)
def demand_second_step(point: ServicePoint) -> ResponseReturnValue:
    """Of these roles, at every station."""
    second_step.demand_of(request.form.getlist("role"), by=_me().id)
    flash(_("Правила входа сохранены."))
    return _back(point)


def _admit(point: ServicePoint, form: InviteForm, role: str) -> ResponseReturnValue | None:
    """Somebody of another station needs no second account: the role here is given at once. None: they are here."""
    known = people.known_as(form.email.data)
    if known is None or accounts.role_at(known, point.id) is not None:
        return None
    try:
        people.set_role(known.id, point.id, role, by=_me().id)
    except NotYours as problem:
        return _page(point, form, problem), problem.status
    flash(_("%(name)s уже работает в сети: вход прежний, права на этой станции даны.", name=known.name))
    return _back(point)


def _page(point: ServicePoint, form: InviteForm, problem: Problem | None = None, **context: object) -> str:
    return render_template(
        "manage/staff.html",
        point=point,
        people=people.people_at(point),
        invitations=people.invitations_to(point),
        form=form,
        problem=problem,
        name_of=people.name_of,
        demanded=second_step.demanded_of() if policy.is_admin() else (),
        here=url_for(".show", slug=point.slug),
        **context,
    )


def _refused(point: ServicePoint, problem: Problem) -> ResponseReturnValue:
    form = InviteForm(policy.is_admin(), formdata=None, data={"role": "staff"})
    return _page(point, form, problem), problem.status


def _person(point: ServicePoint, user_id: int) -> User:
    """Somebody of this station; people of others do not exist here."""
    found = next((person.user for person in people.people_at(point) if person.user.id == user_id), None)
    return found or abort(404)


def _me() -> User:
    return policy.me() or abort(401)


def _back(point: ServicePoint) -> ResponseReturnValue:
    return redirect(url_for(".show", slug=point.slug), 303)

"""The second step of signing in: asking for it, setting it up, and the recovery codes."""

from io import BytesIO

import segno
from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import accounts, second_step
from tirefit.errors import Problem, SecondCodeWrong, SignInTooOld, TooManyAttempts, WrongCredentials
from tirefit.models import User
from tirefit.web import policy
from tirefit.web.account import end_old_session, keep, onward
from tirefit.web.forms.account import CodeForm, OwnPasswordForm

bp = Blueprint("second_step", __name__)


@bp.get("/login/code")
@policy.public
def ask() -> ResponseReturnValue:
    """For a code; or, where there is no second step yet and the role demands one, on to setting it up."""
    user = policy.newcomer()
    if user is None:
        return redirect(onward() if policy.me() else url_for("account.login", next=request.args.get("next")), 303)
    if not accounts.has_second_step(user.id):
        return redirect(url_for(".show", next=request.args.get("next")), 303)
    return _ask(CodeForm(formdata=None))


@bp.post("/login/code")
@policy.public
def finish() -> ResponseReturnValue:
    form = CodeForm()
    if not form.validate():
        return _ask(form), 422
    try:
        token = second_step.finish(session.get("waits", ""), form.code.data)
    except SignInTooOld:
        return redirect(url_for("account.login", next=request.args.get("next")), 303)
    except (SecondCodeWrong, TooManyAttempts) as problem:
        return _ask(form, problem), problem.status, _later(problem)
    end_old_session()
    keep(token)
    return redirect(onward(), 303)


@bp.get("/account/second-step")
@policy.halfway_in
def show() -> ResponseReturnValue:
    return _show()


@bp.get("/account/second-step/key.svg")
@policy.halfway_in
def picture() -> ResponseReturnValue:
    """The key for the phone's camera; there is one only while the second step is being set up."""
    address = second_step.address_of_key(_who())
    if address is None:
        return redirect(url_for(".show"))
    out = BytesIO()
    segno.make(address, error="m").save(out, kind="svg", scale=6, border=4, dark="#000", light="#fff", xmldecl=False)
    return out.getvalue(), {"Content-Type": "image/svg+xml"}


@bp.post("/account/second-step/begin")
@policy.halfway_in
def begin() -> ResponseReturnValue:
    """Who is signed in says the password once more; a newcomer has just done so."""
    if policy.newcomer() is None:
        form = OwnPasswordForm()
        if not form.validate():
            return _show(password=form), 422
        if not accounts.is_password_of(_who(), form.password.data):
            form.password.errors = [_("Нынешний пароль другой")]
            return _show(password=form), WrongCredentials.status
    second_step.begin(_who().id)
    return redirect(url_for(".show", next=request.args.get("next")), 303)


@bp.post("/account/second-step/confirm")
@policy.halfway_in
def confirm() -> ResponseReturnValue:
    user, form = _who(), CodeForm()
    if accounts.has_second_step(user.id):
        return redirect(url_for(".ask" if policy.newcomer() else ".show"), 303)
    if not form.validate():
        return _show(code=form), 422
    try:
        waits = session.get("waits") if policy.newcomer() else None
        done = second_step.confirm(user.id, form.code.data, keep=session.get("user"), waits=waits)
    except (SecondCodeWrong, TooManyAttempts) as problem:
        return _show(code=form, problem=problem), problem.status, _later(problem)
    if done.session:
        end_old_session()
        keep(done.session)
    return _codes(done.codes)


@bp.post("/account/second-step/codes")
@policy.signed_in
def renew_codes() -> ResponseReturnValue:
    form = CodeForm()
    if not form.validate():
        return _show(code=form), 422
    try:
        return _codes(second_step.renew_codes(_who().id, form.code.data))
    except (SecondCodeWrong, TooManyAttempts) as problem:
        return _show(code=form, problem=problem), problem.status, _later(problem)


@bp.post("/account/second-step/off")
@policy.signed_in
def turn_off() -> ResponseReturnValue:
    form = OwnPasswordForm()
    if not form.validate():
        return _show(password=form), 422
    try:
        second_step.turn_off(_who().id, form.password.data)
    except WrongCredentials as problem:
        form.password.errors = [_("Нынешний пароль другой")]
        return _show(password=form), problem.status
    except Problem as problem:
        return _show(problem=problem), problem.status
    flash(_("Второй шаг отключён."))
    return redirect(url_for(".show"), 303)


def _who() -> User:
    return policy.newcomer() or policy.me() or abort(401)


def _ask(form: CodeForm, problem: Problem | None = None) -> str:
    form.code.data = ""
    return render_template("account/code.html", form=form, problem=problem)


def _show(
    *, code: CodeForm | None = None, password: OwnPasswordForm | None = None, problem: Problem | None = None
) -> str:
    code, password = code or CodeForm(formdata=None), password or OwnPasswordForm(formdata=None)
    code.code.data = password.password.data = ""
    return render_template(
        "account/second_step.html",
        state=second_step.state_of(_who()),
        newcomer=policy.newcomer(),
        code=code,
        password=password,
        problem=problem,
        here=url_for(".show"),
    )


def _codes(codes: list[str]) -> str:
    return render_template("account/recovery_codes.html", codes=codes, onward=onward(), here=url_for(".show"))


def _later(problem: Problem) -> dict[str, str]:
    wait = problem.facts.get("retry_after")
    return {"Retry-After": str(wait)} if wait else {}

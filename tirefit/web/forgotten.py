"""A forgotten password: asking for a link, and choosing a new one by it. Nobody is signed in by a link alone."""

from flask import Blueprint, flash, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import accounts, password_reset
from tirefit.errors import PasswordGuessable, ResetGone, TooManyAttempts
from tirefit.notifications import delivery
from tirefit.web import policy
from tirefit.web.forms.account import ForgottenForm, ResetForm

bp = Blueprint("forgotten", __name__, url_prefix="/password")


@bp.get("")
@policy.public
def ask() -> ResponseReturnValue:
    """`sent` after a letter was asked for."""
    return _ask(ForgottenForm(formdata=None))


@bp.post("")
@policy.public
def send() -> ResponseReturnValue:
    """The answer is the same whether there is such an account or not."""
    form = ForgottenForm()
    if not form.validate():
        return _ask(form), 422
    try:
        password_reset.ask(form.email.data, accounts.network_of(request.remote_addr or ""))
    except TooManyAttempts as problem:
        return _ask(form, problem), problem.status, {"Retry-After": str(problem.facts["retry_after"])}
    return redirect(url_for(".ask", sent=1), 303)


@bp.get("/<token:token>")
@policy.customer
def reset(token: str) -> ResponseReturnValue:
    return _reset(token, ResetForm(formdata=None))


@bp.post("/<token:token>")
@policy.customer
def choose(token: str) -> ResponseReturnValue:
    form = ResetForm()
    if not form.validate():
        answer = _reset(token, form)
        return (answer, 422) if isinstance(answer, str) else answer
    try:
        password_reset.choose(token, form.password.data)
    except ResetGone as problem:
        return _gone(problem)
    except PasswordGuessable as problem:
        form.password.refuse_as_guessable()
        return make_response(_reset(token, form), problem.status)
    flash(_("Пароль изменён. Войдите с ним."))
    return redirect(url_for("account.login"), 303)


def _ask(form: ForgottenForm, problem: TooManyAttempts | None = None) -> str:
    return render_template(
        "account/forgotten.html",
        form=form,
        problem=problem,
        is_sent="sent" in request.args,
        way=delivery.way(),
        here=url_for(".ask"),
    )


def _reset(token: str, form: ResetForm) -> ResponseReturnValue:
    try:
        user = password_reset.owner_of(token)
    except ResetGone as problem:
        return _gone(problem)
    return render_template("account/reset.html", form=form, user=user, here=request.path)


def _gone(problem: ResetGone) -> ResponseReturnValue:
    return render_template("account/gone.html", problem=problem), problem.status

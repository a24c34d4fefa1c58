"""Signing in and out."""

import re

from flask import Blueprint, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue

from tirefit import accounts
from tirefit.errors import Problem, TooManyAttempts, WrongCredentials
from tirefit.web import policy
from tirefit.web.forms.account import LoginForm

bp = Blueprint("account", __name__)


@bp.get("/login")
@policy.public
def login() -> ResponseReturnValue:
    if policy.me():
        return redirect(_onward())
    return _login(LoginForm(formdata=None))


@bp.post("/login")
@policy.public
def sign_in() -> ResponseReturnValue:
    form = LoginForm()
    if not form.validate():
        return _login(form), 422
    try:
        token = accounts.sign_in(form.email.data, form.password.data, request.remote_addr or "")
    except WrongCredentials as problem:
        return _login(form, problem), problem.status
    except TooManyAttempts as problem:
        return _login(form, problem), problem.status, {"Retry-After": str(problem.facts["retry_after"])}
    _end_session()
    session["user"] = token
    return redirect(_onward(), 303)


@bp.post("/logout")
@policy.public
def logout() -> ResponseReturnValue:
    _end_session()
    answer = make_response(redirect(url_for(".login"), 303))
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


def _login(form: LoginForm, problem: Problem | None = None) -> str:
    form.password.data = ""  # a page does not repeat a password
    return render_template("account/login.html", form=form, problem=problem)


def local_path(address: str) -> str | None:
    """A page of ours that one may be sent back to; None for everything that could lead elsewhere."""
    return address if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", address) else None


def _onward() -> str:
    return local_path(request.args.get("next", "")) or url_for("board.today")


def _end_session() -> None:
    """Nothing of before goes on under another name."""
    if isinstance(token := session.get("user"), str):
        accounts.sign_out(token)
    session.clear()

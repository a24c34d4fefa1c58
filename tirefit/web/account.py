"""Signing in and out, coming by an invitation, and what is one's own: the password, the open sessions."""

import re

from flask import Blueprint, flash, make_response, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import accounts, founding, i18n, people, second_step
from tirefit.errors import EmailTaken, InvitationGone, PasswordGuessable, Problem, TooManyAttempts, WrongCredentials
from tirefit.web import browsers, policy
from tirefit.web.forms.account import AcceptForm, LoginForm, PasswordForm

bp = Blueprint("account", __name__)


@bp.get("/login")
@policy.public
def login() -> ResponseReturnValue:
    if policy.me():
        return redirect(onward())
    if founding.is_empty():
        return redirect(url_for("setup.first"))
    return _login(LoginForm(formdata=None))


@bp.post("/login")
@policy.public
def sign_in() -> ResponseReturnValue:
    form = LoginForm()
    if not form.validate():
        return _login(form), 422
    try:
        done = accounts.sign_in(form.email.data, form.password.data, request.remote_addr or "")
    except WrongCredentials as problem:
        return _login(form, problem), problem.status
    except TooManyAttempts as problem:
        return _login(form, problem), problem.status, {"Retry-After": str(problem.facts["retry_after"])}
    return go_on(done, onward())


@bp.post("/logout")
@policy.public
def logout() -> ResponseReturnValue:
    end_old_session()
    answer = make_response(redirect(url_for(".login"), 303))
    answer.headers["Clear-Site-Data"] = '"cache"'
    return answer


@bp.get("/account")
@policy.signed_in
def mine() -> ResponseReturnValue:
    return _mine(PasswordForm(formdata=None))


@bp.post("/account/password")
@policy.signed_in
def change_password() -> ResponseReturnValue:
    form = PasswordForm()
    if not form.validate():
        return _mine(form), 422
    try:
        people.change_password(policy.my_id() or 0, form.old.data, form.new.data, session["user"])
    except WrongCredentials as problem:
        form.old.errors = [_("Нынешний пароль другой")]
        return _mine(form), problem.status
    except PasswordGuessable as problem:
        form.new.refuse_as_guessable()
        return _mine(form), problem.status
    flash(_("Пароль изменён. Другие браузеры вышли из системы."))
    return redirect(url_for(".mine"), 303)


@bp.post("/account/sessions/end")
@policy.signed_in
def end_session() -> ResponseReturnValue:
    people.end_session(policy.my_id() or 0, request.form.get("session", ""))
    flash(_("Сеанс завершён."))
    return redirect(url_for(".mine"), 303)


@bp.get("/invite/<token:token>")
@policy.customer
def invitation(token: str) -> ResponseReturnValue:
    return _invitation(token, AcceptForm(formdata=None))


@bp.post("/invite/<token:token>")
@policy.customer
def accept(token: str) -> ResponseReturnValue:
    form = AcceptForm()
    if not form.validate():
        answer = _invitation(token, form)
        return (answer, 422) if isinstance(answer, str) else answer
    try:
        email = people.accept(token, form.name.data, form.password.data, i18n.language())
    except (InvitationGone, EmailTaken) as problem:
        return _gone(problem)
    except PasswordGuessable as problem:
        form.password.refuse_as_guessable()
        return make_response(_invitation(token, form), problem.status)
    done = accounts.sign_in(email, form.password.data, request.remote_addr or "")
    return go_on(done, url_for("board.today"))


def _invitation(token: str, form: AcceptForm) -> ResponseReturnValue:
    try:
        offered = people.invitation_of(token)
    except InvitationGone as problem:
        return _gone(problem)
    return render_template("account/invitation.html", form=form, offered=offered, here=request.path)


def _gone(problem: Problem) -> ResponseReturnValue:
    return render_template("account/gone.html", problem=problem), problem.status


def _mine(form: PasswordForm) -> str:
    sessions = people.sessions_of([policy.my_id() or 0])
    token = session["user"]
    return render_template(
        "account/mine.html",
        form=form,
        sessions=[(people.name_of(each), each, people.is_this(each, token)) for each in sessions],
        has_second_step=accounts.has_second_step(policy.my_id() or 0),
        here=url_for(".mine"),
    )


def _login(form: LoginForm, problem: Problem | None = None) -> str:
    form.password.data = ""  # a page does not repeat a password
    return render_template("account/login.html", form=form, problem=problem)


def local_path(address: str) -> str | None:
    """A page of ours that one may be sent back to; None for everything that could lead elsewhere."""
    return address if re.fullmatch(r"/(?![/\\])[^\\\x00-\x20\x7f]*", address) else None


def onward() -> str:
    return local_path(request.args.get("next", "")) or url_for("board.today")


def go_on(done: accounts.SignIn, onward: str) -> ResponseReturnValue:
    """Behind a right password: where one wanted to go, or first to the second step."""
    end_old_session()
    if done.waits:
        session["waits"] = done.token
    else:
        keep(done.token)
    return redirect(url_for("second_step.ask", next=onward) if done.waits else onward, 303)


def keep(token: str) -> None:
    """From now on this browser is somebody's."""
    session["user"] = token
    people.note_browser(token, browsers.described(request.user_agent.string))


def end_old_session() -> None:
    """Nothing of before goes on under another name."""
    if isinstance(token := session.get("waits"), str):
        second_step.give_up(token)
    if isinstance(token := session.get("user"), str):
        accounts.sign_out(token)
    session.clear()

"""Setting up: four short pages from nothing to the first bookable time, and the poster that brings customers to it."""

import io

import segno
from flask import Blueprint, Response, current_app, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import accounts, founding, i18n
from tirefit.booking import catalogue
from tirefit.errors import AlreadyFounded, PasswordGuessable, Problem, ServicesChanged, TooManyAttempts, WrongCode
from tirefit.models import ServicePoint
from tirefit.schedule import changes
from tirefit.web import account, load, pages, policy, visitor
from tirefit.web.forms.founding import FirstForm, HoursForm, PostsForm, StationForm
from tirefit.web.forms.matrix import MatrixForm

bp = Blueprint("setup", __name__)

USUAL_HOURS = {"week_from": "09:00", "week_to": "18:00", "saturday_from": "09:00", "saturday_to": "15:00"}


@bp.get("/setup")
@policy.public
def first() -> ResponseReturnValue:
    """Only while nobody has an account; afterwards people are invited by those who do."""
    if not founding.is_empty():
        return redirect(url_for("account.login"))
    return _first(FirstForm(formdata=None))


@bp.post("/setup")
@policy.public
def found() -> ResponseReturnValue:
    if not founding.is_empty():
        return redirect(url_for("account.login"), 303)
    form = FirstForm()
    if not form.validate():
        return _first(form), 422
    try:
        founding.require_code(form.code.data, current_app.config["SECRET_KEY"], visitor.network())
        point = founding.found(form.place, form.email.data, form.password.data, i18n.language())
    except WrongCode as problem:
        form.code.errors = [_("Код другой: он напечатан там, где запущен TireFit")]
        return _first(form), problem.status
    except PasswordGuessable as problem:
        form.password.refuse_as_guessable()
        return _first(form), problem.status
    except TooManyAttempts as problem:
        return _first(form, problem), problem.status, {"Retry-After": str(problem.facts["retry_after"])}
    except AlreadyFounded:
        return redirect(url_for("account.login"), 303)
    session.clear()
    account.keep(accounts.sign_in(form.email.data, form.password.data, request.remote_addr or "").token)
    return redirect(url_for(".posts", slug=point.slug), 303)


@bp.get("/manage/stations/new")
@policy.admins
def new_station() -> ResponseReturnValue:
    return _station(StationForm(formdata=None))


@bp.post("/manage/stations/new")
@policy.admins
def add_station() -> ResponseReturnValue:
    form = StationForm()
    if not form.validate():
        return _station(form), 422
    point = founding.found_another(form.place, i18n.language(), user_id=policy.my_id() or 0)
    return redirect(url_for(".posts", slug=point.slug), 303)


@bp.get("/manage/<slug:slug>/setup/posts")
@policy.manager_of(load.point_with_posts)
def posts(point: ServicePoint) -> ResponseReturnValue:
    if point.posts:
        return redirect(url_for(".hours", slug=point.slug))
    return _page("posts", point, form=PostsForm(formdata=None, data={"count": 3, "minutes": 30}))


@bp.post("/manage/<slug:slug>/setup/posts")
@policy.manager_of(load.point_with_posts)
def set_posts(point: ServicePoint) -> ResponseReturnValue:
    form = PostsForm()
    if not form.validate():
        return _page("posts", point, form=form), 422
    founding.set_posts(point.id, int(form.count.data), int(form.minutes.data), user_id=policy.my_id() or 0)
    return redirect(url_for(".hours", slug=point.slug), 303)


@bp.get("/manage/<slug:slug>/setup/hours")
@policy.manager_of(load.point_with_posts)
def hours(point: ServicePoint) -> ResponseReturnValue:
    if founding.has_hours(point):
        return redirect(url_for(".services", slug=point.slug))
    return _page("hours", point, form=HoursForm(formdata=None, data=USUAL_HOURS))


@bp.post("/manage/<slug:slug>/setup/hours")
@policy.manager_of(load.point_with_posts)
def set_hours(point: ServicePoint) -> ResponseReturnValue:
    form = HoursForm()
    if not form.validate():
        return _page("hours", point, form=form), 422
    if not founding.has_hours(point):
        changes.save_template(point.id, form.windows, name=_("Обычная неделя"), user_id=policy.my_id())
    return redirect(url_for(".services", slug=point.slug), 303)


@bp.get("/manage/<slug:slug>/setup/services")
@policy.manager_of(load.point_with_posts)
def services(point: ServicePoint) -> ResponseReturnValue:
    return _page("services", point, form=MatrixForm(point, catalogue.load_matrix(point)))


@bp.post("/manage/<slug:slug>/setup/services")
@policy.manager_of(load.point_with_posts)
def open_for_booking(point: ServicePoint) -> ResponseReturnValue:
    form = MatrixForm(point, catalogue.load_matrix(point), request.form)
    if not form.check():
        return _page("services", point, form=form), 422
    try:
        catalogue.save_cells(point.id, form.changes(), user_id=policy.my_id())
    except ServicesChanged as problem:
        form.show_now(problem.facts["cells"])
        return _page("services", point, form=form, problem=problem), problem.status
    founding.open_for_booking(point.id, user_id=policy.my_id() or 0)
    return redirect(url_for(".done", slug=point.slug), 303)


@bp.get("/manage/<slug:slug>/setup/done")
@policy.manager_of(load.point_with_posts)
def done(point: ServicePoint) -> ResponseReturnValue:
    return _page("done", point, link=_link(point))


@bp.get("/manage/<slug:slug>/poster")
@policy.manager_of(load.point)
def poster(point: ServicePoint) -> ResponseReturnValue:
    """A sheet for the gate: a code for the phone, and the address for whoever types it."""
    return render_template("founding/poster.html", point=point, link=_link(point))


@bp.get("/manage/<slug:slug>/qr.svg")
@policy.manager_of(load.point)
def code(point: ServicePoint) -> Response:
    out = io.BytesIO()
    segno.make(_link(point), error="m").save(out, kind="svg", scale=10, border=2, xmldecl=False)
    return Response(out.getvalue(), mimetype="image/svg+xml")


def _first(form: FirstForm, problem: Problem | None = None) -> str:
    form.password.data = ""  # a page does not repeat a password
    return render_template("founding/station.html", form=form, problem=problem, is_first=True, here=url_for(".first"))


def _station(form: StationForm) -> str:
    return render_template("founding/station.html", form=form, is_first=False, here=url_for(".new_station"))


def _page(step: str, point: ServicePoint, **context: object) -> str:
    here = url_for(f".{step}", slug=point.slug)
    return render_template(f"founding/{step}.html", point=point, here=here, **context)


def _link(point: ServicePoint) -> str:
    return pages.whole_address(url_for("public.station", slug=point.slug))

"""Services × cars: the one table that decides how long a visit takes and what it costs."""

import re
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext

from tirefit import i18n
from tirefit.accounts import stations_of
from tirefit.booking import catalogue, service_list
from tirefit.booking.catalogue import load_matrix
from tirefit.errors import NotYours, ServicesChanged
from tirefit.models import Service, ServicePoint
from tirefit.models.services import Names
from tirefit.web import htmx, load, policy
from tirefit.web.filters import in_my_language
from tirefit.web.forms.matrix import CarTypeForm, MatrixForm, ServiceForm
from tirefit.web.forms.public import as_id

bp = Blueprint("services", __name__, url_prefix="/manage/<slug:slug>/services")


@bp.get("")
@policy.manager_of(load.point_with_posts)
def show(point: ServicePoint) -> ResponseReturnValue:
    return _page(point)


@bp.post("")
@policy.manager_of(load.point_with_posts)
def save(point: ServicePoint) -> ResponseReturnValue:
    """The whole table. The button of a column only fills it: what comes of that is seen before it is saved."""
    form = MatrixForm(point, load_matrix(point), request.form)
    if (car_type_id := as_id(request.form.get("fill", ""))) is not None:
        form.fill(car_type_id, _minutes(request.form.get(f"add-{car_type_id}", "")))
        form.check()
        return _page(point, form, is_filled=True), 422
    if not form.check():
        return _page(point, form), 422
    try:
        count = catalogue.save_cells(point.id, form.changes(), user_id=policy.my_id())
    except ServicesChanged as problem:
        form.show_now(problem.facts["cells"])
        return _page(point, form, problem=problem), problem.status
    if count:
        flash(ngettext("Сохранено: %(num)s ячейка.", "Сохранено: %(num)s ячеек.", count))
    else:
        flash(_("Всё и так сохранено."))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/<int:service_id>/<int:car_type_id>")
@policy.manager_of(load.point_with_posts)
def save_cell(point: ServicePoint, service_id: int, car_type_id: int) -> ResponseReturnValue:
    """One cell, as soon as it is left. Without scripts nobody comes here."""
    matrix, id = load_matrix(point), (service_id, car_type_id)
    if not matrix.has(*id):
        abort(404)
    form = MatrixForm(point, matrix, request.form)
    if not form.check(id):
        return _cell(point, form, id), 422
    try:
        catalogue.save_cells(point.id, form.changes(id), user_id=policy.my_id())
    except ServicesChanged as problem:
        form.show_now(problem.facts["cells"])
        return _cell(point, form, id), problem.status
    return _cell(point, MatrixForm(point, load_matrix(point)), id, is_saved=True)


@bp.post("/starter")
@policy.manager_of(load.point_with_posts)
def starter(point: ServicePoint) -> ResponseReturnValue:
    catalogue.add_starter_set(point.id, user_id=policy.my_id())
    flash(_("Добавлен обычный набор. Поправьте минуты и цены под себя."))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/new")
@policy.manager_of(load.point_with_posts)
def add(point: ServicePoint) -> ResponseReturnValue:
    form = ServiceForm()
    if not form.validate():
        return _page(point, service_form=form), 422
    catalogue.add_service(point.id, {i18n.language(): form.name.data}, form.category.data, user_id=policy.my_id())
    flash(_("Услуга «%(name)s» добавлена. Впишите минуты и цены, и её можно будет заказать.", name=form.name.data))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/<int:service_id>/drop")
@policy.manager_of(load.point_with_posts)
def drop(point: ServicePoint, service_id: int) -> ResponseReturnValue:
    catalogue.drop_service(point.id, service_id, user_id=policy.my_id())
    flash(_("Услуга убрана. Записи с ней остаются, как договорились."))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/car-types")
@policy.manager_of(load.point_with_posts)
def add_car_type(point: ServicePoint) -> ResponseReturnValue:
    form = CarTypeForm()
    if not form.validate():
        return _page(point, car_form=form), 422
    catalogue.add_car_type(point.id, {i18n.language(): form.car.data}, user_id=policy.my_id())
    flash(_("Тип машины «%(name)s» добавлен.", name=form.car.data))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.get("/<int:service_id>")
@policy.manager_of(load.point_with_posts)
def service(point: ServicePoint, service_id: int) -> ResponseReturnValue:
    """What it is called, its group, its place in the list."""
    found = service_list.of_station(point, service_id) or abort(404)
    group = in_my_language(found.category.names) if found.category else ""
    return _service_page(point, found, ServiceForm(None, data={"name": in_my_language(found.names), "category": group}))


@bp.post("/<int:service_id>")
@policy.manager_of(load.point_with_posts)
def change(point: ServicePoint, service_id: int) -> ResponseReturnValue:
    found, form = service_list.of_station(point, service_id) or abort(404), ServiceForm()
    if not form.validate():
        return _service_page(point, found, form), 422
    names, group = {i18n.language(): form.name.data}, form.category.data
    try:
        service_list.change_service(point.id, found.id, names, group, mine=_mine(), user_id=policy.my_id())
    except NotYours as problem:
        return _service_page(point, found, form, problem=problem), problem.status
    flash(_("Сохранено."))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/<int:service_id>/move")
@policy.manager_of(load.point_with_posts)
def move(point: ServicePoint, service_id: int) -> ResponseReturnValue:
    _found = service_list.of_station(point, service_id) or abort(404)
    service_list.move_service(point.id, service_id, up=request.form.get("to") != "down", user_id=policy.my_id())
    return redirect(url_for(".service", slug=point.slug, service_id=service_id, _anchor="order"), 303)


@bp.get("/groups/<int:category_id>")
@policy.manager_of(load.point_with_posts)
def group(point: ServicePoint, category_id: int) -> ResponseReturnValue:
    """What a group is called, and its place among the others."""
    names = _group_names(point, category_id)
    return _group_page(point, category_id, ServiceForm(None, data={"name": in_my_language(names)}))


@bp.post("/groups/<int:category_id>")
@policy.manager_of(load.point_with_posts)
def change_group(point: ServicePoint, category_id: int) -> ResponseReturnValue:
    _group_names(point, category_id)
    form = ServiceForm()
    if not form.validate():
        return _group_page(point, category_id, form), 422
    try:
        service_list.rename_group(
            point.id, category_id, {i18n.language(): form.name.data}, mine=_mine(), user_id=policy.my_id()
        )
    except NotYours as problem:
        return _group_page(point, category_id, form, problem=problem), problem.status
    flash(_("Сохранено."))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/groups/<int:category_id>/move")
@policy.manager_of(load.point_with_posts)
def move_group(point: ServicePoint, category_id: int) -> ResponseReturnValue:
    _group_names(point, category_id)
    service_list.move_group(point.id, category_id, up=request.form.get("to") != "down", user_id=policy.my_id())
    return redirect(url_for(".group", slug=point.slug, category_id=category_id, _anchor="order"), 303)


def _mine() -> list[int] | None:
    """The stations that whoever is signed in may change; None: all."""
    user = policy.me()
    return None if user is None or policy.is_admin() else [each.id for each in stations_of(user, "manager")]


def _group_names(point: ServicePoint, category_id: int) -> Names:
    categories = [services[0].category for services in service_list.grouped(point)]
    found = next((each for each in categories if each and each.id == category_id), None) or abort(404)
    return found.names


def _service_page(point: ServicePoint, service: Service, form: ServiceForm, **context: Any) -> str:
    beside = next(each for each in service_list.grouped(point) if service in each)
    return render_template(
        "services/service.html",
        point=point,
        service=service,
        form=form,
        beside=beside,
        categories=catalogue.categories(),
        **context,
    )


def _group_page(point: ServicePoint, category_id: int, form: ServiceForm, **context: Any) -> str:
    beside = [each[0].category for each in service_list.grouped(point)]
    names = _group_names(point, category_id)
    return render_template(
        "services/group.html", point=point, id=category_id, names=names, form=form, beside=beside, **context
    )


def _page(
    point: ServicePoint,
    form: MatrixForm | None = None,
    service_form: ServiceForm | None = None,
    car_form: CarTypeForm | None = None,
    **context: object,
) -> str:
    form = form or MatrixForm(point, load_matrix(point))
    return render_template(
        "services/matrix.html",
        point=point,
        form=form,
        service_form=service_form or ServiceForm(formdata=None),
        car_form=car_form or CarTypeForm(formdata=None),
        categories=catalogue.categories(),
        here=url_for(".show", slug=point.slug),
        **context,
    )


def _cell(point: ServicePoint, form: MatrixForm, id: tuple[int, int], *, is_saved: bool = False) -> str:
    """The cell alone for htmx, the whole page for everybody else."""
    if not htmx.asked():
        return _page(point, form)
    row = next(row for row in form.matrix.rows if row.service.id == id[0])
    car = next(car for car in form.matrix.cars if car.id == id[1])
    return render_template("services/_cell.html", point=point, form=form, row=row, car=car, is_saved=is_saved)


def _minutes(text: str) -> int:
    """+10, -5, 10 → minutes to add; 0 for anything else."""
    found = re.fullmatch(r"\s*([+\-−]?)\s*([0-9]{1,3})\s*", text)
    return (-1 if found[1] in ("-", "−") else 1) * int(found[2]) if found else 0

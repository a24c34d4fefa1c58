"""Services × cars: the one table that decides how long a visit takes and what it costs."""

import re

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext

from tirefit import i18n
from tirefit.booking import catalogue
from tirefit.booking.catalogue import load_matrix
from tirefit.errors import ServicesChanged
from tirefit.models import ServicePoint
from tirefit.web import htmx, load, policy
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

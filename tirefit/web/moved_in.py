"""What of the old system is still to be settled, for the manager."""

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import clashes
from tirefit.models import ServicePoint
from tirefit.web import load, policy
from tirefit.web.forms.public import instant_of

bp = Blueprint("moved_in", __name__, url_prefix="/manage/<slug:slug>/moved-in")


@bp.get("")
@policy.manager_of(load.point)
def show(point: ServicePoint) -> ResponseReturnValue:
    rows = [(row, instant_of(row.data.get("starts_at", ""))) for row in clashes.of_station(point)]
    return render_template("manage/moved_in.html", point=point, rows=rows, here=url_for(".show", slug=point.slug))


@bp.post("/<int:row_id>/settle")
@policy.manager_of(load.point)
def settle(point: ServicePoint, row_id: int) -> ResponseReturnValue:
    if row_id <= load.LARGEST_ID and clashes.settle(row_id, point.id, user_id=policy.my_id()):
        flash(_("Готово: больше не в списке."))
    return redirect(url_for(".show", slug=point.slug), 303)

"""What a manager gives to programs and sites: tokens of the API, the sites that may show the widget, its code."""

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import feeds, sites, tokens
from tirefit.models import ServicePoint
from tirefit.web import load, pages, policy
from tirefit.web.forms.programs import SitesForm, TokenForm
from tirefit.web.forms.public import as_id

bp = Blueprint("programs", __name__, url_prefix="/manage/<slug:slug>/api")


@bp.get("")
@policy.manager_of(load.point)
def show(point: ServicePoint) -> ResponseReturnValue:
    return _page(point)


@bp.post("/tokens")
@policy.manager_of(load.point)
def make_token(point: ServicePoint) -> ResponseReturnValue:
    """The token is in this answer and nowhere else: nobody finds it later."""
    form, user_id = TokenForm(), policy.my_id()
    if not form.validate() or user_id is None:
        return _page(point, token_form=form), 422
    made = tokens.make_token(user_id, point.id, form.role.data, name=form.name.data)
    return _page(point, made=made)


@bp.post("/tokens/<int:token_id>/revoke")
@policy.manager_of(load.point)
def revoke_token(point: ServicePoint, token_id: int) -> ResponseReturnValue:
    if token_id <= load.LARGEST_ID and tokens.revoke_token(token_id, point.id, user_id=policy.my_id()):
        flash(_("Токен отозван: с ним больше ничего не открыть."))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/sites")
@policy.manager_of(load.point)
def save_sites(point: ServicePoint) -> ResponseReturnValue:
    form = SitesForm()
    if not form.validate():
        return _page(point, sites_form=form), 422
    origins = sites.save_sites(point.id, form.addresses, user_id=policy.my_id())
    flash(_("Виджет показывается на этих сайтах.") if origins else _("Виджет нигде не показывается."))
    return redirect(url_for(".show", slug=point.slug, _anchor="sites"), 303)


@bp.post("/feeds")
@policy.manager_of(load.point)
def make_feed(point: ServicePoint) -> ResponseReturnValue:
    """The address is in this answer and nowhere else."""
    token = feeds.make_feed(point.id, as_id(request.form.get("post", "")), user_id=policy.my_id())
    return _page(point, feed=pages.whole_address(url_for("feed.show", token=token)))


@bp.post("/feeds/<int:feed_id>/revoke")
@policy.manager_of(load.point)
def revoke_feed(point: ServicePoint, feed_id: int) -> ResponseReturnValue:
    if feed_id <= load.LARGEST_ID and feeds.revoke_feed(feed_id, point.id, user_id=policy.my_id()):
        flash(_("Календарь отключён."))
    return redirect(url_for(".show", slug=point.slug, _anchor="feeds"), 303)


def _page(
    point: ServicePoint,
    *,
    made: str | None = None,
    feed: str | None = None,
    token_form: TokenForm | None = None,
    sites_form: SitesForm | None = None,
) -> str:
    return render_template(
        "manage/programs.html",
        point=point,
        tokens=tokens.of_station(point),
        made=made,
        feed=feed,
        feeds=feeds.of_station(point),
        token_form=token_form or TokenForm(formdata=None),
        sites_form=sites_form or SitesForm(formdata=None, data={"sites": "\n".join(point.web_origins)}),
        base=current_app.config["BASE_URL"],
        here=url_for(".show", slug=point.slug),
    )

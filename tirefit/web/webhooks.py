"""Webhooks of a station: whom it tells about its bookings, of what, and what each address has answered."""

from typing import Any

from flask import Blueprint, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit.errors import TooManyEndpoints
from tirefit.models import ServicePoint, WebhookEndpoint
from tirefit.web import load, policy
from tirefit.web.forms.public import as_id
from tirefit.web.forms.webhooks import SecretForm, WebhookForm
from tirefit.webhooks import endpoints
from tirefit.webhooks.outbox import EVENTS

bp = Blueprint("webhooks", __name__, url_prefix="/manage/<slug:slug>/api/webhooks")


@bp.get("")
@policy.manager_of(load.point)
def show(point: ServicePoint) -> ResponseReturnValue:
    """`of` opens one of them."""
    which = as_id(request.args.get("of", ""))
    return _page(point, load.webhook(point, which) if which else None)


@bp.post("")
@policy.manager_of(load.point)
def add(point: ServicePoint) -> ResponseReturnValue:
    """The secret is in this answer and nowhere else: nobody finds it later."""
    form = WebhookForm()
    if not form.validate():
        return _page(point, None, new=form), 422
    try:
        made = endpoints.add_endpoint(
            point.id, form.url.data, form.events.data, form.seed.data, internal=_internal(), user_id=policy.my_id()
        )
    except TooManyEndpoints as problem:
        form.url.errors = [_("Больше %(most)s вебхуков у станции не бывает", **problem.facts)]
        return _page(point, None, new=form), problem.status
    return _page(point, made, secret=_secret(made))


@bp.post("/<int:endpoint_id>")
@policy.manager_of(load.point)
def change(point: ServicePoint, endpoint_id: int) -> ResponseReturnValue:
    found, form = _load(point, endpoint_id), WebhookForm()
    if not form.validate():
        return _page(point, found, form=form), 422
    endpoints.change_endpoint(
        *(found.id, form.url.data, form.events.data),
        active=form.active.data,
        internal=_internal(),
        user_id=policy.my_id(),
    )
    flash(_("Вебхук сохранён."))
    return _back(point, found)


@bp.post("/<int:endpoint_id>/secret")
@policy.manager_of(load.point)
def renew_secret(point: ServicePoint, endpoint_id: int) -> ResponseReturnValue:
    """Shown once, as the first one was."""
    found = endpoints.renew_secret(_load(point, endpoint_id).id, str(SecretForm().seed.data), user_id=policy.my_id())
    return _page(point, found, secret=_secret(found))


@bp.post("/<int:endpoint_id>/test")
@policy.manager_of(load.point)
def send_test(point: ServicePoint, endpoint_id: int) -> ResponseReturnValue:
    found = _load(point, endpoint_id)
    endpoints.send_test(found.id)
    flash(_("Проверка отправлена: ответ появится ниже через несколько секунд."))
    return _back(point, found)


@bp.post("/<int:endpoint_id>/remove")
@policy.manager_of(load.point)
def remove(point: ServicePoint, endpoint_id: int) -> ResponseReturnValue:
    endpoints.remove_endpoint(_load(point, endpoint_id).id, user_id=policy.my_id())
    flash(_("Вебхук удалён."))
    return redirect(url_for(".show", slug=point.slug), 303)


@bp.post("/<int:endpoint_id>/deliveries/<int:delivery_id>/resend")
@policy.manager_of(load.point)
def resend(point: ServicePoint, endpoint_id: int, delivery_id: int) -> ResponseReturnValue:
    found = _load(point, endpoint_id)
    if load.delivery(found, delivery_id) is None:
        abort(404)
    if endpoints.resend(delivery_id):
        flash(_("Отправляем ещё раз."))
    return _back(point, found)


def _load(point: ServicePoint, endpoint_id: int) -> WebhookEndpoint:
    return load.webhook(point, endpoint_id) or abort(404)


def _secret(endpoint: WebhookEndpoint) -> str:
    return endpoints.secret_of(endpoint.service_point_id, endpoint.seed, current_app.config["SECRET_KEY"])


def _internal() -> bool:
    return bool(current_app.config["WEBHOOKS_INTERNAL"])


def _back(point: ServicePoint, endpoint: WebhookEndpoint) -> ResponseReturnValue:
    return redirect(url_for(".show", slug=point.slug, of=endpoint.id), 303)


def _page(
    point: ServicePoint,
    opened: WebhookEndpoint | None,
    *,
    secret: str | None = None,
    form: WebhookForm | None = None,
    new: WebhookForm | None = None,
) -> str:
    about: dict[str, Any] = {}
    if opened is not None:
        about["form"] = form or WebhookForm(formdata=None, obj=opened)
        about["secret_form"] = SecretForm(formdata=None)
        about["deliveries"] = endpoints.last_deliveries(opened)
    return render_template(
        "manage/webhooks.html",
        point=point,
        webhooks=endpoints.of_station(point),
        opened=opened,
        secret=secret,
        new=new or WebhookForm(formdata=None, data={"events": list(EVENTS)}),
        here=url_for(".show", slug=point.slug),
        **about,
    )

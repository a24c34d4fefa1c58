"""What a manager says about a webhook."""

from typing import Any

from flask import current_app
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import BooleanField, SelectMultipleField, StringField, ValidationError

from tirefit.errors import WebhookUrlInvalid
from tirefit.schedule.reservations import new_token
from tirefit.web.forms import text
from tirefit.web.forms.public import NonceField
from tirefit.webhooks.endpoints import checked_url
from tirefit.webhooks.outbox import EVENTS


class WebhookForm(FlaskForm):
    """An address, and the events that it is told of. `seed`: the same form, sent twice, is one webhook."""

    url = StringField(_l("Адрес"))
    events = SelectMultipleField(_l("О чём сообщать"), choices=list(EVENTS))
    active = BooleanField(_l("Включён"))
    seed = NonceField(default=new_token)

    def validate_url(self, field: Any) -> None:
        try:
            field.data = checked_url(field.data or "", internal=current_app.config["WEBHOOKS_INTERNAL"])
        except WebhookUrlInvalid:
            field.data = text.fit(field.data or "") or ""  # shown again, if it can be
            raise ValidationError(_l("Нужен адрес с https://, без имени и пароля")) from None

    def validate_events(self, field: Any) -> None:
        if not field.data:
            raise ValidationError(_l("Выберите хотя бы одно событие"))


class SecretForm(FlaskForm):
    """A new secret is asked for; the same form, sent twice, makes one."""

    seed = NonceField(default=new_token)

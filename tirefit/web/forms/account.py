"""What people of the stations send to be let in."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField, ValidationError
from wtforms.validators import DataRequired, Length

from tirefit.accounts import LONGEST_PASSWORD
from tirefit.web.forms.text import EMAIL_LENGTH, fit


class LoginForm(FlaskForm):
    email = StringField(_l("Email"))
    password = PasswordField(
        _l("Пароль"),
        [
            DataRequired(_l("Введите пароль")),
            Length(max=LONGEST_PASSWORD, message=_l("Пароль не бывает длиннее 256 знаков")),
        ],
    )

    def validate_email(self, field: StringField) -> None:
        """Anything that could be somebody's; whether it is, is not for the form to say."""
        line = fit(field.data or "")
        if not line or len(line) > EMAIL_LENGTH:
            field.data = ""
            raise ValidationError(_l("Введите email"))

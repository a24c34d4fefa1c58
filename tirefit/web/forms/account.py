"""What people of the stations send to be let in."""

from typing import Any

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import PasswordField, SelectField, StringField, ValidationError
from wtforms.validators import DataRequired, Length

from tirefit import passwords
from tirefit.web.forms.public import or_refuse
from tirefit.web.forms.text import EMAIL_LENGTH, email_of, fit, name_of

LONGEST_CODE = 60


class ForgottenForm(FlaskForm):
    """Whose password is to be chosen anew."""

    email = StringField(_l("Email"))

    def validate_email(self, field: StringField) -> None:
        """Anything that could be somebody's; whether it is, is not for the form to say."""
        line = fit(field.data or "")
        if not line or len(line) > EMAIL_LENGTH:
            field.data = ""
            raise ValidationError(_l("Введите email"))


class LoginForm(ForgottenForm):
    password = PasswordField(
        _l("Пароль"),
        [
            DataRequired(_l("Введите пароль")),
            Length(max=passwords.LONGEST, message=_l("Пароль не бывает длиннее 256 знаков")),
        ],
    )


class NewPassword(PasswordField):
    """A password that is to be kept from now on."""

    def pre_validate(self, form: FlaskForm) -> None:
        if not passwords.SHORTEST <= len(self.data or "") <= passwords.LONGEST or fit(self.data or "") is None:
            raise ValidationError(_l("Придумайте пароль от 12 до 256 знаков"))

    def refuse_as_guessable(self) -> None:
        self.errors = [_l("Такой пароль легко угадать. Возьмите несколько слов, не связанных между собой.")]


class InviteForm(FlaskForm):
    """Who is invited, and as what; only admins make admins."""

    email = StringField(_l("Email"))
    role = SelectField(_l("Роль"))

    def __init__(self, by_admin: bool, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        roles = [("staff", _l("Мастер")), ("manager", _l("Менеджер")), ("admin", _l("Администратор"))]
        self.role.choices = roles if by_admin else roles[:2]

    def validate_email(self, field: StringField) -> None:
        field.data = or_refuse(field, email_of(field.data or ""), _l("Проверьте адрес — например, anna@example.com"))


class AcceptForm(FlaskForm):
    name = StringField(_l("Имя"))
    password = NewPassword(_l("Пароль"))

    def validate_name(self, field: StringField) -> None:
        field.data = or_refuse(field, name_of(field.data or ""), _l("Введите имя буквами, не длиннее 80 знаков"))


class ResetForm(FlaskForm):
    password = NewPassword(_l("Новый пароль"))


class PasswordForm(FlaskForm):
    old = PasswordField(_l("Нынешний пароль"), [DataRequired(_l("Введите пароль"))])
    new = NewPassword(_l("Новый пароль"))


class CodeForm(FlaskForm):
    """What the application on the phone shows, or a recovery code."""

    code = StringField(_l("Код"))

    def validate_code(self, field: StringField) -> None:
        line = fit(field.data or "")
        if not line or len(line) > LONGEST_CODE:
            field.data = ""
            raise ValidationError(_l("Введите код"))


class OwnPasswordForm(FlaskForm):
    """One's password once more, before what decides how one signs in."""

    password = PasswordField(_l("Пароль"), [DataRequired(_l("Введите пароль"))])

"""What people of the stations send to be let in."""

from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import PasswordField, StringField
from wtforms.validators import DataRequired, Length

from tirefit.accounts import LONGEST_PASSWORD


class LoginForm(FlaskForm):
    email = StringField(_l("Email"), [DataRequired(_l("Введите email")), Length(max=254, message=_l("Введите email"))])
    password = PasswordField(
        _l("Пароль"),
        [
            DataRequired(_l("Введите пароль")),
            Length(max=LONGEST_PASSWORD, message=_l("Пароль не бывает длиннее 256 знаков")),
        ],
    )

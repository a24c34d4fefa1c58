"""Extensions, created once and bound to an app in `create_app`."""

from flask_mail import Mail
from flask_migrate import Migrate
from flask_wtf import CSRFProtect

from tirefit.database import db

__all__ = ["csrf", "db", "mail", "migrate"]

csrf = CSRFProtect()
mail = Mail()
migrate = Migrate(render_as_batch=True)

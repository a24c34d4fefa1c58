"""TireFit: booking and station management for tire-fitting stations.

Read this file first: `create_app` is the table of contents of the program.
"""

from typing import Any

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from tirefit import api, cli, config, faults, i18n, jobs, logs, web
from tirefit.database import engine_options, let_go
from tirefit.extensions import csrf, db, mail, migrate

__version__ = config.VERSION


def create_app(**overrides: Any) -> Flask:
    """The program, bound to one set of settings (tirefit/config.py). `overrides` win over the environment."""
    settings = config.load(overrides)
    app = Flask(
        __name__,
        template_folder=config.ROOT / "templates",
        static_folder=config.ROOT / "static",
        instance_path=settings["INSTANCE_PATH"],
    )
    app.config.from_mapping(settings)
    app.config.update(
        SQLALCHEMY_DATABASE_URI=settings["DATABASE_URL"],
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings["DATABASE_URL"]),
    )
    if hops := settings["PROXY_HOPS"]:  # only then does a header say who asks, and how
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]

    db.init_app(app)
    app.teardown_appcontext(let_go)  # the last that is registered is the first that is called
    migrate.init_app(app, db, directory=str(config.ROOT / "migrations"))
    csrf.init_app(app)
    mail.init_app(app)
    i18n.init_app(app)
    jobs.init_app(app)
    web.init_app(app)
    api.init_app(app)
    cli.init_app(app)
    logs.init_app(app)
    faults.init_app(app)
    return app

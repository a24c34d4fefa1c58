"""Entry point: `flask serve`, or any WSGI server with `app:app`."""

from flask import Flask

from tirefit import create_app
from tirefit.jobs import runner

app = create_app()


def app_with_jobs() -> Flask:
    """What `flask web` serves: the app, and where there is no queue also a thread that does the jobs."""
    if not app.config["REDIS_URL"]:
        runner.run_in_threads(app)
    return app

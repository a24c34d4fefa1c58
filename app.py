"""Entry point: `flask serve`, or any WSGI server with `app:app`."""

from flask import Flask

from tirefit import create_app
from tirefit.jobs import runner

app = create_app()


def with_jobs() -> Flask:
    """The same app, doing the jobs itself: what the supervisor serves where no queue can run."""
    runner.run_in_threads(app)
    return app

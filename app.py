"""Entry point: `flask serve`, or any WSGI server with `app:app`."""

from tirefit import create_app

app = create_app()

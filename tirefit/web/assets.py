"""Static files: an address that changes with the content, so that browsers may keep them for ever."""

import hashlib
from functools import lru_cache
from pathlib import Path

from flask import Flask, Response, current_app, request, url_for

FOR_EVER = "public, max-age=31536000, immutable"


def init_app(app: Flask) -> None:
    app.jinja_env.globals["asset"] = asset
    app.after_request(_keep_for_ever)


def asset(name: str) -> str:
    """/static/tirefit.css?v=… — the one way templates point at a static file."""
    path = Path(str(current_app.static_folder), name)
    return url_for("static", filename=name, v=fingerprint(path, path.stat().st_mtime_ns))


@lru_cache
def fingerprint(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]


def _keep_for_ever(response: Response) -> Response:
    if request.endpoint == "static" and "v" in request.args and response.status_code in {200, 304}:
        response.headers["Cache-Control"] = FOR_EVER
    return response

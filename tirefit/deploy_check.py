"""`flask deploy-check`: may this release take over? Asked in its own folder while the old one still serves.

That the program starts at all, with these settings, is the first answer: a release that cannot be imported, or whose
configuration makes no sense, never gets as far as this. Changes nothing.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from flask import current_app
from jinja2 import TemplateError
from sqlalchemy.exc import SQLAlchemyError

from tirefit import config, doctor, i18n, jobs
from tirefit.database import db
from tirefit.doctor import Finding
from tirefit.notifications import delivery
from tirefit.notifications.letters import sender_domain

ASSET = re.compile(r"""asset\(["']([^"']+)["']\)""")


def examine() -> Iterator[Finding]:
    """Everything, in the order in which it would fail."""
    yield Finding("ok", "release", f"TireFit {config.VERSION} starts with these settings")
    yield from _settings()
    yield from _instance()
    yield from _reached("database", doctor.schema)
    yield from _pages()
    yield from _translations()
    yield from _queue()
    yield from doctor.mail_server()


def _settings() -> Iterator[Finding]:
    base, https = str(current_app.config["BASE_URL"]), current_app.config["HTTPS"]
    if https and base.startswith("https://"):
        yield Finding("ok", "address", base)
    else:
        yield Finding("look", "address", f"{base}, without https: right for one machine, and not for the internet")
    if https and not current_app.config["PROXY_HOPS"]:
        words = "TIREFIT_PROXY_HOPS is 0: all customers look like one, the proxy, and share its limits"
        yield Finding("wrong", "proxy", words)
    if delivery.way() == "smtp" and sender_domain() == "localhost":
        yield Finding("wrong", "sender", "TIREFIT_MAIL_DEFAULT_SENDER is not set")
    if os.environ.get("TIREFIT_SECRET_KEY"):
        yield Finding("ok", "secret", "set")
    else:
        yield Finding("look", "secret", "kept in the instance folder: web processes of another machine need the same")
    if current_app.config["DEMO"]:
        yield Finding("look", "demo", "TIREFIT_DEMO is 1: letters stay here")


def _instance() -> Iterator[Finding]:
    folder = Path(current_app.config["INSTANCE_PATH"])
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        yield Finding("wrong", "instance", f"{folder} cannot be written: {error.strerror}")
        return
    yield Finding("ok", "instance", f"{folder} can be written")


def _reached(about: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from look()
    except SQLAlchemyError as error:
        yield Finding("wrong", about, f"cannot be asked: {str(error).splitlines()[0]}")
    finally:
        db.session.rollback()


def _pages() -> Iterator[Finding]:
    """Every template can be read, and every file that one names is there."""
    templates, missing = current_app.jinja_env, set()
    for name in sorted(templates.list_templates(extensions=["html", "txt"])):
        try:
            templates.get_template(name)
        except TemplateError as error:
            yield Finding("wrong", "pages", f"{name}: {error}")
            return
        source = Path(str(current_app.jinja_loader.searchpath[0]), name).read_text()  # type: ignore[union-attr]
        missing |= {each for each in ASSET.findall(source) if not Path(str(current_app.static_folder), each).is_file()}
    if missing:
        yield Finding("wrong", "static files", f"missing: {', '.join(sorted(missing))}")
    else:
        yield Finding("ok", "pages", "can be read, with their static files")


def _translations() -> Iterator[Finding]:
    for language in i18n.LANGUAGES:
        try:
            i18n.read_catalogue(language)
        except (OSError, ValueError) as error:
            yield Finding("wrong", "translations", f"{language}: {error}")
            return
    yield Finding("ok", "translations", ", ".join(i18n.LANGUAGES))


def _queue() -> Iterator[Finding]:
    match jobs.queue_state():
        case "none":
            yield Finding("ok", "queue", "none; the web process does the jobs")
        case "ok":
            yield Finding("ok", "queue", "Redis answers")
        case _:
            yield Finding("look", "queue", "Redis does not answer; letters leave within a minute of the next tick")

"""HTTP: read the request, ask one question or give one command, show a page. No rules of the trade live here."""

from datetime import date

from flask import Flask, abort, request
from werkzeug.routing import BaseConverter, IntegerConverter, ValidationError

from tirefit import config, database, usage
from tirefit.booking.commands import NUMBER_LENGTH, SPEAKABLE
from tirefit.web import (
    account,
    assets,
    bay,
    board,
    city,
    desk,
    dev,
    elsewhere,
    embed,
    erasing,
    errors,
    feed,
    filters,
    forgotten,
    founding,
    gate,
    headers,
    health,
    journal,
    letters,
    manage,
    metrics,
    moved_in,
    operations,
    plans,
    policy,
    posts,
    programs,
    public,
    reports,
    second_step,
    sections,
    services,
    settings,
    staff,
    ticket,
    webhooks,
)

FORMS = ("", "application/x-www-form-urlencoded", "multipart/form-data")  # "": an empty one


class Id(IntegerConverter):
    """A row in an address, in plain digits."""

    regex = "[0-9]{1,9}"


class Slug(BaseConverter):
    """A station's name in an address."""

    regex = "[a-z0-9-]{1,80}"


class Token(BaseConverter):
    """A secret in an address: 128 bits in base64url."""

    regex = "[A-Za-z0-9_-]{22}"


class Number(BaseConverter):
    """A booking in an address, as it is read out on the phone."""

    regex = f"[{SPEAKABLE}]{{{NUMBER_LENGTH}}}"


class Day(BaseConverter):
    """A date in an address: 2026-11-24."""

    regex = "20[0-9]{2}-[0-9]{2}-[0-9]{2}"

    def to_python(self, value: str) -> date:
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValidationError from None

    def to_url(self, value: date) -> str:
        return value.isoformat()


def init_app(app: Flask) -> None:
    app.config.update(
        SESSION_COOKIE_NAME="__Host-tirefit" if app.config["HTTPS"] else "tirefit",
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=app.config["HTTPS"],
        MAX_CONTENT_LENGTH=256 * 1024,
        MAX_FORM_PARTS=500,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session: a form may wait for its customer
        WTF_CSRF_SECRET_KEY=config.keys(app.config),
        WTF_CSRF_SSL_STRICT=False,  # asks for a Referer, which some browsers and proxies take away; see elsewhere.py
    )
    app.url_map.converters.update(int=Id, slug=Slug, token=Token, number=Number, day=Day)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.before_request(database.somebody_waits)
    app.before_request(_take_forms_only)
    elsewhere.init_app(app)
    if not app.testing:  # tests write what was counted when they want to see it
        app.teardown_request(lambda _error: usage.write_when_due())
    policy.init_app(app)
    sections.init_app(app)
    headers.init_app(app)
    assets.init_app(app)
    filters.init_app(app)
    errors.init_app(app)
    pages_of = (
        public,
        city,
        ticket,
        account,
        forgotten,
        second_step,
        board,
        gate,
        bay,
        manage,
        posts,
        plans,
        desk,
        services,
        letters,
        journal,
        operations,
        staff,
        founding,
        reports,
        settings,
        erasing,
    )
    for audience in pages_of:
        app.register_blueprint(audience.bp)
    app.register_blueprint(bay.tablets)
    app.register_blueprint(programs.bp)
    app.register_blueprint(webhooks.bp)
    app.register_blueprint(feed.bp)
    app.register_blueprint(moved_in.bp)
    app.register_blueprint(embed.bp)
    app.register_blueprint(health.bp)
    app.register_blueprint(metrics.bp)
    app.register_blueprint(dev.bp)


def _take_forms_only() -> None:
    """Pages send forms, without files. FlaskForm would read JSON and files too, where views expect text."""
    if request.path.startswith(f"{config.API}/"):
        return  # programs send JSON (tirefit/api)
    if request.method == "POST" and (request.mimetype not in FORMS or request.files):
        abort(415)

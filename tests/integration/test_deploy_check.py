"""`flask deploy-check` lets a sound release take over, and says what keeps another one from it."""

import os
import subprocess
import sys

import flask_migrate
import pytest
from sqlalchemy import text

from tests.conftest import ON_ONE_DATABASE
from tirefit import config, deploy_check
from tirefit.database import WRITE, db
from tirefit.models import OVERLAP_GUARD


@pytest.fixture(autouse=True)
def sender(request, monkeypatch):
    if "app" in request.fixturenames:
        app = request.getfixturevalue("app")
        monkeypatch.setitem(app.config, "MAIL_DEFAULT_SENDER", "Шины <book@example.com>")


def found():
    return {finding.about: finding.state for finding in deploy_check.examine()}


def say(statement, **values):
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        connection.execute(text(statement), values)


def test_a_sound_release_may_take_over(app):
    states = found()
    assert "wrong" not in states.values(), states
    assert {"release", "instance", "schema", "guard", "pages", "translations", "queue", "mail"} <= set(states)
    assert app.test_cli_runner().invoke(args=["deploy-check"]).exit_code == 0


def test_an_older_release_goes_on_while_a_newer_one_has_migrated(app, client):
    """The code of before runs on the schema of after, and its health stays good until it is replaced."""
    newest = db.session.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    try:
        say("UPDATE alembic_version SET version_num = '9999'")
        db.session.rollback()
        assert found()["schema"] == "look"
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json["schema"]) == (200, "ahead")
        say("UPDATE alembic_version SET version_num = '0001'")
        db.session.rollback()
        assert found()["schema"] == "wrong"
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json["schema"]) == (503, "behind")
    finally:
        say("UPDATE alembic_version SET version_num = :newest", newest=newest)


@ON_ONE_DATABASE
@pytest.mark.parametrize(
    "fault", ["instance", "pages", "static files", "translations", "queue", "database", "mail", "sender", "proxy"]
)
def test_what_is_wrong_is_said_and_ends_with_1(app, fault, tmp_path, monkeypatch):
    if fault == "instance":
        monkeypatch.setitem(app.config, "INSTANCE_PATH", str(tmp_path / "nowhere"))
    elif fault in ("pages", "static files"):
        page = "{% if %}" if fault == "pages" else "{{ asset('gone.css') }}"
        (tmp_path / "broken.html").write_text(page)
        monkeypatch.setattr(app.jinja_loader, "searchpath", [str(tmp_path)])
    elif fault == "translations":
        monkeypatch.setattr("tirefit.i18n.TRANSLATIONS", tmp_path)
    elif fault == "queue":
        monkeypatch.setattr("tirefit.jobs.queue_state", lambda: "degraded")
    elif fault == "sender":
        monkeypatch.setitem(app.config, "MAIL_DEFAULT_SENDER", config.DEFAULTS["MAIL_DEFAULT_SENDER"])
    elif fault == "proxy":
        monkeypatch.setitem(app.config, "HTTPS", True)
    elif fault == "mail":
        monkeypatch.setitem(app.config, "MAIL_SERVER", None)
    elif fault == "database":
        monkeypatch.setattr(db.session, "connection", lambda: db.engine.connect().execute(text("SELECT 1 FROM gone")))

    ended = app.test_cli_runner().invoke(args=["deploy-check"])

    assert ended.exit_code == (0 if fault == "queue" else 1), ended.output
    assert f"{'look ' if fault == 'queue' else 'WRONG'}  {fault}:" in ended.output


def test_a_release_that_cannot_be_imported_or_configured_fails_the_check(tmp_path):
    broken = {"TIREFIT_SECRET_KEY": "short", "TIREFIT_INSTANCE_PATH": str(tmp_path)}
    command = [sys.executable, "-m", "flask", "--app", "app", "deploy-check"]
    ended = subprocess.run(command, cwd=config.ROOT, env=os.environ | broken, capture_output=True, text=True)
    assert ended.returncode != 0
    assert "TIREFIT_SECRET_KEY" in ended.stderr


def test_without_the_guard_nothing_takes_over(old):
    flask_migrate.upgrade()
    drop = (
        f"DROP TRIGGER {OVERLAP_GUARD}_insert"
        if old == "sqlite"
        else f"ALTER TABLE reservations DROP CONSTRAINT {OVERLAP_GUARD}"
    )
    say(drop)
    assert found()["guard"] == "wrong"

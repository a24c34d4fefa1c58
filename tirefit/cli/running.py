"""TireFit as a whole, and each of its processes by itself."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import flask_migrate
from flask import current_app
from flask.cli import with_appcontext
from redis import RedisError
from sqlalchemy import inspect
from sqlalchemy.exc import SQLAlchemyError

from tirefit import backup, demo, jobs
from tirefit.cli.copies import backups_folder
from tirefit.cli.people import tell_setup_code
from tirefit.cli.stations import show_logins
from tirefit.database import WRITE, db, schema_state
from tirefit.errors import Busy
from tirefit.jobs import periodic, runner
from tirefit.models import OVERLAP_GUARD, overlap_guard_is_there


@click.command()
@with_appcontext
def serve() -> None:
    """Run all of TireFit: web, queue, worker and scheduler. PORT chooses another port than 5000."""
    config = current_app.config
    try:
        runner.serve(Path(config["INSTANCE_PATH"]), config["PORT"], config["REDIS_URL"], prepare=_prepare_database)
    except runner.AlreadyRunning as where:
        click.echo(f"TireFit already runs here: {where}. Nothing to do.")
    except runner.CannotStart as reason:
        raise click.ClickException(str(reason)) from None


@click.command()
@with_appcontext
def web() -> None:
    """Serve the pages alone. Without REDIS_URL it also does the jobs."""
    tell_setup_code()
    _let_go_of_database()
    runner.serve_pages(current_app.config["PORT"])


@click.command()
@with_appcontext
def worker() -> None:
    """Do the jobs that are rung for. Needs REDIS_URL."""
    with _in_one_line():
        jobs.work(_redis_url())


@click.command()
@with_appcontext
def scheduler() -> None:
    """Ring for the periodic jobs. Needs REDIS_URL. Two of them at once do no harm."""
    with _in_one_line():
        periodic.keep_time(_redis_url())


def _prepare_database() -> None:
    _require_whole()
    if _schema() != "ahead":  # a release that was taken back runs on the newer one's schema
        _save_before_migrating()
        try:
            flask_migrate.upgrade()
        except Busy:
            raise runner.CannotStart("another process has been writing to the database for ten minutes.") from None
    if not overlap_guard_is_there(db.session.connection()):
        raise runner.CannotStart(
            f"the database lacks {OVERLAP_GUARD}, which keeps a time from being sold twice. Restore it from a backup,"
            " or make the newest migration again (docs/how-it-works.md)."
        )
    if current_app.config["DEMO"]:
        show_logins(demo.load_demo())
    _let_go_of_database()


def _require_whole() -> None:
    """A database that cannot be written, or is torn, is told of before anybody is served from it."""
    try:
        with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
            is_file = connection.dialect.name == "sqlite"
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one() if is_file else "ok"
    except (SQLAlchemyError, sqlite3.Error) as error:  # sqlite3's own: where a connection is prepared
        found = " ".join(str(getattr(error, "orig", error)).split())
    if found != "ok":
        raise runner.CannotStart(
            f"the database {db.engine.url!r} cannot be used: {found}. If it is damaged, `flask restore` puts a copy in"
            " its place (docs/backup.md)."
        )


def _schema() -> str:
    with db.engine.connect() as connection:  # of its own: whoever has looked once would go on seeing the old schema
        return schema_state(connection)


def _save_before_migrating() -> None:
    """A new version changes the schema at its first start: keep the database as the old version left it."""
    url = db.engine.url
    is_new = not inspect(db.engine).has_table("alembic_version")
    if url.get_backend_name() == "sqlite" and not is_new and _schema() == "behind":
        try:
            click.echo(f"Before the migration: {backup.backup_by_itself(url, backups_folder(), 'before-migration')}")
        except backup.NoBackup as reason:
            raise runner.CannotStart(f"no backup before the migration: {reason}") from None


def _let_go_of_database() -> None:
    """Before a process goes on for weeks: no transaction stays open for so long, and no fork shares a connection."""
    db.session.remove()
    db.engine.dispose()


@contextmanager
def _in_one_line() -> Iterator[None]:
    """A queue that is gone is no fault of ours: the supervisor starts this process again. A traceback helps nobody."""
    try:
        yield
    except RedisError as error:
        raise click.ClickException(f"the queue cannot be reached: {error}") from None


def _redis_url() -> str:
    url = current_app.config["REDIS_URL"]
    if not url:
        raise click.ClickException("REDIS_URL is not set: the worker and the scheduler need a Redis or a Valkey.")
    return str(url)


COMMANDS = (serve, web, worker, scheduler)

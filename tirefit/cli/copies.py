"""Copies of the database (docs/backup.md)."""

from pathlib import Path

import click
import flask_migrate
from flask import current_app
from flask.cli import with_appcontext

from tirefit import backup
from tirefit.booking import privacy
from tirefit.cli.words import count
from tirefit.database import db
from tirefit.jobs import runner


@click.command("backup")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), required=False)
@with_appcontext
def backup_(target: Path | None) -> None:
    """Copy the database while it is used. Without TARGET, into instance/backups; the newest 14 are kept there."""
    url = db.engine.url
    try:
        if target is None:
            target = backup.backup_by_itself(url, backups_folder(), "asked-for")
        else:
            backup.backup(url, target)
    except backup.NoBackup as reason:
        raise click.ClickException(str(reason)) from None
    click.echo(f"{target}: {target.stat().st_size / 1e6:.1f} MB, examined and whole.")


@click.command("restore")
@click.argument("source", type=click.Path(dir_okay=False, path_type=Path))
@with_appcontext
def restore_(source: Path) -> None:
    """Put a copy in the place of the database. TireFit must be stopped; what was there is kept beside it."""
    instance = Path(current_app.config["INSTANCE_PATH"])
    try:
        with runner.only_one(instance, "restoring a backup"):
            before = backup.restore(db.engine.url, source)
            flask_migrate.upgrade()  # the copy may be of an older version
    except runner.AlreadyRunning as where:
        raise click.ClickException(f"stop TireFit first; it runs here: {where}") from None
    except backup.NoBackup as reason:
        raise click.ClickException(str(reason)) from None
    kept = f" What was there before: {before}" if before else ""
    click.echo(f"Restored from {source}.{kept}")
    if before:
        _forget_again(str(before))


@click.command()
@click.argument("source")
@with_appcontext
def reapply_erasures(source: str) -> None:
    """Forget again whoever was forgotten after a copy was made that has been put back.

    SOURCE is the database as it was before (a file, or the URL of a PostgreSQL), or a file of the log. `restore` does
    it by itself, from the database that it puts aside. Twice is once.
    """
    _forget_again(source)


def _forget_again(source: str) -> None:
    try:
        forgotten, ahead = privacy.forget_again(backup.erasures_in(source))
    except backup.NoBackup as reason:
        raise click.ClickException(
            f"{reason}. Customers who asked to be forgotten since that copy may be back: run `flask reapply-erasures`"
            " with the log (docs/backup.md)."
        ) from None
    if forgotten:
        click.echo(f"Forgotten again, as before: {count(forgotten, 'booking')}.")
    if ahead:
        raise click.ClickException(
            f"forgotten before, and still ahead in this copy: {', '.join(ahead)}. Cancel them, then run"
            f" `flask reapply-erasures {source}`."
        )


def backups_folder() -> Path:
    return Path(current_app.config["INSTANCE_PATH"], "backups")


COMMANDS = (backup_, restore_, reapply_erasures)

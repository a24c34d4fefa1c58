"""Stations and their days: made for a demo, brought from the old system, offered for the weeks ahead."""

import click
from flask.cli import with_appcontext
from sqlalchemy import select

from tirefit import demo
from tirefit.cli.words import count
from tirefit.database import db
from tirefit.errors import Busy
from tirefit.importing import report, writing
from tirefit.importing.plan import make_plan
from tirefit.importing.source import SourceUnreadable, open_source
from tirefit.models import ServicePoint
from tirefit.schedule.rolling import generate_rolling_schedule


@click.command()
@click.option("--station", metavar="SLUG", help="Only this one; without it, every active station.")
@click.option(
    "--days", type=click.IntRange(1, 366), help="How many days ahead; without it, each station's own horizon."
)
@click.option("--again", is_flag=True, help="Compare the days that are offered already too, and mend what is missing.")
@with_appcontext
def generate_schedule(station: str | None, days: int | None, again: bool) -> None:
    """Offer the days ahead, as the nightly job does.

    Running it twice, or two of it at once, does nothing twice; stopped half-way, it goes on where it was when it is
    run again. The exit code is 0 when every day is there.
    """
    point_id = _active_station(station) if station is not None else None
    try:
        added = generate_rolling_schedule(point_id, _tell_progress, days=days, again=again)
    except Busy:
        raise click.ClickException(
            "the database was busy for too long. What has been written stays; run it again to go on."
        ) from None
    click.echo(f"Done: {count(added, 'slot')} written." if added else "Every day is offered already. Nothing to do.")


@click.command()
@click.argument("source")
@click.option("--write", is_flag=True, help="Write it. Without this, only what would happen is shown.")
@click.option("--time-zone", default="Europe/Kyiv", help="Of stations that name none.")
@click.option("--country", default="UA", help="How local phones are read.")
@click.option("--currency", default="UAH")
@with_appcontext
def import_legacy(source: str, write: bool, time_zone: str, country: str, currency: str) -> None:
    """Move in from the old system: SOURCE is the URL of its PostgreSQL database, or a folder of CSV files.

    Shows what would happen. With --write it happens; stopped, it goes on when run again, and twice is once. See
    docs/moving-in.md.
    """
    try:
        plan = make_plan(open_source(source), time_zone, country)
    except SourceUnreadable as problem:
        raise click.ClickException(str(problem)) from None
    for line in report.lines(plan):
        click.echo(line)
    if not write:
        click.echo("Nothing has been written. Run it again with --write.")
        return
    writing.write(plan, country, currency, lambda done, of: click.echo(f"{done} of {count(of, 'booking')}"))
    for (table, state), how_many in sorted(writing.counts().items()):
        click.echo(f"{table}: {state} {how_many}")


@click.command("demo")
@with_appcontext
def demo_() -> None:
    """Fill an empty database with two believable stations and bookings around now."""
    logins = demo.load_demo()
    if not logins:
        click.echo("The database has a station already; the demo is for an empty one. Nothing was changed.")
    show_logins(logins)


def show_logins(logins: list[demo.Login]) -> None:
    """Passwords are shown this once; only their hashes are kept."""
    if logins:
        click.echo("A demo network has been made. Sign in at /login; the passwords are shown only now:")
    for login in logins:
        click.echo(f"  {login.role:8} {login.email:24} {login.password}  {login.station or 'all stations'}")


def _active_station(slug: str) -> int:
    point = db.session.scalar(select(ServicePoint).where(ServicePoint.slug == slug)) if slug.isprintable() else None
    if point is None:
        raise click.ClickException(f"No such station: {slug!r}. Its name is the end of its address: /s/NAME")
    if not point.active:
        raise click.ClickException(f"{slug} is closed for booking: its days are not offered until it is active.")
    return point.id


def _tell_progress(done: int, total: int, added: int) -> None:
    click.echo(f"{done} of {count(total, 'station')}: {count(added, 'slot')} so far")


COMMANDS = (generate_schedule, import_legacy, demo_)

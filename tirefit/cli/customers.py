"""What is kept about customers, and who has seen it (docs/privacy.md)."""

import json
from datetime import UTC, datetime

import click
from flask.cli import with_appcontext

from tirefit import incidents
from tirefit.booking import privacy
from tirefit.cli.copies import backups_folder
from tirefit.cli.words import count
from tirefit.errors import StillNeeded


@click.group()
def customer() -> None:
    """What is kept about a customer (docs/privacy.md)."""


@customer.command("export")
@click.argument("phone")
@with_appcontext
def export_customer(phone: str) -> None:
    """Print all that is kept about PHONE (as +380671234567), as JSON. Make sure first that it is theirs."""
    click.echo(json.dumps(privacy.held_about(privacy.bookings_of(phone)), ensure_ascii=False, indent=2))


@customer.command("forget")
@click.argument("phone")
@with_appcontext
def forget_customer(phone: str) -> None:
    """Forget who booked with PHONE (as +380671234567). Visits that are still ahead stay, and are named."""
    forgotten, ahead = 0, []
    for booking in privacy.bookings_of(phone):
        try:
            privacy.forget(booking.id, actor=privacy.SYSTEM)
            forgotten += 1
        except StillNeeded:
            ahead.append(booking.number)
    click.echo(f"{count(forgotten, 'booking')} without a customer now.")
    if ahead:
        raise click.ClickException(f"still ahead, cancel them first: {', '.join(ahead)}")


@click.command()
@click.option("--since", type=click.DateTime(), required=True, help="From when on, in UTC: 2026-11-22T14:00:00")
@with_appcontext
def incident_report(since: datetime) -> None:
    """What is written down about who has seen customers' data, for the authority (docs/privacy.md).

    Phones shown, files made, ways in opened, sessions that have not ended, copies of the database; and who may
    look at customers at all: that they looked at a page is written down nowhere.
    """
    since = since.replace(tzinfo=UTC)
    click.echo("When (UTC)           who; station; what; of what")
    for deed in incidents.since(since):
        who, where = deed.who or "(nobody of the stations)", deed.where or "(network)"
        click.echo(f"{deed.at:%Y-%m-%d %H:%M:%S}  {who}; {where}; {deed.what}; {deed.of_what}")
    for copy in sorted(backups_folder().glob("*")):
        made = datetime.fromtimestamp(copy.stat().st_mtime, UTC)
        if made >= since:
            click.echo(f"{made:%Y-%m-%d %H:%M:%S}  (this machine); (network); copied; {copy.name}")
    click.echo("May look at customers now, and so may have:")
    for slug, email, role in incidents.may_see():
        click.echo(f"  {email}; {slug or '(network)'}; {role}")


COMMANDS = (customer, incident_report)

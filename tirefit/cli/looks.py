"""Is all as it should be? Nothing here changes anything."""

from collections.abc import Iterator

import click
from flask.cli import with_appcontext

from tirefit import deploy_check, doctor


@click.command("doctor")
@click.option("--no-dns", is_flag=True, help="Do not ask DNS about the domain that letters come from.")
@with_appcontext
def doctor_(no_dns: bool) -> None:
    """Look whether everything is as it should be: data, offers, letters, queue, clock, mail.

    Changes nothing. The exit code is 1 when something is wrong, for whoever watches.
    """
    _tell(doctor.examine(None if no_dns else doctor.ask_dns))


@click.command("deploy-check")
@with_appcontext
def deploy_check_() -> None:
    """May this release take over? Run it in the new release's folder before the old one is told to end.

    Settings, secret, database, schema, guard, instance folder, pages, translations, static files, Redis and the mail
    server. Changes nothing. The exit code is 1 when something is wrong: then leave the old release running.
    """
    _tell(deploy_check.examine())


def _tell(findings: Iterator[doctor.Finding]) -> None:
    signs = {"ok": "ok   ", "look": "look ", "wrong": "WRONG"}
    found = []
    for finding in findings:
        found.append(finding.state)
        click.echo(f"{signs[finding.state]}  {finding.about}: {finding.words}")
    if "wrong" in found:
        raise SystemExit(1)


COMMANDS = (doctor_, deploy_check_)

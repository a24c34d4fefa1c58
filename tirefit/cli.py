"""The command line: `flask <command>`. Commands start processes or call one domain function, and say what happened."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
import flask_migrate
from flask import Flask, current_app
from flask.cli import with_appcontext
from redis import RedisError
from sqlalchemy import inspect, select
from sqlalchemy.exc import SQLAlchemyError

from tirefit import (
    accounts,
    backup,
    demo,
    deploy_check,
    doctor,
    founding,
    incidents,
    jobs,
    password_reset,
    second_step,
    tokens,
)
from tirefit.booking import privacy
from tirefit.database import WRITE, db, schema_state
from tirefit.errors import (
    Busy,
    EmailInvalid,
    EmailTaken,
    PasswordGuessable,
    PasswordUnfit,
    StillNeeded,
    UnknownPerson,
    UnknownStation,
)
from tirefit.importing import report, writing
from tirefit.importing.plan import make_plan
from tirefit.importing.source import SourceUnreadable, open_source
from tirefit.jobs import periodic, runner
from tirefit.models import OVERLAP_GUARD, ServicePoint, overlap_guard_is_there
from tirefit.schedule.rolling import generate_rolling_schedule


def init_app(app: Flask) -> None:
    running = (serve, web, worker, scheduler, generate_schedule, setup_code)
    copies = (backup_, restore_, reapply_erasures)
    for command in (
        *running,
        user,
        token,
        import_legacy,
        customer,
        demo_,
        *copies,
        incident_report,
        doctor_,
        deploy_check_,
    ):
        app.cli.add_command(command)


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
    _tell_setup_code()
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
    click.echo(f"Done: {_count(added, 'slot')} written." if added else "Every day is offered already. Nothing to do.")


@click.command("setup-code")
@with_appcontext
def setup_code() -> None:
    """Print the code that /setup asks for, while nobody has an account."""
    if not _tell_setup_code():
        raise click.ClickException("Somebody has an account already: people are invited now, or made by `user add`.")


@click.group()
def user() -> None:
    """People of the stations."""


@user.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice(["staff", "manager", "admin"]), required=True, help="What they may do.")
@click.option(
    "--station", "stations", multiple=True, metavar="SLUG", help="Where; may be repeated. An admin: everywhere."
)
@click.option("--name", default="", help="As colleagues call them; without it, the beginning of EMAIL.")
@click.option("--ask-password", is_flag=True, help="Ask for the password here instead of making a link.")
@with_appcontext
def add_user(email: str, role: str, stations: tuple[str, ...], name: str, ask_password: bool) -> None:
    """Let a person in: prints a link that works once, for an hour, where they choose their password."""
    password = click.prompt("Password", hide_input=True, confirmation_prompt=True) if ask_password else ""
    try:
        accounts.add_user(email, role, stations, name=name, password=password)
    except EmailInvalid as problem:
        raise click.ClickException(f"{problem.facts['email']} is not an e-mail address.") from None
    except EmailTaken as problem:
        raise click.ClickException(f"{problem.facts['email']} has an account already.") from None
    except PasswordUnfit as problem:
        raise click.ClickException(
            "A password has {shortest} to {longest} characters.".format(**problem.facts)
        ) from None
    except PasswordGuessable:
        raise click.ClickException("That password is easily guessed: take several unrelated words.") from None
    except UnknownStation as problem:
        unknown = ", ".join(problem.facts["slugs"]) or "none was named; use --station SLUG"
        raise click.ClickException(f"No such station: {unknown}.") from None
    if ask_password:
        click.echo(f"{email} can sign in at /login.")
    else:
        _tell_password_link(email)


@user.command("password-link")
@click.argument("email")
@with_appcontext
def password_link(email: str) -> None:
    """For EMAIL who has forgotten the password and gets no letters: a link as "Forgot the password?" sends one."""
    try:
        _tell_password_link(email)
    except UnknownPerson:
        raise click.ClickException(f"Nobody signs in as {email}.") from None


@user.command("reset-second-step")
@click.argument("email")
@with_appcontext
def reset_second_step(email: str) -> None:
    """For EMAIL who has lost the phone and the recovery codes: sign them out, and let them in by password once more."""
    try:
        second_step.reset_of(email)
    except UnknownPerson:
        raise click.ClickException(f"Nobody signs in as {email}.") from None
    click.echo(
        f"{email} signs in with the password alone, and sets the second step up again if their role asks for it."
    )


@click.group()
def token() -> None:
    """Tokens: how programs of the station's people ask the API."""


@token.command("add")
@click.argument("email")
@click.option("--role", type=click.Choice(["staff", "manager", "admin"]), default="manager", help="At most this much.")
@click.option("--station", metavar="SLUG", help="Only there; without it, wherever EMAIL may.")
@click.option("--name", default="", help="What it is for.")
@with_appcontext
def add_token(email: str, role: str, station: str | None, name: str) -> None:
    """Give EMAIL's programs a token. It is shown only now, and may never do more than EMAIL may."""
    try:
        click.echo(tokens.add_token(email, role, station, name=name[: tokens.LONGEST_NAME]))
    except UnknownPerson:
        raise click.ClickException(f"Nobody signs in as {email}. Add them first: flask user add") from None
    except UnknownStation:
        raise click.ClickException(f"{email} has no station {station!r}.") from None


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
    click.echo(f"{_count(forgotten, 'booking')} without a customer now.")
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
    for copy in sorted(_backups().glob("*")):
        made = datetime.fromtimestamp(copy.stat().st_mtime, UTC)
        if made >= since:
            click.echo(f"{made:%Y-%m-%d %H:%M:%S}  (this machine); (network); copied; {copy.name}")
    click.echo("May look at customers now, and so may have:")
    for slug, email, role in incidents.may_see():
        click.echo(f"  {email}; {slug or '(network)'}; {role}")


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
    writing.write(plan, country, currency, lambda done, of: click.echo(f"{done} of {_count(of, 'booking')}"))
    for (table, state), count in sorted(writing.counts().items()):
        click.echo(f"{table}: {state} {count}")


@click.command("demo")
@with_appcontext
def demo_() -> None:
    """Fill an empty database with two believable stations and bookings around now."""
    logins = demo.load_demo()
    if not logins:
        click.echo("The database has a station already; the demo is for an empty one. Nothing was changed.")
    _show(logins)


@click.command("backup")
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), required=False)
@with_appcontext
def backup_(target: Path | None) -> None:
    """Copy the database while it is used. Without TARGET, into instance/backups; the newest 14 are kept there."""
    url = db.engine.url
    try:
        if target is None:
            target = backup.backup_by_itself(url, _backups(), "asked-for")
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
        click.echo(f"Forgotten again, as before: {_count(forgotten, 'booking')}.")
    if ahead:
        raise click.ClickException(
            f"forgotten before, and still ahead in this copy: {', '.join(ahead)}. Cancel them, then run"
            f" `flask reapply-erasures {source}`."
        )


def _backups() -> Path:
    return Path(current_app.config["INSTANCE_PATH"], "backups")


def _active_station(slug: str) -> int:
    point = db.session.scalar(select(ServicePoint).where(ServicePoint.slug == slug)) if slug.isprintable() else None
    if point is None:
        raise click.ClickException(f"No such station: {slug!r}. Its name is the end of its address: /s/NAME")
    if not point.active:
        raise click.ClickException(f"{slug} is closed for booking: its days are not offered until it is active.")
    return point.id


def _tell_progress(done: int, total: int, added: int) -> None:
    click.echo(f"{done} of {_count(total, 'station')}: {_count(added, 'slot')} so far")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


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
        _show(demo.load_demo())
    _let_go_of_database()


def _let_go_of_database() -> None:
    """Before a process goes on for weeks: no transaction stays open for so long, and no fork shares a connection."""
    db.session.remove()
    db.engine.dispose()


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


def _tell_setup_code() -> bool:
    """Whoever can read this may found the installation; nobody else may, though the page is open to the world."""
    is_empty = founding.is_empty()
    if is_empty:
        code = founding.setup_code(current_app.config["SECRET_KEY"])
        click.echo(f"Nobody has an account yet. Open {current_app.config['BASE_URL']}/setup with the setup code {code}")
    return is_empty


def _save_before_migrating() -> None:
    """A new version changes the schema at its first start: keep the database as the old version left it."""
    url = db.engine.url
    is_new = not inspect(db.engine).has_table("alembic_version")
    if url.get_backend_name() == "sqlite" and not is_new and _schema() == "behind":
        try:
            click.echo(f"Before the migration: {backup.backup_by_itself(url, _backups(), 'before-migration')}")
        except backup.NoBackup as reason:
            raise runner.CannotStart(f"no backup before the migration: {reason}") from None


def _tell_password_link(email: str) -> None:
    token = password_reset.link_for(email)
    click.echo(f"{email} chooses a password within an hour at {current_app.config['BASE_URL']}/password/{token}")


def _show(logins: list[demo.Login]) -> None:
    """Passwords are shown this once; only their hashes are kept."""
    if logins:
        click.echo("A demo network has been made. Sign in at /login; the passwords are shown only now:")
    for login in logins:
        click.echo(f"  {login.role:8} {login.email:24} {login.password}  {login.station or 'all stations'}")


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

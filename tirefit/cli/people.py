"""Who may come in: the first person, those of the stations, and their programs."""

import click
from flask import current_app
from flask.cli import with_appcontext

from tirefit import accounts, founding, password_reset, second_step, tokens
from tirefit.errors import EmailInvalid, EmailTaken, PasswordGuessable, PasswordUnfit, UnknownPerson, UnknownStation


@click.command("setup-code")
@with_appcontext
def setup_code() -> None:
    """Print the code that /setup asks for, while nobody has an account."""
    if not tell_setup_code():
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


def tell_setup_code() -> bool:
    """Whoever can read this may found the installation; nobody else may, though the page is open to the world."""
    is_empty = founding.is_empty()
    if is_empty:
        code = founding.setup_code(current_app.config["SECRET_KEY"])
        click.echo(f"Nobody has an account yet. Open {current_app.config['BASE_URL']}/setup with the setup code {code}")
    return is_empty


def _tell_password_link(email: str) -> None:
    token = password_reset.link_for(email)
    click.echo(f"{email} chooses a password within an hour at {current_app.config['BASE_URL']}/password/{token}")


COMMANDS = (setup_code, user, token)

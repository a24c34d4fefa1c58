"""What was meant for another place is refused: a request under another host's name, a form of another site's page.

Nothing rests on this alone: links in letters are made of TIREFIT_BASE_URL, whatever the request says, and a form has
its token.
"""

from urllib.parse import urlsplit

from flask import Flask, abort, current_app, request
from flask_wtf.csrf import CSRFError

from tirefit import config
from tirefit.logs import security

LOOPBACK = {"127.0.0.1", "::1", "localhost"}  # a proxy on this machine that keeps the name to itself
ASKED_BY_ADDRESS = {"health", "metrics"}  # by balancers and watchers, who know no name
ONE_CLICK = "ticket.choose_reminders"  # a mail program's button; the link is the right to it
READS = {"GET", "HEAD", "OPTIONS"}


def init_app(app: Flask) -> None:
    app.before_request(_refuse_other_hosts)
    app.before_request(_refuse_other_sites)


def _refuse_other_hosts() -> None:
    """Where TIREFIT_BASE_URL says what this is called over https. A demo, or a station's own machine, has any name."""
    ours = urlsplit(current_app.config["BASE_URL"])
    if not current_app.config["HTTPS"] or ours.scheme != "https" or request.blueprint in ASKED_BY_ADDRESS:
        return
    if _host(f"//{request.host}") not in LOOPBACK | {ours.hostname}:
        security.info("refused: asked for under another name than TIREFIT_BASE_URL has")
        abort(400)


def _refuse_other_sites() -> None:
    """Browsers tell where a form was sent from. Where nothing is told, the form's token is all there is.

    Today's tell it over https in a header that no page can write; the others are read where that one is missing.
    """
    if request.method in READS or request.path.startswith(f"{config.API}/") or request.endpoint == ONE_CLICK:
        return
    told = request.headers.get("Sec-Fetch-Site")
    if told is None:
        origin = request.headers.get("Origin", "null")  # "null": it would rather not say
        page = request.headers.get("Referer") if origin == "null" else origin
        names = {_host(f"//{request.host}"), _host(current_app.config["BASE_URL"])}  # a proxy may change the first
        is_ours = page is None or _host(page) in names
    else:
        is_ours = told in ("same-origin", "none")
    if not is_ours:
        raise CSRFError("sent from another site's page")


def _host(address: str) -> str | None:
    """Without the port, which proxies do not always hand on."""
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None

"""The tasks themselves: thin shells round the domain. Each may run late, twice, or beside itself."""

import logging
import time
from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from flask import Flask, current_app, has_app_context
from flask_mail import BadHeaderError

from tirefit import answers, jobs, paper
from tirefit.booking import privacy
from tirefit.notifications import alerts, delivery, letters, outbox, reminders, summaries
from tirefit.notifications.outbox import ClaimedLetter
from tirefit.schedule import reservations, rolling
from tirefit.webhooks import delivery as delivery_of_webhooks
from tirefit.webhooks import outbox as webhooks

P = ParamSpec("P")
R = TypeVar("R")

A_ROUND_OF_WEBHOOKS = 30.0  # seconds

log = logging.getLogger(__name__)


def task(do: Callable[P, R]) -> Callable[P, R]:
    """Run `do` with a database session of its own, in the app that is here, or in one made once for the process."""

    @wraps(do)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        app: Flask = current_app._get_current_object() if has_app_context() else _app()  # type: ignore[attr-defined]
        with app.app_context():
            return do(*args, **kwargs)

    return run


@task
def drain_letters() -> int:
    """Send every letter that is due, one after another. Several of these at once share the work.

    A letter that the mail server refuses stops no other; a mail server that is not there stops the round, so that only
    one letter pays for finding that out. Returns how many have left.
    """
    if delivery.way() is None:
        if outbox.is_anything_due():
            log.error("Letters wait, and there is no mail server: TIREFIT_MAIL_SERVER is not set.")
        return 0
    sent = 0
    with delivery.connect() as connection:
        while letter := outbox.claim():
            try:
                sent += _send(letter, connection)
            except delivery.Unreachable as error:
                outbox.retry_later(letter.id, letter.lease, str(error))
                # only the code or the kind of error: the server's words may name the recipient, and stay in the row
                log.warning("The mail server cannot be used (%s); see letter %s", str(error).split()[0], letter.id)
                break
    return sent


@task
def deliver_webhooks() -> int:
    """Tell programs elsewhere what is due. Several of these at once share the work; → how many were told.

    An address that does not take one thing is asked nothing else in this round. A round is short, so that letters never
    wait long behind slow addresses; what is left goes into the next one, at once.
    """
    told, failing = 0, set[int]()
    deadline = time.monotonic() + A_ROUND_OF_WEBHOOKS
    while time.monotonic() < deadline:
        claimed = webhooks.claim(failing)
        if claimed is None:
            break
        outcome = delivery_of_webhooks.deliver(claimed)
        if outcome.is_taken:
            told += webhooks.mark_delivered(claimed.id, claimed.lease, outcome.status or 0)
        else:
            failing.add(claimed.endpoint_id)
            webhooks.retry_later(claimed.id, claimed.lease, outcome.words, outcome.status)
            log.warning("A webhook was not taken (%s); see delivery %s", outcome.status or "no answer", claimed.id)
    else:
        jobs.ring("deliver_webhooks", jobs.WEBHOOKS)
    return told


@task
def booking_reminders() -> int:
    """Write the reminders and the thanks that have come due, and send them."""
    return reminders.write_what_is_due()


@task
def daily_summaries() -> int:
    """Tell the stations that have closed for today who comes tomorrow."""
    return summaries.write_due_summaries()


@task
def look_after_ourselves() -> list[str]:
    """Tell the admins when the installation as a whole does not do its work."""
    found = alerts.write_alerts()
    if found:
        log.error("Something is wrong: %s. `flask doctor` tells more.", ", ".join(found))
    return found


@task
def cleanup_expired_reservations() -> int:
    """Remove holds that are over. Nobody waits for it: an expired hold blocks nothing."""
    return reservations.cleanup_expired_reservations()


@task
def rolling_schedule_generator() -> int:
    """Offer the days that have come within the horizon, for every active post."""
    return rolling.generate_rolling_schedule()


@task
def forget_old_customers() -> int:
    """Remove from old visits whose they were; and what nobody asks about any more."""
    webhooks.sweep()
    answers.sweep()
    return privacy.forget_old(current_app.config["RETENTION_DAYS"])


@task
def save_paper_copies() -> int:
    """The day's board as files, for an hour in which nothing else works."""
    return paper.save_copies()


def _send(letter: ClaimedLetter, connection: delivery.Connection) -> bool:
    """One letter out, or its failure written down: for the station in the row, for the log without a recipient."""
    try:
        connection.send(letters.compose(letter))
    except delivery.Unreachable:
        raise
    except (delivery.Refused, BadHeaderError) as error:
        outbox.mark_failed(letter.id, letter.lease, str(error) or type(error).__name__)
        log.warning("Letter %s (%s) can never be delivered", letter.id, letter.kind)
    except delivery.NotNow as error:
        outbox.retry_later(letter.id, letter.lease, str(error))
    except Exception as error:  # a fault of ours: the letter waits until it is mended, the others go on
        outbox.retry_later(letter.id, letter.lease, type(error).__name__)
        log.exception("Letter %s (%s) could not be written", letter.id, letter.kind)
    else:
        return outbox.mark_sent(letter.id, letter.lease)
    return False


@cache
def _app() -> Flask:
    from tirefit import create_app

    return create_app()

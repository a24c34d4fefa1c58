"""The controls: the program as most programs are.

Letters: the outbox is taken out, and what a booking would have written there is put into the queue after the commit, a
job for each letter, which RQ tries three times more. Writers: they look before anybody keeps the others out.
"""

import re
from contextlib import nullcontext
from dataclasses import fields

import rq
from flask import current_app
from sqlalchemy import Engine, event

from tirefit import clock, database
from tirefit.database import on_commit
from tirefit.jobs.tasks import task
from tirefit.notifications import delivery, letters, outbox
from tirefit.notifications.outbox import ClaimedLetter


def take_the_outbox_out() -> None:
    outbox._insert = into_the_queue_after_the_commit  # type: ignore[assignment]
    outbox.letters_written.receivers.clear()


def into_the_queue_after_the_commit(kind, recipient, locale, due_at, *, booking_id, **rest):
    values = {"kind": kind, "recipient": recipient, "locale": locale, "booking_id": booking_id}

    def enqueue() -> None:
        doorbell = current_app.extensions["tirefit-doorbell"]
        try:
            doorbell.enqueue(send, kwargs={"values": values}, retry=rq.Retry(max=3))
        except Exception:  # the booking is committed: its customer cannot be told that it failed
            return

    on_commit(enqueue)
    return True


@task
def send(values) -> None:
    rest = dict.fromkeys(field.name for field in fields(ClaimedLetter))
    known = {"id": 0, "message_id": f"{values['booking_id']}-{values['kind']}", "lease": "", "token": "A" * 22}
    letter = ClaimedLetter(**rest | known | {"leased_until": clock.now()} | values)
    with delivery.connect() as connection:
        connection.send(letters.compose(letter))


def let_writers_race() -> None:
    """sqlite3 begins its transactions itself, after the look and before the write, and writers do not queue. Nothing
    is changed on PostgreSQL.
    """
    event.remove(Engine, "begin", database._begin_sqlite)
    database.writers_queue = lambda engine, deadline: nullcontext()

    @event.listens_for(Engine, "connect")
    def as_sqlite3_does(connection, record):
        if type(connection).__module__.startswith("sqlite3"):
            connection.isolation_level = ""


def lock_no_row() -> None:
    """Nobody waits for anybody before they look."""
    let_writers_race()

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def without_locks(connection, cursor, statement, parameters, context, many):
        return re.sub(r" FOR (NO KEY )?UPDATE", "", statement), parameters

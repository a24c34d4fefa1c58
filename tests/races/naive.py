"""The control of test_chaos.py: letters as most programs send them. The outbox is taken out, and what a booking would
have written there is put into the queue after the commit, a job for each letter, which RQ tries three times more.
"""

from dataclasses import fields

import rq
from flask import current_app

from tirefit import clock
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

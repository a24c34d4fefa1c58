"""For admins: is the mail server there, and what does the queue do?"""

from typing import Any

from flask import Blueprint, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit.jobs import queues
from tirefit.notifications import alerts, delivery, letters, outbox, samples
from tirefit.web import letter_words, load, policy

bp = Blueprint("operations", __name__, url_prefix="/admin")

SHOWN = ("MAIL_SERVER", "MAIL_PORT", "MAIL_USE_TLS", "MAIL_USE_SSL", "MAIL_USERNAME", "MAIL_DEFAULT_SENDER")


@bp.get("/mail")
@policy.admins
def mail() -> ResponseReturnValue:
    return _mail()


@bp.post("/mail")
@policy.admins
def try_mail() -> ResponseReturnValue:
    """A letter to whoever asks, at once and without the outbox; the server's answer is shown as it is."""
    user = policy.me()
    assert user is not None
    samples.count_one(user.id)
    return _mail(delivery.try_out(letters.test_letter(user.email, user.locale)))


@bp.get("/queue")
@policy.admins
def queue() -> ResponseReturnValue:
    found: dict[str, Any] = {"overview": None, "away": False}
    try:
        found["overview"] = queues.overview()
    except queues.QueueAway:
        found["away"] = True
    return render_template("operations/queue.html", point=load.asked_point(), **found)


@bp.post("/queue")
@policy.admins
def change_job() -> ResponseReturnValue:
    """`do` is "retry" or "delete"; `job` says which."""
    do = queues.delete if request.form.get("do") == "delete" else queues.retry
    try:
        done = do(request.form.get("job", "")[:100])
    except queues.QueueAway:
        done = False
    flash(_("Готово.") if done else _("Этого задания уже нет."))
    return redirect(url_for(".queue", s=request.args.get("s")), 303)


def _mail(answer: delivery.Attempt | None = None) -> str:
    return render_template(
        "operations/mail.html",
        point=load.asked_point(),
        settings={f"TIREFIT_{name}": current_app.config[name] for name in SHOWN},
        signs=bool(current_app.config["DKIM_KEY_FILE"]),
        way=delivery.way(),
        stuck=alerts.letters_are_stuck(),
        waiting=outbox.how_many_wait(),
        answer=answer,
        words=letter_words,
    )

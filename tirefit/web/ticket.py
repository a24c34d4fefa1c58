"""What a customer does with a booking: look at it, say that they will come or how late, move it, give it back and have
it again, name the car.

The link of a letter is changed for a clean address (see tirefit/web/visitor.py); everything else lives there. Opening
a page changes nothing: programs that read letters follow their links.
"""

import json
from datetime import datetime
from typing import Any

from flask import Blueprint, Response, abort, redirect, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from tirefit import clock
from tirefit.booking import privacy, states, steps
from tirefit.booking.commands import set_plate
from tirefit.booking.links import find_by_token, renew_link, send_link, send_lost_links
from tirefit.errors import Busy, Problem, TooManyAttempts
from tirefit.extensions import csrf
from tirefit.models import Booking
from tirefit.notifications import outbox
from tirefit.notifications.calendar import booking_calendar
from tirefit.notifications.reminders import allow_letters, stop_letters
from tirefit.web import errors, load, pages, policy, remembered, ticket_move, visitor
from tirefit.web.forms.public import EmailForm, PlateForm, as_id
from tirefit.web.pages import Answer

bp = Blueprint("ticket", __name__)

# Where the links of a reminder lead to. Each is a page with a button: only that changes anything.
WAYS = {"come": ".ask_to_come", "late": ".ask_to_come", "move": ".choose_time", "cancel": ".ask_to_cancel"}


@bp.after_request
def keep_to_ourselves(answer: Response) -> Response:
    """Nobody learns of these addresses from us: no page that is linked to, and no search engine."""
    answer.headers["Referrer-Policy"] = "no-referrer"
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


@bp.errorhandler(Problem)
def show_refusal(problem: Problem) -> Answer | errors.Answer:
    """The booking as it is now, and above it why not."""
    booking = (request.view_args or {}).get("booking")
    if booking is None or isinstance(problem, Busy | TooManyAttempts):
        return errors.show_problem(problem)
    return _ticket(booking, problem=problem), problem.status


@bp.get("/b/<token:token>")
@policy.customer
def open_link(token: str) -> Answer:
    """The secret goes into a cookie, and the visitor on to the clean address."""
    booking = _find_booking(token)
    page = WAYS.get(request.args.get("to", ""), ".show")
    answer = redirect(url_for(page, number=booking.number, new=request.args.get("new")), 303)
    visitor.keep_key(answer, token, booking)
    return answer


@bp.get("/b/<token:token>/calendar.ics")
@policy.customer
def calendar_link(token: str) -> Answer:
    """For calendar programs, which keep no cookies."""
    return _calendar(_find_booking(token))


@bp.get("/b/<token:token>/reminders")
@policy.customer
def reminders(token: str) -> Answer:
    """Where a reminder's "no more of these" leads to."""
    return _reminders(token, _find_booking(token))


@bp.post("/b/<token:token>/reminders")
@policy.customer
def choose_reminders(token: str) -> Answer:
    """One click in a mail program (RFC 8058), or the button of the page above. The link itself is the right to it."""
    booking = _find_booking(token)
    change = allow_letters if request.form.get("reminders") == "on" else stop_letters
    change(booking.id)
    if "List-Unsubscribe" in request.form:  # such programs follow no redirect
        return _reminders(token, booking)
    return redirect(url_for(".reminders", token=token), 303)


csrf.exempt(choose_reminders)  # mail programs have no session to forge


@bp.get("/b/<number:number>")
@policy.ticket_holder
def show(booking: Booking) -> Answer:
    return _ticket(booking)


@bp.get("/b/<number:number>/calendar.ics")
@policy.ticket_holder
def calendar_file(booking: Booking) -> Answer:
    return _calendar(booking)


@bp.post("/b/<number:number>/plate")
@policy.ticket_holder
def plate(booking: Booking) -> Answer:
    form = PlateForm()
    if not form.validate():
        return _ticket(booking, plate_form=form), 422
    booking = set_plate(booking.id, form.plate.data)
    answer = _back_to(booking)
    remembered.keep_plate(answer, booking)
    return answer


@bp.post("/b/<number:number>/forget")
@policy.ticket_holder
def forget(booking: Booking) -> Answer:
    """Have this phone forget its customer; the booking stays."""
    answer = _back_to(booking)
    remembered.forget(answer)
    return answer


@bp.get("/b/<number:number>/move")
@policy.ticket_holder
def choose_time(booking: Booking) -> Answer:
    return _too_late(booking) or ticket_move.choose(booking)


@bp.get("/b/<number:number>/move/calendar")
@policy.ticket_holder
def choose_day(booking: Booking) -> Answer:
    return _too_late(booking) or ticket_move.choose_day(booking)


@bp.post("/b/<number:number>/move")
@policy.ticket_holder
def move(booking: Booking) -> Answer:
    return ticket_move.move(booking, _seen()) or _back_to(booking, done="moved")


@bp.get("/b/<number:number>/cancel")
@policy.ticket_holder
def ask_to_cancel(booking: Booking) -> Answer:
    return _too_late(booking) or pages.show(
        "ticket/cancel.html", booking.service_point, booking=booking, reasons=steps.CANCEL_REASONS
    )


@bp.post("/b/<number:number>/cancel")
@policy.ticket_holder
def cancel(booking: Booking) -> Answer:
    reason = request.form.get("reason", "")
    reason = reason if reason in steps.CANCEL_REASONS else ""
    steps.cancel_booking(booking.id, actor=states.CUSTOMER, reason=reason, seen_version=_seen())
    return _back_to(booking)


@bp.post("/b/<number:number>/restore")
@policy.ticket_holder
def restore(booking: Booking) -> Answer:
    steps.restore_booking(booking.id, actor=states.CUSTOMER, seen_version=_seen())
    return _back_to(booking, done="restored")


@bp.post("/b/<number:number>/late")
@policy.ticket_holder
def late(booking: Booking) -> Answer:
    steps.report_late(booking.id, as_id(request.form.get("minutes", "")) or 0)
    return _back_to(booking)


@bp.get("/b/<number:number>/come")
@policy.ticket_holder
def ask_to_come(booking: Booking) -> Answer:
    """Will you come? In time, late, another day, not at all."""
    if not steps.may_move(booking) or booking.is_coming:
        return _back_to(booking)
    return pages.show(
        "ticket/come.html",
        booking.service_point,
        booking=booking,
        late_choices=steps.LATE_CHOICES,
        may_change=steps.may_still_change(booking),
    )


@bp.post("/b/<number:number>/come")
@policy.ticket_holder
def come(booking: Booking) -> Answer:
    steps.confirm_coming(booking.id)
    return _back_to(booking, done="coming")


@bp.post("/b/<number:number>/email")
@policy.ticket_holder
def email(booking: Booking) -> Answer:
    form = EmailForm()
    if not form.validate():
        return _ticket(booking, email_form=form), 422
    send_link(booking.id, form.email.data, visitor.network())
    return _back_to(booking, done="sent")


@bp.post("/b/<number:number>/link")
@policy.ticket_holder
def new_link(booking: Booking) -> Answer:
    answer = _back_to(booking, done="renewed")
    visitor.keep_key(answer, renew_link(booking.id), booking)
    return answer


@bp.get("/b/<number:number>/data.json")
@policy.ticket_holder
def data(booking: Booking) -> Answer:
    """All that is kept about this visit, for its customer to take along."""
    answer = Response(
        json.dumps(privacy.held_about([booking]), ensure_ascii=False, indent=2), mimetype="application/json"
    )
    answer.headers["Content-Disposition"] = f'attachment; filename="tirefit-{booking.number}.json"'
    return answer


@bp.post("/b/<number:number>/erase")
@policy.ticket_holder
def erase(booking: Booking) -> Answer:
    """Forget whose visit this was. The link dies with it."""
    privacy.forget(booking.id, actor=states.CUSTOMER)
    answer = redirect(url_for("public.privacy", s=booking.service_point.slug, erased=1), 303)
    remembered.forget(answer)
    return answer


@bp.get("/find")
@policy.public
def find() -> Answer:
    return _find(EmailForm(formdata=None))


@bp.post("/find")
@policy.public
def send_lost() -> Answer:
    """The same answer to everybody: who has a booking here is told by the letter alone."""
    form = EmailForm()
    if not form.validate():
        return _find(form), 422
    send_lost_links(form.email.data, visitor.network())
    return redirect(url_for(".find", sent=1, s=request.args.get("s")), 303)


def _too_late(booking: Booking) -> Answer | None:
    """What to answer who asks to change a booking that can no longer be changed here; None when it can."""
    if not steps.may_move(booking):
        return _back_to(booking)
    if not steps.may_still_change(booking):
        return pages.show("ticket/too_late.html", booking.service_point, booking=booking), 409
    return None


def _seen() -> int | None:
    """Which version of the booking stood on the page that was answered."""
    return as_id(request.form.get("seen", ""))


def _back_to(booking: Booking, done: str | None = None) -> BaseResponse:
    return redirect(url_for(".show", number=booking.number, done=done), 303)


def _ticket(
    booking: Booking,
    *,
    plate_form: PlateForm | None = None,
    email_form: EmailForm | None = None,
    problem: Problem | None = None,
) -> str:
    key = visitor.key_to(booking)
    return pages.show(
        "ticket/ticket.html",
        booking.service_point,
        booking=booking,
        plate_form=plate_form or PlateForm(formdata=None),
        email_form=email_form or EmailForm(formdata=None, data={"email": booking.customer_email}),
        problem=problem,
        is_remembered=remembered.recall() is not None,
        is_new="new" in request.args,
        done=request.args.get("done"),
        was=_what_it_was(booking),
        over=booking.ends_at <= clock.now(),
        begun=booking.starts_at <= clock.now(),
        may_change=steps.may_still_change(booking),
        may_restore=steps.may_restore(booking),
        cancelled_at=steps.cancelled_at(booking),
        ready_at=steps.ready_at(booking),
        late_choices=steps.LATE_CHOICES,
        undelivered=outbox.failure_of(booking),
        link=pages.whole_address(url_for(".open_link", token=key)) if key else None,
        here=url_for(".show", number=booking.number),
    )


def _what_it_was(booking: Booking) -> dict[str, Any] | None:
    """What was agreed before the last change, when that was a move."""
    last = booking.events[-1]
    if last.event != "rescheduled":
        return None
    return last.before | {"starts_at": datetime.fromisoformat(last.before["starts_at"])}


def _reminders(token: str, booking: Booking) -> Answer:
    if not booking.customer_email:
        return redirect(url_for(".open_link", token=token), 303)
    return pages.show(
        "ticket/reminders.html",
        booking.service_point,
        booking=booking,
        is_stopped=outbox.is_stopped(booking),
        here=url_for(".reminders", token=token),
        token=token,
    )


def _find(form: EmailForm) -> str:
    return pages.show("ticket/find.html", load.point(request.args.get("s", "")), form=form, sent="sent" in request.args)


def _calendar(booking: Booking) -> Response:
    answer = Response(booking_calendar(booking), mimetype="text/calendar")
    answer.headers["Content-Disposition"] = f'inline; filename="tirefit-{booking.number}.ics"'
    return answer


def _find_booking(token: str) -> Booking:
    return find_by_token(token) or abort(410)

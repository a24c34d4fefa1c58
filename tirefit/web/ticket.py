"""What a customer does with a booking: look at it, name the car, give the time back.

The token in the address is the right. Opening a page changes nothing: programs that read letters follow their links.
"""

from flask import Blueprint, Response, abort, redirect, request, url_for

from tirefit import clock
from tirefit.booking import states
from tirefit.booking.commands import set_plate
from tirefit.booking.links import find_by_token
from tirefit.booking.steps import cancel_booking, may_still_change
from tirefit.models import Booking
from tirefit.notifications.calendar import booking_calendar
from tirefit.web import pages, policy, remembered
from tirefit.web.forms.public import PlateForm
from tirefit.web.pages import Answer

bp = Blueprint("ticket", __name__)


@bp.get("/b/<token:token>")
@policy.customer
def show(token: str) -> Answer:
    return _ticket(token, _find_booking(token), PlateForm(formdata=None))


@bp.post("/b/<token:token>/plate")
@policy.customer
def plate(token: str) -> Answer:
    booking, form = _find_booking(token), PlateForm()
    if not form.validate():
        return _ticket(token, booking, form), 422
    booking = set_plate(booking.id, form.plate.data)
    answer = redirect(url_for(".show", token=token), 303)
    remembered.keep_plate(answer, booking)
    return answer


@bp.post("/b/<token:token>/forget")
@policy.customer
def forget(token: str) -> Answer:
    """Have this phone forget its customer; the booking stays."""
    answer = redirect(url_for(".show", token=token), 303)
    remembered.forget(answer)
    return answer


@bp.get("/b/<token:token>/cancel")
@policy.customer
def ask_to_cancel(token: str) -> Answer:
    booking = _find_booking(token)
    if not _may_cancel(booking):
        return redirect(url_for(".show", token=token), 303)
    return pages.show("ticket/cancel.html", booking.service_point, booking=booking, token=token)


@bp.post("/b/<token:token>/cancel")
@policy.customer
def cancel(token: str) -> Answer:
    cancel_booking(_find_booking(token).id, actor=states.CUSTOMER)
    return redirect(url_for(".show", token=token), 303)


@bp.get("/b/<token:token>/calendar.ics")
@policy.customer
def calendar_file(token: str) -> Answer:
    booking = _find_booking(token)
    answer = Response(booking_calendar(booking), mimetype="text/calendar")
    answer.headers["Content-Disposition"] = f'inline; filename="tirefit-{booking.number}.ics"'
    return answer


def _ticket(token: str, booking: Booking, form: PlateForm) -> str:
    return pages.show(
        "ticket/ticket.html",
        booking.service_point,
        booking=booking,
        token=token,
        form=form,
        is_new="new" in request.args,
        is_remembered=remembered.recall() is not None,
        over=booking.ends_at <= clock.now(),
        may_cancel=_may_cancel(booking),
        here=url_for(".show", token=token),
    )


def _find_booking(token: str) -> Booking:
    return find_by_token(token) or abort(410)


def _may_cancel(booking: Booking) -> bool:
    event = "cancel_by_customer"
    return event in states.possible_events(booking.status, states.CUSTOMER) and may_still_change(booking)

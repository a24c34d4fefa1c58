"""The widget: what a station does and when it is free, in a frame on the station's own site.

The frame has no cookie and changes nothing: a tapped time opens the booking page in a window of its own.
"""

from flask import Blueprint, Response, abort, make_response, request, url_for

from tirefit.models import ServicePoint
from tirefit.web import headers, load, pages, picker, policy

bp = Blueprint("embed", __name__, url_prefix="/embed")


@bp.get("/<slug:slug>")
@policy.public
def show(slug: str) -> Response:
    point = load.point(slug) or abort(404)
    menu = picker.read_menu(point, request.args)
    if not point.active or not menu.services:
        return _framed(point, pages.show("embed/closed.html", point))
    if menu.visit is None or "edit" in request.args:
        is_sent = "svc" in request.args and "edit" not in request.args
        start = picker.start(point, menu)
        return _framed(point, pages.show("embed/start.html", point, menu=menu, is_sent=is_sent, **start))
    found = picker.times(point, menu.visit, request.args.get("d"))
    onward = url_for("public.station", slug=slug, **menu.choice.query)
    return _framed(point, pages.show("embed/times.html", point, menu=menu, visit=menu.visit, onward=onward, **found))


def _framed(point: ServicePoint, page: str) -> Response:
    """Only the station's own sites may show it; a station that lists none is shown nowhere."""
    answer = make_response(page)
    allowed = " ".join(point.web_origins) or "'none'"
    answer.headers["Content-Security-Policy"] = headers.framed_by(allowed)
    return answer

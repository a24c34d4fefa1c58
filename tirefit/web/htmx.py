"""A page for a browser, the same page for htmx, which takes the part it asked for (`hx-select`)."""

from flask import Response, request, url_for
from werkzeug.utils import redirect
from werkzeug.wrappers import Response as BaseResponse


def asked() -> bool:
    """Is this htmx, and not a person opening the address?"""
    return "HX-Request" in request.headers


def go(endpoint: str, **values: object) -> BaseResponse:
    """See other. Plain forms follow it; htmx must leave the page to follow."""
    url = url_for(endpoint, **values)  # type: ignore[arg-type]
    return Response(headers={"HX-Redirect": url}) if asked() else redirect(url, 303)

"""A letter inside a page: in a frame of its own, where its inline look is allowed and nothing else is."""

from flask import Response

from tirefit.web import headers

SANDBOX = "allow-popups allow-popups-to-escape-sandbox"  # links in the letter open beside it; nothing else works in it
FRAMED_LETTER = f"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox {SANDBOX}"


def letter(html: str) -> Response:
    """The letter as its reader sees it, with a policy of its own: its look is inline, and it may do nothing."""
    answer = Response(html.replace("<head>", '<head><base target="_blank">', 1))
    answer.headers["Content-Security-Policy"] = FRAMED_LETTER
    answer.headers["X-Frame-Options"] = "SAMEORIGIN"
    return answer


def page(html: str) -> Response:
    """A page that may show such a frame."""
    answer = Response(html)
    answer.headers["Content-Security-Policy"] = headers.POLICY + "; frame-src 'self'"
    return answer

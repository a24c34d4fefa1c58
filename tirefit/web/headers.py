"""Headers that every answer carries: what a page may load, who may frame it, what may be kept."""

from flask import Flask, Response, current_app, request

from tirefit import config

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "manifest-src 'self'",
    )
)
SECURITY = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # links of customers are secrets
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
}
TWO_YEARS = 2 * 365 * 24 * 60 * 60


def framed_by(origins: str) -> str:
    """The same policy, for a page that these sites may show in a frame."""
    return POLICY.replace("frame-ancestors 'none'", f"frame-ancestors {origins}")


def init_app(app: Flask) -> None:
    app.after_request(_protect)


def _protect(response: Response) -> Response:
    for name, value in SECURITY.items():
        response.headers.setdefault(name, value)
    if "frame-ancestors 'none'" not in response.headers["Content-Security-Policy"]:
        del response.headers["X-Frame-Options"]  # which knows no list of sites
    if current_app.config["HTTPS"]:
        response.headers["Strict-Transport-Security"] = f"max-age={TWO_YEARS}; includeSubDomains"
    if request.endpoint != "static" or response.status_code >= 400:  # a refusal speaks the reader's language
        response.headers.setdefault("Cache-Control", "no-store")  # Back never shows a time that is gone
        is_page = not request.path.startswith(f"{config.API}/")
        response.vary.update(("HX-Request", "Cookie", "Accept-Language") if is_page else ("Accept-Language",))
    return response

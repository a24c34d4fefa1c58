"""Faults of ours, reported to Sentry where that is wanted. Nobody who asked or booked is in what is sent."""

from typing import Any

from flask import Flask

from tirefit import config

# Of an event, all that leaves; a new release of the SDK may add what it likes.
KEPT = ("event_id", "timestamp", "level", "platform", "release", "logger", "transaction", "fingerprint")
OF_FRAME = ("filename", "function", "module", "lineno", "in_app")


def init_app(app: Flask) -> None:
    """Without SENTRY_DSN nothing is imported. With it and without the package, the start is refused in one line."""
    if not app.config["SENTRY_DSN"]:
        return
    try:
        import sentry_sdk
    except ImportError:
        raise SystemExit("TIREFIT_SENTRY_DSN is set and sentry-sdk is not installed: pip install sentry-sdk") from None
    sentry_sdk.init(
        dsn=app.config["SENTRY_DSN"],
        release=config.VERSION,
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        server_name="tirefit",
        before_send=lambda event, hint: without_people(event),
    )


def without_people(event: dict[str, Any]) -> dict[str, Any]:
    """What is left when everything is taken away that could name somebody: kinds of faults, and where they came from.

    Not their words either: a database's error holds the row.
    """
    left = {name: event[name] for name in KEPT if name in event}
    faults = event.get("exception", {}).get("values", [])
    left["exception"] = {"values": [{"type": fault.get("type"), "stacktrace": _frames(fault)} for fault in faults]}
    return left


def _frames(fault: dict[str, Any]) -> dict[str, Any]:
    frames = (fault.get("stacktrace") or {}).get("frames", [])
    return {"frames": [{name: frame[name] for name in OF_FRAME if name in frame} for frame in frames]}

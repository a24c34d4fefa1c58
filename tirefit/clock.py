"""The only place that reads the clock, so that tests can set it."""

from datetime import UTC, datetime


def now() -> datetime:
    """This instant, in UTC and whole seconds: both databases keep it exactly as it is here."""
    return datetime.now(UTC).replace(microsecond=0)

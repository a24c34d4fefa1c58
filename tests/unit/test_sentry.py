"""What is reported of a fault names nobody; without the package the start says what is missing."""

import importlib.util
import json

import pytest

from tirefit import create_app
from tirefit.faults import without_people


def test_an_event_keeps_the_fault_and_nobody():
    canary = "anna@example.com"
    frame = {"filename": "tirefit/web/public.py", "lineno": 7, "function": "book", "vars": {"email": canary}}
    event = {
        "event_id": "1",
        "transaction": "public.book",
        "request": {"url": f"https://x/{canary}", "cookies": canary, "data": canary},
        "user": {"email": canary},
        "breadcrumbs": [canary],
        "server_name": canary,
        "extra": {"x": canary},
        "logentry": {"message": canary},
        "exception": {"values": [{"type": "IntegrityError", "value": canary, "stacktrace": {"frames": [frame]}}]},
    }
    left = without_people(event)
    assert canary not in json.dumps(left)
    assert left["transaction"] == "public.book"
    fault = left["exception"]["values"][0]
    assert fault["type"] == "IntegrityError"
    assert fault["stacktrace"]["frames"] == [{"filename": "tirefit/web/public.py", "function": "book", "lineno": 7}]
    assert without_people({}) == {"exception": {"values": []}}


def test_without_the_package_the_start_is_refused_in_one_line(tmp_path):
    assert importlib.util.find_spec("sentry_sdk") is None, "it is no dependency"
    with pytest.raises(SystemExit) as refused:
        create_app(TESTING=True, INSTANCE_PATH=str(tmp_path), SENTRY_DSN="https://key@sentry.example/1")
    assert "sentry-sdk is not installed" in str(refused.value) and "\n" not in str(refused.value)

"""Whatever a program sends to the API, as its own description allows it and as it does not: schemathesis tries.

`make test` tries a few requests of each operation; with TIREFIT_TRIALS=1 fifty, of each kind, on both databases.
"""

import os
from collections import Counter

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from tests.factories import booking
from tirefit import tokens
from tirefit.api import spec
from tirefit.schedule.reservations import new_token

TRIALS = "TIREFIT_TRIALS" in os.environ
EXAMPLES = 50 if TRIALS else 3
CASES = [("a manager", "positive"), ("a manager", "negative"), ("nobody", "positive")]
CASES += [("nobody", "negative")] if TRIALS else []
# What is well-formed can still be refused: a service that the station has not got, a day that is over.
REFUSALS = ["2xx", "401", "403", "404", "409", "422"]


@pytest.fixture
def known(app, station, monkeypatch):
    """What the examples of addresses name."""
    token = new_token()
    made = booking(station, "12:00", token=token)
    monkeypatch.setattr(spec, "PARTS", spec.PARTS | {"number": made.number, "token": token})
    monkeypatch.setattr(app.extensions["tirefit.openapi"], "found", None)  # so that it is described anew


@pytest.mark.parametrize("database", ["sqlite", "postgresql"] if TRIALS else ["sqlite"], indirect=True)
@pytest.mark.parametrize(("who", "kind"), CASES)
def test_nothing_is_found(app, station, olga, known, who, kind, monkeypatch):
    monkeypatch.setitem(app.config, "API_REQUESTS_PER_MINUTE", 10**9)
    monkeypatch.setattr(app, "test_client_class", None)
    headers = {"Authorization": f"Bearer {tokens.add_token(olga.email)}"} if who == "a manager" else {}
    described = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", app)
    described.config.checks.positive_data_acceptance.expected_statuses = REFUSALS
    tried: Counter[int] = Counter()
    for each in described.get_all_operations():
        operation = each.ok()
        is_known = kind == "positive" and "{service_point_id}" in operation.path
        here = {"service_point_id": station.id} if is_known else None
        cases = operation.as_strategy(generation_mode=GenerationMode(kind), path_parameters=here)

        @settings(
            max_examples=EXAMPLES,
            derandomize=not TRIALS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def ask(case):
            answer = case.call_and_validate(headers=headers)
            tried[answer.status_code] += 1

        ask()
    assert tried.total() > 30 * EXAMPLES
    assert tried[200] > 0 or kind == "negative"  # what is wrong in one place may be left out there, and be right

"""Thousands of requests leave the workers as they were. The long form, which is measured: make soak."""

import json

import pytest

from bench.soak import soak
from tests.races.conftest import TRIALS

pytestmark = pytest.mark.skipif(not TRIALS, reason="minutes of load: make trials")


def test_five_thousand_requests_make_no_worker_grow(database, empty_database):
    url = empty_database(database) if database == "postgresql" else None
    told = soak(database, url, 5_000)
    print("\n" + json.dumps(told))
    assert told["kept"], told

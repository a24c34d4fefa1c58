"""Thousands of requests leave the workers as they were. The long form, which is measured: make soak."""

import pytest

from bench.soak import GROWTH, soak
from tests.load import told
from tests.races.conftest import TRIALS

pytestmark = pytest.mark.skipif(not TRIALS, reason="minutes of load: make trials")

REQUESTS = 10_000
OF_CONTROL = 1_500  # a fifth more than it takes to miss the bound by what is left behind


def test_thousands_of_requests_make_no_worker_grow(database, empty_database):
    url = empty_database(database) if database == "postgresql" else None
    seen = soak(database, url, REQUESTS)
    told("soak", database, planned=REQUESTS, made=REQUESTS - seen["failed"], **seen)
    assert seen["kept"]


def test_a_program_that_leaves_twenty_kilobytes_behind_is_seen():
    """The control."""
    seen = soak("sqlite", None, OF_CONTROL, "tests.races.leaking:app")
    told("soak, the control", "sqlite", planned=OF_CONTROL, made=OF_CONTROL - seen["failed"], **seen)
    assert seen["growth MB"] >= GROWTH
    assert (seen["kept"], seen["failed"]) == (False, 0)

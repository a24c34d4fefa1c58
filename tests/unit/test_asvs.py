"""docs/asvs.csv answers every requirement of OWASP ASVS 5.0, levels 1 and 2, and what it points at exists."""

import ast
import csv
import re
from collections import Counter
from functools import cache

import pytest

from tirefit.config import ROOT

# How many requirements the chapters have on levels 1 and 2.
CHAPTERS = dict(enumerate((27, 11, 19, 10, 9, 35, 18, 7, 7, 29, 14, 9, 13, 9, 13, 16, 7), start=1))
STATES = {"met", "operator", "not met", "does not apply"}


@pytest.fixture(scope="module")
def rows():
    with (ROOT / "docs" / "asvs.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@cache
def functions_of(path: str) -> set[str]:
    return {node.name for node in ast.walk(ast.parse((ROOT / path).read_text())) if isinstance(node, ast.FunctionDef)}


def test_every_requirement_is_answered_once(rows):
    assert all(re.fullmatch(r"V\d+\.\d+\.\d+", row["id"]) and row["level"] in ("1", "2") for row in rows)
    assert len({row["id"] for row in rows}) == len(rows)
    assert Counter(int(row["id"][1:].split(".")[0]) for row in rows) == CHAPTERS


def test_each_answer_is_shown_or_has_a_reason(rows):
    for row in rows:
        assert row["state"] in STATES, row
        assert row["shown by"] if row["state"] == "met" else row["shown by"] or row["note"], row


def test_what_an_answer_points_at_exists(rows):
    for row in rows:
        for place in row["shown by"].split():
            path, _, test = place.partition("::")
            assert (ROOT / path).exists(), place
            assert not test or test in functions_of(path), place

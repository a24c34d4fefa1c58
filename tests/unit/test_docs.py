"""The documents name real things: every name in how-it-works exists, every setting is explained."""

import importlib
import re
from pathlib import Path

import pytest

from tirefit.config import DEFAULTS, PLAIN_NAMES

DOCS = Path(__file__).parents[2] / "docs"
ANSWERS = re.findall(r"^\| .+ \| `(tirefit[\w.]*)` \|$", (DOCS / "how-it-works.md").read_text(), re.MULTILINE)


def test_how_it_works_answers_many_questions():
    assert len(ANSWERS) >= 10


@pytest.mark.parametrize("name", ANSWERS)
def test_what_how_it_works_points_to_exists(name):
    module, attribute = name, None
    try:
        importlib.import_module(module)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute)


def test_every_setting_is_explained_and_none_that_does_not_exist():
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", (DOCS / "configuration.md").read_text(), re.MULTILINE))
    settings = {name if name in PLAIN_NAMES else f"TIREFIT_{name}" for name in DEFAULTS}

    assert explained == settings


def test_every_test_that_a_document_names_exists():
    named = {
        place for page in DOCS.rglob("*.md") for place in re.findall(r"`(tests/[\w/.]+(?:::\w+)?)`", page.read_text())
    }
    assert len(named) >= 20
    for place in named:
        path, _, name = place.partition("::")
        assert (DOCS.parent / path).exists(), place
        assert f"def {name}(" in (DOCS.parent / path).read_text() if name else True, place

"""The documents name real things: every name in how-it-works exists, every setting is explained."""

import importlib
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tirefit.config import DEFAULTS, PLAIN_NAMES, VERSION, load

DOCS = Path(__file__).parents[2] / "docs"
ROWS = re.findall(r"^\| .+ \| (`tirefit[^|]*) \|$", (DOCS / "how-it-works.md").read_text(), re.MULTILINE)
ANSWERS = [name for row in ROWS for name in re.findall(r"`(tirefit[\w.]*)`", row)]


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


def test_the_example_of_the_environment_can_be_read_by_a_shell_and_starts_nothing_as_it_is(tmp_path):
    example = DOCS / "deploy" / "tirefit.env.example"
    read = ["sh", "-ec", 'set -a; . "$0"; exec env', str(example)]
    said = subprocess.run(read, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True).stdout
    environment = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    assert environment["TIREFIT_MAIL_DEFAULT_SENDER"] == "Шиномонтаж <book@example.com>"
    environment["TIREFIT_INSTANCE_PATH"] = str(tmp_path)

    with pytest.raises(SystemExit, match="CHANGE-ME"):
        load(environ=environment)
    load(environ={name: value.replace("CHANGE-ME", "k" * 32) for name, value in environment.items()})


def test_the_newest_version_in_changes_is_what_health_says_and_the_package_is():
    newest = re.search(r"^## ([\d.]+)", (DOCS.parent / "CHANGELOG.md").read_text(), re.MULTILINE)[1]
    package = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]["version"]

    assert newest == VERSION == package

"""The audit of packages says when it finds a hole, and never passes because it could not ask."""

import json
import runpy
from datetime import UTC, datetime, timedelta

import pytest

from tirefit.config import ROOT

NOW = datetime(2026, 11, 23, tzinfo=UTC)
examine = runpy.run_path(str(ROOT / "scripts" / "advisories.py"))["examine"]


@pytest.fixture
def requirements(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text('flask==3.1.3 \\\n    --hash=sha256:00\npsycopg[binary]==3.2.0 ; sys_platform != "x"\n')
    return path


def plant(folder, *, package="Flask", events=({"introduced": "0"}, {"fixed": "3.2"}), versions=(), age=1, **more):
    span = {"type": "ECOSYSTEM", "events": list(events)}
    affected = {"package": {"name": package, "ecosystem": "PyPI"}, "ranges": [span], "versions": list(versions)}
    modified = (NOW - timedelta(days=age)).isoformat()
    advisory = {"id": "PYSEC-1", "modified": modified, "affected": [affected], **more}
    folder.mkdir(exist_ok=True)
    (folder / f"{len(list(folder.iterdir()))}.json").write_text(json.dumps(advisory))


@pytest.mark.parametrize(
    ("advisory", "code"),
    [
        ({}, 1),
        ({"events": ({"introduced": "3.1.3"}, {"fixed": "3.2"})}, 1),
        ({"events": ({"introduced": "0"}, {"last_affected": "3.1.3"})}, 1),
        ({"events": (), "versions": ["3.1.3"]}, 1),
        ({"package": "psycopg", "events": ({"introduced": "3.2"},)}, 1),
        ({"events": ({"introduced": "0"}, {"fixed": "3.1.3"})}, 0),
        ({"events": ({"introduced": "4"},)}, 0),
        ({"age": 100}, 2),
        ({"package": "another"}, 2),
        ({"withdrawn": "2026-01-01"}, 2),
    ],
)
def test_a_hole_is_found_and_silence_is_no_answer(tmp_path, requirements, advisory, code):
    plant(tmp_path / "advisories", **advisory)
    found, lines = examine(tmp_path / "advisories", requirements, NOW)
    assert found == code, lines
    assert ("PYSEC-1" in " ".join(lines)) is (code == 1 or "age" in advisory)


def test_without_advisories_it_fails(tmp_path, requirements):
    (tmp_path / "advisories").mkdir()
    assert examine(tmp_path / "advisories", requirements, NOW)[0] == 2


def test_what_is_locked_is_read():
    locked = runpy.run_path(str(ROOT / "scripts" / "advisories.py"))["locked"]
    found = locked(ROOT / "requirements.txt")
    assert {"flask", "sqlalchemy", "psycopg", "granian", "pyotp"} <= set(found)
    text = (ROOT / "requirements.txt").read_text()
    assert text.count("--hash=sha256:") >= len(found), "every package is locked by its hashes"

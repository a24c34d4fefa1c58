"""Which locked packages have a known hole, by a folder of advisories in the OSV format (one YAML or JSON file each).

    advisories.py FOLDER REQUIREMENTS

Ends with 0 when there is none, with 1 when there is one, and with 2 when it could not ask: no advisories, none of the
last three months, or none about any package that is locked here.
"""

import json
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

FRESH = timedelta(days=92)


def locked(path: Path) -> dict[str, Version]:
    """The packages of a requirements file and their versions."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {canonicalize_name(name): Version(version) for name, version in found}


def advisories(folder: Path) -> Iterator[dict[str, Any]]:
    """Those that have not been withdrawn."""
    for path in sorted([*folder.rglob("*.yaml"), *folder.rglob("*.json")]):
        read = json.loads if path.suffix == ".json" else yaml.safe_load
        advisory = read(path.read_text())
        if isinstance(advisory, dict) and "affected" in advisory and not advisory.get("withdrawn"):
            yield advisory


def concerns(affected: dict[str, Any], version: Version) -> bool:
    """Is this version named, or between the version that brought the hole and the one that closed it?"""
    if str(version) in affected.get("versions", []):
        return True
    for span in affected.get("ranges", []):
        if span.get("type") != "ECOSYSTEM":
            continue
        inside = False
        for event in span["events"]:
            try:
                if "introduced" in event and version >= Version(event["introduced"]):
                    inside = True
                if "fixed" in event and version >= Version(event["fixed"]):
                    inside = False
                if "last_affected" in event and version > Version(event["last_affected"]):
                    inside = False
            except InvalidVersion:
                return True  # who cannot compare says so
        if inside:
            return True
    return False


def examine(folder: Path, requirements: Path, now: datetime) -> tuple[int, list[str]]:
    """The exit code, and what to say."""
    packages, found, read, known, newest = locked(requirements), [], 0, 0, ""
    for advisory in advisories(folder):
        read += 1
        newest = max(newest, str(advisory.get("modified", "")))
        for affected in advisory["affected"]:
            package = affected.get("package", {})
            name = canonicalize_name(package.get("name", ""))
            if package.get("ecosystem") == "PyPI" and name in packages:
                known += 1
                if concerns(affected, packages[name]):
                    found.append(f"{name} {packages[name]}: {advisory['id']}")
    if not (packages and known):
        return 2, [f"could not ask: {read} advisories, none about the {len(packages)} locked packages"]
    if newest < (now - FRESH).isoformat():
        return 2, [f"could not ask: the newest of {read} advisories is of {newest[:10]}", *found]
    return (1 if found else 0), found or [
        f"no known holes: {len(packages)} packages, {read} advisories to {newest[:10]}"
    ]


if __name__ == "__main__":
    code, lines = examine(Path(sys.argv[1]), Path(sys.argv[2]), datetime.now(UTC))
    print("\n".join(lines))
    sys.exit(code)

#!/usr/bin/env python3
"""Have the tests of the engine teeth? Break it on purpose, one way at a time, and see who notices.

    python scripts/mutants.py                every mutant, one after the other: a quarter of an hour
    python scripts/mutants.py hold DST       those whose description has one of these words
    python scripts/mutants.py --held-out     those that were written when the tests were finished, and only those
    python scripts/mutants.py --planted      all others
    python scripts/mutants.py --minutes=30   how long one run of tests may take, on a machine that has much else to do

Each mutant is a line or two in a copy of the project; the working tree is not touched. Whoever is most likely to notice
is asked first, and then all others. Exit code 1 when a mutant survives them all, or its line is not there any more.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from planted import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("tirefit", "tests", "migrations", "templates", "static", "translations", "app.py", "pyproject.toml")
MINUTES = int(next((word.partition("=")[2] for word in sys.argv if word.startswith("--minutes=")), 5))  # of one run
TOO_LONG = "took too long"

INTEGRATION = "tests/integration/test_{}.py"
OTHERS = ("schema", "slots", "reservations", "availability", "reasons", "bookings", "changes", "moves", "rolling")
OTHERS += ("golden_days", "plans", "holidays", "cities", "keys", "services", "queries")
PAGES = ("at_the_gate", "board", "ticket", "public", "api", "api_station", "minutes_and_prices", "wheels", "desk")
WITNESSES = {
    "the machine": [INTEGRATION.format("engine_machine"), "-k", "sqlite"],
    "the arithmetic": ["tests/unit/test_model.py", "tests/unit/test_grid.py", "tests/unit/test_windows.py"],
    "the offer": [INTEGRATION.format("offer"), "-k", "sqlite"],
    "the others": [*map(INTEGRATION.format, OTHERS), "-k", "sqlite"],
    "the pages": [*map(INTEGRATION.format, PAGES), "-k", "sqlite"],
    "the race": ["tests/races/test_regeneration.py", "-k", "nobody"],
    "the crowd": [
        *("tests/races/test_double_booking.py", "tests/races/test_swaps.py"),
        *("-k", "(one_place and postgresql) or (swaps and not limit)"),
    ],
}


def main() -> int:
    words = [word for word in sys.argv[1:] if not word.startswith("--")]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.what for word in words)]
    if "--held-out" in sys.argv or "--planted" in sys.argv:
        chosen = [mutant for mutant in chosen if mutant.held_out == ("--held-out" in sys.argv)]
    for who, tests in WITNESSES.items():
        with a_copy() as copy:
            assert (complaint := run(tests, copy)) is None, f"{who} complain of the code as it is: {complaint}"
    alive = 0
    for mutant in chosen:
        began = time.monotonic()
        verdict, why = verdict_on(mutant)
        took = f"{time.monotonic() - began:4.0f} s"
        print(f"{verdict:25} {took}  {mutant.what}{f'  ({why})' if why else ''}", flush=True)
        alive += not verdict.startswith("killed")
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    return 1 if alive else 0


def verdict_on(mutant: Mutant) -> tuple[str, str]:
    """Who noticed, and by which complaint."""
    with a_copy() as copy:
        for file in (copy / name for name in mutant.file.split()):
            text = file.read_text()
            if text.count(mutant.line) != 1:
                return "NOT APPLIED", "its line is not there once"
            file.write_text(text.replace(mutant.line, mutant.instead))
        for who in (mutant.first, *(who for who in WITNESSES if who != mutant.first)):
            complaint = run(WITNESSES[who], copy)
            if complaint == TOO_LONG:
                return "UNDECIDED", f"{who} took longer than {MINUTES} minutes"
            if complaint is not None:
                return f"killed by {who}", complaint
        return "SURVIVED", ""


@contextmanager
def a_copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="tirefit-mutant-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        yield copy


def run(tests: list[str], copy: Path) -> str | None:
    """The first complaint of these tests; None when they are content."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, timeout=MINUTES * 60)
    except subprocess.TimeoutExpired:
        return TOO_LONG
    if done.returncode == 0:
        return None
    errors = [line[1:].strip() for line in done.stdout.splitlines() if line.startswith("E  ")]
    return errors[0][:90] if errors else f"exit code {done.returncode}"


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""Have the tests of the engine teeth? Break it on purpose, one way at a time, and see who notices.

    python scripts/mutants.py            every mutant; some ten minutes on two cores
    python scripts/mutants.py hold DST   those whose description has one of these words

Each mutant is one changed line in a copy of the project; the working tree is not touched. The property machine is asked
first, then the other tests of the engine, then the sixty-four who come at once. Exit code 1 when a mutant survives them
all, or when its line is not there any more.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("tirefit", "tests", "migrations", "templates", "static", "translations", "app.py", "pyproject.toml")
MACHINE = ["tests/integration/test_engine_machine.py", "-k", "sqlite"]
OTHERS = [
    *("tests/unit/test_grid.py", "tests/unit/test_windows.py", "tests/integration/test_schema.py"),
    *(f"tests/integration/test_{name}.py" for name in ("slots", "reservations", "availability", "bookings", "changes")),
]
CROWD = ["tests/races/test_double_booking.py", "-k", "one_place and postgresql"]
TOO_LONG = "took too long"
MINUTES = 4  # that one run of tests may take


@dataclass(frozen=True)
class Mutant:
    what: str
    file: str
    line: str
    instead: str


MUTANTS = [
    Mutant(
        "an expired hold stands in the way of a write",
        "tirefit/schedule/reservations.py",
        "if reservation_id is None and _purge_expired(run.service_post_id, span):",
        "if False:",
    ),
    Mutant(
        "an expired hold hides its time from readers",
        "tirefit/schedule/availability.py",
        "return or_(Reservation.expires_at.is_(None), Reservation.expires_at > (now or clock.now()))",
        "return Reservation.id > 0",
    ),
    Mutant(
        "a hold lives a second too long",
        "tirefit/schedule/availability.py",
        "Reservation.expires_at > (now or clock.now())",
        "Reservation.expires_at >= (now or clock.now())",
    ),
    Mutant(
        "a live hold is stolen",
        "tirefit/schedule/reservations.py",
        "Reservation.expires_at <= clock.now(),",
        'Reservation.kind == "hold",',
    ),
    Mutant(
        "a hold is tidied away a minute early",
        "tirefit/schedule/reservations.py",
        "over = clock.now() - timedelta(hours=1)",
        "over = clock.now() - timedelta(minutes=59)",
    ),
    Mutant(
        "an eleventh extension",
        "tirefit/schedule/reservations.py",
        "if hold.extensions >= MOST_EXTENSIONS:",
        "if hold.extensions > MOST_EXTENSIONS:",
    ),
    Mutant(
        "releasing a hold releases a booking too",
        "tirefit/schedule/reservations.py",
        '.where(Reservation.token_hash == hash_of(token), Reservation.kind == "hold")\n        .execution_options',
        ".where(Reservation.token_hash == hash_of(token))\n        .execution_options",
    ),
    Mutant(
        "cancelling leaves the time reserved",
        "tirefit/booking/commands.py",
        "        reservations.free(reservation_id)\n    _record(booking, event",
        "        pass\n    _record(booking, event",
    ),
    Mutant(
        "done counts as not come",
        "tirefit/booking/states.py",
        '"complete": _by(USER, "in_progress", "completed")',
        '"complete": _by(USER, "in_progress", "no_show")',
    ),
    Mutant(
        "the cut ignores what is reserved",
        "tirefit/schedule/slots.py",
        'lasting = [found.span for found in of_post if found.kind != "hold"]',
        "lasting: list[Span] = []",
    ),
    Mutant(
        "holds shape the offer and leave gaps when they expire",
        "tirefit/schedule/slots.py",
        'lasting = [found.span for found in of_post if found.kind != "hold"]',
        "lasting = [found.span for found in of_post]",
    ),
    Mutant(
        "a hold from before a change of lengths becomes a booking without a new cut",
        "tirefit/schedule/reservations.py",
        "slots.heal(hold.service_point_id, hold.service_post_id, span)",
        "pass",
    ),
    Mutant(
        "freed time that is not made of slots stays a hole",
        "tirefit/schedule/reservations.py",
        "slots.heal(gone.service_point_id, gone.service_post_id, span)",
        "pass",
    ),
    Mutant(
        "a cut round freed time stops at midnight",
        "tirefit/schedule/slots.py",
        "first = local_day(point.time_zone, span[0]) - A_DAY",
        "first = local_day(point.time_zone, span[0])",
    ),
    Mutant(
        "a slot across midnight reaches into one of the day before",
        "tirefit/schedule/slots.py",
        "if cell[0] >= ended and cell[1] > start}",
        "if cell[1] > start}",
    ),
    Mutant(
        "the last slot before closing is lost",
        "tirefit/schedule/grid.py",
        "while start + step <= end:",
        "while start + step < end:",
    ),
    Mutant(
        "a slot right after a reservation counts as taken",
        "tirefit/schedule/grid.py",
        "while i < len(taken) and taken[i][1] <= cell[0]:",
        "while i < len(taken) and taken[i][1] < cell[0]:",
    ),
    Mutant(
        "hours are counted from midnight, DST or not",
        "tirefit/schedule/windows.py",
        "return wall.replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)",
        "return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC) + timedelta(minutes=minute)",
    ),
    Mutant(
        "the part of a day after the break is lost",
        "tirefit/schedule/windows.py",
        "if weekday == day.weekday())",
        "if weekday == day.weekday())[:1]",
    ),
    Mutant(
        "hours of one day run into those of the evening before",
        "tirefit/schedule/windows.py",
        "start = max(start, spans[-1][1])",
        "pass",
    ),
    Mutant(
        "the station's exception beats the post's",
        "tirefit/schedule/windows.py",
        "for owner in (post_id, None):",
        "for owner in (None, post_id):",
    ),
    Mutant(
        "a time of today that has passed is offered",
        "tirefit/schedule/availability.py",
        "return now + timedelta(minutes=point.lead_minutes), day_span",
        "return now - timedelta(minutes=30), day_span",
    ),
    Mutant(
        "a post with bookings ahead is switched off",
        "tirefit/schedule/changes.py",
        'if post.active and not state["active"] and (ahead := reserved_ahead(post)):',
        "if False and (ahead := reserved_ahead(post)):",
    ),
]


def main() -> int:
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.what for word in words)]
    with ThreadPoolExecutor(2) as pool:
        verdicts = pool.map(verdict_on, chosen)
        alive = 0
        for mutant, (verdict, why) in zip(chosen, verdicts, strict=True):
            print(f"{verdict:20} {mutant.what}{f'  ({why})' if why else ''}", flush=True)
            alive += not verdict.startswith("killed")
    print(f"{len(chosen) - alive} of {len(chosen)} killed")
    return 1 if alive else 0


def verdict_on(mutant: Mutant) -> tuple[str, str]:
    """Who noticed, and by which complaint."""
    with tempfile.TemporaryDirectory(prefix="tirefit-mutant-") as folder:
        copy = Path(folder)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        file = copy / mutant.file
        text = file.read_text()
        if text.count(mutant.line) != 1:
            return "NOT APPLIED", "its line is not there once"
        file.write_text(text.replace(mutant.line, mutant.instead))
        for who, tests in (("the machine", MACHINE), ("the others", OTHERS), ("the crowd", CROWD)):
            complaint = run(tests, copy)
            if complaint == TOO_LONG:
                return "UNDECIDED", f"{who} took longer than {MINUTES} minutes"
            if complaint is not None:
                return f"killed by {who}", complaint
        return "SURVIVED", ""


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

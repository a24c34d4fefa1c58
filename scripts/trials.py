"""`make trials`: one proof after the other, with what each took; goes on when one fails, and ends with 1 then.

Each is its own pytest run in the long form (TIREFIT_TRIALS=1), one at a time: they measure, and share the cores badly.
Names after `make trials TRIALS=…` choose some; `all` takes those too that take longest. Shown are the lines of figures
(JSON) and, of a proof that fails, what pytest says at its end; all of it is kept in instance/trials/.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "instance" / "trials"
LONGEST = 30 * 60  # seconds of one proof
MOST_SHOWN = 200  # lines of a proof that did not even come to its end

PROOFS = {
    "crowds": ["tests/races/test_double_booking.py", "tests/races/test_retries.py"],
    "swaps": ["tests/races/test_swaps.py", "tests/races/test_generation.py", "tests/races/test_regeneration.py"],
    "stress": ["tests/races/test_stress.py"],
    "letters": ["tests/races/test_delivery.py", "tests/integration/test_outbox_simulation.py"],
    "chaos": ["tests/races/test_chaos.py"],
    "releases": ["tests/races/test_releases.py"],
    "copies": ["tests/races/test_copies.py"],
    "leaks": ["tests/races/test_soak.py"],
    "faults": [
        "tests/integration/test_accounts.py",
        "tests/integration/test_faults.py",
        "tests/integration/test_mail_server.py",
        "tests/integration/test_runner.py",
    ],
    "browser": ["-n", "2", "--dist", "worksteal", "tests/e2e/test_access.py"],  # nothing is measured here
}
LONGER = {  # thousands of generated cases, and the sizes of a network
    "offers": ["tests/integration/test_offer.py", "tests/integration/test_engine_machine.py"],
    "previews": ["tests/integration/test_preview_is_apply.py", "tests/integration/test_reminder_histories.py"],
    "strangers": ["tests/integration/test_api_anything.py", "tests/integration/test_scanners.py"],
    "moving-in": ["tests/integration/test_moving_in.py", "tests/integration/test_posts_from_post_count.py"],
    "histories": [
        "tests/integration/test_audit.py",
        "tests/integration/test_reports.py",
        "tests/integration/test_long_history.py",
    ],
}
EVERY = PROOFS | LONGER


def main(wanted: list[str]) -> int:
    chosen = list(EVERY) if wanted == ["all"] else wanted or list(PROOFS)
    unknown = set(chosen) - set(EVERY)
    if unknown:
        print(f"no such trial: {', '.join(sorted(unknown))}; there are: {', '.join(EVERY)}, and all")
        return 2
    LOGS.mkdir(parents=True, exist_ok=True)
    failed, begun = [], time.monotonic()
    for number, name in enumerate(chosen, start=1):
        print(f"[{number}/{len(chosen)}] {name} …", flush=True)
        seconds, last, fine = prove(name)
        print(f"[{number}/{len(chosen)}] {name}: {'ok' if fine else 'FAILED'}, {seconds:.0f} s; {last}", flush=True)
        if not fine:
            failed.append(name)
    print(f"{len(chosen) - len(failed)} of {len(chosen)} in {(time.monotonic() - begun) / 60:.0f} minutes")
    if failed:
        print(f"failed: {', '.join(failed)}; what they said is in {LOGS.relative_to(ROOT)}/")
    return 1 if failed else 0


def prove(name: str) -> tuple[float, str, bool]:
    """→ seconds, the last line that it said, and whether it held."""
    log, begun = LOGS / f"{name}.log", time.monotonic()
    patience = f"faulthandler_timeout={LONGEST}"
    command = [sys.executable, "-m", "pytest", "-sv", "-p", "no:cacheprovider", "-o", patience, *EVERY[name]]
    with log.open("w") as file:
        try:
            environment = os.environ | {"TIREFIT_TRIALS": "1"}
            ended = subprocess.run(
                command, cwd=ROOT, env=environment, stdout=file, stderr=subprocess.STDOUT, timeout=LONGEST
            ).returncode
        except subprocess.TimeoutExpired:
            ended, _ = 1, file.write(f"\nended after {LONGEST // 60} minutes\n")
    said = log.read_text().splitlines()
    verdict = next((n for n, line in enumerate(said) if line.startswith("====") and " FAILURES " in line), -MOST_SHOWN)
    figures = [line for line in said if line.startswith("{")]  # tests/load.py, among all that its processes log
    print("\n".join(figures + (said[verdict:] if ended else [])), flush=True)
    return time.monotonic() - begun, said[-1].strip("= ") if said else "", ended == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

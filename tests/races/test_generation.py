"""Several processes open the days ahead at once: each slot is written once, and nobody fails."""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from sqlalchemy import delete, func, select, update

from tests import factories
from tests.history import app_on
from tirefit import clock
from tirefit.config import ROOT
from tirefit.database import command, db
from tirefit.models import ScheduleRun, ScheduleSlot, ServicePoint
from tirefit.schedule.rolling import STATIONS_AT_ONCE, generate_rolling_schedule
from tirefit.schedule.windows import local_day

STATIONS = 2 * STATIONS_AT_ONCE + 5  # three transactions of each process
HORIZON = 5

GENERATE = """
from app import app
print(flush=True)
input()
app.cli.main(["generate-schedule"])
"""


def test_two_at_once_do_nothing_twice(database, new_database, tmp_path):
    url = new_database(database)
    with app_on(url, tmp_path):
        for n in range(STATIONS):
            factories.station(slug=f"stantsiya-{n:02}", posts=(30, 40), horizon_days=HORIZON)
        forget_offers()

        written = [int(line.split()[1]) for line in run_at_once(2, url, tmp_path)]

        db.session.rollback()
        assert sum(written) == db.session.scalar(select(func.count()).select_from(ScheduleSlot)) > 0
        until = local_day("Europe/Kyiv", clock.now()) + timedelta(days=HORIZON)
        assert set(db.session.scalars(select(ServicePoint.slots_until))) == {until}
        runs = db.session.scalars(select(ScheduleRun).where(ScheduleRun.total == STATIONS)).all()
        assert all(run.done == STATIONS and run.finished_at for run in runs)
        assert sorted(run.added for run in runs) == sorted(written)
        assert generate_rolling_schedule(again=True) == 0, "what two have written is what one would have"


def run_at_once(count: int, url: str, instance: Path) -> list[str]:
    """Several of the command, each waiting at its start for the others; → the last line of each."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    settings = {"DATABASE_URL": url, "REDIS_URL": "", "TIREFIT_INSTANCE_PATH": str(instance)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", GENERATE],
            cwd=ROOT,
            env=clean | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * count
    return [answer.splitlines()[-1].replace("Every day is", "Done: 0 slots") for answer in answers]


@command
def forget_offers() -> None:
    db.session.execute(update(ServicePoint).values(slots_until=None))
    db.session.execute(delete(ScheduleSlot))

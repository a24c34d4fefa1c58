"""Several processes open the days ahead at once: each slot is written once, and nobody fails. The control: some do
where they do not wait for each other.
"""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, func, select, update

from tests import factories
from tests.history import app_on
from tests.load import told
from tests.races.conftest import TRIALS
from tirefit import clock
from tirefit.config import ROOT
from tirefit.database import command, db
from tirefit.models import ScheduleRun, ScheduleSlot, ServicePoint
from tirefit.schedule.rolling import STATIONS_AT_ONCE, generate_rolling_schedule
from tirefit.schedule.windows import local_day

STATIONS = 2 * STATIONS_AT_ONCE + 5  # three transactions of each process
HORIZON = 5

WITHOUT_LOCKS = "from tests.races import naive\nnaive.lock_no_row()\n"
GENERATE = """
from app import app
print(flush=True)
input()
app.cli.main(["generate-schedule"])
"""


def test_two_at_once_do_nothing_twice(database, new_database, tmp_path):
    with app_on(url := new_database(database), tmp_path):
        whole = stations_without_offers()

        ended = run_at_once(2, url, tmp_path)

        written = [int(words.replace("Every day is", "Done: 0 slots").split()[1]) for _, words in ended]
        assert [status for status, _ in ended] == [0, 0]
        told("generation", database, planned=whole, made=sum(written), by_each=written)
        db.session.rollback()
        assert sum(written) == db.session.scalar(select(func.count()).select_from(ScheduleSlot)) == whole
        until = local_day("Europe/Kyiv", clock.now()) + timedelta(days=HORIZON)
        assert set(db.session.scalars(select(ServicePoint.slots_until))) == {until}
        runs = db.session.scalars(select(ScheduleRun).where(ScheduleRun.total == STATIONS)).all()
        assert all(run.done == STATIONS and run.finished_at for run in runs)
        assert sorted(run.added for run in runs) == sorted(written)
        assert generate_rolling_schedule(again=True) == 0, "what two have written is what one would have"


@pytest.mark.skipif(not TRIALS, reason="the control, of two processes more: make trials")
def test_where_they_do_not_wait_for_each_other_one_of_them_fails(database, new_database, tmp_path):
    """The control: what one is about to write, the other has written meanwhile."""
    with app_on(url := new_database(database), tmp_path):
        stations_without_offers()
        assert sorted(status for status, _ in run_at_once(2, url, tmp_path, WITHOUT_LOCKS)) == [0, 1]


def run_at_once(count: int, url: str, instance: Path, prelude: str = "") -> list[tuple[int, str]]:
    """Several of the command, each waiting at its start for the others; → how each ended, and its last line."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    settings = {"DATABASE_URL": url, "REDIS_URL": "", "TIREFIT_INSTANCE_PATH": str(instance)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", prelude + GENERATE],
            cwd=ROOT,
            env=clean | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if prelude else None,  # where it is meant to fail
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
    return [
        (process.returncode, (answer.splitlines() or [""])[-1])
        for process, answer in zip(processes, answers, strict=True)
    ]


def stations_without_offers() -> int:
    """→ how many slots they are to get."""
    for n in range(STATIONS):
        factories.station(slug=f"stantsiya-{n:02}", posts=(30, 40), horizon_days=HORIZON)
    slots = db.session.scalar(select(func.count()).select_from(ScheduleSlot))
    forget_offers()
    return slots


@command
def forget_offers() -> None:
    db.session.execute(update(ServicePoint).values(slots_until=None))
    db.session.execute(delete(ScheduleSlot))

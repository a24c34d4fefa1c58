"""`flask serve`: one command starts everything, keeps it alive, and leaves nothing behind.

Real processes throughout; this file runs once, not for each database.
"""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.services import free_port
from tirefit import create_app
from tirefit.config import ROOT
from tirefit.database import db

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks at processes through /proc")

SERVE = [sys.executable, "-m", "flask", "--app", "app", "serve"]
WITHOUT_VALKEY = """
from app import app
from tirefit.jobs import runner
runner.valkey_binary = lambda: None
app.cli.main(["serve"])
"""


def test_what_dies_is_started_again(tirefit):
    assert tirefit.ready()["redis"] == "ok"
    before = tirefit.children()
    assert set(before) == {"valkey", "worker", "scheduler", "web"}

    for pid in before.values():  # the web server's own workers still hold the port then
        os.kill(pid, signal.SIGKILL)
    until(
        lambda: set(tirefit.children()) == set(before) and not set(tirefit.children().values()) & set(before.values())
    )
    until(lambda: tirefit.ready()["status"] == "ok")


def test_no_port_but_the_web_servers_is_open(tirefit):
    assert tirefit.listening_ports() == {tirefit.port}


def test_the_second_one_says_that_tirefit_already_runs_here(tirefit):
    second = run_to_its_end(tirefit.instance, free_port())
    assert second.returncode == 0
    assert f"already runs here: http://127.0.0.1:{tirefit.port} (process {tirefit.process.pid})" in second.stdout
    assert tirefit.ready()["status"] == "ok"


def test_it_is_not_ready_while_the_guard_against_overlaps_is_gone(tirefit):
    with sqlite3.connect(tirefit.instance / "tirefit.db") as database:
        guard = database.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in guard:
            database.execute(f"DROP TRIGGER {name}")
    facts = tirefit.ready()
    assert (facts["http_status"], facts["overlap_guard"]) == (503, "missing")
    with sqlite3.connect(tirefit.instance / "tirefit.db") as database:
        for _, statement in guard:
            database.execute(statement)
    assert tirefit.ready()["http_status"] == 200


def test_a_taken_port_is_named_before_anything_is_started(tmp_path):
    with socket.socket() as other_program:
        other_program.bind(("127.0.0.1", 0))
        other_program.listen()
        port = other_program.getsockname()[1]
        refused = run_to_its_end(tmp_path, port)
    assert refused.returncode == 1
    assert f"Port {port} is used by another program. Choose another one: PORT=" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "tirefit.db").exists()


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("another file", "file is not a database"),
        ("torn in the middle", "database disk image is malformed"),
        ("a folder", "unable to open database file"),
        ("gone", "No such file or directory"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_one_line(tmp_path, new_database, fault, told):
    file, url = tmp_path / "tirefit.db", None
    if fault == "another file":
        file.write_text("Отчёт за октябрь. " * 1000)
    elif fault == "torn in the middle":
        whole = Path(make_url(new_database("sqlite")).database).read_bytes()
        file.write_bytes(whole[:8192] + os.urandom(len(whole) - 16384) + whole[-8192:])
    elif fault == "a folder":
        file.mkdir()
    else:
        url = f"postgresql+psycopg://tirefit@/tirefit?host={tmp_path}"
    app = create_app(INSTANCE_PATH=str(tmp_path), DATABASE_URL=url, PORT=free_port())
    ended = app.test_cli_runner().invoke(args=["serve"])

    assert ended.exit_code == 1
    (line,) = ended.output.splitlines()
    assert told in line and "docs/backup.md" in line


def test_who_only_keeps_others_alive_keeps_no_transaction_open(tmp_path, new_database, monkeypatch):
    """For weeks: PostgreSQL could not tidy up behind it, and forks would share its connection."""
    app, open_ones = create_app(INSTANCE_PATH=str(tmp_path), DATABASE_URL=new_database("sqlite")), []

    def go_on_for_weeks(*_: object, prepare: Callable[[], None] = lambda: None) -> None:
        prepare()
        open_ones.append(db.engine.pool.checkedout())

    monkeypatch.setattr("tirefit.jobs.runner.serve_pages", go_on_for_weeks)
    monkeypatch.setattr("tirefit.jobs.runner.serve", go_on_for_weeks)
    for command in ("web", "serve"):
        assert app.test_cli_runner().invoke(args=[command]).exit_code == 0
    assert open_ones == [0, 0]


def test_a_supervisor_that_is_killed_takes_everything_with_it(tmp_path):
    with serving(tmp_path) as tirefit:
        assert (tmp_path / "valkey.sock").is_socket()
        everything = tirefit.family()
        assert len(everything) >= 6  # itself, Valkey, worker, scheduler, web and at least one web worker
        tirefit.process.kill()
        tirefit.process.wait()
        until(lambda: not any(is_running(pid) for pid in everything))


def test_without_valkey_the_web_process_does_the_jobs_and_says_so(tmp_path):
    with serving(tmp_path, [sys.executable, "-c", WITHOUT_VALKEY]) as tirefit:
        assert set(tirefit.children()) == {"web"}
        facts = tirefit.ready()
        assert (facts["status"], facts["redis"], facts["jobs"]) == ("ok", "none", "thread")


class TireFit:
    """A running `flask serve`, seen from outside."""

    def __init__(self, process: subprocess.Popen[str], port: int, instance: Path) -> None:
        self.process, self.port, self.instance = process, port, instance

    def ready(self) -> dict[str, object]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=5) as answer:
                return {"http_status": answer.status, **json.load(answer)}
        except urllib.error.HTTPError as answer:
            return {"http_status": answer.status, **json.load(answer)}
        except OSError:
            return {"http_status": 0, "status": "unreachable", "redis": "unknown"}

    def children(self) -> dict[str, int]:
        """Its own children, by what they are."""
        found = {}
        for pid in descendants(self.process.pid, depth=1):
            words = command_line(pid)
            if words and words[0].partition(" ")[0].endswith("valkey-server"):
                found["valkey"] = pid
            elif words and words[-1] in ("web", "worker", "scheduler"):
                found[words[-1]] = pid
        return found

    def family(self) -> list[int]:
        return [self.process.pid, *descendants(self.process.pid)]

    def listening_ports(self) -> set[int]:
        """TCP ports on which any process of the family listens."""
        sockets = set()
        for pid in self.family():
            for link in Path(f"/proc/{pid}/fd").iterdir():
                target = os.readlink(link) if link.is_symlink() else ""
                sockets.update({target[8:-1]} if target.startswith("socket:[") else ())
        tables = (Path(f"/proc/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6"))
        rows = [line.split() for table in tables for line in table]
        return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in sockets}


@pytest.fixture(scope="module")
def tirefit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TireFit]:
    """One that several tests look at. Its folder's path is longer than a socket's may be."""
    with serving(tmp_path_factory.mktemp("instance") / ("a" * 60) / ("b" * 60)) as tirefit:
        yield tirefit


@contextmanager
def serving(instance: Path, command: list[str] = SERVE) -> Iterator[TireFit]:
    """Start it, and at the end see that nothing of it is left."""
    port = free_port()
    process = subprocess.Popen(command, cwd=ROOT, env=environment(instance, port), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    with process.stdout as terminal:
        try:
            assert any(
                line.startswith(f"TireFit is at http://127.0.0.1:{port}") for line in iter(terminal.readline, "")
            )
            tirefit = TireFit(process, port, instance)
            yield tirefit
            if process.poll() is None:
                everything = tirefit.family()
                process.terminate()
                assert process.wait(20) == 0
                assert not any(is_running(pid) for pid in everything)
            assert not is_answering(port)
        finally:
            process.kill()
            process.wait()


def run_to_its_end(instance: Path, port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        SERVE, cwd=ROOT, env=environment(instance, port), capture_output=True, text=True, timeout=90, check=False
    )


def environment(instance: Path, port: int) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
    for name in ("DATABASE_URL", "REDIS_URL"):
        clean.pop(name, None)
    return clean | {"TIREFIT_INSTANCE_PATH": str(instance), "PORT": str(port), "PYTHONUNBUFFERED": "1"}


def descendants(pid: int, depth: int = 9) -> list[int]:
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            parents[int(folder.name)] = int(parent)
    found, generation = [], [pid]
    for _ in range(depth):
        generation = [child for child, parent in parents.items() if parent in generation]
        found += generation
    return found


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_answering(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)

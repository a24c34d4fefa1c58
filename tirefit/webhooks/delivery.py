"""How an event travels to an address that somebody else has named: one signed POST, and what came of it.

Signatures are those of Standard Webhooks (standardwebhooks.com). Nothing inside our own network is asked: the name is
looked up once, every address behind it must be a public one, and that very address is connected to. No redirect is
followed, nothing is waited for longer than ten seconds, and of the answer only its beginning is read. No database
transaction is open meanwhile.
"""

import base64
import contextlib
import hmac
import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import current_app

from tirefit import clock, config
from tirefit.database import db
from tirefit.webhooks.endpoints import PREFIX, secret_of
from tirefit.webhooks.outbox import ClaimedDelivery

SECONDS = 10.0  # for all of it
READ_AT_MOST = 1000  # bytes of an answer
TRANSLATED = ipaddress.ip_network("64:ff9b::/96")  # NAT64: the last four bytes are an IPv4 address


@dataclass(frozen=True)
class Outcome:
    """`status` None: there was no answer, and `words` says why; else they are the beginning of the answer."""

    status: int | None
    words: str

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class NotAllowed(Exception):
    """An address inside our own network, or no address at all."""


def deliver(claimed: ClaimedDelivery) -> Outcome:
    """Tell it, and hear what is answered. Raises nothing that has to do with the other side."""
    db.session.rollback()
    keys = reversed(config.keys(current_app.config))
    secrets = [secret_of(claimed.service_point_id, claimed.seed, key) for key in keys]
    return post(
        claimed.url,
        claimed.body.encode(),
        signed_headers(secrets, claimed.message_id, claimed.body.encode()),
        internal=current_app.config["WEBHOOKS_INTERNAL"],
    )


def signed_headers(secrets: Iterable[str], message_id: str, body: bytes) -> dict[str, str]:
    """Who sends it and when, and a proof of both, under each secret: a receiver takes the one that it knows."""
    timestamp = str(int(clock.now().timestamp()))
    signed = b".".join((message_id.encode(), timestamp.encode(), body))
    digests = (hmac.digest(base64.b64decode(each.removeprefix(PREFIX)), signed, "sha256") for each in secrets)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
    }


def post(url: str, body: bytes, headers: dict[str, str], *, internal: bool) -> Outcome:
    """One POST. `internal`: addresses of our own network may be asked too (for development)."""
    parts = urlsplit(url)
    address = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
    headers = headers | {
        "Content-Type": "application/json",
        "User-Agent": f"TireFit/{config.VERSION}",
        "Connection": "close",
    }
    too_late = Outcome(None, f"no answer within {SECONDS:.0f} seconds")
    try:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, internal=internal)
    except NotAllowed as error:
        return Outcome(None, str(error))
    is_over = threading.Event()
    watch = threading.Timer(SECONDS, _cut, [connection, is_over])  # each byte may come in time, and the last one never
    watch.daemon = True
    watch.start()
    try:
        connection.request("POST", address, body, headers)
        answer = connection.getresponse()
        words = _plain(answer.read(READ_AT_MOST).decode(errors="replace"))
    except TimeoutError:
        return too_late
    except (OSError, http.client.HTTPException) as error:
        return too_late if is_over.is_set() else Outcome(None, _plain(f"{type(error).__name__}: {error}"))
    finally:
        watch.cancel()
        connection.close()
    if is_over.is_set():
        return too_late
    return Outcome(answer.status, "" if 200 <= answer.status < 300 else words)


def _connection(scheme: str, host: str, port: int | None, *, internal: bool) -> http.client.HTTPConnection:
    """To the very address that has been looked at: a name that means another one a moment later gains nothing."""
    found = _addresses(host, port or (443 if scheme == "https" else 80))
    if not internal and not all(_is_public(ip) for ip, _ in found):
        raise NotAllowed("this address is inside our own network")
    kind = _Pinned if scheme == "https" else _PlainPinned
    return kind(host, found[0])


def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotAllowed(f"there is no host {host}: {error}") from None
    return [(str(sockaddr[0]), port) for *_, sockaddr in found]


def _is_public(ip: str) -> bool:
    address = ipaddress.ip_address(ip.partition("%")[0])
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None) or address
    if address in TRANSLATED:
        inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return all(each.is_global and not each.is_multicast for each in (address, inner))


def _plain(words: str) -> str:
    """On one line, of signs that a database keeps and a page shows: whoever answers may send anything."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())


def _cut(connection: http.client.HTTPConnection, is_over: threading.Event) -> None:
    is_over.set()
    if connection.sock is not None:
        with contextlib.suppress(OSError):  # it has ended by itself
            connection.sock.shutdown(socket.SHUT_RDWR)


class _PlainPinned(http.client.HTTPConnection):
    """To one address, whatever the name says; without TLS."""

    def __init__(self, host: str, address: tuple[str, int]) -> None:
        super().__init__(host, address[1], timeout=SECONDS)
        self.address = address

    def connect(self) -> None:
        self.sock = socket.create_connection(self.address, SECONDS / 2)
        self.sock.settimeout(SECONDS)


class _Pinned(_PlainPinned):
    """The same with TLS, whose certificate must be that of the name."""

    default_port = http.client.HTTPS_PORT

    def connect(self) -> None:
        super().connect()
        checked = ssl.create_default_context()
        self.sock = checked.wrap_socket(self.sock, server_hostname=self.host, do_handshake_on_connect=False)
        self.sock.do_handshake()  # only now: the watch can cut it off, too

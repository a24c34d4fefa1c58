"""The way out: SMTP, or the demo's own mailbox. The only place that knows either.

No database transaction is open while a letter travels. Every step of SMTP has a time limit, and the certificate of the
server is checked. What it answers is told apart: it will never take this letter (Refused), not now (NotNow), or nothing
can be sent at all (Unreachable).
"""

import contextlib
import mailbox
import smtplib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import flask_mail
from flask import current_app

from tirefit.database import db
from tirefit.notifications.letters import sender_domain

SIGNED = (  # by DKIM: what a reader sees, and what one click acts on
    *(b"from", b"to", b"subject", b"date", b"message-id", b"reply-to", b"mime-version", b"content-type"),
    *(b"auto-submitted", b"list-unsubscribe", b"list-unsubscribe-post"),
)


MOST_HANG_UPS = 3  # letters in a row over which the server hung up: then it is not there


@dataclass(frozen=True)
class Attempt:
    """What came of a letter that somebody waits for: was it taken, what did the server say, and over which TLS?"""

    is_taken: bool
    answer: str
    tls: str = ""  # the version and the cipher; empty: in the clear, or it did not come to that


class Refused(Exception):
    """The mail server will never take this letter (5xx). The text is what it said."""


class NotNow(Exception):
    """The mail server does not take this letter at present (4xx, or it hung up over it), but others it may."""


class Unreachable(Exception):
    """Nothing can be sent: no answer in time, no connection, no sign-in, or our sender is not welcome."""


def way() -> Literal["smtp", "mailbox"] | None:
    """How letters leave. None: there is no mail server, and they wait."""
    if current_app.config["MAIL_SERVER"]:
        return "smtp"
    return "mailbox" if current_app.config["DEMO"] else None


def connect() -> "Connection":
    """A way out for several letters, opened with the first of them."""
    state = current_app.extensions["mail"]
    return DemoConnection(state) if way() == "mailbox" else Connection(state)


def demo_mailbox() -> mailbox.Maildir:
    """Where the letters of a demo end: a folder of the instance, shown at /dev/mail."""
    return mailbox.Maildir(Path(current_app.config["INSTANCE_PATH"], "mailbox"), create=True)


class Connection(flask_mail.Connection):
    """Flask-Mail's connection with what it lacks: time limits, checked certificates, and answers told apart.

    When the server hangs up over a letter, the next one goes over a new connection.
    """

    _hang_ups = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.host is not None:
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self.host.quit()

    @property
    def answer(self) -> str:
        """What the server said last, in its own words."""
        return getattr(self.host, "said", "")

    @property
    def tls(self) -> str:
        """What keeps the letters from being read on their way; empty: nothing does."""
        socket = getattr(self.host, "sock", None)
        if not isinstance(socket, ssl.SSLSocket):
            return ""
        return ", ".join((socket.version() or "", (socket.cipher() or ("",))[0]))

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        """Hand one letter over. Returns when the server has taken it; raises Refused, NotNow or Unreachable."""
        db.session.rollback()  # the mail server may take its time; the database is not kept waiting
        try:
            self.host = self.host or self.configure_host()
        except (smtplib.SMTPException, OSError) as error:
            raise Unreachable(_told(error)) from error
        try:
            super().send(message, envelope_from)
            self._hang_ups = 0
        except smtplib.SMTPRecipientsRefused as error:
            raise _verdict(*next(iter(error.recipients.values()))) from error
        except smtplib.SMTPDataError as error:
            raise _verdict(error.smtp_code, error.smtp_error) from error
        except smtplib.SMTPServerDisconnected as error:
            self.host, self._hang_ups = None, self._hang_ups + 1
            was_silent = isinstance(error.__context__, TimeoutError)  # then it is smtplib that has hung up
            is_away = was_silent or self._hang_ups == MOST_HANG_UPS
            raise (Unreachable if is_away else NotNow)(_told(error)) from error
        except (smtplib.SMTPException, OSError) as error:  # our sender is not welcome, or the line is broken
            raise Unreachable(_told(error)) from error

    def configure_host(self) -> smtplib.SMTP:
        settings: dict[str, Any] = {
            "timeout": current_app.config["MAIL_TIMEOUT"],
            "local_hostname": sender_domain(),  # by default smtplib would ask DNS, without a time limit
        }
        checked = ssl.create_default_context()
        if self.mail.use_ssl:
            host: smtplib.SMTP = _TalkativeTLS(self.mail.server, self.mail.port, context=checked, **settings)
        else:
            host = _Talkative(self.mail.server, self.mail.port, **settings)
        try:
            if self.mail.use_tls:
                host.starttls(context=checked)
            if self.mail.username and self.mail.password:
                host.login(self.mail.username, self.mail.password)
        except BaseException:
            host.close()
            raise
        return host


class _Talkative(smtplib.SMTP):
    """Signs what it sends, and keeps what the server said to it: smtplib throws that away when all was well."""

    said = ""

    def sendmail(self, from_addr: str, to_addrs: Any, msg: Any, *options: Any, **more: Any) -> Any:
        return super().sendmail(from_addr, to_addrs, signed(msg), *options, **more)

    def data(self, msg: Any) -> tuple[int, bytes]:
        code, words = super().data(msg)
        self.said = _words(code, words)
        return code, words


class _TalkativeTLS(_Talkative, smtplib.SMTP_SSL):
    """The same, with TLS from the first byte."""


class DemoConnection(Connection):
    """The demo's mailbox: takes everything."""

    def send(self, message: flask_mail.Message, envelope_from: str | tuple[str, str] | None = None) -> None:
        db.session.rollback()
        demo_mailbox().add(message.as_bytes())

    @property
    def answer(self) -> str:
        return "250 the demo's mailbox has it: /dev/mail"


def try_out(message: flask_mail.Message) -> Attempt:
    """Send one letter now, beside the outbox, and tell what came of it: for a person who waits for the answer."""
    if way() is None:
        return Attempt(False, "TIREFIT_MAIL_SERVER is not set")
    with connect() as connection:
        try:
            connection.send(message)
        except (Refused, NotNow, Unreachable) as error:
            return Attempt(False, str(error))
        return Attempt(True, connection.answer, connection.tls)


def greet() -> str | None:
    """Connect, sign in, say goodbye; → what went wrong, None when nothing did."""
    try:
        with connect() as connection:
            connection.host = connection.configure_host()
    except (smtplib.SMTPException, OSError) as error:
        return _told(error)
    return None


def signed(content: bytes) -> bytes:
    """With a DKIM signature in front, where there is a key: relaxed, over what a reader sees and what finds us."""
    key_file = current_app.config["DKIM_KEY_FILE"]
    if not key_file:
        return content
    import dkim  # here: most installations let their mail server sign

    selector, domain = current_app.config["DKIM_SELECTOR"].encode(), sender_domain().encode()
    key = Path(key_file).read_bytes()
    how = (b"relaxed", b"relaxed")
    signature: bytes = dkim.sign(content, selector, domain, key, canonicalize=how, include_headers=list(SIGNED))
    return signature + content


def _verdict(code: int, words: bytes | str) -> Exception:
    """What the server's answer means for the letter. 421 is not about the letter: the server hangs up."""
    if code == 421:
        return Unreachable(_words(code, words))
    return (Refused if 500 <= code < 600 else NotNow)(_words(code, words))


def _told(error: Exception) -> str:
    """The server's own words where it said any."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _words(error.smtp_code, error.smtp_error)
    return f"{type(error).__name__}: {error}"


def _words(code: int, words: bytes | str) -> str:
    return f"{code} {words.decode(errors='replace') if isinstance(words, bytes) else words}"

"""Letters for people's eyes: addresses that do not give themselves away, and what the mail server meant."""

import re
from typing import Any

from flask_babel import lazy_gettext as _l

from tirefit.notifications import outbox

# The first that is found in the error says what it means.
MEANINGS: tuple[tuple[str, Any], ...] = (
    (re.escape(outbox.TOO_MANY_LETTERS), _l("на этот адрес ушло уже много писем")),
    (re.escape(outbox.TOO_LATE), _l("стало поздно: визит уже прошёл")),
    (re.escape(outbox.STOPPED), _l("клиент выключил напоминания")),
    (r"\b5\.1\.[0-9]|\b55[03]\b.*(user|mailbox|recipient|address)", _l("такого ящика нет")),
    (r"\b[45]\.2\.2\b|\b[45]52\b|quota|full", _l("ящик переполнен")),
    (r"\b535\b|\b53[04]\b|Authentication", _l("почтовый сервер не принял имя или пароль")),
    (r"\b5\.7\.|\b554\b|spam|policy|blocked", _l("почтовый сервер счёл письмо нежелательным")),
    (r"timed out|Timeout", _l("почтовый сервер не отвечает")),
    (r"refused|gaierror|unreachable|Disconnected|Connection", _l("нет связи с почтовым сервером")),
    (r"certificate|SSL|TLS", _l("почтовый сервер не подтвердил, что он настоящий")),
    (r"^4[0-9][0-9]\b", _l("почтовый сервер просит повторить позже")),
    (r"^5[0-9][0-9]\b", _l("почтовый сервер отказал")),
    (r"BadHeaderError|line break", _l("в имени или адресе есть перевод строки")),
)


def meaning(error: str) -> str:
    """What an error means, in words; the error itself is shown beside it."""
    found = (words for pattern, words in MEANINGS if re.search(pattern, error, re.IGNORECASE))
    return str(next(found, _l("отправить не получилось"))) if error else ""


def masked(address: str) -> str:
    """о***@mail.com: enough to recognize, not to copy."""
    name, at, domain = address.rpartition("@")
    return f"{name[:1]}***{at}{domain}" if at else address

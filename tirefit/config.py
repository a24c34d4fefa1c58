"""Every setting there is, with the value that makes a fresh checkout run. docs/configuration.md explains each.

Settings are environment variables `TIREFIT_<NAME>`; DATABASE_URL, REDIS_URL and PORT also without the prefix, as
hosts set them.
"""

import difflib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VERSION = "0.2.0"
API = "/api/v1"  # where programs ask; nothing under it reads or writes a cookie

DEFAULTS: dict[str, Any] = {
    "INSTANCE_PATH": str(ROOT / "instance"),  # where data lives when nothing else is said
    "DATABASE_URL": None,  # None: an SQLite file in the instance folder
    "REDIS_URL": None,  # None: `flask serve` starts its own Valkey, or works with threads
    "PORT": 5000,
    "BASE_URL": None,  # where letters point to; None: http://127.0.0.1:PORT
    "SECRET_KEY": None,  # None: made once and kept in the instance folder
    "SECRET_KEY_FALLBACKS": (),  # earlier keys, while what was signed with them still holds
    "DEMO": False,  # demo data and the local mailbox page
    "HTTPS": False,  # cookies only over https
    "PROXY_HOPS": 0,  # trusted reverse proxies in front of the web process
    "METRICS_TOKEN": None,  # who has it may read /metrics; None: nobody
    "LOG_FORMAT": "text",  # or json
    "LOG_REQUESTS": False,  # a line for each
    "SENTRY_DSN": None,  # where faults of ours are reported; None: only the log has them
    "RETENTION_DAYS": 730,  # after a visit its customer is forgotten; 0: never
    "MAIL_SERVER": None,
    "MAIL_PORT": 25,
    "MAIL_USERNAME": None,
    "MAIL_PASSWORD": None,
    "MAIL_USE_TLS": False,
    "MAIL_USE_SSL": False,
    "MAIL_DEFAULT_SENDER": "TireFit <no-reply@localhost>",
    "API_REQUESTS_PER_MINUTE": 600,  # of one network, or of one token
    "DKIM_KEY_FILE": None,  # a PEM file with the private key; None: the mail server signs, or nobody does
    "DKIM_SELECTOR": "tirefit",
    "WEBHOOKS_INTERNAL": False,  # webhooks may go to addresses of our own network, and over http: for development
    "MAIL_TIMEOUT": 10,  # seconds; a letter's lease is longer than that
}

OF_TOOLS = {"TRIALS", "TEST_DATABASE_URL", "REQUIRE_BROWSER", "WRITE_EXAMPLES"}  # what tests and scripts go by
SHORTEST_KEY = 32
CHANGE_ME = "CHANGE-ME"  # what docs/deploy/tirefit.env.example says where a secret belongs
PLAIN_NAMES = ("DATABASE_URL", "REDIS_URL", "PORT")


def load(overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The settings of this process: defaults, then the environment, then `overrides` (tests)."""
    environ = os.environ if environ is None else environ
    settings = dict(DEFAULTS)
    for name, default in DEFAULTS.items():
        text = environ.get(f"TIREFIT_{name}", environ.get(name, "") if name in PLAIN_NAMES else "")
        if text != "":
            settings[name] = _read(name, text, default)
    settings.update(overrides or {})
    if overrides is None or not settings.get("TESTING"):
        _require_sense(settings, environ)
    instance = Path(settings["INSTANCE_PATH"]).resolve()
    try:
        instance.mkdir(mode=0o700, parents=True, exist_ok=True)  # people and their phones live here
    except OSError as error:
        raise SystemExit(f"{instance} cannot be made ({error.strerror}): set TIREFIT_INSTANCE_PATH") from None
    settings["INSTANCE_PATH"] = str(instance)
    settings["DATABASE_URL"] = _database_url(settings["DATABASE_URL"], instance)
    settings["BASE_URL"] = (settings["BASE_URL"] or f"http://127.0.0.1:{settings['PORT']}").rstrip("/")
    settings["SECRET_KEY"] = settings["SECRET_KEY"] or _kept_secret(instance / "secret_key")
    return settings


def keys(settings: Mapping[str, Any]) -> list[str]:
    """With which what we are shown may have been signed; the last of them is the one that signs."""
    return [*settings["SECRET_KEY_FALLBACKS"], settings["SECRET_KEY"]]


def _require_sense(settings: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """Refuse to start with what can only be a mistake, in one line that says what to change."""
    for name in environ:
        known = name.removeprefix("TIREFIT_")
        if name != known and known not in DEFAULTS and known not in OF_TOOLS:
            near = difflib.get_close_matches(known, DEFAULTS, n=1)
            raise SystemExit(f"{name} is no setting of TireFit{f'; did you mean TIREFIT_{near[0]}?' if near else ''}")
    key, base = settings["SECRET_KEY"], settings["BASE_URL"]
    for wrong, words in (
        (
            any(CHANGE_ME in str(value) for value in settings.values()),
            f"a setting is still {CHANGE_ME}, as in the example",
        ),
        (key and len(key) < SHORTEST_KEY, f"TIREFIT_SECRET_KEY is shorter than {SHORTEST_KEY} characters"),
        (
            any(len(each) < SHORTEST_KEY for each in settings["SECRET_KEY_FALLBACKS"]),
            f"a key of TIREFIT_SECRET_KEY_FALLBACKS is shorter than {SHORTEST_KEY} characters",
        ),
        (not 0 < settings["PORT"] < 65536, f"PORT is {settings['PORT']}; it takes 1 to 65535"),
        (
            base and not base.startswith(("http://", "https://")),
            f"TIREFIT_BASE_URL is {base!r}; it begins with https://",
        ),
        (
            settings["HTTPS"] and base and base.startswith("http://"),
            "TIREFIT_HTTPS is 1 and TIREFIT_BASE_URL begins with http://: links in letters open without the cookies",
        ),
        (
            base and base.startswith("https://") and not settings["HTTPS"] and not settings["DEMO"],
            "TIREFIT_BASE_URL begins with https:// and TIREFIT_HTTPS is 0: cookies would go without protection;"
            " set TIREFIT_HTTPS=1, and TIREFIT_PROXY_HOPS=1 behind one proxy",
        ),
        (
            settings["HTTPS"] and settings["DEMO"],
            "TIREFIT_DEMO is 1 and TIREFIT_HTTPS too: the demo has accounts and a mailbox that strangers must not find",
        ),
        (
            settings["MAIL_USE_TLS"] and settings["MAIL_USE_SSL"],
            "TIREFIT_MAIL_USE_TLS and TIREFIT_MAIL_USE_SSL are both 1; a port speaks one of them (587 and 465)",
        ),
        (settings["LOG_FORMAT"] not in ("text", "json"), "TIREFIT_LOG_FORMAT is text or json"),
        (settings["RETENTION_DAYS"] < 0, "TIREFIT_RETENTION_DAYS is below 0; 0 keeps everybody for ever"),
    ):
        if wrong:
            raise SystemExit(words)


def _read(name: str, text: str, default: Any) -> Any:
    if isinstance(default, bool):
        if text.lower() not in {"1", "0", "true", "false", "yes", "no"}:
            raise SystemExit(f"TIREFIT_{name} is {text!r}; it takes 1 or 0")
        return text.lower() in {"1", "true", "yes"}
    if isinstance(default, int):
        try:
            return int(text)
        except ValueError:
            raise SystemExit(f"TIREFIT_{name} is {text!r}; it takes a whole number") from None
    if isinstance(default, tuple):
        return tuple(text.split())
    return text


def _database_url(url: str | None, instance: Path) -> str:
    if not url:
        return f"sqlite:///{instance / 'tirefit.db'}"
    for scheme in ("postgres://", "postgresql://"):  # as hosts write it
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url.removeprefix(scheme)
    return url


def _kept_secret(path: Path) -> str:
    """Two processes that start at once agree on one key: the file is linked into place whole, and only once."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(48))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()

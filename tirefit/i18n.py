"""Languages: which one a person reads, and the words in it.

Message ids are the Russian source text; translations/<language>/LC_MESSAGES/messages.po hold the rest (Russian: the
plural forms only). `make texts` collects new ones. The catalogues are read once, when the app starts.
"""

import io
from functools import cached_property
from urllib.parse import quote, urlencode

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import NullTranslations, Translations
from flask import Flask, has_request_context, request
from flask_babel import Babel, Domain, get_locale, refresh
from werkzeug.utils import redirect
from werkzeug.wrappers import Response

from tirefit import config

LANGUAGES = {"ru": "Русский", "uk": "Українська", "en": "English"}
SIGNS = {"ru": "RU", "uk": "UA", "en": "EN"}  # what the language button shows
DEFAULT = "ru"
TRANSLATIONS = config.ROOT / "translations"
A_YEAR = 365 * 24 * 60 * 60


def init_app(app: Flask) -> None:
    _Babel(app, default_locale=DEFAULT, locale_selector=_choose)
    app.jinja_env.policies["ext.i18n.trimmed"] = True
    app.jinja_env.globals.update(LANGUAGES=LANGUAGES, LANGUAGE_SIGNS=SIGNS, language=language, in_language=in_language)
    app.before_request(_remember_choice)


def language() -> str:
    """The language of this request (or of the letter being composed): `ru`, `uk` or `en`."""
    return str(get_locale() or DEFAULT)


def fall_back_to(wanted: str) -> None:
    """Let a station's own language serve whoever chose none and whose browser asks for none of ours."""
    if request.environ.get("tirefit.language") != wanted:
        request.environ["tirefit.language"] = wanted
        refresh()


def in_language(wanted: str, page: str | None = None) -> str:
    """The address of this page in another language. `page` stands in where this address answers no GET."""
    path, query = page or request.full_path, ""
    path, _, query = path.partition("?")
    return f"{path}?{query}{'&' if query else ''}lang={wanted}"


def read_catalogue(wanted: str) -> Translations:
    """A catalogue straight from its .po file: there is nothing to compile and nothing to go stale."""
    with (TRANSLATIONS / wanted / "LC_MESSAGES" / "messages.po").open("rb") as file:
        catalogue = read_po(file, locale=wanted)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return Translations(compiled)


class _Catalogues(Domain):
    def __init__(self) -> None:
        super().__init__()
        self._of = {wanted: read_catalogue(wanted) for wanted in LANGUAGES}

    def get_translations(self) -> NullTranslations:
        return self._of[language()]


class _Babel(Babel):
    @cached_property
    def domain_instance(self) -> Domain:
        return _Catalogues()


def _choose() -> str:
    if not has_request_context():  # a job: whoever writes to somebody says in which language
        return DEFAULT
    chosen = request.cookies.get("lang") if not _has_no_cookies() else None
    if chosen in LANGUAGES:
        return chosen
    fallback = request.environ.get("tirefit.language", DEFAULT)
    return request.accept_languages.best_match(LANGUAGES) or (fallback if fallback in LANGUAGES else DEFAULT)


def _remember_choice() -> Response | None:
    """`?lang=uk` on any page: keep the choice, and show the page at its clean address."""
    wanted = request.args.get("lang")
    if wanted is None or request.method not in {"GET", "HEAD"} or request.endpoint is None or _has_no_cookies():
        return None
    rest = [(key, value) for key, value in request.args.items(multi=True) if key != "lang"]
    clean = "/" + quote(request.path.lstrip("/")) + (f"?{urlencode(rest)}" if rest else "")
    answer = redirect(clean, 303)
    if wanted in LANGUAGES:
        answer.set_cookie("lang", wanted, max_age=A_YEAR, samesite="Lax", secure=request.is_secure, httponly=True)
    return answer


def _has_no_cookies() -> bool:
    """Programs, and frames on other sites, say which language they want in a header: they have no cookies."""
    return request.path.startswith((f"{config.API}/", "/embed/"))

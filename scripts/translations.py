"""The texts of the program and their catalogues. Source texts are Russian.

    python scripts/translations.py update    put new texts into the catalogues, to be translated by hand
    python scripts/translations.py check     fail if a text is missing in a language

Russian itself needs only its plural forms; every other language needs every text.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
SOURCE = "ru"
KEYWORDS = ("_l", "lazy_gettext", "lazy_ngettext:1,2")


def main(what: str = "check") -> int:
    with tempfile.TemporaryDirectory() as folder:
        template = Path(folder, "messages.pot")
        extract(template)
        if what == "update":
            pybabel("update", "-i", template, "-d", "translations", "--no-fuzzy-matching", "--ignore-pot-creation-date")
            return 0
        with template.open("rb") as file:
            wanted = read_po(file)
    complaints = [complaint for path in catalogues() for complaint in missing(wanted, path)]
    if not len(wanted):
        complaints.append("no texts found in the program: does babel.cfg name its places?")
    print("\n".join(complaints))
    return 1 if complaints else 0


def extract(template: Path) -> None:
    keywords = [part for keyword in KEYWORDS for part in ("-k", keyword)]
    places = "--add-location=file"  # with lines, every edit of a page would change all catalogues
    pybabel("extract", "-F", "babel.cfg", *keywords, places, "--no-wrap", "-o", template, "tirefit", "templates")


def catalogues() -> list[Path]:
    found = sorted(ROOT.glob("translations/*/LC_MESSAGES/messages.po"))
    if len(found) < 3:
        raise SystemExit(f"expected catalogues of three languages, found {len(found)}")
    return found


def missing(wanted: Catalog, path: Path) -> list[str]:
    """What a reader of this language would see in another one, or not at all."""
    language = path.parent.parent.name
    with path.open("rb") as file:
        catalogue = read_po(file, locale=language)
    complaints = []
    for message in wanted:
        if not message.id or (language == SOURCE and not message.pluralizable):
            continue
        found = catalogue.get(message.id, message.context)
        if found is None or found.fuzzy or not all(strings(found)):
            complaints.append(f"{language}: not translated: {first(message)!r} ({place(message)})")
        else:
            complaints += [f"{language}: {first(message)!r}: {error}" for error in found.check(catalogue)]
    return complaints


def strings(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string)


def first(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[0]


def place(message: Message) -> str:
    return ":".join(str(part) for part in message.locations[0]) if message.locations else "?"


def pybabel(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "babel.messages.frontend", "--quiet", *map(str, arguments)]
    subprocess.run(command, cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))

"""Which passwords are kept from now on: of a length, and not among those that are tried first."""

from tirefit.errors import PasswordGuessable, PasswordUnfit

SHORTEST, LONGEST = 12, 256
FEWEST_GUESSES = 10**8  # by somebody who tries common words, names, dates and rows of keys first
LOOKED_AT = 72  # characters; what comes after them makes it no worse, and takes long
OUR_TRADE = ("tirefit", "шиномонтаж", "шини", "шины", "колесо", "переобувка", "shinomontazh")
# The same keys with the other layout: who types "йцукен" has typed "qwerty".
KEYS = str.maketrans("йцукенгшщзхъїфывапролджэіячсмитьбю", "qwertyuiop[]]asdfghjkl;'szxcvbnm,.")


def require_fit(password: str, *about: str) -> None:
    """Raises PasswordUnfit for its length, and PasswordGuessable for what it is made of.

    `about` is what everybody knows about the person: name, e-mail.
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise PasswordUnfit(shortest=SHORTEST, longest=LONGEST)
    if _guesses(password, about) < FEWEST_GUESSES:
        raise PasswordGuessable()


def _guesses(password: str, about: tuple[str, ...]) -> int:
    from zxcvbn import zxcvbn  # its lists of words are read by the few processes that need them

    known = [
        part for each in (*about, *OUR_TRADE) for part in (each, *each.replace("@", " ").replace(".", " ").split())
    ]
    typed = password[:LOOKED_AT].lower()
    return min(int(zxcvbn(text, user_inputs=known)["guesses"]) for text in {typed, typed.translate(KEYS)})

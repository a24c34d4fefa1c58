"""What people type, made fit to be kept and shown, or refused. Pure functions; nothing here knows a form."""

import re
import unicodedata

import email_validator
import phonenumbers

# Characters that reorder, hide or break the text around them. U+FFFD stands for bytes that were no text at all.
UNFIT_CATEGORIES = {"Cc", "Cs", "Co", "Cn"}
UNFIT = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\ufeff\ufffd")
MARKS_ON_A_LETTER = 3
# Bytes that were no text come out of a form as they were sent: %FF.
NO_TEXT = re.compile(r"%[89A-Fa-f][0-9A-Fa-f]")

NAME_LENGTH = 80
PHONE_LENGTH = 40
EMAIL_LENGTH = 254
PLATE_LENGTH = 12


def fit(text: str) -> str | None:
    """One line of text without surplus spaces, in one Unicode form; None when it has what no person types."""
    line = unicodedata.normalize("NFC", text.strip())
    if NO_TEXT.search(line):
        return None
    marks = 0
    for character in line:
        category = unicodedata.category(character)
        marks = marks + 1 if category.startswith("M") else 0
        if character in UNFIT or category in UNFIT_CATEGORIES or marks > MARKS_ON_A_LETTER:
            return None
    return re.sub(r"\s+", " ", line)


def name_of(text: str) -> str | None:
    """A name has a letter in it, in any alphabet."""
    name = fit(text)
    return name if name and len(name) <= NAME_LENGTH and any(map(str.isalpha, name)) else None


def phone_of(text: str, country: str) -> str | None:
    """However it is written (067 123-45-67, +38 (067) 1234567) → E.164; None when it is no number of any country."""
    line = fit(text)
    if not line or len(line) > PHONE_LENGTH or any(map(str.isalpha, line)):
        return None
    try:
        number = phonenumbers.parse(line, country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def email_of(text: str) -> str | None:
    """An address that a letter can be sent to, in ASCII; None when it is none."""
    line = fit(text)
    if not line or len(line) > EMAIL_LENGTH or line.startswith("-"):
        return None
    try:
        found = email_validator.validate_email(line, allow_smtputf8=False, check_deliverability=False)
    except email_validator.EmailNotValidError:
        return None
    return found.ascii_email


def plate_of(text: str) -> str | None:
    """A number plate in the alphabet it was typed in, in capitals; "" takes it back; None when it is none."""
    line = fit(text)
    if line is None or len(line) > PLATE_LENGTH:
        return None
    return line.upper() if all(sign.isalnum() or sign in " -" for sign in line) else None

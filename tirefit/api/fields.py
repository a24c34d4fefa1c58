"""What fields of requests and answers are made of. Every refusal of a field is a code; the words stand in templates."""

import json
import re
from datetime import date
from typing import Any

import marshmallow as ma
from marshmallow import fields, validate
from webargs import fields as web_fields
from webargs.flaskparser import FlaskParser

from tirefit.api import problems
from tirefit.web.forms import text
from tirefit.web.forms.public import instant_of

LARGEST_ID = 2**31 - 1
CODES = {"required": "required", "null": "required", "unknown": "unknown_field", "too_large": "out_of_range"}


class Sent(ma.Schema):
    """What is sent to us. What we do not know is refused, so that nobody believes it was heard."""

    class Meta:
        unknown = ma.RAISE

    error_messages = {"unknown": "unknown_field", "type": "invalid"}

    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        _speak_in_codes(field_obj)


class Asked(Sent):
    """What is asked for in the address."""


class Answer(ma.Schema):
    """What is answered: every field is there, every time."""

    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        field_obj.required = field_obj.metadata.get("always", True)


class ADay(fields.Date):
    """A date as addresses have them, too: of this century. What is far from it, clocks cannot reckon with."""

    def __init__(self, **options: Any) -> None:
        super().__init__(metadata={"pattern": "^20"}, **options)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> date:
        day: date = super()._deserialize(value, attr, data, **kwargs)
        if day.year // 100 != 20:
            raise ma.ValidationError("out_of_range")
        return day


class Whole(fields.Integer):
    """A whole number in JSON: neither a text nor true."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise self.make_error("invalid")
        return int(value)


class Digits(fields.Integer):
    """A whole number in an address: plain digits."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> int:
        if not re.fullmatch(r"[0-9]{1,10}", str(value)):
            raise self.make_error("invalid")
        return int(value)


class Truth(fields.Boolean):
    """true or false, and nothing that only looks like it."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class Instant(fields.Field[Any]):
    """A moment in ISO 8601 with its offset."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        moment = instant_of(value) if isinstance(value, str) else None
        if moment is None:
            raise ma.ValidationError("instant_invalid")
        return moment


class Line(fields.String):
    """One line of text, as a person could have typed it."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> Any:
        line = text.fit(super()._deserialize(value, attr, data, **kwargs))
        if line is None:
            raise ma.ValidationError("invalid")
        return line


def row_id(**kwargs: Any) -> Whole:
    return Whole(validate=between(1, LARGEST_ID), **kwargs)


def asked_id(**kwargs: Any) -> Digits:
    return Digits(validate=between(1, LARGEST_ID), **kwargs)


def row_ids(least: int = 1, **kwargs: Any) -> fields.List[Any]:
    return fields.List(row_id(), validate=validate.Length(least, 20, error="out_of_range"), **kwargs)


def asked_ids(**kwargs: Any) -> Any:
    return web_fields.DelimitedList(asked_id(), validate=validate.Length(1, 20, error="out_of_range"), **kwargs)


def between(least: int, most: int) -> validate.Range:
    return validate.Range(least, most, error="out_of_range")


def one_of(*choices: Any) -> validate.OneOf:
    return validate.OneOf(choices, error="invalid")


def at_most(length: int) -> validate.Length:
    return validate.Length(max=length, error="too_long")


def moment(**kwargs: Any) -> fields.String:
    """An instant in an answer."""
    return fields.String(metadata={"format": "date-time"}, **kwargs)


class Parser(FlaskParser):
    """Reads a request for a view; whatever is wrong becomes a Problem."""

    DEFAULT_UNKNOWN_BY_LOCATION = {"json": None, "query": None, "headers": ma.EXCLUDE}

    def handle_error(self, error: ma.ValidationError, *args: Any, **kwargs: Any) -> Any:
        raise problems.invalid_fields(error.messages)  # type: ignore[arg-type]

    def _raw_load_json(self, req: Any) -> Any:
        """A body that is no JSON is one thing; one that is JSON, and not what is wanted, another."""
        body = req.get_data(cache=True)
        if not body:
            return {}
        try:
            return json.loads(body.decode(), parse_constant=_no_number)
        except (ValueError, RecursionError):
            raise problems.Malformed() from None

    def load_json(self, req: Any, schema: Any) -> Any:
        return self._raw_load_json(req)


def _no_number(name: str) -> Any:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _speak_in_codes(field: Any) -> None:
    field.error_messages = {key: CODES.get(key, "invalid") for key in field.error_messages}
    inner = getattr(field, "inner", None)
    if inner is not None:
        _speak_in_codes(inner)

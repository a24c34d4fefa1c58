"""`Idempotency-Key` for whatever is made by one command: made once, answered the same however often it is asked for.

Holds, bookings and cars at the gate have no need of it: their key is their token (tirefit.api.access.key_of_request).
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, request
from marshmallow import Schema

from tirefit import answers
from tirefit.api import access
from tirefit.database import kept_with_result
from tirefit.errors import KeyReused
from tirefit.models import AnsweredRequest

Made = TypeVar("Made")


def made_once(make: Callable[[], Made], show: Callable[[Made], dict[str, Any]], schema: type[Schema]) -> Any:
    """What `make` (one command) has made, as `show` shows it; with a key, the answer that was given first.

    Raises KeyReused for another request under the same key.
    """
    shown: dict[str, Any] = {}
    key = access.idempotency_key()
    if key is None:
        with kept_with_result(lambda made: shown.update(show(made))):  # as it is before anybody else changes it
            make()
        return shown
    name = _hash(f"{request.method} {request.path} {access.user_id()} {key}")
    asked = _hash(f"{request.query_string.decode()} {json.dumps(request.get_json(), sort_keys=True)}")
    if (before := answers.find(name)) is not None:
        return _again(before, asked)

    def keep(made: Made) -> None:
        shown.update(show(made))
        answers.keep(name, asked, json.loads(schema().dumps(shown)))

    try:
        with kept_with_result(keep):
            make()
    except Exception:
        before = answers.find(name)  # the same request, at the same moment, was quicker
        if before is None:
            raise
        return _again(before, asked)
    return shown


def _again(before: AnsweredRequest, asked: str) -> Response:
    if before.request_hash != asked:
        raise KeyReused()
    return Response(json.dumps(before.answer, ensure_ascii=False), 201, mimetype="application/json")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

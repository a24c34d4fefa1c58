"""How operations are declared: what they take, what they answer, and which refusals they know."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import flask_smorest
from marshmallow import INCLUDE, Schema, fields
from sqlalchemy import Select, func, select

from tirefit import errors
from tirefit.api import problems
from tirefit.api.fields import Answer, Parser, Sent
from tirefit.database import db

View = TypeVar("View", bound=Callable[..., Any])

STATUSES = {code: status for status, code in problems.HTTP_CODES.items()}
STATUSES |= {each.code: each.status for each in (problems.Malformed, problems.Invalid, problems.Unauthorized)}
STATUSES |= {
    each.code: each.status
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, errors.Problem)
}
# What may happen to every request.
EVERYWHERE = ("too_many_requests", "failure", "busy")
# What may happen to every request with a body.
BODY = ("malformed", "unsupported_media_type", "too_large", "invalid")


class Blueprint(flask_smorest.Blueprint):
    """A part of the API."""

    ARGUMENTS_PARSER = Parser()

    def route(self, rule: str, **options: Any) -> Callable[[View], View]:
        return cast(Callable[[View], View], super().route(rule, **options))

    def arguments(self, schema: type[Schema], **options: Any) -> Callable[[View], View]:
        return cast(Callable[[View], View], super().arguments(schema, **options))

    def response(self, status: int, schema: type[Schema] | None = None, **options: Any) -> Callable[[View], View]:
        return cast(Callable[[View], View], super().response(status, schema, **options))

    def alt_response(self, status: int, **options: Any) -> Callable[[View], View]:
        return cast(Callable[[View], View], super().alt_response(status, **options))

    def refuses(self, *codes: str) -> Callable[[View], View]:
        """Document which refusals an operation knows, beside those that everything has."""
        by_status: dict[int, list[str]] = defaultdict(list)
        for code in (*codes, *EVERYWHERE):
            by_status[STATUSES[code]].append(code)

        def document(view: View) -> View:
            for status, of_status in sorted(by_status.items()):
                words = ", ".join(f"`{code}`" for code in of_status)
                told = self.alt_response(status, schema=Problem, content_type=problems.MEDIA_TYPE, description=words)
                view = told(view)
            return view

        return document


class FieldError(Answer):
    """One field that is not as it should be: in the body (`pointer`), the address (`parameter`), a header."""

    pointer = fields.String(metadata={"always": False})
    parameter = fields.String(metadata={"always": False})
    header = fields.String(metadata={"always": False})
    code = fields.String()
    detail = fields.String()


class Problem(Answer):
    """RFC 9457. `code` is for programs, `detail` for people; more facts may stand beside them."""

    class Meta:
        unknown = INCLUDE

    type = fields.String(metadata={"format": "uri"})
    title = fields.String()
    status = fields.Integer()
    code = fields.String()
    detail = fields.String()
    errors = fields.List(fields.Nested(FieldError), metadata={"always": False})


class Nothing(Sent):
    """No fields."""


def page_of(found: Select[Any], page: int, per_page: int) -> tuple[Sequence[Any], dict[str, int]]:
    """One page of what a statement finds, and how much there is in all."""
    total = db.session.scalar(select(func.count()).select_from(found.order_by(None).subquery())) or 0
    items = db.session.scalars(found.limit(per_page).offset((page - 1) * per_page)).unique().all()
    return items, {"page": page, "per_page": per_page, "total": total}


def slice_of(items: Sequence[Any], page: int, per_page: int) -> tuple[Sequence[Any], dict[str, int]]:
    """The same of what has been read already."""
    start = (page - 1) * per_page
    return items[start : start + per_page], {"page": page, "per_page": per_page, "total": len(items)}

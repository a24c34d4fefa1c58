"""The journal of a station: who has changed what, by day, as sentences."""

from datetime import date
from itertools import groupby

from flask import Blueprint, Response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from tirefit import audit, i18n
from tirefit.models import ServicePoint
from tirefit.schedule.windows import local_day
from tirefit.web import audit_words, filters, load, policy, sheets
from tirefit.web.forms.text import fit

bp = Blueprint("journal", __name__, url_prefix="/manage/<slug:slug>")

MOST_IN_FILE = 10_000


@bp.get("/audit")
@policy.manager_of(load.point_with_posts)
def show(point: ServicePoint) -> ResponseReturnValue:
    """Filters stand in the address: `who`, `what` (a kind of thing), `object` (one thing of it)."""
    wanted = _filters()
    page = audit.read(point, wanted, of_network=policy.is_admin(), after=request.args.get("after", ""))
    return render_template(
        "manage/audit.html",
        point=point,
        days=[(day, list(lines)) for day, lines in groupby(page.lines, lambda line: _day(point, line))],
        following=page.after,
        filters=wanted,
        authors=audit.authors_of(point),
        words=audit_words,
        address=_address,
    )


@bp.post("/audit.csv")
@policy.manager_of(load.point_with_posts)
def table(point: ServicePoint) -> Response:
    """The same lines for a spreadsheet, the newest ten thousand. That somebody took them is a line itself."""
    page = audit.read(point, _filters(), of_network=policy.is_admin(), limit=MOST_IN_FILE)
    head = ("date", "time", "who", "what", "object", "change", "before", "after")
    rows = [
        (
            _day(point, line),
            filters.station_time(line.at, point),
            audit_words.author(line),
            audit_words.deed(line),
            f"{line.kind} {line.thing_id}",
            audit_words.told(line, point),
            _in_words(point, line, 1),
            _in_words(point, line, 2),
        )
        for line in page.lines
    ]
    audit.note_export(point, len(page.lines), user_id=policy.my_id())
    return sheets.csv_file(f"audit-{point.slug}-{i18n.language()}", head, rows)


def _filters() -> audit.Filters:
    """What makes no sense as a filter filters nothing."""
    who, kind, thing = (fit(request.values.get(name, "")) or "" for name in ("who", "what", "object"))
    known = who in (audit.SYSTEM, audit.CUSTOMER) or (who.isascii() and who.isdecimal() and len(who) < 10)
    return audit.Filters(
        who=who if known else "",
        kind=kind if kind in audit_words.KINDS else "",
        thing=thing[:80] if kind in audit_words.KINDS else "",
    )


def _address(point: ServicePoint, line: audit.Line) -> str | None:
    """Where the thing is found today; None: it has no page, or is gone."""
    if line.kind == audit.BOOKINGS and line.starts_at:
        day = local_day(point.time_zone, line.starts_at)
        return url_for("board.show", slug=point.slug, day=day, b=line.thing_id)
    if line.kind == "post" and line.thing_id in {str(post.id) for post in point.posts}:
        return url_for("manage.post", post_id=line.thing_id)
    return None


def _day(point: ServicePoint, line: audit.Line) -> date:
    return local_day(point.time_zone, line.at)


def _in_words(point: ServicePoint, line: audit.Line, side: int) -> str:
    return "; ".join(
        f"{audit_words.part(change[0])}: {audit_words.value(change[0], change[side], point)}" for change in line.changes
    )

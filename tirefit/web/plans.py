"""The year of a station: days that are not as their weekdays, and what has been changed of its schedule."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import ngettext

from tirefit import clock
from tirefit.errors import PostHasBookings, Problem, RunOutdated, ScheduleChanged
from tirefit.models import ScheduleException, ServicePoint, ServicePost
from tirefit.schedule import changes
from tirefit.schedule.slots import Difference, load_weeks
from tirefit.schedule.windows import Hours, each_day, local_day, local_windows
from tirefit.web import load, policy
from tirefit.web.forms.desk import day_of
from tirefit.web.forms.plans import CLOSED, ExceptionForm
from tirefit.web.forms.public import as_id
from tirefit.web.preview import closed_days, given_up, opened

bp = Blueprint("plans", __name__, url_prefix="/manage/<slug:slug>")

MOST_LINES = 31  # days of which the preview tells each


@dataclass(frozen=True)
class CalendarDay:
    """A day in the year: `look` is "", rest (its weekday is closed), closed, short (other hours), open (though its
    weekday is closed) or some (only some posts differ).
    """

    date: date
    look: str


@bp.get("/exceptions")
@policy.manager_of(load.point_with_posts)
def exceptions(point: ServicePoint) -> ResponseReturnValue:
    today = _today(point)
    day = day_of(request.args.get("day", ""))
    typed = {"first": day if day and day >= today else None, "how": CLOSED}
    return _exceptions_page(point, ExceptionForm(point, today, formdata=None, data=typed))


@bp.post("/exceptions/preview")
@policy.manager_of(load.point_with_posts)
def preview_exceptions(point: ServicePoint) -> ResponseReturnValue:
    form = _read(point)
    status = 200 if form.validate() else 422
    return _exceptions_page(point, form, difference=_difference(point, form) if status == 200 else None), status


@bp.post("/exceptions")
@policy.manager_of(load.point_with_posts)
def save_exceptions(point: ServicePoint) -> ResponseReturnValue:
    form = _read(point)
    if not form.validate():
        return _exceptions_page(point, form), 422
    try:
        done = changes.save_exceptions(
            point.id,
            form.first_day,
            form.last_day,
            form.windows,
            reason=form.reason.data,
            post_ids=form.post_ids,
            user_id=policy.my_id(),
            expected=form.seen.data or None,
        )
    except ScheduleChanged as problem:
        return _exceptions_page(point, form, difference=_difference(point, form), look_again=True), problem.status
    flash(_what_was_done(done))
    return redirect(url_for(".exceptions", slug=point.slug, year=form.first_day.year), 303)


@bp.get("/exceptions/<day:day>/as-usual")
@policy.manager_of(load.point_with_posts)
def as_usual(point: ServicePoint, day: date) -> ResponseReturnValue:
    """What it will do that the day is again as its weekday; with `post`, for that post."""
    return _as_usual_page(point, day, _post_named(point, request.args.get("post", "")))


@bp.post("/exceptions/<day:day>/as-usual")
@policy.manager_of(load.point_with_posts)
def make_as_usual(point: ServicePoint, day: date) -> ResponseReturnValue:
    post = _post_named(point, request.form.get("post", ""))
    try:
        done = changes.delete_exception(
            point.id,
            day,
            post_id=post.id if post else None,
            user_id=policy.my_id(),
            expected=request.form.get("seen") or None,
        )
    except ScheduleChanged as problem:
        return _as_usual_page(point, day, post, look_again=True), problem.status
    flash(_what_was_done([done]))
    return redirect(url_for(".exceptions", slug=point.slug, year=day.year), 303)


@bp.get("/history")
@policy.manager_of(load.point_with_posts)
def history(point: ServicePoint) -> ResponseReturnValue:
    return _history_page(point)


@bp.post("/history/<int:run_id>/undo")
@policy.manager_of(load.point_with_posts)
def undo(point: ServicePoint, run_id: int) -> ResponseReturnValue:
    if load.run(point, run_id) is None:
        abort(404)
    try:
        done = changes.undo_run(run_id, user_id=policy.my_id())
    except (RunOutdated, PostHasBookings) as problem:
        return _history_page(point, problem), problem.status
    flash(_("Возвращено как было. %(done)s", done=_what_was_done([done])))
    return redirect(url_for(".history", slug=point.slug), 303)


def _read(point: ServicePoint) -> ExceptionForm:
    return ExceptionForm(point, _today(point), request.form.getlist("hours"))


def _difference(point: ServicePoint, form: ExceptionForm) -> Difference:
    return changes.preview_exceptions(point, form.first_day, form.last_day, form.windows, post_ids=form.post_ids)


def _exceptions_page(
    point: ServicePoint, form: ExceptionForm, difference: Difference | None = None, **context: Any
) -> str:
    today = _today(point)
    asked = as_id(request.args.get("year", "")) or today.year
    year = max(today.year - 1, min(asked, today.year + 2))
    found = changes.exceptions_between(point, date(year, 1, 1), date(year, 12, 31))
    lines = []
    if difference is not None:
        lines = closed_days(difference, point, list(each_day(form.first_day, form.last_day))[:MOST_LINES])
    return render_template(
        "plans/exceptions.html",
        point=point,
        form=form,
        year=year,
        today=today,
        months=_months(point, year, found),
        found=found,
        posts={post.id: post for post in point.posts},
        difference=difference,
        gone=len(given_up(difference)) if difference else 0,
        come=len(opened(difference)) if difference else 0,
        lines=lines,
        here=url_for(".exceptions", slug=point.slug, year=year),
        **context,
    )


def _as_usual_page(point: ServicePoint, day: date, post: ServicePost | None, *, look_again: bool = False) -> str:
    difference = changes.preview_exception(point, day, windows=None, post_id=post.id if post else None)
    (line,) = closed_days(difference, point, [day])
    return render_template(
        "plans/as_usual.html",
        point=point,
        day=day,
        post=post,
        difference=difference,
        gone=len(given_up(difference)),
        come=len(opened(difference)),
        bookings=line.bookings,
        look_again=look_again,
        here=url_for(".as_usual", slug=point.slug, day=day),
    )


def _post_named(point: ServicePoint, number: str) -> ServicePost | None:
    """The post of that number; None where none is named."""
    if not number:
        return None
    return next((post for post in point.posts if str(post.post_number) == number), None) or abort(404)


def _history_page(point: ServicePoint, problem: Problem | None = None) -> str:
    runs = changes.latest_runs(point)
    return render_template(
        "plans/history.html",
        point=point,
        runs=runs,
        undoable=changes.undoable(runs),
        posts={post.id: post for post in point.posts},
        problem=problem,
        here=url_for(".history", slug=point.slug),
    )


def _months(
    point: ServicePoint, year: int, found: list[ScheduleException]
) -> list[tuple[date, list[list[CalendarDay | None]]]]:
    """Twelve months in whole weeks; what is not of the month is None."""
    usual = Hours(point.time_zone, load_weeks(point))
    of_day: dict[date, list[ScheduleException]] = {}
    for each in found:
        of_day.setdefault(each.day, []).append(each)
    months = []
    for month in range(1, 13):
        first = date(year, month, 1)
        last = date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)
        cells: list[CalendarDay | None] = [None] * first.weekday()
        for day in each_day(first, last):
            is_usual = bool(local_windows(usual, None, day))
            cells.append(CalendarDay(day, _look(of_day.get(day, []), is_usual)))
        cells += [None] * (-len(cells) % 7)
        months.append((first, [cells[n : n + 7] for n in range(0, len(cells), 7)]))
    return months


def _look(found: list[ScheduleException], is_usual: bool) -> str:
    station = next((each for each in found if each.service_post_id is None), None)
    if station is not None:
        return "closed" if not station.windows else "short" if is_usual else "open"
    return "some" if found else "" if is_usual else "rest"


def _what_was_done(done: list[Difference]) -> str:
    """What applying has done, over all days that are offered."""
    added = sum(len(opened(each)) for each in done)
    removed = sum(len(given_up(each)) for each in done)
    outside = len({booking.id for each in done for booking in each.outside if booking.kind == "booking"})
    said = [_("Применено: добавлено %(added)s, убрано %(removed)s.", added=added, removed=removed)]
    if outside:
        said.append(ngettext("%(num)s запись вне часов.", "%(num)s записей вне часов.", outside))
    return " ".join(said)


def _today(point: ServicePoint) -> date:
    return local_day(point.time_zone, clock.now())

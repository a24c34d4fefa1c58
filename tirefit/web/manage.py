"""Posts, the week, days off: every change is shown before it is made, and nothing that is reserved is ever touched."""

from datetime import date, timedelta
from typing import Any

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import get_locale, ngettext
from flask_babel import gettext as _

from tirefit import clock, i18n
from tirefit.board import load_of_posts
from tirefit.booking import abilities, retire
from tirefit.booking.catalogue import station_services
from tirefit.booking.durations import car_types
from tirefit.database import db
from tirefit.errors import PostHasBookings, PostNumberTaken, ScheduleChanged, WindowsInvalid
from tirefit.finding import booked_days
from tirefit.models import (
    CarType,
    ScheduleTemplate,
    Service,
    ServicePoint,
    ServicePost,
)
from tirefit.schedule import changes
from tirefit.schedule.holidays import suggestions
from tirefit.schedule.slots import LONGEST, SHORTEST, Difference
from tirefit.schedule.windows import local_day
from tirefit.web import load, policy
from tirefit.web.filters import short_day
from tirefit.web.forms.manage import FirstPostsForm, HolidaysForm, PostForm, WeekForm, seen
from tirefit.web.forms.public import as_id
from tirefit.web.preview import Preview, arrange, bar_of, bookings_of, closed_days, count_by_post, given_up, opened

bp = Blueprint("manage", __name__, url_prefix="/manage")


@bp.get("/posts")
@policy.manager_of(load.asked_point)
def posts(point: ServicePoint) -> ResponseReturnValue:
    return _posts_page(point)


@bp.post("/posts/first")
@policy.manager_of(load.asked_point)
def create_first_posts(point: ServicePoint) -> ResponseReturnValue:
    """How many posts, and one length for all of them: to begin with."""
    form = FirstPostsForm()
    if not form.validate():
        return _posts_page(point, first=form), 422
    changes.create_posts(point.id, int(form.count.data), int(form.minutes.data), user_id=policy.my_id())
    flash(_("Посты добавлены. Длительность каждого можно поменять отдельно."))
    return redirect(url_for(".posts", s=point.slug), 303)


@bp.post("/posts/lengths")
@policy.manager_of(load.asked_point)
def set_lengths(point: ServicePoint) -> ResponseReturnValue:
    """After posts were made from a mere number: how long each of them really takes."""
    lengths = {post.id: as_id(request.form.get(f"minutes-{post.id}", "").strip()) or 0 for post in point.posts}
    wrong = [id for id, minutes in lengths.items() if not SHORTEST <= minutes <= LONGEST]
    if wrong:
        return _posts_page(point, wrong=wrong, typed=lengths), 422
    changes.set_lengths(point.id, lengths, user_id=policy.my_id())
    flash(_("Длительность постов проверена."))
    return redirect(url_for(".posts", s=point.slug), 303)


@bp.post("/posts/<int:post_id>/retire")
@policy.manager_of(load.post)
def retire_post(post: ServicePost) -> ResponseReturnValue:
    """Switch it off with the plan that was shown: who can go to another post goes, the others stay."""
    plan, _difference = retire.retire_post(post.id, user_id=policy.my_id())
    moved, stay = len(plan.moves), len(plan.stay)
    said = [_("Пост выключен.")]
    if moved:
        said.append(
            ngettext("%(num)s запись перешла на другой пост.", "%(num)s записей перешло на другие посты.", moved)
        )
    if stay:
        said.append(ngettext("%(num)s запись осталась на нём.", "%(num)s записей осталось на нём.", stay))
    flash(" ".join(said))
    return redirect(url_for(".post", post_id=post.id), 303)


@bp.get("/posts/new")
@policy.manager_of(load.asked_point)
def new_post(point: ServicePoint) -> ResponseReturnValue:
    number = max((post.post_number for post in point.posts), default=0) + 1
    form = _post_form(point, formdata=None)
    everything = {"car": [str(each.id) for each in form.cars], "job": [str(each.id) for each in form.services]}
    form.process(None, data={"post_number": number, "slot": "30", "active": True, **everything})
    return _post_page(point, None, form)


@bp.post("/posts/new")
@policy.manager_of(load.asked_point)
def create_post(point: ServicePoint) -> ResponseReturnValue:
    form = _post_form(point)
    if not form.validate():
        return _post_page(point, None, form), 422
    try:
        changes.create_post(
            point.id, **_columns(form), abilities=form.abilities or changes.Abilities(), user_id=policy.my_id()
        )
    except PostNumberTaken as problem:
        _say_number_is_taken(form, problem)
        return _post_page(point, None, form), problem.status
    flash(_("Пост %(number)s добавлен, его время открыто для записи.", number=form.post_number.data))
    return redirect(url_for(".posts", s=point.slug), 303)


@bp.post("/posts/new/preview")
@policy.manager_of(load.asked_point)
def preview_new_post(point: ServicePoint) -> ResponseReturnValue:
    form = _post_form(point)
    status = 200 if form.validate() else 422
    return _post_page(point, None, form), status


@bp.get("/posts/<int:post_id>")
@policy.manager_of(load.post)
def post(post: ServicePost) -> ResponseReturnValue:
    point = post.service_point
    return _post_page(point, post, PostForm.of(post, *_what_there_is(point)))


@bp.post("/posts/<int:post_id>")
@policy.manager_of(load.post)
def save_post(post: ServicePost) -> ResponseReturnValue:
    form, point = _post_form(post.service_point), post.service_point
    if not form.validate():
        return _post_page(point, post, form), 422
    if form.seen.data != seen(post):
        form.seen.data = seen(post)
        return _post_page(point, post, form, changed_meanwhile=True), 409
    try:
        difference = changes.update_post(
            post.id, **_columns(form), abilities=form.abilities, from_day=form.begins, user_id=policy.my_id()
        )
    except PostNumberTaken as problem:
        _say_number_is_taken(form, problem)
        return _post_page(point, post, form), problem.status
    except PostHasBookings as problem:
        ahead = bookings_of(problem.facts["reserved"])
        return _post_page(point, post, form, ahead=ahead, plan=retire.plan_of(post)), problem.status
    if form.begins is not None and form.begins > _today(point):
        flash(_("Длительность сменится %(day)s.", day=short_day(form.begins)))
    flash(_applied(difference))
    return redirect(url_for(".post", post_id=post.id), 303)


@bp.post("/posts/<int:post_id>/preview")
@policy.manager_of(load.post)
def preview_post(post: ServicePost) -> ResponseReturnValue:
    form = _post_form(post.service_point)
    status = 200 if form.validate() else 422
    return _post_page(post.service_point, post, form), status


@bp.get("/templates")
@policy.manager_of(load.asked_point)
def templates(point: ServicePoint) -> ResponseReturnValue:
    return _templates_page(point)


@bp.get("/templates/holidays")
@policy.manager_of(load.asked_point)
def holidays(point: ServicePoint) -> ResponseReturnValue:
    return _holidays_page(point, HolidaysForm(suggestions(point, i18n.language()), formdata=None))


@bp.post("/templates/holidays/preview")
@policy.manager_of(load.asked_point)
def preview_holidays(point: ServicePoint) -> ResponseReturnValue:
    form = HolidaysForm(suggestions(point, i18n.language()))
    status = 200 if form.validate() else 422
    return _holidays_page(point, form), status


@bp.post("/templates/holidays")
@policy.manager_of(load.asked_point)
def close_on_holidays(point: ServicePoint) -> ResponseReturnValue:
    form = HolidaysForm(suggestions(point, i18n.language()))
    if not form.validate():
        return _holidays_page(point, form), 422
    try:
        done = changes.close_days(point.id, form.reasons, user_id=policy.my_id(), expected=form.seen.data or "")
    except ScheduleChanged as problem:
        return _holidays_page(point, form, look_again=True), problem.status
    flash(_applied(done) if done else _("Эти дни уже закрыты."))
    return redirect(url_for(".templates", s=point.slug), 303)


@bp.get("/templates/new")
@policy.manager_of(load.asked_point)
def new_template(point: ServicePoint) -> ResponseReturnValue:
    return _week_page(point, None, WeekForm.of(None, _("Обычная неделя")))


@bp.post("/templates/new")
@policy.manager_of(load.asked_point)
def create_template(point: ServicePoint) -> ResponseReturnValue:
    return _save_week(point, None)


@bp.post("/templates/new/preview")
@policy.manager_of(load.asked_point)
def preview_new_template(point: ServicePoint) -> ResponseReturnValue:
    form = WeekForm.read(request.form)
    status = 200 if form.validate() else 422
    return _week_page(point, None, form), status


@bp.get("/templates/<int:template_id>")
@policy.manager_of(load.template)
def template(template: ScheduleTemplate) -> ResponseReturnValue:
    return _week_page(_point_of(template), template, WeekForm.of(template, template.name))


@bp.post("/templates/<int:template_id>")
@policy.manager_of(load.template)
def save_template(template: ScheduleTemplate) -> ResponseReturnValue:
    return _save_week(_point_of(template), template)


@bp.post("/templates/<int:template_id>/delete")
@policy.manager_of(load.template)
def delete_template(template: ScheduleTemplate) -> ResponseReturnValue:
    """What lies under a season, or under a post's own week, holds again. The station's ordinary week has nothing under
    it: to take it away would be to close the station, and there are exceptions for that.
    """
    point = _point_of(template)
    if not (template.valid_from or template.valid_until or template.service_post_id):
        return _week_page(point, template, WeekForm.of(template, ""), is_last=True), 409
    flash(_applied(changes.delete_template(template.id, user_id=policy.my_id())))
    return redirect(url_for(".templates", s=point.slug), 303)


@bp.post("/templates/<int:template_id>/preview")
@policy.manager_of(load.template)
def preview_template(template: ScheduleTemplate) -> ResponseReturnValue:
    form = WeekForm.read(request.form)
    status = 200 if form.validate() else 422
    return _week_page(_point_of(template), template, form), status


def _posts_page(point: ServicePoint, first: FirstPostsForm | None = None, **context: Any) -> str:
    monday = _today(point) - timedelta(days=_today(point).weekday())
    return render_template(
        "manage/posts.html",
        point=point,
        monday=monday,
        today=_today(point),
        loads=load_of_posts(point, monday, 7),
        first=first or FirstPostsForm(formdata=None, data={"count": 3, "minutes": 30}),
        check_lengths=changes.were_never_looked_at(point),
        here=url_for(".posts", s=point.slug),
        **context,
    )


def _post_page(point: ServicePoint, post: ServicePost | None, form: PostForm, **context: Any) -> str:
    """The form, and beside it what it would do. A form that makes no sense is shown beside what is now."""
    preview = lost = None
    if not form.errors:
        minutes, active = form.slot_duration, form.active.data
        if post is None:
            difference = changes.preview_new_post(point, slot_duration=minutes, active=active)
        else:
            difference = changes.preview_post_schedule(post, slot_duration=minutes, active=active, from_day=form.begins)
            able = form.abilities or abilities.of(post)
            if (minutes, active, able) != (post.slot_duration, post.active, abilities.of(post)):
                lost = abilities.lost_by(point, post, minutes, active, able)
        preview = arrange(difference, point, since=form.begins)
    return render_template("manage/post.html", point=point, post=post, form=form, preview=preview, lost=lost, **context)


def _post_form(point: ServicePoint, **kwargs: Any) -> PostForm:
    return PostForm(*_what_there_is(point), **kwargs)


def _what_there_is(point: ServicePoint) -> tuple[list[CarType], list[Service], date]:
    """What a post can be able to do here, and today."""
    return car_types(), station_services(point), _today(point)


def _save_week(point: ServicePoint, template: ScheduleTemplate | None) -> ResponseReturnValue:
    form = WeekForm.read(request.form)
    if not form.validate():
        return _week_page(point, template, form), 422
    if template is not None and form.seen != (is_now := WeekForm.of(template, "").seen):
        form.seen = is_now
        return _week_page(point, template, form, changed_meanwhile=True), 409
    try:
        difference = changes.save_template(
            point.id, form.windows, name=form.name, **_scope(point, template, form), user_id=policy.my_id()
        )
    except WindowsInvalid as problem:
        form.errors[problem.facts["weekday"]] = _("Часы этого дня пересекаются")
        return _week_page(point, template, form), problem.status
    flash(_applied(difference))
    return redirect(url_for(".templates", s=point.slug), 303)


def _week_page(point: ServicePoint, template: ScheduleTemplate | None, form: WeekForm, **context: Any) -> str:
    preview: Preview | None = None
    counts = {}
    if form.is_valid:
        difference = changes.preview_template(point, form.windows, **_scope(point, template, form))
        preview = arrange(difference, point)
        counts = count_by_post(difference, preview.days[0].date, point)
    return render_template(
        "manage/week.html", point=point, template=template, form=form, preview=preview, counts=counts, **context
    )


def _scope(point: ServicePoint, template: ScheduleTemplate | None, form: WeekForm) -> dict[str, Any]:
    """Which week it is, when it rules and for which post. A post of another station does not exist."""
    post_id = form.scope.post_id
    if post_id is not None and all(post.id != post_id for post in point.posts):
        abort(404)
    valid_from, valid_until = form.scope.dates
    return {
        "template_id": template.id if template else None,
        "post_id": post_id,
        "valid_from": valid_from,
        "valid_until": valid_until,
        "priority": int(form.scope.priority or 0),
    }


def _templates_page(point: ServicePoint) -> str:
    today, plans = _today(point), changes.templates_of(point)
    return render_template(
        "manage/templates.html",
        point=point,
        plans=plans,
        bars=[(plan, *bar_of(plan, today.year)) for plan in plans],
        days_off=changes.days_off(point, today),
        booked=booked_days(point),
        today=today,
    )


def _holidays_page(point: ServicePoint, form: HolidaysForm, **context: Any) -> str:
    """The checklist, and beside it what closing the ticked days touches."""
    closed, difference = [], None
    if ticked := form.ticked:
        difference = changes.preview_closed_days(point, ticked)
        closed = closed_days(difference, point, ticked)
    country = get_locale().territories.get(point.country, point.country)
    return render_template(
        "manage/holidays.html", point=point, form=form, country=country, closed=closed, difference=difference, **context
    )


def _columns(form: PostForm) -> dict[str, Any]:
    return {
        "post_number": form.post_number.data,
        "slot_duration": form.slot_duration,
        "name": form.name.data,
        "description": form.description.data,
        "active": form.active.data,
    }


def _say_number_is_taken(form: PostForm, problem: PostNumberTaken) -> None:
    other = problem.facts["name"] or _("Пост %(number)s", number=problem.facts["post_number"])
    words = _("Номер %(number)s занят: %(name)s", number=problem.facts["post_number"], name=other)
    form.post_number.errors = [words]


def _applied(difference: Difference) -> str:
    """What applying has done, over all days that are offered."""
    booked = sum(each.kind != "hold" for each in difference.reserved)
    return " ".join(
        (
            _(
                "Применено: добавлено %(added)s, убрано %(removed)s.",
                added=len(opened(difference)),
                removed=len(given_up(difference)),
            ),
            ngettext("%(num)s запись на месте.", "%(num)s записей на месте.", booked),
        )
    )


def _point_of(template: ScheduleTemplate) -> ServicePoint:
    return db.session.get_one(ServicePoint, template.service_point_id)


def _today(point: ServicePoint) -> date:
    return local_day(point.time_zone, clock.now())

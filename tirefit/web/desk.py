"""The manager's desk: every booking of a station, found by what people remember; one of them with all that is known."""

from datetime import date, timedelta
from typing import Any

from flask import Blueprint, flash, get_template_attribute, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import clock, finding
from tirefit.booking.by_phone import book_by_phone, free_times
from tirefit.booking.commands import Customer
from tirefit.booking.history import history
from tirefit.booking.states import USER, possible_events
from tirefit.booking.steps import cancel_booking
from tirefit.database import db
from tirefit.errors import Problem
from tirefit.finding import STATUS_FILTERS, Found, Row, Wanted, all_rows, find_bookings
from tirefit.models import SOURCES, Booking, ServicePoint
from tirefit.schedule.reservations import new_token
from tirefit.schedule.windows import local_day, local_time
from tirefit.web import filters, load, picker, policy, sheets
from tirefit.web.board import LONGEST_REASON
from tirefit.web.forms.board import version_seen
from tirefit.web.forms.desk import PhoneForm, day_of, query_of, read_wanted
from tirefit.web.forms.manage import FARTHEST
from tirefit.web.forms.public import as_id
from tirefit.web.forms.text import fit

bp = Blueprint("desk", __name__, url_prefix="/manage/<slug:slug>/bookings")

A_WEEK = timedelta(days=6)


@bp.get("")
@policy.manager_of(load.point_with_posts)
def bookings(point: ServicePoint) -> ResponseReturnValue:
    """The list. With `open` (Enter in the search) the only hit is opened."""
    wanted = read_wanted(point, request.args)
    found = find_bookings(point, wanted, as_id(request.args.get("page", "")) or 1)
    if "open" in request.args and found.total == 1:
        return redirect(url_for(".card", slug=point.slug, number=found.bookings[0].number))
    return render_template(
        "desk/bookings.html", point=point, wanted=wanted, found=found, **_around(point, wanted, found)
    )


@bp.post("/export.csv")
@policy.manager_of(load.point_with_posts)
def as_csv(point: ServicePoint) -> ResponseReturnValue:
    rows = _exported(point, "CSV")
    return sheets.csv_file(_file_name(point), _head(), [_line(point, row) for row in rows])


@bp.post("/export.xlsx")
@policy.manager_of(load.point_with_posts)
def as_xlsx(point: ServicePoint) -> ResponseReturnValue:
    rows = _exported(point, "XLSX")
    return sheets.xlsx_file(_file_name(point), _head(), [_line(point, row) for row in rows])


@bp.get("/new")
@policy.manager_of(load.point_with_posts)
def new_booking(point: ServicePoint) -> ResponseReturnValue:
    """Work, car and day are in the address; the times of that day follow from them."""
    return _phone_page(point, PhoneForm(point, _day(point, request.args), formdata=None))


@bp.post("/new")
@policy.manager_of(load.point_with_posts)
def book(point: ServicePoint) -> ResponseReturnValue:
    menu, form = picker.read_menu(point, request.form), PhoneForm(point, _day(point, request.form))
    if menu.visit is None or not form.validate() or form.starts_at is None:
        return _phone_page(point, form), 422
    try:
        made = book_by_phone(
            point.id,
            menu.visit.service_ids,
            menu.visit.car_type.id,
            Customer(form.name.data, form.customer_phone, form.customer_email),
            token=form.nonce.data,
            starts_at=form.starts_at,
            post_number=form.post_number,
            wheel_inches=menu.choice.wheel_inches,
            plate=form.plate.data or "",
            notes=form.notes.data or "",
            locale=point.locale,
            user_id=policy.my_id(),
        )
    except picker.TIME_IS_GONE as problem:
        gone = picker.lost(point, form.starts_at, menu.visit, problem)
        return _phone_page(point, form, gone=gone), problem.status
    flash(
        _("Записано. Клиенту уйдёт письмо.")
        if made.customer_email
        else _("Записано. Почты нет: время назовите клиенту.")
    )
    return redirect(url_for(".card", slug=point.slug, number=made.number), 303)


@bp.get("/<number:number>")
@policy.manager_of(load.booking)
def card(booking: Booking) -> ResponseReturnValue:
    return _card_page(booking)


@bp.post("/<number:number>/cancel")
@policy.manager_of(load.booking)
def cancel(booking: Booking) -> ResponseReturnValue:
    reason = (fit(request.form.get("reason", "")) or "")[:LONGEST_REASON]
    try:
        cancel_booking(booking.id, actor=USER, user_id=policy.my_id(), reason=reason, seen_version=version_seen())
    except Problem as problem:
        return _card_page(booking, problem=problem), problem.status
    return redirect(url_for(".card", slug=booking.service_point.slug, number=booking.number), 303)


def _phone_page(point: ServicePoint, form: PhoneForm, **context: Any) -> str:
    """What to do and on which car (the usual work in advance), the free times of a day, and who comes."""
    menu = picker.read_menu(point, request.values)
    ticked = menu.choice.service_ids or tuple(each.service.id for each in menu.services[:1])
    menu = picker.menu_of(point, picker.Choice(ticked, menu.choice.car_type_id, menu.choice.wheel_inches))
    times = free_times(point, form.day, menu.visit) if menu.visit else []
    today = local_day(point.time_zone, clock.now())
    here = url_for(".new_booking", slug=point.slug, d=form.day, **menu.choice.query)
    return render_template(
        "desk/phone.html",
        point=point,
        form=form,
        menu=menu,
        times=times,
        today=today,
        here=here,
        nonce=new_token(),
        **context,
    )


def _day(point: ServicePoint, values: Any) -> date:
    today = local_day(point.time_zone, clock.now())
    return max(today, min(day_of(values.get("d", "")) or today, today + FARTHEST))


def _card_page(booking: Booking, **context: Any) -> str:
    db.session.refresh(booking)
    point = booking.service_point
    return render_template(
        "desk/card.html",
        point=point,
        booking=booking,
        state=filters.booking_state(booking.status),
        events=possible_events(booking.status, USER),
        history=history(booking),
        letters=finding.letters_about(booking),
        visits=finding.visits_of_car(booking),
        posts={post.id: post for post in point.posts},
        **context,
    )


def _around(point: ServicePoint, wanted: Wanted, found: Found) -> dict[str, Any]:
    today = local_day(point.time_zone, clock.now())
    tomorrow = today + timedelta(days=1)
    days = {
        "": (None, None),
        "today": (today, today),
        "tomorrow": (tomorrow, tomorrow),
        "week": (today, today + A_WEEK),
        "past": (None, today - timedelta(days=1)),
    }
    return {
        "query": query_of(point, wanted),
        "days": {name: {"from": first, "to": last} for name, (first, last) in days.items()},
        "chosen_days": next((name for name, each in days.items() if each == (wanted.first_day, wanted.last_day)), None),
        "statuses": STATUS_FILTERS,
        "sources": SOURCES,
        "posts": {post.id: post for post in point.posts},
        "hidden": {name: query_of(point, finding.without(wanted, name)) for name in found.hidden},
    }


def _exported(point: ServicePoint, kind: str) -> list[Row]:
    """All that was found leaves the house as a file: that is a deed of somebody, and stands in the journal."""
    rows = all_rows(point, read_wanted(point, request.form))
    finding.note_export(point.id, f"{kind}, {len(rows)}", user_id=policy.my_id())
    return rows


def _file_name(point: ServicePoint) -> str:
    return f"{point.slug}-{local_day(point.time_zone, clock.now())}"


def _head() -> list[str]:
    return [
        _("Номер"),
        _("Начало"),
        _("Конец"),
        _("Пост"),
        _("Статус"),
        _("Госномер"),
        _("Машина"),
        _("Имя"),
        _("Телефон"),
        _("Email"),
        _("Работа"),
        _("Минут"),
        _("Цена"),
        _("Валюта"),
        _("Откуда"),
        _("Создана"),
        _("Заметка"),
    ]


def _line(point: ServicePoint, row: Row) -> list[sheets.Cell]:
    numbers = {post.id: post.post_number for post in point.posts}
    state_word = get_template_attribute("board/_words.html", "state_word")
    source_word = get_template_attribute("board/_words.html", "source_word")

    def wall(moment: Any) -> Any:
        return local_time(point.time_zone, moment).replace(tzinfo=None)

    return [
        row.number,
        wall(row.starts_at),
        wall(row.ends_at),
        numbers[row.service_post_id],
        str(state_word(filters.booking_state(row.status))).strip(),
        row.plate,
        filters.in_my_language(row.car_names),
        row.customer_name,
        filters.phone(row.customer_phone, point) if row.customer_phone else "",
        row.customer_email or "",
        " + ".join(filters.in_my_language(names) for names in row.jobs),
        row.total_duration,
        filters.amount(row.total_price, row.currency),
        row.currency,
        str(source_word(row.source)).strip(),
        wall(row.created_at),
        row.notes,
    ]

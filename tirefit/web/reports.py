"""Reports: pictures made here as SVG, each also a table and a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import reports
from tirefit.models import ServicePoint
from tirefit.reports import Report
from tirefit.web import filters, load, policy, sheets

bp = Blueprint("reports", __name__, url_prefix="/manage/<slug:slug>/reports")

RANGES = {"7": 7, "30": 30, "season": 90}  # days


@dataclass(frozen=True)
class Chart:
    """A figure: its table, and which of its columns are drawn as bars (each as a label and a number)."""

    key: str
    title: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    drawn: tuple[int, ...] = (1,)
    unit: str = ""

    @property
    def most(self) -> int:
        return max((row[column] or 0 for row in self.rows for column in self.drawn), default=0)


@bp.get("")
@policy.manager_of(load.point_with_posts)
def show(point: ServicePoint) -> ResponseReturnValue:
    wanted = _range()
    report = reports.load(point, RANGES[wanted])
    return render_template(
        "manage/reports.html",
        point=point,
        report=report,
        charts=_charts(report),
        wanted=wanted,
        ranges={"7": _("7 дней"), "30": _("30 дней"), "season": _("Сезон, 90 дней")},
        here=url_for(".show", slug=point.slug, range=wanted),
    )


@bp.get("/files/<name>")
@policy.manager_of(load.point_with_posts)
def table(point: ServicePoint, name: str) -> Response:
    report = reports.load(point, RANGES[_range()])
    if name == "load":
        head = ["", *(f"{hour:02}:00" for hour in range(24))]
        rows = [[filters.day_of_week(day), *(report.heat.get((day, hour)) for hour in range(24))] for day in range(7)]
        return sheets.csv_file(f"load-{point.slug}", head, rows)
    chart = next((chart for chart in _charts(report) if chart.key == name), None) or abort(404)
    return sheets.csv_file(f"{name}-{point.slug}", chart.head, chart.rows)


def _range() -> str:
    wanted = request.args.get("range", "")
    return wanted if wanted in RANGES else "30"


def _charts(report: Report) -> list[Chart]:
    funnel, letters = report.funnel, report.letters
    return [
        Chart(
            "posts",
            _("Посты"),
            _("Какая часть открытого времени занята; сколько минут работа занимает на деле и по плану"),
            (_("Пост"), _("Загрузка, %"), _("Слот"), _("Визитов"), _("План"), _("Медиана"), "p90"),
            [
                (
                    line.post.name or _("Пост %(number)s", number=line.post.post_number),
                    line.load,
                    line.post.slot_duration,
                    line.visits,
                    line.planned,
                    line.real,
                    line.real_p90,
                )
                for line in report.posts
            ],
            unit="%",
        ),
        Chart(
            "weeks",
            _("Не приехали и отменили"),
            _("Какая часть записей недели, в процентах"),
            (_("Неделя с"), _("Не приехали, %"), _("Отменили, %"), _("Записей")),
            [(filters.short_day(week.monday), week.no_show, week.cancelled, week.bookings) for week in report.weeks],
            drawn=(1, 2),
            unit="%",
        ),
        Chart(
            "leads",
            _("За сколько дней записываются"),
            _("Сколько записей сделано за столько дней до визита"),
            (_("Дней до визита"), _("Записей")),
            [(_days(low, high), count) for low, high, count in report.leads],
        ),
        Chart(
            "funnel",
            _("От взгляда до записи"),
            _("Сколько раз смотрели время, придержали его и записались онлайн"),
            (_("Шаг"), _("Раз")),
            [(_("Смотрели"), funnel.looked), (_("Придержали"), funnel.held), (_("Записались"), funnel.booked)],
        ),
        Chart(
            "refused",
            _("Когда не нашлось времени"),
            _("Сколько раз время оказалось занято или его не было, по часам суток"),
            (_("Час"), _("Отказов")),
            [(f"{hour:02}:00", count) for hour, count in enumerate(funnel.refused_by_hour)],
        ),
        Chart(
            "letters",
            _("Письма"),
            _("Что стало с письмами"),
            (_("Состояние"), _("Писем")),
            [
                (_("отправлено"), letters.get("sent", 0)),
                (_("в очереди"), letters.get("pending", 0)),
                (_("ошибка"), letters.get("failed", 0)),
                (_("отменено"), letters.get("cancelled", 0)),
            ],
        ),
    ]


def _days(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if high == low + 1 else f"{low}–{high - 1}"

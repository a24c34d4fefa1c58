"""Reports: pictures made here as SVG, each also a table and a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from tirefit import reports
from tirefit.models import ServicePoint, ServicePost
from tirefit.reports import Report
from tirefit.web import filters, load, policy, sheets

bp = Blueprint("reports", __name__, url_prefix="/manage/<slug:slug>/reports")

RANGES = {"7": 7, "30": 30, "season": 90}  # days


@dataclass(frozen=True)
class Chart:
    """A figure: its table, which of its columns are drawn as bars (each as a label and a number), and which one as a
    mark on the first bar."""

    key: str
    title: str
    about: str
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]
    drawn: tuple[int, ...] = (1,)
    unit: str = ""
    mark: int | None = None

    @property
    def most(self) -> int:
        columns = (*self.drawn, *(() if self.mark is None else (self.mark,)))
        return max((row[column] or 0 for row in self.rows for column in columns), default=0)


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
            _("Какая часть открытого времени занята"),
            (_("Пост"), _("Загрузка, %"), _("Визитов")),
            [(_name(line.post), line.load, line.visits) for line in report.posts],
            unit="%",
        ),
        Chart(
            "minutes",
            _("Минуты по плану и на деле"),
            _("Сколько длится работа: по плану, в половине случаев не дольше (медиана), в девяти из десяти (p90)"),
            (_("Пост"), _("План"), _("Медиана"), "p90", _("Слот"), _("Визитов")),
            [
                (_name(line.post), line.planned, line.real, line.real_p90, line.post.slot_duration, line.visits)
                for line in report.posts
            ],
            drawn=(1, 2),
            mark=3,
        ),
        Chart(
            "year",
            _("Записи по неделям"),
            _("Сколько записей было в эту неделю и год назад"),
            (_("Неделя с"), _("Сейчас"), _("Год назад")),
            [(filters.short_day(week.monday), week.bookings, week.year_ago) for week in report.weeks],
            drawn=(1, 2),
        ),
        Chart(
            "weeks",
            _("Не приехали"),
            _("Какая часть записей недели, в процентах; черта — в среднем за четыре недели"),
            (_("Неделя с"), _("Не приехали, %"), _("Среднее за 4 недели, %"), _("Записей")),
            [(filters.short_day(week.monday), week.no_show, week.no_show_mean, week.bookings) for week in report.weeks],
            unit="%",
            mark=2,
        ),
        Chart(
            "cancelled",
            _("Отменили"),
            _("Какая часть записей недели, в процентах"),
            (_("Неделя с"), _("Отменили, %"), _("Записей")),
            [(filters.short_day(week.monday), week.cancelled, week.bookings) for week in report.weeks],
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
            _("По часам суток: сколько раз время успел занять другой и сколько раз в выбранный день не было ничего"),
            (_("Час"), _("Заняли раньше"), _("Пустой день")),
            [
                (f"{hour:02}:00", refused, empty)
                for hour, (refused, empty) in enumerate(zip(funnel.refused_by_hour, funnel.empty_by_hour, strict=True))
                if refused or empty
            ],
            drawn=(1, 2),
        ),
        Chart(
            "letters",
            _("Письма"),
            _("Что стало с письмами о записях; ушло %(percent)s %%", percent=_sent_percent(letters)),
            (_("Состояние"), _("Писем")),
            [
                (_("отправлено"), letters.get("sent", 0)),
                (_("в очереди"), letters.get("pending", 0)),
                (_("ошибка"), letters.get("failed", 0)),
                (_("отменено"), letters.get("cancelled", 0)),
            ],
        ),
    ]


def _name(post: ServicePost) -> str:
    return post.name or _("Пост %(number)s", number=post.post_number)


def _sent_percent(letters: dict[str, int]) -> int:
    """Of those that were to leave: what has been voided since is nobody's failure."""
    sent, failed = letters.get("sent", 0), letters.get("failed", 0)
    return round(100 * sent / (sent + failed)) if sent + failed else 0


def _days(low: int, high: int | None) -> str:
    if high is None:
        return f"{low}+"
    return str(low) if high == low + 1 else f"{low}–{high - 1}"

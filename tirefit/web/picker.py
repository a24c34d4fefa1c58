"""What the picker shows: the choices in its address, the days, the times, and other times when one is gone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from werkzeug.datastructures import MultiDict

from tirefit import clock
from tirefit.booking import durations, placement
from tirefit.booking.durations import Breakdown, OfferedService, WheelSizes
from tirefit.errors import (
    BeyondHorizon,
    HoldExpired,
    InThePast,
    PostCannotTakeIt,
    Problem,
    ServicesDoNotFit,
    SlotNotOffered,
    SlotTaken,
    TimeMatchesNoSlot,
    TooSoon,
    UnknownService,
)
from tirefit.models import CarType, ServicePoint
from tirefit.schedule import availability
from tirefit.schedule.availability import Day, Time
from tirefit.schedule.reasons import reopening
from tirefit.schedule.reservations import new_token
from tirefit.schedule.windows import local_day, local_time
from tirefit.web import filters
from tirefit.web.forms.public import MOST_IDS, as_id

STRIP_DAYS = 14
EVENINGS = 7  # days
EVENING_FROM = 17  # o'clock
OTHER_TIMES = 3  # instead of one that is gone

# What a customer answers by choosing another time.
TIME_IS_GONE = (
    SlotTaken,
    SlotNotOffered,
    PostCannotTakeIt,
    TimeMatchesNoSlot,
    ServicesDoNotFit,
    InThePast,
    TooSoon,
    BeyondHorizon,
    HoldExpired,
)


@dataclass(frozen=True)
class Choice:
    """What a customer has chosen so far. `query` is how the address carries it."""

    service_ids: tuple[int, ...] = ()
    car_type_id: int | None = None
    wheel_inches: int | None = None

    @property
    def query(self) -> dict[str, Any]:
        return {"svc": list(self.service_ids), "car": self.car_type_id, "wheel": self.wheel_inches}


@dataclass(frozen=True)
class Menu:
    """A station's services, the cars it takes and the sizes of wheels it tells apart (none: it does not ask for the
    size), with what is chosen of them and what that comes to.
    """

    services: list[OfferedService]
    cars: list[CarType]
    wheels: list[WheelSizes]
    choice: Choice
    visit: Breakdown | None = None  # when the choice is complete and the station does it
    refusal: Problem | None = None  # when it is complete and the station does not

    @property
    def is_complete(self) -> bool:
        """Is there nothing left to choose?"""
        choice = self.choice
        is_sized = choice.wheel_inches is not None or not self.wheels
        return choice.service_ids != () and choice.car_type_id is not None and is_sized

    @property
    def chosen_wheels(self) -> WheelSizes | None:
        return next((each for each in self.wheels if self.choice.wheel_inches in each), None)


@dataclass(frozen=True)
class Way:
    """Where the picker's links and buttons lead: the same pages serve whoever books a visit and whoever moves one."""

    times: Callable[..., str]  # the address of the picker; keywords become its query
    month: Callable[..., str]  # the same, for the month page
    take: str  # where a tapped time goes,
    method: str  # and how
    evenings: Callable[..., str] | None = None  # the page of evenings, where there is one
    has: datetime | None = None  # the time that the customer has at present,
    may_keep: bool = False  # and whether tapping it makes sense: it would be for other work


def read_menu(point: ServicePoint, values: MultiDict[str, str], usual: Choice | None = None) -> Menu:
    """The menu with the choice in an address or a form. What makes no sense there is left out, silently.

    `usual` stands in where nothing is chosen at all.
    """
    asked = choice_in(values)
    return menu_of(point, usual if usual is not None and asked == Choice() else asked)


def choice_in(values: MultiDict[str, str]) -> Choice:
    """The choice in an address or a form, as it was asked for."""
    asked = [as_id(value) for value in values.getlist("svc")[:MOST_IDS]]
    return Choice(tuple(filter(None, asked)), as_id(values.get("car", "")), as_id(values.get("wheel", "")))


def menu_of(point: ServicePoint, asked: Choice) -> Menu:
    """What the station offers, with as much of a choice as it knows."""
    services = durations.offered_services(point)
    surcharges = durations.wheel_surcharges(point)
    wheels = durations.wheel_sizes(point, surcharges)
    takes = {car_type_id for each in services for car_type_id in each.on}
    known = {each.service.id for each in services}
    choice = Choice(
        tuple(each for each in dict.fromkeys(asked.service_ids) if each in known)[: durations.MOST_SERVICES],
        asked.car_type_id if asked.car_type_id in takes else None,
        next((each.inches for each in wheels if asked.wheel_inches in each), None),
    )
    menu = Menu(services, [car for car in durations.car_types() if car.id in takes], wheels, choice)
    if not menu.is_complete:
        return menu
    try:
        visit = durations.breakdown(choice.service_ids, choice.car_type_id or 0, services, point.currency)
    except UnknownService as problem:
        return replace(menu, refusal=problem)
    if choice.wheel_inches is not None:
        visit = durations.on_wheels(visit, choice.wheel_inches, surcharges)
    return replace(menu, visit=visit)


def start(point: ServicePoint, menu: Menu) -> dict[str, Any]:
    """For the page of services and cars: what is ticked, what it comes to, and the soonest time for that."""
    ticked = menu.choice.service_ids or (menu.services[0].service.id,)
    chosen = [each for each in menu.services if each.service.id in ticked]
    if menu.visit is not None:
        total = menu.visit.total_minutes, menu.visit.total_price
        soonest = availability.nearest(point, menu.visit.total_minutes, menu.visit.needs)
    else:
        total = sum(each.from_minutes for each in chosen), sum(each.from_price for each in chosen)
        soonest = availability.nearest(point, total[0]) if chosen else None
    return {"ticked": ticked, "total": total, "soonest": soonest}


def times(point: ServicePoint, visit: Breakdown, wanted_day: str | None) -> dict[str, Any]:
    """For the page of times: a strip of days around the wished one, its times by part of the day, and the soonest."""
    soonest = availability.nearest(point, visit.total_minutes, visit.needs)
    first, last = bookable_days(point)
    soonest_day = local_day(point.time_zone, soonest.starts_at) if soonest else first
    day = nearest_day(wanted_day, first, last) or soonest_day
    strip_start = first + timedelta(days=(day - first).days // STRIP_DAYS * STRIP_DAYS)
    count = min(STRIP_DAYS, (last - strip_start).days + 1)
    strip = availability.days(point, strip_start, count, visit.total_minutes, visit.needs)
    current = strip[(day - strip_start).days]
    return {
        "season": None if soonest else reopening(point),
        "strip": strip,
        "current": current,
        "parts": parts_of(point, current),
        "soonest": soonest,
        "lead_with_soonest": soonest is not None and (wanted_day is None or day == soonest_day),
        "nonce": new_token(),
    }


def evenings(point: ServicePoint, visit: Breakdown) -> dict[str, Any]:
    """For the page of evenings: what is free after five, by the station's clock, on each of the next seven days."""
    first, last = bookable_days(point)
    count = min(EVENINGS, (last - first).days + 1)
    found = availability.days(point, first, count, visit.total_minutes, visit.needs)
    late = [(day.date, [time for time in day.times if _hour(point, time) >= EVENING_FROM]) for day in found]
    return {"evenings": [(date, times) for date, times in late if times], "nonce": new_token()}


def month(point: ServicePoint, visit: Breakdown, wanted: str) -> dict[str, Any]:
    """For the month page: whole weeks, each day with its free times; days that cannot be booked have None."""
    first, last = bookable_days(point)
    try:
        asked = date.fromisoformat(f"{wanted}-01")
    except ValueError:
        asked = first
    shown = max(first.replace(day=1), min(asked, last.replace(day=1)))
    monday = shown - timedelta(days=shown.weekday())
    after = (shown + timedelta(days=31)).replace(day=1)
    weeks = -(-(after - monday).days // 7)
    start, end = max(monday, first), min(monday + timedelta(days=weeks * 7 - 1), last)
    found = availability.days(point, start, (end - start).days + 1, visit.total_minutes, visit.needs)
    days = {day.date: day for day in found}
    grid = [[monday + timedelta(days=7 * week + n) for n in range(7)] for week in range(weeks)]
    before = shown - timedelta(days=1)
    return {
        "shown": shown,
        "weeks": [[(day, days.get(day) if day.month == shown.month else None) for day in week] for week in grid],
        "earlier": before.replace(day=1) if before >= first else None,
        "later": after if after <= last else None,
        "first": first,
        "last": last,
    }


def lost(
    point: ServicePoint, starts_at: datetime, visit: Breakdown, problem: Problem, but: datetime | None = None
) -> dict[str, Any]:
    """For the block above the times: which time is gone, why, and what is nearest to it; `but` one that is no news."""
    near = placement.alternatives(point, starts_at, visit.total_minutes, visit.needs, count=OTHER_TIMES + 1)
    other = [time for time in near or _soonest(point, visit) if time.starts_at != but][:OTHER_TIMES]
    return {
        "problem": problem,
        "starts_at": starts_at,
        "alternatives": [(time, relation(point, starts_at, time.starts_at)) for time in other],
    }


def relation(point: ServicePoint, gone: datetime, moment: datetime) -> str:
    """How a time stands to the one that is gone: на 50 мин раньше; завтра, в то же время; чт, 26 ноября."""
    day = local_day(point.time_zone, moment)
    if day == local_day(point.time_zone, gone):
        away = round((moment - gone).total_seconds() / 60)
        time = filters.minutes(abs(away))
        return str(_("на %(time)s раньше", time=time) if away < 0 else _("на %(time)s позже", time=time))
    tomorrow = local_day(point.time_zone, clock.now()) + timedelta(days=1)
    name = str(_("завтра")) if day == tomorrow else filters.station_date_short(day)
    same = local_time(point.time_zone, moment).time() == local_time(point.time_zone, gone).time()
    return str(_("%(day)s, в то же время", day=name)) if same else name


def parts_of(point: ServicePoint, day: Day) -> list[tuple[str, Sequence[Time]]]:
    """Night, morning, day, evening: those that have times, in order."""
    bounds = ((0, 6, _("Ночь")), (6, 12, _("Утро")), (12, EVENING_FROM, _("День")), (EVENING_FROM, 24, _("Вечер")))
    parts: list[tuple[str, Sequence[Time]]] = []
    for start, end, name in bounds:
        inside = [time for time in day.times if start <= _hour(point, time) < end]
        if inside:
            parts.append((name, inside))
    return parts


def _hour(point: ServicePoint, time: Time) -> int:
    return local_time(point.time_zone, time.starts_at).hour


def _soonest(point: ServicePoint, visit: Breakdown) -> list[Time]:
    found = availability.nearest(point, visit.total_minutes, visit.needs)
    return [found] if found else []


def bookable_days(point: ServicePoint) -> tuple[date, date]:
    today = local_day(point.time_zone, clock.now())
    return today, today + timedelta(days=point.horizon_days)


def nearest_day(wanted: str | None, first: date, last: date) -> date | None:
    """The wished day, moved into the days that can be booked; None when nothing sensible was wished."""
    try:
        return max(first, min(date.fromisoformat(wanted or ""), last))
    except ValueError:
        return None

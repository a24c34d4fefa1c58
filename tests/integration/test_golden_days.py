"""Days as they must come out, from the hours a manager writes to the slots in the database. Written by hand.

Every slot is named by its wall clock and the offset then in force, so that an hour which comes twice is seen twice.
"""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from tests import factories
from tirefit.database import db
from tirefit.models import ScheduleSlot, ScheduleTemplate
from tirefit.schedule import changes, rolling
from tirefit.schedule.availability import find_available_slots_for_duration

MONDAY, FRIDAY, SUNDAY = date(2026, 11, 2), date(2026, 11, 6), date(2026, 11, 8)
EVERY_DAY = range(7)


def open_station(at, zone, first_day, windows, posts=(60,)):
    """A station with these hours that opens for booking on that day."""
    at(datetime.combine(first_day, time(0, 30), ZoneInfo(zone)))
    station = factories.station(posts=posts, time_zone=zone, horizon_days=4)
    template = db.session.scalar(select(ScheduleTemplate.id))
    changes.save_template(station.id, windows, name="Неделя", template_id=template)
    return station


def offered(station, day):
    """The slots of each post that begin on a local day, as «09:00+0200», in order."""
    zone = ZoneInfo(station.time_zone)
    rows = db.session.execute(
        select(ScheduleSlot.service_post_id, ScheduleSlot.starts_at).order_by(ScheduleSlot.starts_at)
    ).all()
    local = [(post_id, start.astimezone(zone)) for post_id, start in rows]
    return [
        [start.strftime("%H:%M%z") for post_id, start in local if post_id == post.id and start.date() == day]
        for post in station.posts
    ]


NIGHT = (0, 360)  # from midnight to six

CLOCK_CHANGES = [
    # zone, day, window, the slots of an hour each
    ("Europe/Kyiv", "2026-03-29", NIGHT, "00:00+0200 01:00+0200 02:00+0200 04:00+0300 05:00+0300"),
    (
        "Europe/Kyiv",
        "2026-10-25",
        NIGHT,
        "00:00+0300 01:00+0300 02:00+0300 03:00+0300 03:00+0200 04:00+0200 05:00+0200",
    ),
    ("Europe/Berlin", "2026-03-29", NIGHT, "00:00+0100 01:00+0100 03:00+0200 04:00+0200 05:00+0200"),
    (
        "Europe/Berlin",
        "2026-10-25",
        NIGHT,
        "00:00+0200 01:00+0200 02:00+0200 02:00+0100 03:00+0100 04:00+0100 05:00+0100",
    ),
    # Cuba changes at midnight: one day has no 00:00, the other has it twice
    ("America/Havana", "2026-03-08", NIGHT, "01:00-0400 02:00-0400 03:00-0400 04:00-0400 05:00-0400"),
    (
        "America/Havana",
        "2026-11-01",
        NIGHT,
        "00:00-0400 00:00-0500 01:00-0500 02:00-0500 03:00-0500 04:00-0500 05:00-0500",
    ),
    # half an hour: six and a half hours hold six slots, five and a half hold five
    (
        "Australia/Lord_Howe",
        "2026-04-05",
        NIGHT,
        "00:00+1100 01:00+1100 01:30+1030 02:30+1030 03:30+1030 04:30+1030",
    ),
    ("Australia/Lord_Howe", "2026-10-04", NIGHT, "00:00+1030 01:00+1030 02:30+1100 03:30+1100 04:30+1100"),
    # Kazakhstan went over to one zone: its last winter evening of 2024 had eleven o'clock twice
    ("Asia/Almaty", "2024-02-29", (1200, 1440), "20:00+0600 21:00+0600 22:00+0600 23:00+0600 23:00+0500"),
    ("Asia/Almaty", "2024-03-01", (540, 720), "09:00+0500 10:00+0500 11:00+0500"),
]


@pytest.mark.parametrize(("zone", "day", "window", "expected"), CLOCK_CHANGES)
def test_a_day_on_which_the_clock_changes(app, at, zone, day, window, expected):
    that_day = date.fromisoformat(day)
    station = open_station(at, zone, that_day - timedelta(days=1), [(weekday, *window) for weekday in EVERY_DAY])

    assert offered(station, that_day) == [expected.split()]
    runs = find_available_slots_for_duration(station, that_day, that_day, None)
    assert [run.starts_at.astimezone(ZoneInfo(zone)).strftime("%H:%M%z") for run in runs] == expected.split()
    assert rolling.generate_rolling_schedule(again=True) == 0


def test_a_day_that_the_calendar_skips_is_not_worked(app, at):
    """Samoa went from Thursday, 29 December 2011 straight to Saturday. Friday's long hours are nobody's."""
    hours = [(3, 540, 720), (4, 540, 1200), (5, 600, 780)]
    station = open_station(at, "Pacific/Apia", date(2011, 12, 29), hours)

    assert offered(station, date(2011, 12, 29)) == [["09:00-1000", "10:00-1000", "11:00-1000"]]
    assert offered(station, date(2011, 12, 30)) == [[]]
    assert offered(station, date(2011, 12, 31)) == [["10:00+1400", "11:00+1400", "12:00+1400"]]


def test_a_night_shift_goes_over_the_hour_that_is_skipped(app, at):
    """Saturday 22:00 to Sunday 06:00, in the night that has no 03:00: seven hours, and Sunday's own day after it."""
    station = open_station(at, "Europe/Kyiv", date(2026, 3, 28), [(5, 1320, 1800), (6, 480, 600)])

    assert offered(station, date(2026, 3, 28)) == [["22:00+0200", "23:00+0200"]]
    assert offered(station, date(2026, 3, 29)) == [
        ["00:00+0200", "01:00+0200", "02:00+0200", "04:00+0300", "05:00+0300", "08:00+0300", "09:00+0300"]
    ]


def test_breaks_leave_what_does_not_fit_before_them(app, at):
    hours = [(weekday, *window) for weekday in EVERY_DAY for window in ((540, 730), (780, 900))]  # 9–12:10, 13–15
    station = open_station(at, "Europe/Kyiv", MONDAY, hours, posts=(30, 40, 30))

    of_thirty = "09:00 09:30 10:00 10:30 11:00 11:30 13:00 13:30 14:00 14:30"
    of_forty = "09:00 09:40 10:20 11:00 13:00 13:40 14:20"
    assert offered(station, MONDAY) == [at_plus_two(of_thirty), at_plus_two(of_forty), at_plus_two(of_thirty)]


def test_a_window_past_midnight_is_cut_as_one(app, at):
    station = open_station(at, "Europe/Kyiv", MONDAY, [(0, 1320, 1560)], posts=(40,))  # Monday 22:00 to 02:00

    assert offered(station, MONDAY) == [at_plus_two("22:00 22:40 23:20")]
    assert offered(station, date(2026, 11, 3)) == [at_plus_two("00:00 00:40 01:20")]


def test_own_hours_on_a_closed_day_open_only_that_post(app, at):
    station = open_station(at, "Europe/Kyiv", FRIDAY, [(day, 540, 1080) for day in range(6)], posts=(30, 40, 30))
    closed = [[], [], []]
    assert offered(station, SUNDAY) == closed

    changes.save_exception(station.id, SUNDAY, windows=[(600, 720)], post_id=station.posts[1].id)
    assert offered(station, SUNDAY) == [[], at_plus_two("10:00 10:40 11:20"), []]

    changes.save_exception(station.id, SUNDAY, reason="Праздник")  # the station is closed; the post's own word stands
    assert offered(station, SUNDAY) == [[], at_plus_two("10:00 10:40 11:20"), []]
    changes.delete_exception(station.id, SUNDAY, post_id=station.posts[1].id)
    assert offered(station, SUNDAY) == closed


def test_a_post_with_a_week_of_its_own_works_when_the_station_does_not(app, at):
    station = open_station(at, "Europe/Kyiv", FRIDAY, [(day, 540, 1080) for day in range(6)], posts=(30, 40, 30))

    changes.save_template(station.id, [(6, 600, 690)], name="Только воскресенье", post_id=station.posts[2].id)

    assert offered(station, SUNDAY) == [[], [], at_plus_two("10:00 10:30 11:00")]
    assert offered(station, date(2026, 11, 7))[2] == [], "and not on the station's days"


def test_a_season_lies_over_the_week_and_an_exception_over_the_season(app, at):
    station = open_station(at, "Europe/Kyiv", MONDAY, [(day, 540, 660) for day in EVERY_DAY])
    tuesday, wednesday, thursday = (date(2026, 11, day) for day in (3, 4, 5))

    long_days = [(day, 480, 720) for day in EVERY_DAY]
    changes.save_template(station.id, long_days, name="Сезон", valid_from=tuesday, valid_until=wednesday)
    changes.save_exception(station.id, wednesday, windows=[(780, 840)])

    assert offered(station, MONDAY) == [at_plus_two("09:00 10:00")]
    assert offered(station, tuesday) == [at_plus_two("08:00 09:00 10:00 11:00")]
    assert offered(station, wednesday) == [at_plus_two("13:00")]
    assert offered(station, thursday) == [at_plus_two("09:00 10:00")]


def at_plus_two(times):
    return [f"{time}+0200" for time in times.split()]

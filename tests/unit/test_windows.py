"""When a post is open: precedence, breaks, nights, and the days on which the clock changes."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tirefit.schedule.windows import Hours, Week, day_span, instant, is_valid_day, local_windows, opening_windows

MONDAY = date(2026, 11, 2)
POST, OTHER_POST = 7, 8
NINE, NOON, ONE, SIX = 540, 720, 780, 1080
EVERY_DAY = range(7)


def week(*spans, **about):
    return Week(windows=tuple((day, *span) for day in EVERY_DAY for span in spans), **about)


def hours(*weeks, exceptions=None, zone="Europe/Kyiv"):
    return Hours(zone, weeks, exceptions or {})


def lengths(spans):
    return [int((end - start) / timedelta(minutes=1)) for start, end in spans]


def test_two_windows_leave_a_break_between_them():
    spans = opening_windows(hours(week((NINE, NOON), (ONE, SIX))), POST, MONDAY, MONDAY)

    assert spans == [
        (datetime(2026, 11, 2, 7, 0, tzinfo=UTC), datetime(2026, 11, 2, 10, 0, tzinfo=UTC)),
        (datetime(2026, 11, 2, 11, 0, tzinfo=UTC), datetime(2026, 11, 2, 16, 0, tzinfo=UTC)),
    ]


def test_nothing_said_is_closed():
    assert opening_windows(hours(), POST, MONDAY, MONDAY + timedelta(days=6)) == []


def test_the_precedence_from_the_strongest_to_the_weakest():
    """Post's exception > station's exception > post's season > station's season > post's week > station's week."""
    station_week = week((540, 600), id=1)
    post_week = week((540, 610), id=2, post_id=POST)
    station_season = week((540, 620), id=3, valid_from=MONDAY, valid_until=MONDAY)
    post_season = week((540, 630), id=4, post_id=POST, valid_from=MONDAY)
    station_exception = {(None, MONDAY): ((540, 640),)}
    post_exception = {(POST, MONDAY): ()}
    weeks = [station_week]
    seen = [local_windows(hours(*weeks), POST, MONDAY)]
    for stronger in (post_week, station_season, post_season):
        weeks.append(stronger)
        seen.append(local_windows(hours(*weeks), POST, MONDAY))
    seen.append(local_windows(hours(*weeks, exceptions=station_exception), POST, MONDAY))
    seen.append(local_windows(hours(*weeks, exceptions=station_exception | post_exception), POST, MONDAY))

    assert seen == [[(540, 600)], [(540, 610)], [(540, 620)], [(540, 630)], [(540, 640)], []]


def test_a_rule_of_one_post_does_not_touch_its_neighbour():
    rules = hours(week((NINE, SIX)), week((NINE, NOON), post_id=POST), exceptions={(POST, MONDAY): ()})

    assert local_windows(rules, OTHER_POST, MONDAY) == [(NINE, SIX)]


def test_a_season_rules_from_its_first_day_to_its_last():
    tuesday, wednesday = MONDAY + timedelta(days=1), MONDAY + timedelta(days=2)
    rules = hours(week((NINE, SIX)), week((NINE, NOON), valid_from=tuesday, valid_until=tuesday))

    assert [local_windows(rules, POST, day) for day in (MONDAY, tuesday, wednesday)] == [
        [(NINE, SIX)],
        [(NINE, NOON)],
        [(NINE, SIX)],
    ]


@pytest.mark.parametrize("open_end", [{"valid_from": MONDAY}, {"valid_until": MONDAY}])
def test_a_season_may_have_no_end_or_no_beginning_and_still_rules_over_a_newer_week(open_end):
    rules = hours(week((NINE, NOON), id=1, **open_end), week((NINE, SIX), id=2))

    assert local_windows(rules, POST, MONDAY) == [(NINE, NOON)]


def test_of_two_seasons_the_one_with_priority_rules():
    rules = hours(
        week((NINE, NOON), valid_from=MONDAY, priority=1, id=1), week((NINE, SIX), valid_from=MONDAY, priority=5, id=2)
    )

    assert local_windows(rules, POST, MONDAY) == [(NINE, SIX)]


def test_a_night_shift_passes_midnight_and_belongs_to_its_evening():
    night = Hours("Europe/Kyiv", (Week(windows=((0, 1320, 1800),)),))  # Monday 22:00 to Tuesday 06:00

    (span,) = opening_windows(night, POST, MONDAY, MONDAY + timedelta(days=1))

    assert span == (datetime(2026, 11, 2, 20, 0, tzinfo=UTC), datetime(2026, 11, 3, 4, 0, tzinfo=UTC))


def test_a_morning_begins_when_the_night_before_it_has_ended():
    rules = Hours("Europe/Kyiv", (Week(windows=((0, 1320, 1920), (1, 420, 720))),))  # until 08:00; from 07:00

    assert lengths(opening_windows(rules, POST, MONDAY, MONDAY + timedelta(days=1))) == [600, 240]


@pytest.mark.parametrize(
    ("day", "whole_day", "night"),
    [(date(2026, 3, 29), 23 * 60, 3 * 60), (date(2026, 10, 25), 25 * 60, 5 * 60), (date(2026, 6, 1), 24 * 60, 4 * 60)],
)
def test_a_day_on_which_the_clock_changes_has_its_real_minutes(day, whole_day, night):
    assert lengths([day_span("Europe/Kyiv", day)]) == [whole_day]
    assert lengths(opening_windows(hours(week((60, 300))), POST, day, day)) == [night]


@pytest.mark.parametrize(
    ("zone", "day", "minutes"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23 * 60),
        ("Europe/Berlin", date(2026, 10, 25), 25 * 60),
        ("America/Havana", date(2026, 3, 8), 23 * 60),  # the hour after midnight is skipped
        ("America/Havana", date(2026, 11, 1), 25 * 60),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24 * 60 + 30),  # half an hour
        ("Australia/Lord_Howe", date(2026, 10, 4), 23 * 60 + 30),
        ("Asia/Almaty", date(2026, 3, 29), 24 * 60),
        ("Asia/Almaty", date(2024, 2, 29), 25 * 60),  # from +06 to +05 for good, at its midnight
        ("Asia/Almaty", date(2024, 3, 1), 24 * 60),
        ("Pacific/Apia", date(2026, 4, 5), 24 * 60),
        ("Pacific/Apia", date(2011, 12, 29), 24 * 60),
        ("Pacific/Apia", date(2011, 12, 31), 24 * 60),
    ],
)
def test_a_day_that_never_closes_is_open_for_exactly_its_minutes(zone, day, minutes):
    found = opening_windows(hours(week((0, 1440)), zone=zone), POST, day, day)

    assert found == [day_span(zone, day)]
    assert lengths(found) == [minutes]


def test_a_day_that_the_calendar_skips_has_no_time_and_no_hours():
    """Samoa moved over the date line: after Thursday, 29 December 2011 came Saturday."""
    friday = date(2011, 12, 30)
    rules = hours(week((NINE, NOON), (ONE, SIX)), zone="Pacific/Apia")

    assert lengths([day_span("Pacific/Apia", friday)]) == [0]
    assert opening_windows(rules, POST, friday, friday) == []
    all_night = hours(week((0, 1500)), zone="Pacific/Apia")
    assert opening_windows(all_night, POST, friday, friday) == [], "its night is not Saturday's"
    around = opening_windows(rules, POST, friday - timedelta(days=1), friday + timedelta(days=1))
    assert around == [
        (datetime(2011, 12, 29, 19, 0, tzinfo=UTC), datetime(2011, 12, 29, 22, 0, tzinfo=UTC)),  # Thursday, −10
        (datetime(2011, 12, 29, 23, 0, tzinfo=UTC), datetime(2011, 12, 30, 4, 0, tzinfo=UTC)),
        (datetime(2011, 12, 30, 19, 0, tzinfo=UTC), datetime(2011, 12, 30, 22, 0, tzinfo=UTC)),  # Saturday, +14
        (datetime(2011, 12, 30, 23, 0, tzinfo=UTC), datetime(2011, 12, 31, 4, 0, tzinfo=UTC)),
    ]


def test_a_wall_time_that_the_clock_skips_moves_on_and_one_that_comes_twice_is_its_first():
    assert instant("Europe/Kyiv", date(2026, 3, 29), 210) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)  # 03:30 → 04:30
    assert instant("Europe/Kyiv", date(2026, 10, 25), 210) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )  # summer's 03:30


def test_a_window_inside_the_spring_gap_vanishes():
    assert (
        opening_windows(hours(week((180, 240)), zone="Europe/Kyiv"), POST, date(2026, 3, 29), date(2026, 3, 29)) == []
    )


ZONES = sorted(available_timezones())
minutes_of_day = st.integers(0, 1439)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    zone=st.sampled_from(ZONES),
    day=st.dates(date(2024, 1, 1), date(2027, 12, 31)),
    windows=st.lists(st.tuples(minutes_of_day, st.integers(1, 1440)), max_size=4),
)
def test_open_time_is_in_order_never_twice_and_never_longer_than_the_days_allow(zone, day, windows):
    spans = tuple((opens, opens + length) for opens, length in windows)

    found = opening_windows(hours(week(*spans), zone=zone), POST, day, day + timedelta(days=2))

    assert all(start < end for start, end in found)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(found))
    three_days = day_span(zone, day)[0], day_span(zone, day + timedelta(days=4))[1]
    assert all(three_days[0] <= start and end <= three_days[1] for start, end in found)


def test_in_every_zone_there_is_no_minute_is_lost_or_had_twice_when_the_clock_changes():
    for zone in ZONES:
        noons = [datetime(2026, 1, 1, 12, tzinfo=ZoneInfo(zone)) + timedelta(days=n) for n in range(-1, 366)]
        for day in [late.date() for early, late in pairwise(noons) if early.utcoffset() != late.utcoffset()]:
            before, then, after = (day_span(zone, day + timedelta(days=n)) for n in (-1, 0, 1))
            assert (before[1], then[1]) == (then[0], after[0]), (zone, day)
            assert opening_windows(hours(week((0, 1440)), zone=zone), POST, day, day) == [then], (zone, day)


@pytest.mark.parametrize(
    ("windows", "valid"),
    [
        ([], True),
        ([(NINE, NOON), (NOON, SIX)], True),
        ([(1320, 1800)], True),
        ([(0, 2880)], True),
        ([(NINE, NINE)], False),
        ([(SIX, NINE)], False),
        ([(NINE, ONE), (NOON, SIX)], False),
        ([(-1, 60)], False),
        ([(1440, 1500)], False),
        ([(0, 2881)], False),
    ],
)
def test_what_the_windows_of_a_day_may_be(windows, valid):
    assert is_valid_day(windows) is valid

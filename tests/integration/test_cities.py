"""The soonest time in a city: for each station what it would answer alone, in a handful of statements for all."""

import random
import re
from datetime import timedelta

import pytest
from sqlalchemy import select

from tests import factories
from tests.factories import car_type, kyiv, service
from tirefit.database import db
from tirefit.models import ScheduleTemplate
from tirefit.schedule import changes
from tirefit.schedule.availability import ANYTHING, Needs, nearest
from tirefit.schedule.blocks import block_time
from tirefit.schedule.changes import Abilities
from tirefit.schedule.cities import Asked, nearest_of, stations_of

ZONES = ("Europe/Kyiv", "Europe/Warsaw", "Asia/Almaty")


def one_by_one(asked, needs=ANYTHING):
    """The same question, asked of each station alone."""
    alone = [(each.point, nearest(each.point, each.minutes, needs)) for each in asked]
    return sorted([found for found in alone if found[1]], key=lambda found: found[1].starts_at)


def all_together(asked, needs=ANYTHING):
    return [(found.point, found.time) for found in nearest_of(asked, needs)]


def close(point, days):
    """From today on, so many days."""
    if not days:
        return
    today = kyiv("09:00").date()
    changes.save_exception(point.id, today, today + timedelta(days=days - 1))


def test_a_citys_stations_are_those_that_take_bookings(app):
    for slug, name, about in (
        ("vtoraya", "Вторая", {}),
        ("pervaya", "Первая", {}),
        ("zakrytaya", "Закрытая", {"active": False}),
        ("vo-lvove", "Львовская", {"city": "Львов"}),
    ):
        factories.station(slug=slug, name=name, **about)

    assert [point.name for point in stations_of("Киев")] == ["Вторая", "Первая"]
    assert [point.name for point in stations_of("Львов")] == ["Львовская"]
    assert stations_of("Одесса") == stations_of("") == []


def test_the_soonest_comes_first_and_who_has_nothing_is_left_out(app):
    now, tomorrow, later, never = (
        factories.station(slug=slug, name=slug) for slug in ("seychas", "zavtra", "pozzhe", "nikogda")
    )
    close(tomorrow, 1), close(later, 7), close(never, 11)

    found = nearest_of([Asked(point, 30) for point in (never, later, tomorrow, now)])

    assert [(each.point.slug, each.time.starts_at) for each in found] == [
        ("seychas", kyiv("09:00")),
        ("zavtra", kyiv("2026-11-03 09:00")),
        ("pozzhe", kyiv("2026-11-09 09:00")),
    ]
    assert nearest_of([]) == []


def test_each_station_has_its_own_minutes_notice_and_horizon(app, at):
    at("16:50")
    quick, slow = factories.station(slug="bystraya"), factories.station(slug="medlennaya")
    careful = factories.station(slug="ostorozhnaya", lead_minutes=24 * 60)
    short = factories.station(slug="korotkaya", horizon_days=1)
    close(short, 2)
    asked = [Asked(quick, 40), Asked(slow, 70), Asked(careful, 40), Asked(short, 40)]

    assert [(each.point.slug, each.time.starts_at) for each in nearest_of(asked)] == [
        ("bystraya", kyiv("17:00")),
        ("medlennaya", kyiv("2026-11-03 09:00")),
        ("ostorozhnaya", kyiv("2026-11-03 17:00")),
    ]


def test_only_posts_that_can_take_the_job_count(app):
    able, unable = factories.station(slug="umelaya"), factories.station(slug="neumelaya")
    for point in (able, unable):
        for post in point.posts[: 2 if point is able else 3]:
            about = {name: getattr(post, name) for name in ("post_number", "slot_duration", "name", "description")}
            only_cars = Abilities((car_type("car").id,), (service().id,), 17)
            changes.update_post(post.id, **about, active=True, abilities=only_cars)
    asked = [Asked(able, 30), Asked(unable, 30)]

    for needs in (Needs(car_type("suv").id), Needs(service_ids=(service("Балансировка").id,)), Needs(wheel_inches=18)):
        (found,) = nearest_of(asked, needs)
        assert (found.point.slug, found.time.available_posts) == ("umelaya", 1)
    assert len(nearest_of(asked, Needs(car_type("car").id, (service().id,), 17))) == 2


@pytest.mark.parametrize("seed", range(6))
def test_together_they_answer_what_each_answers_alone(app, at, seed):
    """Generated cities: other zones, hours, lengths, notices, horizons, abilities, bookings, blocks, days off."""
    chance = random.Random(seed)
    points = [some_station(chance, n) for n in range(8)]
    for minute in (0, 95, 8 * 60 + 40):
        at(kyiv("08:10") + timedelta(minutes=minute))
        for needs in (ANYTHING, Needs(car_type("suv").id), Needs(wheel_inches=18)):
            asked = [Asked(point, chance.choice([None, 20, 50, 90, 200])) for point in points]
            assert all_together(asked, needs) == one_by_one(asked, needs)


def some_station(chance, n):
    point = factories.station(
        slug=f"stantsiya-{n}",
        posts=[chance.choice([20, 30, 40, 55]) for _ in range(chance.randint(1, 3))],
        time_zone=chance.choice(ZONES),
        lead_minutes=chance.choice([0, 30, 600, 3000]),
        horizon_days=chance.choice([1, 6, 10]),
        active=n != 7,
    )
    if chance.random() < 0.4:
        week = db.session.scalars(select(ScheduleTemplate.id).order_by(ScheduleTemplate.id.desc())).first()
        nights = [(day, 1290, 1530) for day in range(7)]
        changes.save_template(point.id, nights, name="Ночи", template_id=week)
    if chance.random() < 0.5:
        close(point, chance.choice([1, 3, 7, 11]))
    for post in point.posts:
        if chance.random() < 0.3:
            about = {name: getattr(post, name) for name in ("post_number", "slot_duration", "name", "description")}
            changes.update_post(post.id, **about, active=True, abilities=Abilities((car_type("car").id,), (), 17))
        if chance.random() < 0.7:
            start = kyiv("09:00") + timedelta(minutes=10 * chance.randint(0, 200))
            block_time(point.id, post.id, start, start + timedelta(minutes=chance.choice([25, 300, 1500])))
    return point


def test_ten_stations_cost_as_many_statements_as_one(app, statements):
    for n in range(10):
        factories.station(slug=f"stantsiya-{n}", name=str(n))
    points, counts = stations_of("Киев"), []
    for asked in ([Asked(points[0], 30)], [Asked(point, 30) for point in points]):
        with statements() as seen:
            assert len(nearest_of(asked)) == len(asked)
        counts.append(len(seen))

    assert counts == [3, 3]


def test_a_wider_window_costs_two_more_and_asks_only_who_is_still_without_an_answer(app, statements):
    for n, closed in enumerate((0, 3, 3, 11)):
        close(factories.station(slug=f"stantsiya-{n}", name=str(n)), closed)
    asked = [Asked(point, 30) for point in stations_of("Киев")]

    with statements() as seen:
        found = nearest_of(asked)

    assert len(found) == 3
    # posts once; then offers and reservations: of four for a day, of three for four, of one for what is left of ten
    about = [
        re.search(r"service_point_id IN \((.*?)\)\s+(AND|ORDER)", statement)[1].count(",") + 1 for statement in seen
    ]
    assert about == [4, 4, 4, 3, 3, 1, 1]

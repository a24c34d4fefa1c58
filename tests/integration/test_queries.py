"""The hot questions stay cheap: few statements at any size, and each of them by its index on both databases."""

import pytest
from sqlalchemy import text

from tests import factories
from tests.factories import kyiv
from tirefit.database import db
from tirefit.schedule.availability import days, load_posts
from tirefit.schedule.reasons import by_posts

DAY = kyiv("2026-11-03 09:00").date()


@pytest.mark.parametrize("count", [1, 14, 62, 1000])
def test_an_overview_takes_three_statements_however_long(app, statements, count):
    station = factories.station(horizon_days=60)

    with statements() as seen:
        found = days(station, DAY, count, 30)

    assert len(seen) == 3
    assert len(found) == min(count, 62)


def test_nor_does_it_grow_with_posts_or_with_stations(app, statements):
    for n in range(3):
        factories.station(slug=f"letnyaya-{n}", name=f"Летняя, {n}")
    station = factories.station(posts=[30, 40] * 6)

    with statements() as seen:
        days(station, DAY, 7, 30)
        by_posts(station, DAY, 30)

    assert len(seen) == 6


INDEXES = {
    # what is asked: the table and the index that must answer it, with a range of it and not with all of it
    "offers of a station's days": ("schedule_slots", {"pk_schedule_slots", "PRIMARY KEY"}),
    "reservations of a station's days": ("reservations", {"ix_reservations_service_point_id_starts_at"}),
}


@pytest.mark.parametrize("question", INDEXES)
def test_the_hot_questions_are_answered_by_their_index(app, statements, question):
    """Asked with many stations in the tables, so that reading all of them would be the worse plan."""
    station = factories.station(horizon_days=30)
    for n in range(6):
        factories.station(slug=f"letnyaya-{n}", name=f"Летняя, {n}", horizon_days=30)
    table, indexes = INDEXES[question]
    span = kyiv("2026-11-03 00:00"), kyiv("2026-11-04 00:00")
    with statements() as seen:
        load_posts(station.id, span)
    (statement,) = [each for each in seen if f"FROM {table}" in each]

    plan = explain(statement, station.id, span)

    assert any(index in plan for index in indexes), plan
    assert f"SCAN {table}" not in plan, plan
    assert f"Seq Scan on {table}" not in plan, plan


def explain(statement, station_id, span) -> str:
    """The database's own plan, with the values in place of the parameters."""
    connection = db.session.connection()
    if connection.dialect.name == "sqlite":
        values = [station_id, *(int(moment.timestamp()) for moment in span), int(span[0].timestamp())]
        values = values[: statement.count("?")]
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", tuple(values))
        return "\n".join(row[-1] for row in rows)
    connection.execute(text("SET LOCAL enable_seqscan = off"))  # the tables of a test are small enough to read whole
    names = [part.split(")s")[0] for part in statement.split("%(")[1:]]
    values = {name: station_id if "point" in name else span[0] for name in names}
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values))

"""The plan's step: a station's `post_count` becomes posts, and posts become a count again. With data, both ways."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import flask_migrate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, text

from tests.conftest import DIALECTS, TRIALS
from tests.history import app_on, down, posts, read, schema, up, version, write, writing
from tirefit.database import db

STATIONS = 10_000 if TRIALS else 1_000

# post_count and default_slot_duration of an old station → its posts' lengths; what going down makes of the two columns
OLD_STATIONS = {
    "three": ((3, 40), [40, 40, 40], (3, 40)),
    "one": ((1, None), [60], (1, 60)),
    "none": ((0, 30), [], (0, None)),
    "unknown": ((None, None), [], (0, None)),
    "negative": ((-2, 30), [], (0, None)),
    "twenty": ((20, 45), [45] * 20, (20, 45)),
    "most": ((999, 30), [30] * 999, (999, 30)),
    "odd": ((2, 37), [37, 37], (2, 37)),
    "too-short": ((2, 4), [5, 5], (2, 5)),
    "zero": ((2, 0), [5, 5], (2, 5)),
    "backwards": ((1, -30), [5], (1, 5)),
    "too-long": ((1, 481), [480], (1, 480)),
}


def test_posts_come_from_the_count_and_go_back_into_it(old):
    old_stations(**{slug: columns for slug, (columns, _, _) in OLD_STATIONS.items()})

    up("0004")
    assert lengths() == {slug: minutes for slug, (_, minutes, _) in OLD_STATIONS.items() if minutes}
    assert read("SELECT DISTINCT name = 'Пост ' || post_number, active FROM service_posts") == [(True, True)]
    made = posts()

    down("0001")
    assert counts() == {slug: back for slug, (_, _, back) in OLD_STATIONS.items()}

    up("0004")
    assert posts() == made


def test_nothing_else_of_a_station_changes(old):
    up("0001")
    write(
        "INSERT INTO service_points (slug, name, city, address, phone, email, time_zone, active, post_count)"
        " VALUES ('zimnyaya-5', 'Зимняя, 5', 'Киев', 'ул. Зимняя, 5', '+380442000505', 'zima@example.com',"
        " 'Europe/Kyiv', false, 3)"
    )
    kept = "SELECT id, slug, name, city, address, phone, email, time_zone, active FROM service_points"
    before = read(kept)
    up("head")
    assert read(kept) == before
    down("0001")
    assert read(kept) == before


def test_the_backfill_run_again_writes_nothing(old):
    old_stations(**{slug: columns for slug, (columns, _, _) in OLD_STATIONS.items()})
    up("0003")
    before = posts(), counts()
    down("0002")
    up("0003")
    assert (posts(), counts()) == before
    assert counts()["unknown"] == (None, None)  # the old code still reads what it wrote
    assert counts()["negative"] == (-2, 30)


def test_posts_that_were_changed_survive_going_down_and_up_again(old):
    old_stations(zimnyaya=(3, 30), letnyaya=(2, 45))
    up("head")
    write("UPDATE service_posts SET slot_duration = 40, name = 'Левый', description = 'узкий' WHERE post_number = 2")
    write("UPDATE service_posts SET active = false WHERE post_number = 1 AND slot_duration = 30")  # in the middle
    write("INSERT INTO service_posts (service_point_id, post_number, slot_duration) VALUES (2, 7, 90)")
    changed = posts()

    down("0002")
    assert posts() == changed
    assert counts() == {
        "zimnyaya": (2, 30),
        "letnyaya": (3, 45),
    }  # active posts; the most common length, then the first
    up("head")
    assert posts() == changed
    down("0002")
    up("head")
    assert posts() == changed


def test_posts_that_changed_before_the_old_columns_went_are_counted_too(old):
    old_stations(zimnyaya=(3, 30), letnyaya=(2, 45), nova=(None, None))
    up("0003")
    write("UPDATE service_posts SET active = false WHERE service_point_id = 1 AND post_number = 2")
    changed = posts()
    down("0002")
    assert counts() == {"zimnyaya": (2, 30), "letnyaya": (2, 45), "nova": (None, None)}
    up("0004")
    assert posts() == changed


def test_a_count_that_the_old_code_changed_meanwhile_is_the_newer_truth(old):
    old_stations(more=(2, 30), fewer=(3, 30), gone=(2, 30), back=(2, 30))
    up("0004")
    write("UPDATE service_posts SET active = false WHERE service_point_id = 4")
    down("0002")
    for slug, count in ("more", 4), ("fewer", 1), ("gone", "NULL"), ("back", 2):
        write(f"UPDATE service_points SET post_count = {count}, default_slot_duration = 50 WHERE slug = '{slug}'")
    up("0004")
    assert read(
        "SELECT slug, post_number, slot_duration, post.active FROM service_posts post"
        " JOIN service_points point ON point.id = service_point_id ORDER BY point.id, post_number"
    ) == [
        *[("more", 1, 30, True), ("more", 2, 30, True), ("more", 3, 50, True), ("more", 4, 50, True)],
        *[("fewer", 1, 30, True), ("fewer", 2, 30, False), ("fewer", 3, 30, False)],
        *[("gone", 1, 30, False), ("gone", 2, 30, False)],
        *[("back", 1, 30, True), ("back", 2, 30, True)],
    ]


def test_a_count_that_cannot_be_believed_stops_the_migration_before_it_writes(old, caplog):
    old_stations(good=(3, 30), broken=(1000, 30), worse=(2_000_000, 30))
    with pytest.raises(SystemExit):
        flask_migrate.upgrade()
    assert "2 stations have a post_count over 999: broken (1000), worse (2000000)." in caplog.text
    assert (version(), posts()) == ("0002", [])

    write("UPDATE service_points SET post_count = 2 WHERE slug IN ('broken', 'worse')")
    up("0004")
    assert lengths() == {"good": [30] * 3, "broken": [30] * 2, "worse": [30] * 2}


def test_a_station_added_between_backfill_and_contract_is_not_forgotten(old):
    old_stations(early=(1, 30))
    up("0003")
    add_stations(late=(2, 40), empty=(0, 40))
    with pytest.raises(RuntimeError, match="after the posts had been made: late\\."):
        up("head")
    assert version() == "0003"

    down("0002")  # as the message says
    up("head")
    assert lengths() == {"early": [30], "late": [40, 40]}


def test_killed_at_any_statement_and_run_again_gives_the_same(old):
    """Each failure leaves the database as one of the revisions has it, and no statement is there in vain."""
    stations = {"three": (3, 40), "unknown": (None, None), "long": (2, 1000)}
    whole = {}
    old_stations(**stations)
    whole["0001"] = state()
    for revision in ("0002", "0003", "0004"):
        up(revision)
        whole[revision] = state()

    statement, kept = 0, set()
    while True:
        statement += 1
        down("base")
        old_stations(**stations)
        try:
            with failing_at(statement):
                up("0004")
        except Killed:
            kept.add(version())
            assert state() == whole[version()], statement
            up("0004")
            assert state() == whole["0004"], statement
        else:
            break
    assert kept == {"0001", "0002", "0003", "0004"}


def test_a_whole_network_gets_its_posts_gives_the_counts_back_and_gets_them_again(old):
    """Ten thousand stations with TIREFIT_TRIALS=1: none, unknown, negative and up to twenty posts each."""
    counts_of = [None, -3, *range(21)]
    up("0001")
    with writing() as connection:
        connection.execute(
            text(
                "INSERT INTO service_points (slug, name, post_count, default_slot_duration)"
                " VALUES (:slug, :slug, :count, :minutes)"
            ),
            [
                {"slug": f"s{number}", "count": counts_of[number % 23], "minutes": (30, 40, None, 0, 1500)[number % 5]}
                for number in range(STATIONS)
            ],
        )
    up("0004")
    made = posts()
    assert len(made) == sum(counts_of[number % 23] or 0 for number in range(STATIONS) if number % 23 > 1)
    down("0001")
    found = counts()
    assert {found[f"s{number}"][0] or 0 for number in range(23)} == set(range(21))
    up("0004")
    assert posts() == made


old_values = st.tuples(
    st.none() | st.integers(-3, 20) | st.just(999), st.none() | st.integers(-100, 1500) | st.sampled_from([0, 5, 480])
)


@pytest.mark.parametrize("dialect", DIALECTS if TRIALS else ["sqlite"])
@settings(max_examples=100 if TRIALS else 10, deadline=None)
@given(stations=st.dictionaries(st.from_regex("[a-z]{1,8}", fullmatch=True), old_values, max_size=5), rounds=st.just(2))
def test_any_old_database_keeps_its_meaning_both_ways(empty_database, tmp_path_factory, dialect, stations, rounds):
    with app_on(empty_database(dialect), tmp_path_factory.getbasetemp()):
        old_stations(**stations)
        for _ in range(rounds):
            up("0004")
            expected = {}
            for slug, (count, minutes) in stations.items():
                length = 60 if minutes is None else 5 if minutes < 5 else 480 if minutes > 480 else minutes
                expected[slug] = [length] * (count if count is not None and count > 0 else 0)
            assert lengths() == {slug: minutes for slug, minutes in expected.items() if minutes}
            down("0001")
            assert counts() == {
                slug: (len(minutes), minutes[0] if minutes else None) for slug, minutes in expected.items()
            }


# --- how the tests above make old stations and look at them


def old_stations(**columns: tuple[int | None, int | None]) -> None:
    up("0001")
    add_stations(**columns)


def add_stations(**columns: tuple[int | None, int | None]) -> None:
    with writing() as connection:
        for slug, (count, minutes) in columns.items():
            connection.execute(
                text(
                    "INSERT INTO service_points (slug, name, post_count, default_slot_duration)"
                    " VALUES (:slug, :slug, :count, :minutes)"
                ),
                {"slug": slug, "count": count, "minutes": minutes},
            )


def lengths() -> dict[str, list[int]]:
    """The slot lengths of each station's posts 1, 2, 3 …"""
    found: dict[str, list[int]] = {}
    for slug, number, minutes in read(
        "SELECT slug, post_number, slot_duration FROM service_points"
        " JOIN service_posts ON service_point_id = service_points.id ORDER BY slug, post_number"
    ):
        found.setdefault(slug, []).append(minutes)
        assert number == len(found[slug])
    return found


def counts() -> dict[str, tuple[int | None, int | None]]:
    return {
        slug: (count, minutes)
        for slug, count, minutes in read("SELECT slug, post_count, default_slot_duration FROM service_points")
    }


def state() -> tuple[Any, ...]:
    """All there is: the revision, the schema and the rows. (A new post's id may skip what a failure had used.)"""
    tables = schema()
    rows = {}
    for table, parts in tables.items():
        columns = ", ".join(sorted(set(parts["columns"]) - ({"id"} if table == "service_posts" else set())))
        rows[table] = sorted(read(f"SELECT {columns} FROM {table}"), key=repr)
    return version(), tables, rows


class Killed(Exception):
    pass


@contextmanager
def failing_at(number: int) -> Iterator[None]:
    """Raise instead of sending the statement of that number."""
    sent = 0

    def count(*_: object) -> None:
        nonlocal sent
        sent += 1
        if sent == number:
            raise Killed

    event.listen(db.engine, "before_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(db.engine, "before_cursor_execute", count)

"""Moving in from the old system: every row becomes something, or stands on a list; twice is once, and half is none."""

import os
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select

from tests import old_system
from tests.factories import kyiv, sign_in, user
from tests.load import told
from tests.old_system import SMALL, in_database, in_folder
from tirefit import clock
from tirefit.booking.states import USER
from tirefit.booking.steps import restore_booking
from tirefit.config import ROOT
from tirefit.database import db
from tirefit.finding import Wanted, find_bookings
from tirefit.importing import report, writing
from tirefit.importing.plan import make_plan
from tirefit.importing.source import SourceUnreadable, open_source
from tirefit.models import Booking, ImportedRow, Reservation, ScheduleSlot, ServicePoint, ServicePost, ServicePrice

TRIALS = "TIREFIT_TRIALS" in os.environ
STATIONS, BOOKINGS = (200, 100_000) if TRIALS else (8, 400)


def planned(place):
    return make_plan(open_source(place), "Europe/Kyiv", "UA")


def moved_in(place):
    plan = planned(place)
    writing.write(plan, "UA", "UAH")
    db.session.rollback()
    return plan


@pytest.fixture
def old(empty_database, database):
    return in_database(empty_database(database), SMALL)


def test_every_row_becomes_something_or_is_named(app, old):
    plan = moved_in(old)

    winter, summer = db.session.scalars(select(ServicePoint).order_by(ServicePoint.id)).all()
    assert (winter.slug, summer.slug) == ("zimnyaya-5", "letnyaya-7")
    assert [(post.post_number, post.slot_duration) for post in winter.posts] == [(1, 30), (2, 30), (3, 30)]
    assert [(post.name, post.slot_duration) for post in summer.posts] == [("Левый", 45)]
    assert db.session.scalars(select(ServicePrice.amount)).all() == [120050, 120050]
    bookings = {int(old_id): booking for old_id, booking in known_bookings()}
    assert {id: booking.status for id, booking in bookings.items()} == {
        1: "confirmed",
        3: "pending",
        4: "completed",
        5: "cancelled_by_customer",
    }
    first = bookings[1]
    assert (first.starts_at, first.ends_at) == (kyiv("2026-11-03 10:00"), kyiv("2026-11-03 11:00"))
    assert (first.customer_name, first.customer_phone, first.post.post_number) == ("Анна Мельник", "+380671234567", 2)
    assert (first.total_price, first.lines[0].names["ru"]) == (120050, "Переобувка")
    assert bookings[3].ends_at == kyiv("2026-11-03 11:10") and bookings[3].post.post_number == 1
    clash = db.session.scalars(select(ImportedRow).where(ImportedRow.state == "clash")).one()
    assert (clash.old_id, clash.service_point_id, clash.data["notes"]) == ("2", winter.id, "звонить вечером")
    unplaced = db.session.scalars(select(ImportedRow).where(ImportedRow.state == "unplaced")).all()
    assert {(row.kind, row.old_id) for row in unplaced} == {
        *(("bookings", old_id) for old_id in ("6", "7", "8")),
        ("service_posts", "8"),
    }
    assert report.summary(plan)["bookings"] == len(bookings)


def test_the_new_station_works_as_the_old_one_did(client, old):
    moved_in(old)
    winter = db.session.scalars(select(ServicePoint).order_by(ServicePoint.id)).first()

    def times(date):
        answer = client.get(f"/api/v1/service_points/{winter.id}/availability/{date}").json
        return answer["is_working_day"], {time["time"]: time["available_posts"] for time in answer["times"]}

    works, found = times("2026-11-03")
    assert works and (found["09:00"], found["10:30"], found.get("19:00", 0)) == (3, 1, 0)
    assert times("2026-11-09") == (False, {})
    assert times("2026-11-08") == (False, {})


def test_an_imported_booking_can_be_restored_like_any_other(app, old):
    moved_in(old)
    cancelled = next(booking for old_id, booking in known_bookings() if old_id == "5")

    assert restore_booking(cancelled.id, actor=USER).status == "confirmed"
    assert [event.event for event in cancelled.events][:2] == ["imported", "cancel_by_customer"]
    found = find_bookings(cancelled.service_point, Wanted(cancelled.customer_name))
    assert cancelled.id in {booking.id for booking in found.bookings}


def test_the_dry_run_writes_nothing_and_says_what_would_happen(app, old):
    run = app.test_cli_runner().invoke
    shown = run(args=["import-legacy", old])

    assert shown.exit_code == 0, shown.output
    assert "Bookings: 4, of them ahead: 2; clashes: 1." in shown.output
    assert "cannot be placed: bookings: unknown status странно: 1" in shown.output
    assert db.session.scalar(select(func.count(ServicePoint.id))) == 0
    assert run(args=["import-legacy", old, "--write"]).exit_code == 0
    assert db.session.scalar(select(func.count(Booking.id))) == 4
    assert run(args=["import-legacy", "/nowhere"]).exit_code == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
@pytest.mark.parametrize("separator", [",", ";"])
def test_exports_say_the_same_as_the_database(app, tmp_path, old, encoding, separator):
    from_files = planned(in_folder(tmp_path / "old", SMALL, encoding, separator))

    assert report.summary(from_files) == report.summary(planned(old))
    assert from_files.stations == planned(old).stations
    assert from_files.bookings == planned(old).bookings


def test_what_is_no_old_system_is_refused(app, tmp_path):
    for place in (str(tmp_path), str(tmp_path / "nothing"), "sqlite:///", str(db.engine.url)):
        with pytest.raises(SourceUnreadable):
            open_source(place)


@pytest.mark.parametrize("source", ["database", "files"] if TRIALS else ["database"])
def test_killed_it_is_finished_by_the_next_run_and_twice_is_once(app, empty_database, database, tmp_path, source):
    """The sums of the report are those of the new database, wherever kill -9 met the first runs."""
    rows = old_system.large(STATIONS, BOOKINGS)
    old = in_database(empty_database(database), rows) if source == "database" else in_folder(tmp_path / "old", rows)
    began, said = time.perf_counter(), report.summary(planned(old))
    for part in (0.02, 0.3, 0.6) if TRIALS else (0.3,):  # of the bookings
        with moving_in(old, tmp_path) as process:
            while dealt_with() < part * BOOKINGS:
                assert process.poll() is None, "it has ended before it could be killed"
                time.sleep(0.01)
            process.kill()
        assert 0 < dealt_with() < BOOKINGS
        assert db.session.scalar(select(func.count()).where(ServicePoint.active)) == 0  # nobody meets half a station
    with moving_in(old, tmp_path) as process:
        assert process.wait() == 0
    found = in_the_new_one()
    seconds, bookings = round(time.perf_counter() - began), {"planned": said["bookings"], "made": found["bookings"]}
    told("moving in", database, **bookings, source=source, stations=STATIONS, seconds=seconds)

    assert found["bookings"] == said["bookings"] > BOOKINGS // 2
    assert found["price"] == said["price"] > 0
    assert found["clashes"] == said["clashes"] > 0
    assert found["ahead"] == said["bookings_ahead"] > 0
    assert (found["stations"], found["posts"]) == (said["stations"], said["posts"])
    assert found["bookings"] + found["clashes"] + found["unplaced"] == BOOKINGS
    assert found["slots"] > 0
    writing.write(planned(old), "UA", "UAH")
    assert in_the_new_one() == found


def test_the_manager_settles_what_clashed(client, app, old, stranger):
    moved_in(old)
    winter = db.session.scalars(select(ServicePoint).where(ServicePoint.slug == "zimnyaya-5-2")).one()
    sign_in(client, user("Вера", "vera@example.com", "manager", winter))
    here = f"/manage/{winter.slug}/moved-in"

    page = client.get(here).text
    assert "Борис" in page and "время занято" in page and "звонить вечером" in page and "не прочитать" in page
    row = db.session.scalars(select(ImportedRow).where(ImportedRow.state == "clash")).one()
    assert client.post(f"{here}/{row.id}/settle").status_code == 303
    client.post(f"{here}/{2**31}/settle")
    assert "Борис" not in client.get(here).text
    db.session.refresh(row)
    assert row.data == {}  # nobody needs to know any more whose it was
    sign_in(client, stranger)
    assert client.get(here).status_code == 404


@contextmanager
def moving_in(old, instance):
    """`flask import-legacy OLD --write` as a process of its own, at the hour at which the tests play."""
    command = (
        "import sys; from datetime import datetime; from tirefit import clock; from tirefit.importing import writing;"
        f" clock.now = lambda: datetime.fromisoformat('{clock.now().isoformat()}');"
        f" writing.AT_ONCE = {max(20, BOOKINGS // 200)};"
        f" from flask.cli import cli; cli(['--app', 'app', 'import-legacy', {old!r}, '--write'])"
    )
    here = db.engine.url.render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-c", command],
        cwd=ROOT,
        env=os.environ | {"TIREFIT_DATABASE_URL": here, "TIREFIT_INSTANCE_PATH": str(instance)},
        stdout=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def dealt_with() -> int:
    db.session.rollback()
    return db.session.scalar(select(func.count(ImportedRow.old_id)).where(ImportedRow.kind == "bookings"))


def known_bookings():
    rows = select(ImportedRow.old_id, Booking).join(Booking, Booking.id == ImportedRow.new_id)
    return db.session.execute(rows.where(ImportedRow.kind == "bookings")).all()


def in_the_new_one() -> dict[str, int]:
    def count(*where):
        return db.session.scalar(select(func.count()).where(*where))

    db.session.rollback()  # other processes have written meanwhile
    return {
        "stations": count(ServicePoint.id > 0),
        "posts": count(ServicePost.id > 0),
        "bookings": count(Booking.id > 0),
        "price": db.session.scalar(select(func.sum(Booking.total_price))),
        "ahead": count(Reservation.kind == "booking"),
        "clashes": count(ImportedRow.kind == "bookings", ImportedRow.state == "clash"),
        "unplaced": count(ImportedRow.kind == "bookings", ImportedRow.state == "unplaced"),
        "slots": count(ScheduleSlot.starts_at > kyiv("00:00")),
    }

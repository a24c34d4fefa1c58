"""Reports: figures that can be counted by hand, few statements for any history."""

from datetime import timedelta

from tests.conftest import TRIALS
from tests.factories import booking, car_type, kyiv, service, sign_in
from tirefit import reports, usage
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking, transition_booking
from tirefit.database import WRITE, command, db
from tirefit.models import Booking

MANY = 50_000 if TRIALS else 5_000

REPORTS = "/manage/zimnyaya-5/reports"


def a_day(station, at):
    """On Monday: work of 35 and of 25 minutes on posts that planned 40, one who did not come, one who cancelled."""
    plan = [("09:00", 35), ("10:00", 25), ("11:00", None), ("12:00", "cancelled")]
    made = [(booking(station, start, post_number=1), start, what) for start, what in plan]
    for each, start, what in made:
        moment = at(kyiv(start))
        if what == "cancelled":
            cancel_booking(each.id, actor=USER)
        elif what is None:
            transition_booking(each.id, "no_show")
        else:
            transition_booking(each.id, "start")
            at(moment + timedelta(minutes=what))
            transition_booking(each.id, "complete")
    at("20:00")


def test_the_figures_are_those_of_the_day(station, at):
    a_day(station, at)

    found = reports.load(station, 7)

    first = found.posts[0]
    assert (first.visits, first.planned, first.real) == (2, 40, 30)
    assert first.real_p90 == 34
    assert first.load == round(100 * 120 / (6 * 540))  # two visits of two slots, of six days of nine hours
    assert [(week.bookings, week.no_show, week.cancelled) for week in found.weeks] == [(4, 25, 25)]
    assert found.heat[0, 9] == round(100 * 60 / 180)
    assert (0, 8) not in found.heat and found.heat[0, 17] == 0
    assert found.leads[0] == (0, 1, 4)


def test_what_visitors_do_is_counted_without_writing_while_they_look(client, station, olga, at, statements):
    usage.Buffer.take(usage._buffer)
    choice = f"svc={service().id}&car={car_type().id}"
    form = {"svc": service().id, "car": car_type().id, "at": "2026-11-02T10:00+02:00"}
    with statements() as seen:
        client.get(f"/s/zimnyaya-5?{choice}")
    assert not any(each.startswith(("INSERT", "UPDATE")) for each in seen)
    for _ in range(5):
        client.application.test_client().post("/s/zimnyaya-5/hold", data=form)
    usage.write_all()
    client.get(f"/s/zimnyaya-5?{choice}")
    usage.write_all()

    found = reports.load(station, 7).funnel

    assert (found.looked, found.held, found.refused) == (2, 2, 3)
    assert found.refused_by_hour[9] == 3


@command
def move_back(made, weeks):
    found = db.session.get_one(Booking, made.id)
    found.starts_at -= weeks * timedelta(days=7)
    found.ends_at -= weeks * timedelta(days=7)


def test_a_week_stands_beside_four_weeks_and_beside_the_same_week_a_year_ago(station, at):
    plan = [(52, "came"), (52, "came"), (3, "no_show"), (3, "no_show"), (2, "no_show"), (2, "came"), (0, "came")]
    made = [booking(station, f"{hour:02}:00", post_number=1) for hour in range(9, 9 + len(plan))]
    at("20:00")
    for each, (weeks, what) in zip(made, plan, strict=True):
        for step in ("no_show",) if what == "no_show" else ("start", "complete"):
            transition_booking(each.id, step)
        move_back(each, weeks)

    found = reports.load(station, 7)

    assert [(week.no_show, week.no_show_mean, week.year_ago) for week in found.weeks] == [(0, 60, 2)]
    assert (found.bookings, found.bookings_year_ago) == (1, 2)
    month = reports.load(station, 30).weeks
    assert [(week.no_show, week.no_show_mean) for week in month] == [(100, 100), (50, 75), (0, 60)]


def test_who_finds_an_empty_day_is_counted(client, station):
    usage.Buffer.take(usage._buffer)
    choice = f"svc={service().id}&car={car_type().id}"
    client.get(f"/s/zimnyaya-5?{choice}&d=2026-11-08")  # a Sunday
    client.get(f"/s/zimnyaya-5?{choice}&d=2026-11-03")
    usage.write_all()

    found = reports.load(station, 7).funnel

    assert (found.looked, found.empty, found.empty_by_hour[9]) == (2, 1, 1)


def test_the_page_and_its_files(client, station, olga, at):
    sign_in(client, olga)
    assert "появятся после 10 записей" in client.get(REPORTS).text
    a_day(station, at)
    sign_in(client, olga)
    fill(station, 20)
    page = client.get(f"{REPORTS}?range=7")
    assert page.text.count("<figure>") == 8 and page.text.count("Таблицей") == 8
    assert page.text.count("За это время — ни разу.") == 1  # nobody was refused
    for name in ("load", "posts", "minutes", "year", "weeks", "cancelled", "leads", "funnel", "refused", "letters"):
        file = client.get(f"{REPORTS}/files/{name}?range=season")
        assert (file.status_code, file.mimetype) == (200, "text/csv"), name
    assert client.get(f"{REPORTS}/files/nothing").status_code == 404
    assert client.get(f"{REPORTS}?range=%00").status_code == 200


def test_many_bookings_take_ten_statements(client, station, olga, statements):
    fill(station, MANY)
    sign_in(client, olga)

    with statements() as seen:
        assert client.get(f"{REPORTS}?range=season").status_code == 200

    assert len(seen) <= 10


def fill(station, count):
    """Cancelled bookings, one every hour back from today, copied from one."""
    anna = cancel_booking(booking(station, "2026-11-03 10:00").id, actor=USER)
    columns = [c.name for c in Booking.__table__.columns if c.name not in ("id", "number", "starts_at", "ends_at")]
    names = ", ".join(columns)
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        back = "i * 3600" if connection.dialect.name == "sqlite" else "i * interval '1 hour'"
        connection.exec_driver_sql(
            f"INSERT INTO bookings (number, starts_at, ends_at, {names}) {numbers}"
            f" SELECT 'N' || i, starts_at - {back}, ends_at - {back}, {names} FROM n, bookings WHERE id = {anna.id}"
        )

"""The manager's list of bookings, a booking's card, and bookings taken by phone."""

import csv
import importlib.util
import io
import zipfile
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select

from tests.checksum import checksum
from tests.factories import ANNA, booking, car_type, kyiv, service, sign_in
from tests.integration.test_queries import Hot, app_dialect, plan_of
from tirefit.booking.by_phone import book_by_phone
from tirefit.booking.commands import Customer, set_plate
from tirefit.booking.states import USER
from tirefit.booking.steps import cancel_booking
from tirefit.config import ROOT
from tirefit.database import WRITE, command, db
from tirefit.errors import SlotTaken
from tirefit.finding import Wanted, find_bookings, visits_of_car
from tirefit.models import Booking, BookingEvent, BookingWord, Notification
from tirefit.schedule import changes
from tirefit.schedule.blocks import block_time
from tirefit.schedule.reservations import new_token
from tirefit.web.sheets import csv_file

LIST = "/manage/zimnyaya-5/bookings"
BORIS = Customer("Борис", "+380509998877", "boris@example.com")


@pytest.fixture
def manager(client, olga):
    return sign_in(client, olga)


def numbers(page):
    return [line.partition('"')[0].rpartition("/")[2] for line in page.text.split('<a class="row" href="')[1:]]


@pytest.fixture
def anna(station):
    """Two visits of Анна with АА 1234 ВС, one of Борис who has no plate."""
    first = booking(station, "10:00", ANNA)
    second = booking(station, "2026-11-04 12:00", ANNA)
    booking(station, "11:00", BORIS)
    for each in (first, second):
        set_plate(each.id, "АА 1234 ВС")
    return first, second


# --- the search


THEIRS = (
    "АА 1234 ВС",  # Cyrillic, as it was typed
    "AA 1234 BC",  # the same in Latin
    *("aa1234bc", "аа-1234", "1234", "1234вс", "BC"),
    *("4567", "067 123 45 67", "+38 (067) 123-45-67", "671234567"),
    *("анна", "АНН", "анна 1234", "1234 Анна"),
)
NOT_THEIRS = ("1235", "борис 1234", "ванна", "0671234560", "234", "x" * 500, "7654")


def test_a_customer_is_found_by_what_people_remember_and_by_nothing_else(station, anna):
    def found(typed):
        return {each.id for each in find_bookings(station, Wanted(typed)).bookings}

    theirs = {each.id for each in anna}
    assert {typed: found(typed) for typed in THEIRS} == dict.fromkeys(THEIRS, theirs)
    assert not [typed for typed in NOT_THEIRS if found(typed) & theirs]
    assert all(len(found(typed)) == 3 for typed in ("%", "\x00", " ", "()")), (
        "what has no letter and no digit asks nothing"
    )


def test_a_booking_is_found_by_its_number_and_by_what_is_said_of_it_now(station, anna, stranger):
    first, second = anna
    assert [each.id for each in find_bookings(station, Wanted(first.number.lower())).bookings] == [first.id]

    set_plate(first.id, "КА 0077 ОО")

    assert [each.id for each in find_bookings(station, Wanted("ka0077oo")).bookings] == [first.id]
    assert [each.id for each in find_bookings(station, Wanted("аа1234вс")).bookings] == [second.id]
    elsewhere = db.session.get_one(type(station), stranger.roles[0].service_point_id)
    assert not find_bookings(elsewhere, Wanted("0077")).bookings, "another station's booking"


def test_the_list_shows_all_with_filters_in_the_address(manager, station, anna):
    cancel_booking(anna[0].id, actor=USER)

    assert numbers(manager.get(LIST))[0] == anna[1].number, "the latest first"
    assert numbers(manager.get(f"{LIST}?sort=oldest"))[0] == anna[0].number
    assert numbers(manager.get(f"{LIST}?status=cancelled")) == [anna[0].number]
    assert numbers(manager.get(f"{LIST}?from=2026-11-04&to=2026-11-04")) == [anna[1].number]
    assert numbers(manager.get(f"{LIST}?source=walk_in")) == []
    assert len(numbers(manager.get(f"{LIST}?post=99&from=nonsense&status=nonsense&page=99"))) == 3
    posts = {each.post.post_number for each in db.session.scalars(select(Booking))}
    assert sum(len(numbers(manager.get(f"{LIST}?post={number}"))) for number in posts) == 3


def test_enter_opens_the_only_hit(manager, anna):
    assert manager.get(f"{LIST}?q=Борис&open=1").location.startswith(f"{LIST}/")
    assert manager.get(f"{LIST}?q=Анна&open=1").status_code == 200, "there are two"


def test_an_empty_list_says_which_filter_hides_what(manager, anna):
    page = manager.get(f"{LIST}?q=1234&from=2026-11-05&to=2026-11-05&status=completed").text

    assert "Найдено 0" in page
    assert "Без условий: 2" in page and "За все дни" not in page, "without the days the status still hides them"
    assert f'href="{LIST}?q=1234"' in page
    one = manager.get(f"{LIST}?q=1234&from=2026-11-05&to=2026-11-05").text
    assert "За все дни: 2" in one and "Без условий" not in one
    assert "Ничего не нашлось" in manager.get(f"{LIST}?q=Никодим").text


# --- a long history


def a_season(station, count):
    """So many finished visits in the years before; written beside the program, but with the words it would write."""
    post = station.posts[0]
    values = {"point": station.id, "post": post.id, "car": car_type().id, "count": count}
    first = 1600000000
    moment = "{0}" if app_dialect() == "sqlite" else "to_timestamp({0})"
    series = (
        "WITH RECURSIVE series(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < :count)"
        if app_dialect() == "sqlite"
        else "WITH series(n) AS (SELECT generate_series(1, :count))"
    )
    starts, ends = (moment.format(f"({first} + n * 3600 + {more})") for more in (0, 1800))
    digits = "substr('0000' || (n % 10000), -4)" if app_dialect() == "sqlite" else "lpad((n % 10000)::text, 4, '0')"
    insert = f"""INSERT INTO bookings (number, service_point_id, service_post_id, starts_at, ends_at, car_type_id,
        plate, customer_name, customer_phone, total_duration, total_price, currency, status, source, locale, created_at)
      {series} SELECT 'N' || n, :point, :post, {starts}, {ends}, :car, 'AA' || {digits} || 'BB', 'Клиент ' || n,
        '+38050000' || {digits}, 30, 100, 'UAH', 'completed', 'online', 'ru', {starts} FROM series"""
    words = """INSERT INTO booking_words (service_point_id, word, booking_id)
      SELECT service_point_id, lower(substr(plate, {0})), id FROM bookings WHERE plate <> ''
      UNION SELECT service_point_id, 'kлиeht', id FROM bookings WHERE plate <> ''"""
    db.session.rollback()
    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        connection.execute(db.text(insert), values)
        connection.execute(db.text(words.format(1)))
        connection.execute(db.text(words.format(3).partition("UNION")[0]))
        connection.exec_driver_sql("ANALYZE")


@pytest.mark.parametrize("typed", ["0042bb", "0042", "клиент 0042"])
def test_a_search_is_answered_by_the_index_of_words(station, typed):
    """Digits are looked for in two places, each by its own range: SQLite would read all words for both at once."""
    a_season(station, 3000)
    assert find_bookings(station, Wanted(typed)).total == 1

    plan = plan_of(Hot(lambda point: find_bookings(point, Wanted(typed)), "SELECT", "booking_words", ""), station)

    if app_dialect() == "sqlite":
        ranges = plan.count("booking_words USING PRIMARY KEY (service_point_id=? AND word>? AND word<?)")
        assert ranges == plan.count("booking_words") == {"0042bb": 1, "0042": 2, "клиент 0042": 3}[typed], plan
    else:
        assert "pk_booking_words" in plan, plan
    assert "Seq Scan" not in plan and "SCAN bookings" not in plan, plan


def test_pages_of_fifty(manager, station):
    a_season(station, 120)

    pages = [numbers(manager.get(f"{LIST}?page={page}")) for page in (1, 2, 3, 4)]

    assert [len(page) for page in pages] == [50, 50, 20, 20]
    assert pages[2] == pages[3] and len(set(pages[0] + pages[1] + pages[2])) == 120


# --- files


def test_files_hold_what_was_found_and_no_formulas(manager, station, anna):
    booking(station, "12:00", Customer('=HYPERLINK("http://x")', "+380500000001", None), notes="@SUM(A1)")

    sheet = manager.post(f"{LIST}/export.csv", data={"q": "HYPERLINK"})
    rows = list(csv.reader(io.StringIO(sheet.data.decode("utf-8-sig"))))
    book = zipfile.ZipFile(io.BytesIO(manager.post(f"{LIST}/export.xlsx").data))

    journal = manager.get("/manage/zimnyaya-5/audit").text
    assert "записи сохранены в файл: CSV, 1" in journal and "XLSX, 4" in journal, "who took how many"
    assert sheet.headers["Content-Disposition"].startswith("attachment")
    assert len(rows) == 2 and rows[1][7] == '\'=HYPERLINK("http://x")' and rows[1][-1] == "'@SUM(A1)"
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    xml = book.read("xl/worksheets/sheet1.xml").decode()
    assert xml.count("<row ") == 5 and "<f>" not in xml
    assert "HYPERLINK" in xml or "HYPERLINK" in book.read("xl/sharedStrings.xml").decode()


def test_cells_that_would_be_calculated_are_defused():
    """And read back whole, a phone with its plus too."""
    unseen = ["\t=1", " =1", "\r=1", "\n=1", "\r\n=1", "\ttext", "\ntext", "  \u00a0=1", "\ufeff=1", "\u200b@x"]
    wide = ["＝1", "＋1", "－1", "＠x", " ＝1", "﹢1"]
    formulas = ["=1+1", "+380671234567", "+7 916 123-45-67", "-1", "@x", *unseen, *wide]
    texts = ["a=1", "Анна", "067 123-45-67", "", "Р-н № 5", "«+»", "первая\n=вторая", 'a,"b";c']
    file = csv_file("x", ["Телефон"], [[cell] for cell in (*formulas, *texts, -5)])
    read = [row[0] if row else "" for row in csv.reader(io.StringIO(file.get_data().decode("utf-8-sig"), newline=""))]

    assert read == ["Телефон", *(f"'{cell}" for cell in formulas), *texts, "-5"]


# --- the card


def test_the_card_tells_all_that_is_known(manager, station, anna, olga):
    first, second = anna

    page = manager.get(f"{LIST}/{first.number}").text

    for words in ("АА 1234 ВС", "Анна", "anna@example.com", "1&nbsp;200", "записан, клиент", "вы записаны"):
        assert words.replace("&nbsp;", "\xa0") in page, words
    assert f"{LIST}/{second.number}" in page, "the car's other visit"
    assert [each.id for each in visits_of_car(first)] == [second.id, first.id]
    assert "Отменить запись" in page and "Переместить" in page


def test_cancelling_on_the_card(manager, station, anna):
    first = anna[0]
    stale = manager.post(f"{LIST}/{first.number}/cancel", data={"version": "99"})
    assert stale.status_code == 409 and "только что изменили" in stale.text

    done = manager.post(
        f"{LIST}/{first.number}/cancel", data={"version": first.version, "reason": "Сломался подъёмник"}
    )

    page = manager.get(done.location).text
    assert "Сломался подъёмник" in page and "Отменить запись" not in page
    assert db.session.get_one(Booking, first.id, populate_existing=True).status == "cancelled_by_station"


# --- by phone


def by_phone(page, **changes):
    nonce = page.text.partition('name="nonce"')[2].partition('value="')[2].partition('"')[0]
    about = {"svc": service().id, "car": car_type().id, "d": "2026-11-03", "name": "Борис", "phone": "050 123 45 67"}
    return about | {"nonce": nonce, "at": "2026-11-03T10:00+02:00"} | changes


def test_a_booking_by_phone(manager, station, olga):
    page = manager.get(f"{LIST}/new?svc={service().id}&car={car_type().id}&d=2026-11-03")
    assert "2026-11-03T10:00+02:00" in page.text
    sent = by_phone(page, plate="ка0077оо", notes="перезвонить", email="boris@example.com")

    done = manager.post(f"{LIST}/new", data=sent)
    again = manager.post(f"{LIST}/new", data=sent)

    made = db.session.scalars(select(Booking)).one()
    assert done.location == again.location == f"{LIST}/{made.number}"
    assert (made.source, made.status, made.starts_at) == ("staff", "confirmed", kyiv("2026-11-03 10:00"))
    assert (made.plate, made.notes, made.consent_at) == ("КА0077ОО", "перезвонить", None)
    trace = db.session.scalars(select(BookingEvent)).one()
    assert (trace.event, trace.actor, trace.user_id) == ("created", "user", olga.id)
    letters = set(db.session.scalars(select(Notification.kind)))
    assert "booking_created" in letters


def test_off_the_grid_and_after_hours_on_free_time(manager, station):
    for time, post in (("9:17", ""), ("20:30", "2"), ("1825", "")):
        page = manager.get(f"{LIST}/new?svc={service().id}&car={car_type().id}&d=2026-11-03")
        done = manager.post(f"{LIST}/new", data=by_phone(page, at="other", time=time, post=post))

        made = db.session.scalars(select(Booking).order_by(Booking.id.desc())).first()
        assert done.location == f"{LIST}/{made.number}"
        assert made.ends_at - made.starts_at == timedelta(minutes=40)
        assert post in ("", str(made.post.post_number))


def test_between_slots_a_post_that_is_open_then_comes_before_one_that_is_not(station):
    """The first opens at noon on that day, the second cannot do it; the third is open. When all are shut, the first."""
    first, second, _third = station.posts
    changes.save_template(station.id, [(1, 12 * 60, 18 * 60)], name="С полудня", post_id=first.id)
    now = {name: getattr(second, name) for name in ("post_number", "slot_duration", "name", "description", "active")}
    changes.update_post(second.id, **now, abilities=changes.Abilities((car_type("suv").id,), (), None))

    def taken(time):
        at = {"token": new_token(), "starts_at": kyiv(f"2026-11-03 {time}")}
        return book_by_phone(station.id, [service().id], car_type().id, BORIS, **at).post.post_number

    assert [taken("09:17"), taken("20:30"), taken("20:30")] == [3, 1, 3]
    with pytest.raises(SlotTaken):
        taken("20:30")


def test_what_is_taken_is_offered_otherwise(manager, station):
    for post in station.posts:
        block_time(station.id, post.id, kyiv("2026-11-03 10:00"), kyiv("2026-11-03 11:00"))
    page = manager.get(f"{LIST}/new?svc={service().id}&car={car_type().id}&d=2026-11-03")
    before = checksum()
    for at in ({}, {"at": "other", "time": "10:20"}, {"at": "other", "time": "10:20", "post": "2"}):
        refused = manager.post(f"{LIST}/new", data=by_phone(page, **at))
        assert refused.status_code == 409
        assert 'value="2026-11-03T11:00+02:00">11:00' in refused.text, "the nearest free time, one tap away"
        assert 'value="Борис"' in refused.text, "what was typed is kept"
    assert checksum() == before


def test_a_form_that_makes_no_sense_books_nothing(manager, station):
    page = manager.get(f"{LIST}/new?svc={service().id}&car={car_type().id}")
    before = checksum()
    for wrong in (
        *({"name": ""}, {"phone": "12"}, {"at": ""}, {"at": "other", "time": ""}, {"at": "other", "time": "25:00"}),
        *({"at": "other", "time": "x" * 99}, {"plate": "😀"}, {"notes": "a\x00b"}, {"svc": "999999"}, {"car": "x"}),
    ):
        assert manager.post(f"{LIST}/new", data=by_phone(page) | wrong).status_code == 422, wrong
    assert manager.post(f"{LIST}/new", data=by_phone(page, at="2026-11-01T10:00+02:00")).status_code == 422
    assert checksum() == before


def test_words_are_written_with_every_booking_and_go_with_it(station, anna):
    words = set(db.session.scalars(select(BookingWord.word).where(BookingWord.booking_id == anna[0].id)))

    assert words == {"aa1234bc", "1234bc", "bc", "ahha", anna[0].number.lower(), "#765432176083"}
    assert db.session.scalar(select(func.count(func.distinct(BookingWord.booking_id)))) == 3


def test_the_migration_writes_the_same_words_for_bookings_that_were_there(station, anna):
    path = next((ROOT / "migrations" / "versions").glob("*_booking_words.py"))
    spec = importlib.util.spec_from_file_location("booking_words", path)
    migration = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(migration)
    words = select(BookingWord.booking_id, BookingWord.word).order_by(BookingWord.booking_id, BookingWord.word)
    written = db.session.execute(words).all()
    db.session.rollback()

    with db.engine.connect().execution_options(**WRITE) as connection, connection.begin():
        connection.execute(delete(BookingWord))
        migration.backfill(connection)

    assert db.session.execute(words).all() == written


def test_a_letter_that_did_not_arrive_is_sent_again_from_the_card(manager, station, anna):
    first = anna[0]
    assert "/notifications/resend" not in manager.get(f"{LIST}/{first.number}").text

    lose_letters_about(first.id)

    page = manager.get(f"{LIST}/{first.number}").text
    assert "550 mailbox unavailable" in page and "Повторить" in page
    letter = page.partition('name="letter" value="')[2].partition('"')[0]
    assert manager.post("/manage/zimnyaya-5/notifications/resend", data={"letter": letter}).status_code == 303
    assert db.session.get_one(Notification, int(letter), populate_existing=True).state == "pending"


@command
def lose_letters_about(booking_id):
    for letter in db.session.scalars(select(Notification).where(Notification.booking_id == booking_id)):
        letter.state, letter.last_error = "failed", "550 mailbox unavailable"

"""Public holidays: suggested, shown with what they touch, closed in one step, and taken back in one step."""

import re
from datetime import date
from threading import Barrier, Thread

import pytest
from sqlalchemy import select

from tests import factories
from tests.factories import BORIS, booking, kyiv, sign_in
from tirefit.database import db
from tirefit.errors import ScheduleChanged
from tirefit.models import Booking, Reservation, ScheduleException, ScheduleRun, ScheduleSlot
from tirefit.schedule import changes
from tirefit.schedule.holidays import suggestions

# Ukraine's, November 2026 to October 2027, by its Labour Code (article 73): all of them working days by martial law.
UKRAINE = {
    date(2026, 12, 25): "Різдво Христове",
    date(2027, 1, 1): "Новий рік",
    date(2027, 3, 8): "Міжнародний жіночий день",
    date(2027, 5, 1): "День праці",
    date(2027, 5, 2): "Великдень (Пасха)",
    date(2027, 5, 8): "День памʼяті та перемоги над нацизмом у Другій світовій війні 1939-1945 років",
    date(2027, 6, 20): "Трійця",
    date(2027, 6, 28): "День Конституції України",
    date(2027, 7, 15): "День Української Державності",
    date(2027, 8, 24): "День незалежності України",
    date(2027, 10, 1): "День захисників і захисниць України",
}
CHRISTMAS, NEW_YEAR, WOMENS_DAY = date(2026, 12, 25), date(2027, 1, 1), date(2027, 3, 8)


@pytest.fixture
def winter(app):
    """«Зимняя, 5», which takes bookings for two months: Christmas and New Year among them."""
    return factories.station(horizon_days=61)


@pytest.fixture
def manager(client, winter):
    return sign_in(client, factories.user("Ольга", "olga@example.com", "manager", winter))


def whole_offer():
    db.session.rollback()
    columns = ScheduleSlot.service_post_id, ScheduleSlot.starts_at, ScheduleSlot.ends_at
    return db.session.execute(select(*columns).order_by(*columns)).all()


def exceptions():
    db.session.rollback()
    found = db.session.execute(select(ScheduleException.day, ScheduleException.reason).order_by(ScheduleException.day))
    return dict(found.all())


def promises():
    return [db.session.execute(select(model.__table__)).all() for model in (Reservation, Booking)]


def seen_on(page):
    return re.search(r'name="seen" value="([^"]*)"', page)[1]


# --- what is suggested


def test_a_ukrainian_station_is_shown_its_year_of_holidays(winter):
    found = suggestions(winter, "uk")

    assert {each.day: each.name for each in found} == UKRAINE
    assert [each.day for each in found] == sorted(UKRAINE)
    assert all(each.is_working_day and not each.is_settled and not each.booked for each in found)


@pytest.mark.parametrize(
    ("country", "language", "day", "name", "written_in"),
    [
        ("UA", "en", NEW_YEAR, "New Year's Day", "en"),
        ("UA", "ru", NEW_YEAR, "Новий рік", "uk"),  # the library has no Russian for it: the country's own
        ("KZ", "uk", date(2026, 12, 16), "День незалежності", "uk"),
        ("PL", "en", date(2026, 11, 11), "National Independence Day", "en"),
        ("PL", "ru", date(2026, 11, 11), "Narodowe Święto Niepodległości", "pl"),
    ],
)
def test_names_are_in_the_managers_language_where_there_are_some(app, country, language, day, name, written_in):
    station = factories.station(country=country)

    (found,) = [each for each in suggestions(station, language) if each.day == day]

    assert (found.name, found.language, found.is_working_day) == (name, written_in, country == "UA")


@pytest.mark.parametrize("country", ["XX", "", "UKRAINE"])
def test_of_an_unknown_country_no_holidays_are_known(app, country):
    assert suggestions(factories.station(country=country), "ru") == []


def test_a_year_is_twelve_months_from_today_by_the_stations_clock(winter, at):
    at("2026-12-25 23:59")
    assert suggestions(winter, "uk")[0].day == CHRISTMAS
    at("2026-12-26 00:00")
    found = [each.day for each in suggestions(winter, "uk")]
    assert (found[0], found[-1]) == (NEW_YEAR, date(2027, 12, 25))


def test_a_suggestion_knows_who_has_booked_and_what_is_settled(winter):
    booking(winter, "2026-12-25 09:00"), booking(winter, "2026-12-25 17:00", BORIS, services=["Балансировка"])
    booking(winter, "2026-12-24 17:00", services=["Балансировка"])
    changes.save_exception(winter.id, NEW_YEAR, windows=[(720, 900)], reason="Короткий день")
    changes.save_exception(winter.id, WOMENS_DAY, post_id=winter.posts[0].id)  # one post only

    found = {each.day: each for each in suggestions(winter, "uk")}

    assert {day: each.booked for day, each in found.items() if each.booked} == {CHRISTMAS: 2}
    assert {day for day, each in found.items() if each.is_settled} == {NEW_YEAR}


# --- taking them over


def test_closing_several_days_is_what_the_preview_said_and_one_run(winter):
    early = booking(winter, "2026-12-25 09:00")
    days = {CHRISTMAS: "Різдво", NEW_YEAR: "Новий рік", WOMENS_DAY: "8 березня"}
    before, sold = whole_offer(), promises()
    preview = changes.preview_closed_days(winter, days)
    assert whole_offer() == before

    done = changes.close_days(winter.id, days, expected=preview.touched)

    assert done == preview
    assert [found.id for found in done.outside] == [early.reservation_id]
    assert exceptions() == days
    assert promises() == sold
    after = whole_offer()
    assert {start.date() for _, start, _ in set(before) - set(after)} == {CHRISTMAS, NEW_YEAR}
    run = changes.latest_runs(winter)[0]
    assert (run.kind, run.removed, run.outside) == ("exception", len(done.removed), 1)

    changes.undo_run(run.id)

    assert (whole_offer(), exceptions(), promises()) == (before, {}, sold)


def test_a_day_with_an_exception_of_its_own_is_left_as_it_is(winter):
    changes.save_exception(winter.id, NEW_YEAR, windows=[(720, 900)], reason="Короткий день")

    changes.close_days(winter.id, {CHRISTMAS: "Різдво", NEW_YEAR: "Новий рік"})
    assert exceptions() == {CHRISTMAS: "Різдво", NEW_YEAR: "Короткий день"}
    assert changes.close_days(winter.id, {CHRISTMAS: "Інакше", NEW_YEAR: "Новий рік"}) is None

    assert exceptions() == {CHRISTMAS: "Різдво", NEW_YEAR: "Короткий день"}


def test_a_booking_on_such_a_day_meanwhile_is_shown_first_and_one_on_another_day_does_not_matter(winter):
    days = {CHRISTMAS: "Різдво"}
    preview = changes.preview_closed_days(winter, days)
    booking(winter, "2026-12-24 10:00")
    assert changes.preview_closed_days(winter, days).touched == preview.touched
    made = booking(winter, "2026-12-25 10:00")

    with pytest.raises(ScheduleChanged) as refused:
        changes.close_days(winter.id, days, expected=preview.touched)

    assert [found.id for found in refused.value.facts["difference"].outside] == [made.reservation_id]
    assert exceptions() == {}
    changes.close_days(winter.id, days, expected=refused.value.facts["difference"].touched)
    assert exceptions() == days


def test_two_managers_at_once_close_each_day_once(app, winter):
    days, ready, results = {CHRISTMAS: "Різдво", NEW_YEAR: "Новий рік"}, Barrier(6, timeout=30), []

    def close(do):
        with app.app_context():
            ready.wait()
            try:
                results.append(do())
            except Exception as error:
                results.append(error)

    work = [lambda: changes.close_days(winter.id, days), lambda: changes.close_day(winter.id, CHRISTMAS, "Різдво")] * 3
    threads = [Thread(target=close, args=[do]) for do in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not [result for result in results if isinstance(result, Exception)]
    assert exceptions() == days


# --- the page


def test_the_page_lists_the_holidays_and_says_what_the_ticked_ones_touch(winter, manager):
    made = booking(winter, "2026-12-25 10:00")
    url = f"/manage/templates/holidays?s={winter.slug}"
    assert f'href="{url}"' in manager.get(f"/manage/templates?s={winter.slug}").text
    page = manager.get(url).text
    assert page.count('type="checkbox"') == len(UKRAINE)
    assert "По закону сейчас это рабочие дни" in page
    assert seen_on(page) == ""

    ticked = {"day": ["2026-12-25", "2027-03-08"]}
    previewed = manager.post(f"/manage/templates/holidays/preview?s={winter.slug}", data=ticked)

    assert previewed.status_code == 200
    gone = len(changes.preview_closed_days(winter, [CHRISTMAS]).removed) - 2  # two slots lie under the booking
    assert f"{gone} свободных окон исчезнет" in previewed.text
    assert f"b={made.number}" in previewed.text
    assert "Запись на этот день ещё не открыта" in previewed.text  # March
    assert len(re.findall(r'value="[0-9-]+"[^>]* checked', previewed.text)) == 2
    assert exceptions() == {}, "a preview writes nothing"

    answer = manager.post(url, data=ticked | {"seen": seen_on(previewed.text)})

    assert answer.status_code == 303
    said = manager.get(answer.location).text
    assert "1 запись на месте" in said
    assert "Різдво Христове" in said
    assert exceptions() == {CHRISTMAS: UKRAINE[CHRISTMAS], WOMENS_DAY: UKRAINE[WOMENS_DAY]}
    assert "уже в списке выходных" in manager.get(url).text
    assert db.session.scalars(select(ScheduleRun.user_id).order_by(ScheduleRun.id.desc())).first() is not None


def test_nothing_is_closed_unseen_nor_after_somebody_has_booked(winter, manager):
    url, ticked = f"/manage/templates/holidays?s={winter.slug}", {"day": ["2026-12-25"]}

    unseen = manager.post(url, data=ticked)
    assert (unseen.status_code, "Ничего ещё не закрыто" in unseen.text) == (409, True)
    made = booking(winter, "2026-12-25 10:00")
    outdated = manager.post(url, data=ticked | {"seen": seen_on(unseen.text)})
    assert outdated.status_code == 409
    assert f"b={made.number}" in outdated.text
    assert exceptions() == {}

    assert manager.post(url, data=ticked | {"seen": seen_on(outdated.text)}).status_code == 303
    assert list(exceptions()) == [CHRISTMAS]


def test_the_same_tap_twice_closes_once(winter, manager):
    url, ticked = f"/manage/templates/holidays?s={winter.slug}", {"day": ["2026-12-25"]}
    ticked["seen"] = seen_on(manager.post(f"/manage/templates/holidays/preview?s={winter.slug}", data=ticked).text)

    answers = [manager.post(url, data=ticked), manager.post(url, data=ticked)]

    assert [answer.status_code for answer in answers] == [303, 303]
    assert "Эти дни уже закрыты" in manager.get(answers[1].location).text
    assert len(changes.latest_runs(winter)) == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"day": ""},
        {"day": "2026-12-24"},
        {"day": ["2026-12-25", "2026-12-26"]},
        {"day": "nul\0"},
        {"day": "9" * 99},
    ],
)
def test_what_is_no_holiday_is_refused_in_words(winter, manager, data):
    for path in ("", "/preview"):
        answer = manager.post(f"/manage/templates/holidays{path}?s={winter.slug}", data=data | {"seen": "x"})
        assert answer.status_code == 422
        assert "Проверьте поля" in answer.text
    assert exceptions() == {}


def test_a_country_without_known_holidays_says_so(app, client):
    factories.station(country="XX")
    sign_in(client, factories.user("Админ", "admin@example.com", "admin"))

    page = client.get("/manage/templates/holidays?s=zimnyaya-5")

    assert page.status_code == 200
    assert "Праздников этой страны мы не знаем" in page.text


def test_only_the_stations_manager_sees_and_closes(winter, client):
    url = f"/manage/templates/holidays?s={winter.slug}"
    assert client.get(url).status_code == 303
    sign_in(client, factories.user("Иван", "ivan@example.com", "staff", winter))
    assert [client.get(url).status_code, client.post(url, data={"day": "2026-12-25"}).status_code] == [403, 403]
    assert exceptions() == {}


def test_the_day_is_not_offered_to_customers(winter):
    changes.close_days(winter.id, {CHRISTMAS: "Різдво"})

    from tirefit.schedule.availability import available_at_time

    assert available_at_time(winter, kyiv("2026-12-25 10:00"), 30) == []

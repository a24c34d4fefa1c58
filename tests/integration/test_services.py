"""The table of services × cars: what it shows, what it refuses, and that only bookings made later feel it."""

import re

import pytest
from sqlalchemy import select

from tests import factories
from tests.checksum import checksum
from tests.factories import booking, car_type, kyiv, service, sign_in, user
from tirefit.booking import catalogue, service_list
from tirefit.booking.catalogue import Cell, load_matrix, save_cells
from tirefit.booking.durations import calculate_booking_duration, offered_services
from tirefit.database import db
from tirefit.errors import ServicesChanged, UnknownService
from tirefit.models import AuditEntry, Booking, CarType, Service, ServicePoint
from tirefit.schedule import changes

TABLE = "/manage/zimnyaya-5/services"


@pytest.fixture
def manager(client, olga):
    return sign_in(client, olga)


@pytest.fixture
def id(station):
    return service().id, car_type("suv").id


def name_of(kind, id):
    return f"{kind}-{id[0]}-{id[1]}"


def fields(page):
    """What a browser would send back."""
    found = re.findall(r'<input[^>]* name="([mpw]-\d+-\d+)"[^>]*? value="([^"]*)"', page.text)
    return dict(found)


def test_the_table_shows_minutes_and_prices(manager, station, id):
    page = manager.get(TABLE)

    sent = fields(page)
    assert (sent[name_of("m", id)], sent[name_of("p", id)]) == ("60", "1800")
    assert len(sent) == 3 * 3 * 2
    assert "Сезонная переобувка, внедорожник, минут" in page.text


def test_only_bookings_made_later_feel_a_change(manager, station, id):
    made = booking(station, "10:00", car="suv")
    sent = fields(manager.get(TABLE)) | {name_of("m", id): "75", name_of("p", id): "1 900,50"}

    done = manager.post(TABLE, data=sent)

    assert done.status_code == 303 and "Сохранено: 1" in manager.get(TABLE).text
    visit = calculate_booking_duration([id[0]], id[1], station)
    assert (visit.total_minutes, visit.total_price) == (75, 190050)
    kept = db.session.get_one(Booking, made.id, populate_existing=True)
    assert (kept.total_duration, kept.total_price, kept.lines[0].minutes) == (60, 180000, 60)


def test_another_station_keeps_its_own_minutes(manager, station, stranger, id):
    elsewhere = db.session.get_one(ServicePoint, stranger.roles[0].service_point_id)

    manager.post(TABLE, data=fields(manager.get(TABLE)) | {name_of("m", id): "90"})

    assert calculate_booking_duration([id[0]], id[1], station).total_minutes == 90
    assert calculate_booking_duration([id[0]], id[1], elsewhere).total_minutes == 60


def test_an_empty_cell_is_not_done(manager, station, id):
    manager.post(TABLE, data=fields(manager.get(TABLE)) | {name_of("m", id): "", name_of("p", id): ""})

    (offered,) = (each for each in offered_services(station) if each.service.id == id[0])
    assert set(offered.on) == {car_type("car").id}
    assert load_matrix(station).cell(*id) is None


def test_a_bad_cell_is_outlined_and_nothing_is_saved(manager, station, id):
    page, before = fields(manager.get(TABLE)), checksum()
    for minutes, price in (
        *(("4", "1"), ("481", "1"), ("x", "1"), ("40.5", "1"), ("٣٠", "1"), ("", "100"), ("-40", "5"), ("1" * 99, "1")),
        *(("40", ""), ("40", "-1"), ("40", "x"), ("40", "1.234"), ("40", "NaN"), ("40", "1e9"), ("40", "9" * 12)),
        *(("40", "\x00"), ("<b>", "1")),
    ):
        answer = manager.post(TABLE, data=page | {name_of("m", id): minutes, name_of("p", id): price})
        assert answer.status_code == 422, (minutes, price)
        assert f'href="#m-{id[0]}-{id[1]}"' in answer.text and 'aria-invalid="true"' in answer.text
    assert checksum() == before


def test_two_managers_at_once_see_what_the_other_did(manager, station, id):
    page = fields(manager.get(TABLE))
    other = (id[0], car_type("car").id)
    save_cells(station.id, {id: (Cell(60, 180000), Cell(65, 180000)), other: (Cell(40, 120000), Cell(45, 120000))})

    lost = manager.post(TABLE, data=page | {name_of("m", id): "70"})

    assert lost.status_code == 409 and "сейчас 65 · 1800" in lost.text
    again = fields(lost)
    assert (again[name_of("m", id)], again[name_of("w", id)]) == ("70", "65 180000"), "both values are there"
    assert manager.post(TABLE, data=again).status_code == 303
    matrix = load_matrix(station)
    assert (matrix.cell(*id).minutes, matrix.cell(*other).minutes) == (70, 45), "what was not touched stays as it is"


def test_a_cell_is_saved_as_soon_as_it_is_left(manager, station, id):
    page = fields(manager.get(TABLE))
    mine = {name_of(kind, id): page[name_of(kind, id)] for kind in "mpw"}
    address, htmx = f"{TABLE}/{id[0]}/{id[1]}", {"HX-Request": "true"}

    bad = manager.post(address, data=mine | {name_of("m", id): "3"}, headers=htmx)
    saved = manager.post(address, data=mine | {name_of("m", id): "80"}, headers=htmx)

    assert bad.status_code == 422 and bad.text.lstrip().startswith("<td") and "bad" in bad.text
    assert saved.status_code == 200 and 'value="80 180000"' in saved.text and "сохранено" in saved.text
    assert load_matrix(station).cell(*id) == Cell(80, 180000)
    assert manager.post(f"{TABLE}/{id[0]}/999999", data=mine).status_code == 404
    assert manager.post(f"{TABLE}/999999/{id[1]}", data=mine).status_code == 404


def test_a_column_is_filled_and_seen_before_it_is_saved(manager, station, id):
    page, before = fields(manager.get(TABLE)), checksum()

    filled = manager.post(TABLE, data=page | {f"add-{id[1]}": "+10", "fill": str(id[1])})

    assert checksum() == before and "пока ничего не изменилось" in filled.text
    sent = fields(filled)
    suv = [int(value) for name, value in sent.items() if re.fullmatch(rf"m-\d+-{id[1]}", name)]
    assert suv == [70, 55, 30]
    manager.post(TABLE, data=sent)
    assert load_matrix(station).cell(*id).minutes == 70


def test_a_dot_warns_where_minutes_fit_too_few_posts(manager, station, id):
    long = fields(manager.get(TABLE)) | {name_of("m", id): "480"}
    assert "нет такого поста" not in manager.post(TABLE, data=long, follow_redirects=True).text
    for post in station.posts[:2]:
        abilities = changes.Abilities(car_type_ids=(car_type("car").id,))
        state = {name: getattr(post, name) for name in ("post_number", "slot_duration", "name", "description")}
        changes.update_post(post.id, **state, active=True, abilities=abilities)

    assert "только пост 3" in manager.get(TABLE).text
    changes.save_exception(station.id, kyiv("10:00").date(), kyiv("2026-12-30 10:00").date(), [(540, 600)])
    assert "нет такого поста" in manager.get(TABLE).text


def test_a_new_service_and_a_new_car(manager, station):
    assert manager.post(f"{TABLE}/new", data={"name": " "}).status_code == 422
    manager.post(f"{TABLE}/new", data={"name": "Правка дисков", "category": "Ремонт"})
    manager.post(f"{TABLE}/car-types", data={"car": "Мотоцикл"})

    page = manager.get(TABLE)
    assert "Правка дисков" in page.text and "Мотоцикл" in page.text
    made, moto = load_matrix(station).rows[-1].service, db.session.scalars(select(CarType)).all()[-1]
    assert made.id not in {each.service.id for each in offered_services(station)}, "nobody can order it yet"
    new = (made.id, moto.id)
    manager.post(TABLE, data=fields(page) | {name_of("m", new): "45", name_of("p", new): "500"})
    assert calculate_booking_duration([made.id], moto.id, station).total_price == 50000

    manager.post(f"{TABLE}/{made.id}/drop")
    assert made.id not in {row.service.id for row in load_matrix(station).rows}


def test_what_a_network_did_not_know_comes_after_what_it_knew(station):
    known = db.session.scalars(select(CarType)).all()
    first, second = (catalogue.add_car_type(station.id, {"ru": name}) for name in ("Мотоцикл", "Трактор"))
    last = max(car.position for car in known)

    assert [first.position, second.position] == [last + 1, last + 2]
    assert len({car.code for car in (*known, first, second)}) == len(known) + 2


@pytest.mark.parametrize("currency", ["UAH", *catalogue.PERCENT_OF_HRYVNIA])
def test_the_starter_set_has_prices_as_they_are_written(app, currency):
    station = factories.station(currency=currency)
    for row in load_matrix(station).rows:
        catalogue.drop_service(station.id, row.service.id)

    catalogue.add_starter_set(station.id)

    prices = [price // 100 for each in offered_services(station) for _, price in each.on.values()]
    assert prices and all(price % 10 == 0 for price in prices if price >= 100)
    assert all(price % 5 == 0 for price in prices if 20 <= price < 100)
    assert min(prices) > 0 and len(set(prices)) > 5


def test_the_starter_set_is_for_a_station_that_has_nothing(manager, station, id):
    catalogue.add_starter_set(station.id)
    assert len(load_matrix(station).rows) == 3, "this one has its services"
    for row in load_matrix(station).rows:
        catalogue.drop_service(station.id, row.service.id)
    assert "Взять обычный набор" in manager.get(TABLE).text

    for _ in range(2):
        manager.post(f"{TABLE}/starter")

    matrix = load_matrix(station)
    assert [row.service.names["ru"] for row in matrix.rows][:2] == ["Сезонная переобувка", "Замена колёс в сборе"]
    assert matrix.rows[0].service.id == id[0], "what the network knows is not made twice"
    assert len(offered_services(station)) == len(matrix.rows) == 4


def test_nobody_changes_what_the_page_did_not_show(station, id):
    with pytest.raises(ServicesChanged):
        save_cells(station.id, {id: (Cell(1, 1), Cell(30, 1))})


def test_nobody_sets_minutes_of_a_service_that_the_station_does_not_have(station, id):
    before = checksum()

    with pytest.raises(UnknownService):
        save_cells(station.id, {(999, id[1]): (None, Cell(30, 100))})
    assert checksum() == before


def test_a_service_given_up_twice_is_given_up_once(station, id):
    for _ in range(2):
        catalogue.drop_service(station.id, id[0])

    dropped = select(AuditEntry).where(AuditEntry.event == "service_dropped")
    assert len(db.session.scalars(dropped).all()) == 1
    assert id[0] not in [each.service.id for each in offered_services(fresh(station))]


def test_a_service_in_a_group_that_exists_joins_it_in_whatever_language_it_is_named(station):
    known = service_list.grouped(station)[0][0].category
    groups = len(catalogue.categories())

    made = catalogue.add_service(station.id, {"ru": "Правка дисков"}, known.names["en"].upper())

    assert (made.category_id, len(catalogue.categories())) == (known.id, groups)


@pytest.mark.parametrize(
    "step",
    [
        lambda point: service_list.rename_group(point, 999, {"ru": "Колёса"}, mine=None),
        lambda point: service_list.move_group(point, 999, up=True),
        lambda point: service_list.move_service(point, 999, up=True),
        lambda point: calculate_booking_duration([], car_type().id, db.session.get_one(ServicePoint, point)),
        lambda point: calculate_booking_duration([999], car_type().id, db.session.get_one(ServicePoint, point)),
    ],
    ids=["group renamed", "group moved", "service moved", "nothing asked for", "service asked for"],
)
def test_what_the_station_does_not_do_is_named(station, step):
    before = checksum()

    with pytest.raises(UnknownService):
        step(station.id)
    assert checksum() == before


def test_a_service_is_renamed_regrouped_and_put_elsewhere(manager, station):
    first, second = (each.id for each in service_list.grouped(station)[0][:2])
    page = manager.get(f"{TABLE}/{first}")
    assert "Место в списке" in page.text

    done = manager.post(f"{TABLE}/{first}", data={"name": "Переобувка зимняя", "category": "Колёса"})
    manager.post(f"{TABLE}/{second}/move", data={"to": "down"})

    assert done.location == TABLE
    table = manager.get(TABLE).text
    assert "Переобувка зимняя" in table and "Колёса" in table
    named = db.session.get_one(Service, first, populate_existing=True)
    assert (named.names["ru"], named.names["en"]) == ("Переобувка зимняя", "Seasonal tyre change")
    order = [[each.id for each in group] for group in service_list.grouped(fresh(station))]
    assert order[0] == [first] and order[1][1] == second, "the group of its own stands where the service stood"


def test_groups_are_renamed_and_change_places_and_customers_see_that_order(manager, station):
    catalogue.add_service(station.id, {"ru": "Правка дисков"}, "Ремонт")
    old, new = (group[0].category_id for group in service_list.grouped(fresh(station)))

    manager.post(f"{TABLE}/groups/{new}/move", data={"to": "up"})
    manager.post(f"{TABLE}/groups/{old}", data={"name": "Шины и колёса"})
    manager.post(f"{TABLE}/groups/{new}/move", data={"to": "up"})

    groups = service_list.grouped(fresh(station))
    assert [group[0].category_id for group in groups] == [new, old]
    assert groups[1][0].category.names["ru"] == "Шины и колёса"
    assert manager.get(f"{TABLE}/groups/{new}").status_code == 200
    assert manager.get(f"{TABLE}/groups/999999").status_code == 404


def test_a_name_that_other_stations_show_is_an_administrators(manager, station, stranger, client):
    shared = service_list.grouped(station)[0][0]
    catalogue.add_service(station.id, {"ru": "Только здесь"})
    before = checksum()

    for address in (f"{TABLE}/{shared.id}", f"{TABLE}/groups/{shared.category_id}"):
        answer = manager.post(address, data={"name": "Другое", "category": ""})
        assert answer.status_code == 403 and "меняет администратор" in answer.text

    assert checksum() == before
    sign_in(client, user("Главная", "boss@example.com", "admin"))
    assert client.post(f"{TABLE}/{shared.id}", data={"name": "Другое"}).status_code == 303


def fresh(station):
    return db.session.get_one(ServicePoint, station.id, populate_existing=True)

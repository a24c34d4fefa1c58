"""Minutes and price of a visit, against an oracle that knows the rules and nothing of the program: 2,000 visits, exact.

A hundred catalogues are drawn and written, twenty visits asked of each; the first that can be is booked as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from tests.factories import ANNA, kyiv
from tirefit.booking.commands import create_booking
from tirefit.booking.durations import calculate_booking_duration, minutes_anywhere, wheel_surcharges
from tirefit.booking.steps import cancel_booking
from tirefit.database import command, db
from tirefit.errors import UnknownService
from tirefit.models import (
    Booking,
    CarType,
    Service,
    ServiceDuration,
    ServicePoint,
    ServicePointService,
    ServicePrice,
    WheelSurcharge,
)
from tirefit.schedule.reservations import new_token

CATALOGUES, VISITS = {"sqlite": 100, "postgresql": 20}, 20  # the arithmetic is Python's; what differs is reading
SERVICES, CARS = range(3), range(2)
WORKDAY = 9 * 60  # minutes: a longer visit cannot be booked in one day

minutes = st.integers(5, 480)
pairs = st.sampled_from([(service, car) for service in SERVICES for car in CARS])
visits = st.tuples(
    st.lists(st.sampled_from(SERVICES), min_size=1, max_size=6),  # the same one may come twice
    st.sampled_from(CARS),
    st.none() | st.integers(8, 40),
)


@dataclass(frozen=True)
class Catalogue:
    """What a station does: services and cars by their places in the lists, prices in kopecks."""

    base: tuple[int, ...]
    factors: tuple[int, ...]  # percent
    exact: Mapping[tuple[int, int], int]
    prices: Mapping[tuple[int, int], int]
    wheels: Mapping[int, int]  # from this size on → minutes more


catalogues = st.builds(
    Catalogue,
    base=st.tuples(minutes, minutes, minutes),
    factors=st.tuples(st.integers(10, 1000), st.integers(10, 1000)),
    exact=st.dictionaries(pairs, minutes),
    prices=st.dictionaries(pairs, st.integers(0, 10_000_00), min_size=3),
    wheels=st.dictionaries(st.integers(8, 40), st.integers(0, 240), max_size=4),
)


def test_minutes_and_price_are_right_to_the_minute_and_the_kopeck(station, database):
    @settings(
        max_examples=CATALOGUES[database],
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # making a failure smaller would write thousands of catalogues
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(catalogue=catalogues, asked=st.lists(visits, min_size=VISITS, max_size=VISITS))
    def ask(catalogue, asked):
        compare(station, catalogue, asked)

    ask()


def compare(station, catalogue, asked):
    services, cars = write(station.id, catalogue)
    assert wheel_surcharges(station) == dict(sorted(catalogue.wheels.items()))
    bookable = None
    for visit in asked:
        chosen, car, inches = visit
        question = [services[each] for each in chosen], cars[car], station, inches
        told = expected(catalogue, *visit)
        if told is None:
            with pytest.raises(UnknownService):
                calculate_booking_duration(*question)
            continue
        lines, wheel_minutes, total_minutes, total_price = told
        found = calculate_booking_duration(*question)
        assert [(services.index(each.service_id), each.minutes, each.price) for each in found.lines] == lines
        assert (found.wheel_inches, found.wheel_minutes) == (inches, wheel_minutes)
        assert (found.total_minutes, found.total_price, found.currency) == (total_minutes, total_price, "UAH")
        if bookable is None and total_minutes <= WORKDAY:
            bookable = visit, told
    if bookable is not None:
        what_was_agreed_stays(station, catalogue, services, cars, *bookable)


def expected(catalogue, chosen, car, inches):
    """Lines (service, minutes, price), minutes for the wheels, and the sums; None where the station does not do it."""
    once = [each for n, each in enumerate(chosen) if each not in chosen[:n]]
    if any((each, car) not in catalogue.prices for each in once):
        return None
    lines = []
    for each in once:
        took = catalogue.exact.get((each, car))
        if took is None:
            took = 0
            while took * 100 < catalogue.base[each] * catalogue.factors[car]:  # up to the next five
                took += 5
        lines.append((each, took, catalogue.prices[each, car]))
    more = 0
    for size in sorted(catalogue.wheels):
        if inches is not None and inches >= size:
            more = catalogue.wheels[size]
    return lines, more, sum(took for _, took, _ in lines) + more, sum(price for _, _, price in lines)


def what_was_agreed_stays(station, catalogue, services, cars, visit, told):
    """A booking keeps its minutes and prices, whatever the catalogue becomes afterwards."""
    (chosen, car, inches), (lines, wheel_minutes, total_minutes, total_price) = visit, told
    made = create_booking(
        station.id,
        [services[each] for each in chosen],
        cars[car],
        ANNA,
        token=new_token(),
        starts_at=kyiv("2026-11-03 09:00"),
        wheel_inches=inches,
    )
    write(station.id, Catalogue((5, 5, 5), (10, 10), {}, dict.fromkeys(catalogue.prices, 1), {8: 240}))
    db.session.rollback()
    kept = db.session.get_one(Booking, made.id, populate_existing=True)
    assert [(services.index(each.service_id), each.minutes, each.price) for each in kept.lines] == lines
    assert (kept.wheel_inches, kept.wheel_minutes) == (inches, wheel_minutes)
    assert (kept.total_duration, kept.total_price, kept.currency) == (total_minutes, total_price, "UAH")
    assert kept.ends_at - kept.starts_at >= timedelta(minutes=total_minutes)
    cancel_booking(made.id, actor="user")


@command
def write(point_id: int, catalogue: Catalogue) -> tuple[list[int], list[int]]:
    """Make the station's catalogue this one; → ids of its services and cars, as the catalogue counts them."""
    services = list(db.session.scalars(select(Service.id).order_by(Service.id)))
    cars = list(db.session.scalars(select(CarType.id).order_by(CarType.position)))
    for model in (ServiceDuration, ServicePrice, WheelSurcharge):
        db.session.execute(delete(model))
    for id, base in zip(services, catalogue.base, strict=True):
        db.session.execute(update(Service).where(Service.id == id).values(base_duration=base))
    for id, factor in zip(cars, catalogue.factors, strict=True):
        db.session.execute(update(CarType).where(CarType.id == id).values(duration_factor=factor))
    db.session.add_all(
        ServiceDuration(service_id=services[each], car_type_id=cars[car], minutes=took)
        for (each, car), took in catalogue.exact.items()
    )
    db.session.add_all(
        ServicePrice(service_point_id=point_id, service_id=services[each], car_type_id=cars[car], amount=price)
        for (each, car), price in catalogue.prices.items()
    )
    db.session.add_all(
        WheelSurcharge(service_point_id=point_id, from_inches=size, minutes=more)
        for size, more in catalogue.wheels.items()
    )
    point = db.session.get_one(ServicePoint, point_id)
    assert point.currency == "UAH"
    return services, cars


def test_a_visit_has_one_service_to_twenty_with_a_station_and_without(station):
    car, ids = offer_many(station.id, 21)

    def ask(wanted):
        return (
            sum(line.minutes for line in minutes_anywhere(wanted, car)),
            calculate_booking_duration(wanted, car, station).total_minutes,
        )

    assert ask(ids[:20]) == (200, 200)
    assert ask([*ids[:20], ids[0]]) == (200, 200)  # named twice, it counts once
    for wanted in ([], ids):
        with pytest.raises(UnknownService):
            minutes_anywhere(wanted, car)
        with pytest.raises(UnknownService):
            calculate_booking_duration(wanted, car, station)


@command
def offer_many(point_id: int, count: int) -> tuple[int, list[int]]:
    """So many services of ten minutes at a station, for its first type of car."""
    car = db.session.scalars(select(CarType).order_by(CarType.position)).first()
    like = db.session.scalars(select(Service)).first()
    made = [Service(names={"ru": f"Работа {n}"}, base_duration=10, category_id=like.category_id) for n in range(count)]
    db.session.add_all(made)
    db.session.flush()
    for n, service in enumerate(made):
        here = {"service_point_id": point_id, "service_id": service.id}
        db.session.add(ServicePointService(**here, position=100 + n))
        db.session.add(ServicePrice(**here, car_type_id=car.id, amount=100))
    return car.id, [service.id for service in made]

"""An old system, made up: its tables, small by hand or large by dice, in a database or as CSV files."""

import csv
import random
from datetime import date, timedelta
from pathlib import Path

from sqlalchemy import Column, MetaData, Table, Text, insert

from tests.history import engine_on
from tirefit.database import WRITE

Rows = dict[str, list[dict[str, object]]]

SMALL: Rows = {
    "car_types": [{"id": 1, "name": "Легковая"}, {"id": 2, "name": "Внедорожник"}],
    "services": [{"id": 1, "name": "Переобувка", "default_duration": 40}, {"id": 2, "name": "Прокол"}],
    "service_points": [
        {"id": 1, "name": "Зимняя, 5", "city": "Киев", "phone": "+380442000505", "post_count": 3,
         "default_slot_duration": 30, "is_active": True},
        {"id": 2, "name": "Летняя, 7", "post_count": 0, "default_slot_duration": None, "is_active": True},
    ],
    "service_posts": [
        {"id": 7, "service_point_id": 2, "post_number": 1, "name": "Левый", "slot_duration": 45, "is_active": True,
         "working_days": '{"monday": true, "tuesday": true}', "custom_hours": '{"start": "10:00", "end": "16:00"}'},
        {"id": 8, "service_point_id": 2, "post_number": 1, "name": "Двойник", "slot_duration": 45},
    ],
    "schedule_templates": [
        {"id": 1, "service_point_id": 1, "weekday": "monday", "opening_time": "08:00", "closing_time": "20:00"},
        {"id": 2, "service_point_id": 1, "weekday": 2, "opening_time": "2000-01-01 09:00:00", "closing_time": "19:00"},
        {"id": 3, "service_point_id": 1, "weekday": "sunday", "is_working_day": False},
    ],
    "schedule_exceptions": [{"id": 1, "service_point_id": 1, "exception_date": "2026-11-09", "is_closed": "true"}],
    "service_point_services": [
        {"id": 1, "service_point_id": 1, "service_id": 1, "price": "1 200,50"},
        {"id": 2, "service_point_id": 1, "service_id": 2, "price": None},
    ],
    "clients": [
        {"id": 1, "first_name": "Анна", "last_name": "Мельник", "phone": "067 123 45 67", "email": "anna@example.com"},
        {"id": 2, "first_name": "Борис", "last_name": None, "phone": "звонить вечером", "email": "нет"},
    ],
    "bookings": [
        {"id": 1, "service_point_id": 1, "client_id": 1, "car_type_id": 1, "booking_date": "2026-11-03",
         "start_time": "10:00", "end_time": "11:00", "status": "confirmed", "post_number": 2, "total_price": "1200.5"},
        {"id": 2, "service_point_id": 1, "client_id": 2, "car_type_id": 2, "booking_date": "03.11.2026",
         "start_time": "10:30:00", "end_time": None, "status": "confirmed", "post_number": 2},  # a clash
        {"id": 3, "service_point_id": 1, "client_id": 1, "car_type_id": 1, "booking_date": "2026-11-03",
         "start_time": "10:30", "status": "pending"},  # any post, as long as its work
        {"id": 4, "service_point_id": 1, "client_id": 1, "car_type_id": 1, "booking_date": "2026-10-01",
         "start_time": "10:00", "end_time": "10:40", "status": "confirmed"},  # nobody closed it
        {"id": 5, "service_point_id": 1, "client_id": 1, "car_type_id": 1, "booking_date": "2026-11-04",
         "start_time": "10:00", "end_time": "10:40", "status": "canceled_by_client", "license_plate": "АА 1234 ВС"},
        {"id": 6, "service_point_id": 1, "client_id": 1, "booking_date": "2026-02-30", "start_time": "10:00"},
        {"id": 7, "service_point_id": 99, "client_id": 1, "booking_date": "2026-11-04", "start_time": "10:00"},
        {"id": 8, "service_point_id": 1, "client_id": 1, "booking_date": "2026-11-04", "start_time": "9:00",
         "status": "странно"},
    ],
    "booking_services": [{"booking_id": 1, "service_id": 1}, {"booking_id": 3, "service_id": 1}],
}  # fmt: skip


def in_database(url: str, rows: Rows) -> str:
    """Write it into an empty database, every column as text, as exports and dumps of it had them."""
    tables = MetaData()
    with engine_on(url, execution_options=WRITE) as engine, engine.begin() as connection:
        for name, found in rows.items():
            columns = list(dict.fromkeys(column for row in found for column in row))
            table = Table(name, tables, *(Column(column, Text) for column in columns))
            table.create(connection)
            whole = [{c: None if row.get(c) is None else str(row[c]) for c in columns} for row in found]
            for start in range(0, len(whole), 5000):
                connection.execute(insert(table), whole[start : start + 5000])
    return url


def in_folder(folder: Path, rows: Rows, encoding: str = "utf-8", separator: str = ",") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, found in rows.items():
        columns = list(dict.fromkeys(column for row in found for column in row))
        with (folder / f"{name}.csv").open("w", encoding=encoding, errors="replace", newline="") as file:
            writer = csv.DictWriter(file, columns, delimiter=separator)
            writer.writeheader()
            writer.writerows(found)
    return str(folder)


def large(stations: int, bookings: int) -> Rows:
    """Believable and crowded: some of the bookings ahead want a time that somebody has."""
    dice = random.Random(2026)
    first = date(2026, 10, 1)
    return {
        "car_types": SMALL["car_types"],
        "services": SMALL["services"],
        "service_points": [
            {"id": n, "name": f"Станция {n % 50}", "post_count": dice.randint(0, 6), "default_slot_duration": 30}
            for n in range(1, stations + 1)
        ],
        "service_point_services": [
            {"id": n, "service_point_id": n, "service_id": 1, "price": "900"} for n in range(1, stations + 1)
        ],
        "clients": [
            {"id": n, "first_name": "Олег", "phone": f"+38067{dice.randint(0, 9_999_999):07}"} for n in range(1, 500)
        ],
        "bookings": [
            {
                "id": n,
                "service_point_id": dice.randint(1, stations),
                "client_id": dice.randint(1, 499),
                "car_type_id": dice.randint(1, 2),
                "booking_date": first + timedelta(days=dice.choice([dice.randint(0, 60), dice.randint(33, 34)])),
                "start_time": f"{dice.randint(9, 17):02}:{dice.choice(['00', '30'])}",
                "end_time": None,
                "status": dice.choice(["confirmed", "confirmed", "pending", "completed", "canceled_by_client"]),
                "total_price": dice.choice(["900", "1200.50", None]),
            }
            for n in range(1, bookings + 1)
        ],
    }

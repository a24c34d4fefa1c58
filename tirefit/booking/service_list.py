"""The list of a station's services: what they and their groups are called, and in which order they stand.

Names are the network's, so only who may change all stations that use one may change it; the order is the station's own.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Select, select

from tirefit import audit
from tirefit.booking.catalogue import category_named, name_of, station_services
from tirefit.database import command, db
from tirefit.errors import NotYours, UnknownService
from tirefit.models import Service, ServicePoint, ServicePointService
from tirefit.models.services import Names
from tirefit.schedule.slots import lock_station


def of_station(point: ServicePoint, service_id: int) -> Service | None:
    """A service that the station does."""
    return next((each for each in station_services(point) if each.id == service_id), None)


def grouped(point: ServicePoint) -> list[list[Service]]:
    """The station's services as its table shows them: by group, in the order in which it first names one of each."""
    groups: dict[int | None, list[Service]] = {}
    for service in station_services(point):
        groups.setdefault(service.category_id, []).append(service)
    return list(groups.values())


@command
def change_service(
    point_id: int,
    service_id: int,
    names: Names,
    group: str,
    *,
    mine: Collection[int] | None,
    user_id: int | None = None,
) -> None:
    """Call a service otherwise (in the languages that `names` has), and put it into a group; "": into none.

    `mine`: the stations that whoever does this may change; None: all. Raises UnknownService, and NotYours when others
    do the service too.
    """
    service = _locked(point_id, service_id)
    users = select(ServicePointService.service_point_id).where(ServicePointService.service_id == service_id)
    _require_mine(users, mine)
    before = {"name": name_of(service.names), "category": _group_of(service)}
    service.names = {**service.names, **names}
    service.category = category_named(group, names) if group else None
    after = {"name": name_of(service.names), "category": _group_of(service)}
    _record("service_renamed", service, point_id, user_id, before, after)


@command
def rename_group(
    point_id: int, category_id: int, names: Names, *, mine: Collection[int] | None, user_id: int | None = None
) -> None:
    """Call a group of services otherwise. Raises UnknownService, and NotYours when other stations use it too."""
    point = lock_station(point_id)
    service = next((each for each in station_services(point) if each.category_id == category_id), None)
    if service is None or service.category is None:
        raise UnknownService()
    users = (
        select(ServicePointService.service_point_id)
        .join(Service, Service.id == ServicePointService.service_id)
        .where(Service.category_id == category_id)
    )
    _require_mine(users, mine)
    before = {"category": name_of(service.category.names)}
    service.category.names = {**service.category.names, **names}
    _record("service_renamed", service, point_id, user_id, before, {"category": name_of(service.category.names)})


@command
def move_service(point_id: int, service_id: int, *, up: bool, user_id: int | None = None) -> None:
    """Let a service change places with its neighbour; the first of its group cannot go up. Raises UnknownService."""
    service = _locked(point_id, service_id)
    groups = grouped(db.session.get_one(ServicePoint, point_id))
    group = next(each for each in groups if service in each)
    if _swap(group, group.index(service), up):
        _write_order(point_id, groups)
        _record("services_ordered", service, point_id, user_id, None, None)


@command
def move_group(point_id: int, category_id: int, *, up: bool, user_id: int | None = None) -> None:
    """Let a whole group change places with the next one. Raises UnknownService."""
    groups = grouped(lock_station(point_id))
    index = next((n for n, each in enumerate(groups) if each[0].category_id == category_id), None)
    if index is None:
        raise UnknownService()
    first = groups[index][0]
    if _swap(groups, index, up):
        _write_order(point_id, groups)
        _record("services_ordered", first, point_id, user_id, None, None)


def _swap(things: list[Any], index: int, up: bool) -> bool:
    other = index + (-1 if up else 1)
    if not 0 <= other < len(things):
        return False
    things[index], things[other] = things[other], things[index]
    return True


def _write_order(point_id: int, groups: list[list[Service]]) -> None:
    ids = [service.id for group in groups for service in group]
    rows = select(ServicePointService).where(ServicePointService.service_point_id == point_id)
    for row in db.session.scalars(rows):
        row.position = ids.index(row.service_id) if row.service_id in ids else len(ids)


def _locked(point_id: int, service_id: int) -> Service:
    found = of_station(lock_station(point_id), service_id)
    if found is None:
        raise UnknownService()
    return found


def _require_mine(users: Select[Any], mine: Collection[int] | None) -> None:
    if mine is not None and not set(db.session.scalars(users)) <= set(mine):
        raise NotYours()


def _group_of(service: Service) -> str:
    return name_of(service.category.names) if service.category else ""


def _record(event: str, service: Service, point_id: int, user_id: int | None, before: Any, after: Any) -> None:
    label = name_of(service.names)
    audit.record(
        event, "service", service.id, label=label, point_id=point_id, user_id=user_id, before=before, after=after
    )

"""What a change of the schedule is about, as plain data: a post, a template, the exceptions of some dates.

`state_of_…` reads a subject as a run keeps it, `put_…` makes the subject like that again. Both are for use inside a
command of schedule.changes, which cuts the offer anew afterwards.
"""

from collections.abc import Collection, Sequence
from datetime import date
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import InstrumentedAttribute

from tirefit.database import db
from tirefit.errors import PostHasBookings, PostNumberTaken, SlotDurationOutOfRange, UnknownCarType, UnknownService
from tirefit.models import (
    CarType,
    ExceptionWindow,
    PostCarType,
    PostService,
    ScheduleException,
    ScheduleTemplate,
    ScheduleWindow,
    Service,
    ServicePost,
)
from tirefit.schedule.slots import LONGEST, SHORTEST, reserved_ahead

State = dict[str, Any] | None  # of a subject, as JSON keeps it; None: it is not there


def state_of_post(post: ServicePost) -> dict[str, Any]:
    """`next_slot_duration` and `next_from` stand in it only where there are any."""
    state = {
        "post_number": post.post_number,
        "slot_duration": post.slot_duration,
        "name": post.name,
        "description": post.description,
        "active": post.active,
        "largest_wheel": post.largest_wheel,
        "car_type_ids": sorted(row.car_type_id for row in post.car_types),
        "service_ids": sorted(row.service_id for row in post.services),
    }
    if post.next_from is not None:
        state |= {"next_slot_duration": post.next_slot_duration, "next_from": post.next_from.isoformat()}
    return state


def as_of(state: State, day: date) -> State:
    """A post's state when that day has come: what was to begin by then has begun."""
    if state is None or "next_from" not in state or day < date.fromisoformat(state["next_from"]):
        return state
    begun = {name: value for name, value in state.items() if name not in ("next_from", "next_slot_duration")}
    return begun | {"slot_duration": state["next_slot_duration"]}


def put_post(post: ServicePost, state: dict[str, Any]) -> None:
    require_length(state["slot_duration"])
    require_length(state.get("next_slot_duration") or SHORTEST)
    require_known(state["car_type_ids"], state["service_ids"])
    if state["post_number"] != post.post_number:
        require_free_number(post.service_point_id, state["post_number"])
    if post.active and not state["active"] and (ahead := reserved_ahead(post)):
        raise PostHasBookings(post_number=post.post_number, reserved=ahead)
    for name in ("post_number", "slot_duration", "name", "description", "active", "largest_wheel"):
        setattr(post, name, state[name])
    next_from = state.get("next_from")
    post.next_slot_duration = state.get("next_slot_duration")
    post.next_from = next_from and date.fromisoformat(next_from)
    post.car_types = [
        next((row for row in post.car_types if row.car_type_id == id), None) or PostCarType(car_type_id=id)
        for id in state["car_type_ids"]
    ]
    post.services = [
        next((row for row in post.services if row.service_id == id), None) or PostService(service_id=id)
        for id in state["service_ids"]
    ]
    db.session.flush()


def state_of_template(template_id: int) -> State:
    template = db.session.get(ScheduleTemplate, template_id, populate_existing=True)
    if template is None:
        return None
    return {
        "name": template.name,
        "post_id": template.service_post_id,
        "valid_from": template.valid_from and template.valid_from.isoformat(),
        "valid_until": template.valid_until and template.valid_until.isoformat(),
        "priority": template.priority,
        "windows": sorted([window.weekday, window.opens, window.closes] for window in template.windows),
    }


def put_template(point_id: int, template_id: int, state: State) -> None:
    template = db.session.get(ScheduleTemplate, template_id)
    if state is None:
        if template is not None:
            db.session.delete(template)
        return
    if template is None:
        template = ScheduleTemplate(id=template_id, service_point_id=point_id)
        db.session.add(template)
    template.windows = []
    template.name, template.priority, template.service_post_id = state["name"], state["priority"], state["post_id"]
    template.valid_from = state["valid_from"] and date.fromisoformat(state["valid_from"])
    template.valid_until = state["valid_until"] and date.fromisoformat(state["valid_until"])
    db.session.flush()  # the old windows go before the new ones come: (weekday, opens) is unique
    template.windows = [
        ScheduleWindow(weekday=day, opens=opens, closes=closes) for day, opens, closes in state["windows"]
    ]
    db.session.flush()


def state_of_exceptions(point_id: int, post_id: int | None, days: Sequence[str]) -> dict[str, Any]:
    found = {
        row.day.isoformat(): row
        for row in db.session.scalars(
            select(ScheduleException)
            .where(
                ScheduleException.service_point_id == point_id,
                ScheduleException.service_post_id == post_id,
                ScheduleException.day.in_([date.fromisoformat(day) for day in days]),
            )
            .execution_options(populate_existing=True)
        )
    }
    return {
        day: {"reason": found[day].reason, "windows": sorted([w.opens, w.closes] for w in found[day].windows)}
        if day in found
        else None
        for day in days
    }


def put_exceptions(point_id: int, post_id: int | None, states: dict[str, Any]) -> None:
    db.session.execute(
        delete(ScheduleException).where(
            ScheduleException.service_point_id == point_id,
            ScheduleException.service_post_id == post_id,
            ScheduleException.day.in_([date.fromisoformat(day) for day in states]),
        )
    )
    for day, state in states.items():
        if state is not None:
            db.session.add(
                ScheduleException(
                    service_point_id=point_id,
                    service_post_id=post_id,
                    day=date.fromisoformat(day),
                    reason=state["reason"],
                    windows=[ExceptionWindow(opens=opens, closes=closes) for opens, closes in state["windows"]],
                )
            )
    db.session.flush()


def require_length(minutes: int) -> None:
    if not SHORTEST <= minutes <= LONGEST:
        raise SlotDurationOutOfRange(shortest=SHORTEST, longest=LONGEST)


def require_free_number(point_id: int, post_number: int) -> None:
    taken = select(ServicePost).where(ServicePost.service_point_id == point_id, ServicePost.post_number == post_number)
    if (other := db.session.scalar(taken)) is not None:
        raise PostNumberTaken(post_number=post_number, name=other.name)


def require_known(car_type_ids: Collection[int], service_ids: Collection[int]) -> None:
    """What a post is to be able to take must exist. Raises UnknownCarType, UnknownService."""
    if not _all_exist(CarType.id, car_type_ids):
        raise UnknownCarType(field="car_type_ids")
    if not _all_exist(Service.id, service_ids):
        raise UnknownService(field="service_ids")


def _all_exist(column: InstrumentedAttribute[int], ids: Collection[int]) -> bool:
    if not ids:
        return True
    return db.session.scalar(select(func.count(column)).where(column.in_(set(ids)))) == len(set(ids))

"""The list of pages, taken from the routes: a new one is in it by itself, or says here why it is no page."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from typing import Any

from flask import Flask, url_for
from sqlalchemy import select
from werkzeug.routing import Rule

from tirefit import clock, founding, people
from tirefit.booking.links import renew_link
from tirefit.database import command, db
from tirefit.models import Booking, PersonLink, ScheduleTemplate, Service, ServicePoint, User
from tirefit.schedule.availability import nearest
from tirefit.schedule.reservations import hash_of, new_token, reserve_slot_temporarily
from tirefit.schedule.windows import local_day
from tirefit.web import policy
from tirefit.web.settings import SECTIONS

FILE, PART, FRAMED, DEMO = "a file", "a part of a page", "a letter in a frame", "there is none but in a demo"
NOBODY_YET = "while nobody has an account"
NO_PAGES = {
    "bay.now": PART,
    "board.grid": PART,
    "public.strip": PART,
    "dev.html": FRAMED,
    "dev.letter": DEMO,
    "dev.letters": DEMO,
    "letters.preview_html": FRAMED,
    "dev.calendar": FILE,
    "desk.as_csv": FILE,
    "desk.as_xlsx": FILE,
    "feed.show": FILE,
    "health.live": FILE,
    "health.ready": FILE,
    "journal.table": FILE,
    "metrics.show": FILE,
    "reports.table": FILE,
    "second_step.picture": FILE,
    "setup.code": FILE,
    "static": FILE,
    "ticket.calendar_file": FILE,
    "ticket.calendar_link": FILE,
    "ticket.data": FILE,
    "setup.first": NOBODY_YET,
}
FOR_CUSTOMERS = {policy.anybody, policy.whoever_has_the_link, policy.whoever_has_the_key}


@dataclass(frozen=True)
class Things:
    """What stands in addresses: parts by their names (a list: all of them), secrets by the page that they open."""

    parts: dict[str, Any]
    of_nothing: dict[str, Any]  # the parts that a station has which has nothing else yet
    links: dict[str, str]


def things_of_the_demo() -> Things:
    big = db.session.scalars(select(ServicePoint).where(ServicePoint.slug == "levoberezhnaya")).one()
    admin = db.session.scalars(select(User).where(User.email == "admin@tirefit.example")).one()
    to_come = select(Booking).where(
        Booking.service_point_id == big.id, Booking.status == "confirmed", Booking.starts_at > clock.now()
    )
    booking = db.session.scalars(to_come.order_by(Booking.starts_at.desc())).first()
    assert booking is not None
    week = select(ScheduleTemplate.id).where(ScheduleTemplate.service_point_id == big.id)
    place = founding.Place("Пустая", "Киев", "", "+380440000000", "Europe/Kyiv")
    empty = founding.found_another(place, "ru", user_id=admin.id)
    today = local_day(big.time_zone, clock.now())
    ticket = renew_link(booking.id)
    return Things(
        parts={
            "slug": big.slug,
            "s": big.slug,
            "number": booking.number,
            "post_id": big.posts[1].id,
            "post_number": big.posts[1].post_number,
            "service_id": (service := db.session.get_one(Service, booking.lines[0].service_id)).id,
            "category_id": service.category_id,
            "template_id": db.session.scalars(week).one(),
            "day": today,
            "section": list(SECTIONS),
        },
        of_nothing={"slug": empty.slug, "s": empty.slug, "day": today},
        links={
            "account.invitation": people.invite("new@example.com", "staff", big.id, by=admin.id),
            "public.contacts": a_hold_at(big),
            "forgotten.reset": a_link_to_a_new_password(admin),
            "ticket.open_link": ticket,
            "ticket.reminders": ticket,
        },
    )


def addresses(app: Flask, things: Things, *, for_customers: bool) -> Iterator[tuple[str, str]]:
    """(name, address) of each page that customers open, or else of each that the people of the stations open."""
    with app.test_request_context():
        for rule in app.url_map.iter_rules():
            is_for_customers = policy.policy_of(rule.endpoint) in FOR_CUSTOMERS
            if not is_page(rule) or is_for_customers != for_customers:
                continue
            for parts in choices(rule, things.parts | {"token": things.links.get(rule.endpoint)}):
                yield f"{rule.endpoint} {parts.get('section', '')}", address_of(rule, parts)
            if rule.arguments <= set(things.of_nothing) and {*rule.arguments, *needs_station(rule)}:
                for parts in choices(rule, things.of_nothing):
                    yield f"{rule.endpoint} {parts.get('section', '')} of an empty station", address_of(rule, parts)


def is_page(rule: Rule) -> bool:
    is_for_programs = rule.endpoint.startswith("api_") and rule.endpoint != "api_docs.show"
    return "GET" in (rule.methods or ()) and rule.endpoint not in NO_PAGES and not is_for_programs


def choices(rule: Rule, parts: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What stands in this address; a part that nobody has named here fails the test: say what it is."""
    names = [*rule.arguments, *needs_station(rule)]
    many = [parts[name] if isinstance(parts[name], list) else [parts[name]] for name in names]
    return (dict(zip(names, each, strict=True)) for each in product(*many))


def needs_station(rule: Rule) -> set[str]:
    """The station stands in `?s=` where the address itself names nothing of it."""
    return {"s"} if rule.endpoint.startswith(("board", "manage", "tablets")) and not rule.arguments else set()


def address_of(rule: Rule, parts: dict[str, Any]) -> str:
    address = url_for(rule.endpoint, **parts)
    assert isinstance(address, str)
    return address


@command
def a_link_to_a_new_password(user: User) -> str:
    token = new_token()
    until = clock.now() + timedelta(hours=1)
    db.session.add(PersonLink(token_hash=hash_of(token), user_id=user.id, expires_at=until))
    return token


def a_hold_at(point: ServicePoint) -> str:
    soonest = nearest(point, 40)
    assert soonest is not None
    wanted = {"service_ids": [1], "car_type_id": 1}
    return reserve_slot_temporarily(point.id, soonest.starts_at, 40, new_token(), wanted=wanted).token

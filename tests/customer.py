"""What a customer does on the pages, without a browser: the forms as they stand there are filled in and sent."""

from urllib.parse import urlsplit
from xml.etree.ElementTree import Element

from sqlalchemy import func, select

from tests import pages
from tests.factories import BORIS, car_type, kyiv, service
from tirefit.booking.commands import create_booking
from tirefit.database import db
from tirefit.models import ServicePoint
from tirefit.schedule import reservations
from tirefit.schedule.reservations import new_token

CONTACTS = {"name": "Анна", "phone": "067 123-45-67", "email": ""}


def times_url(*names: str, day: str | None = None) -> str:
    chosen = "&".join(f"svc={service(name).id}" for name in names or ("Сезонная переобувка",))
    return "/s/zimnyaya-5?" + (f"d={day}&" if day else "") + f"{chosen}&car={car_type().id}"


def tap(client, time: str):
    """Hold a time of that Monday, as the page's button does it."""
    return client.post("/s/zimnyaya-5/hold", data=hold_form(client.get(times_url()), time))


def post_hold(client, moment: str):
    form = {"svc": service().id, "car": car_type().id, "nonce": new_token(), "at": moment}
    return client.post("/s/zimnyaya-5/hold", data=form)


def hold_form(page, time: str | None = None) -> dict[str, str]:
    form = {each.get("name"): each.get("value") for each in html(page).find(".//form[@method='post']").iter("input")}
    return form | ({"at": f"2026-11-02T{time}+02:00"} if time else {})


def book(client, location: str, **contacts: str) -> str:
    """Send the contacts; → the clean address of the ticket, which the browser now has the key to."""
    page = client.get(location)
    answer = client.post(location.partition("?")[0], data=fields(page) | CONTACTS | contacts)
    assert answer.status_code == 303, answer.text
    return client.get(answer.location).location


def take_all(time: str) -> None:
    """Others come and take every post at that time, for the whole job."""
    point = db.session.scalars(select(ServicePoint)).one()
    while reservations.available_at_time(point, kyiv(time), 40):
        create_booking(point.id, [service().id], car_type().id, BORIS, token=new_token(), starts_at=kyiv(time))


def html(page) -> Element:
    return pages.parsed(page.get_data(as_text=True))[0]


def fields(page) -> dict[str, str]:
    """The fields of the contacts form, as the page would send them."""
    form = html(page).find(".//form[@id='contacts']")
    sent = (each for each in form.iter("input") if each.get("type") != "checkbox" or each.get("checked") is not None)
    return {each.get("name"): each.get("value") or "" for each in sent}


def value(page, name: str) -> str | None:
    return fields(page).get(name)


def action(page, what: str) -> str:
    return next(each.get("formaction") for each in html(page).iter("button") if what in each.get("formaction", ""))


def times(page) -> list[str]:
    return [each.text for each in html(page).iter("button") if each.get("class") == "time"]


def alternatives(page) -> list[str]:
    return [each.get("value") for each in html(page).iter("button") if each.get("class") == "alt"]


def soonest(page) -> str | None:
    return next((each.get("value") for each in html(page).iter("button") if each.get("class") == "nearest"), None)


def checked(page) -> list[tuple[str, str]]:
    return [
        (each.get("name"), each.get("value")) for each in html(page).iter("input") if each.get("checked") is not None
    ]


def token_in(location: str) -> str:
    return urlsplit(location).path.split("/")[2]


def count(model) -> int:
    return db.session.scalar(select(func.count()).select_from(model))

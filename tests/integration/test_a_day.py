"""A whole day at the board, played through: sixty cars, eight screens, and everything that goes wrong on such days.

The clock is moved by hand, so the day takes seconds and is the same each time. A model as simple as a sheet of paper
notes what was acknowledged; in the evening the board must say the same.
"""

import random
import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from tests import factories
from tests.factories import Customer, booking, car_type, kyiv, service, sign_in
from tirefit.booking.at_the_gate import extend_visit
from tirefit.booking.steps import report_late
from tirefit.database import db
from tirefit.models import LIVE, Booking, BookingEvent, Reservation, WaitingVisit
from tirefit.schedule.availability import days
from tirefit.schedule.reservations import new_token

URL = "/board/zimnyaya-5/2026-11-02"
CARS, SCREENS = 60, 8
STEP = timedelta(minutes=5)


@dataclass
class Paper:
    """What the day's people were told has happened: number → state, and how many changes were acknowledged."""

    states: dict[str, str] = field(default_factory=dict)
    changes: Counter[str] = field(default_factory=Counter)


@pytest.fixture
def station(app):
    return factories.station(posts=[30, 40, 30, 60, 45], cancel_cutoff_minutes=0)


@pytest.fixture
def screens(app, station):
    """Two people, four screens each; the pages of the first are looked at."""
    people = [factories.user(name, f"{n}@example.com", "staff", station) for n, name in enumerate(("Иван", "Пётр"))]
    screens = [sign_in(app.test_client(), people[n % 2]) for n in range(SCREENS)]
    for screen in screens[1:]:
        screen.looks = False
    return screens


def tap(screen, paper, number, action, becomes=None, **fields):
    """A button of a booking's panel, as that screen shows it now; noted only when the station says yes."""
    page = screen.get(f"{URL}?b={number}").text
    version = re.search(r'name="version" value="(\d+)"', page)
    sent = {"version": version[1] if version else ""} | fields
    before = state_of(number)
    answer = screen.post(f"/board/zimnyaya-5/bookings/{number}/{action}", data=sent)
    assert answer.status_code in (303, 409), answer.text[:500]
    if answer.status_code == 303 and state_of(number) != before:
        paper.changes[number] += 1
        paper.states[number] = becomes or paper.states[number]
    return answer


def state_of(number):
    db.session.rollback()
    found = db.session.scalars(select(Booking).where(Booking.number == number)).one()
    return found.status, found.version


def body(screen):
    """What a screen shows, without what is its own: who is signed in, and the tokens of its forms."""
    page = screen.get(URL, query_string={"view": "list"}).text
    main = page[page.index("<main") : page.index("</main>")]
    return re.sub(r'name="(csrf_token|nonce)" value="[^"]*"', "", main)


def fill_the_day(station, dice, paper):
    """Fifty cars booked before; the others come without."""
    for n in range(CARS - 10):
        free = days(station, kyiv("09:00").date(), 1, 30)[0].times
        customer = Customer(f"Клиент {n}", f"+38067{n:07}", None)
        made = booking(station, dice.choice(free).starts_at, customer, services=["Балансировка"])
        paper.states[made.number] = "confirmed"
        paper.changes[made.number] = 1


def test_a_day_of_sixty_cars_ends_with_a_true_board(station, screens, at):
    dice, paper = random.Random(20261102), Paper()
    fill_the_day(station, dice, paper)
    now, walked_in, waited = kyiv("09:00"), 0, 0
    down = False
    while now < kyiv("18:30"):
        at(now)
        db.session.rollback()
        for made in db.session.scalars(select(Booking).order_by(Booking.starts_at, Booking.id)).all():
            walk_on(made, now, dice, dice.choice(screens), paper)
        if walked_in + waited < 10 and now.minute % 20 == 0:
            came, waits = car_at_the_gate(dice.choice(screens), paper)
            walked_in, waited = walked_in + came, waited + waits
        if not down and now >= kyiv("12:00"):
            down = True
            sent = {"post": 3, "from": "12:00", "to": "15:00", "reason": "Ремонт"}
            assert screens[0].post(f"{URL}/blocks", data=sent).status_code == 303
        if now.minute == 30:
            two_move_the_same(screens, paper, dice)
        now += STEP

    at(kyiv("18:31"))
    pages = [body(screen) for screen in screens]
    assert all(page == pages[0] for page in pages)
    in_the_database = dict(db.session.execute(select(Booking.number, Booking.status)).all())
    assert in_the_database == paper.states
    assert len(paper.states) + waiting_still() == CARS
    events = dict(
        db.session.execute(
            select(Booking.number, func.count(BookingEvent.id))
            .join(BookingEvent, BookingEvent.booking_id == Booking.id)
            .group_by(Booking.number)
        ).all()
    )
    assert events == dict(paper.changes)
    assert overlaps() == []
    assert {"completed", "no_show"} <= set(paper.states.values())
    assert walked_in and down
    shown = Counter(re.findall(r'<span class="st st-([a-z]+)', pages[0]))
    assert shown["done"] == sum(state == "completed" for state in paper.states.values())
    assert shown["noshow"] == sum(state == "no_show" for state in paper.states.values())


def walk_on(made, now, dice, screen, paper):
    """What happens to one car in five minutes."""
    due = made.starts_at <= now
    chance = dice.random()
    if made.status == "confirmed" and due and chance < 0.06 and now < made.ends_at and made.late_minutes is None:
        report_late(made.id, 10)
        paper.changes[made.number] += 1
    elif made.status == "confirmed" and now >= made.starts_at + timedelta(minutes=20) and chance < 0.3:
        tap(screen, paper, made.number, "transition", "no_show", event="no_show")
    elif made.status == "confirmed" and due and chance < 0.5:
        tap(screen, paper, made.number, "transition", "arrived", event="arrive")
        if chance < 0.12:  # the wrong car
            tap(screen, paper, made.number, "undo", "confirmed")
    elif made.status == "arrived" and due:
        tap(screen, paper, made.number, "transition", "in_progress", event="start")
    elif made.status == "in_progress" and now >= made.ends_at - STEP:
        if chance < 0.25:
            extend_visit(made.id, 10)
            paper.changes[made.number] += 1
        else:
            tap(screen, paper, made.number, "transition", "completed", event="complete")


def car_at_the_gate(screen, paper):
    """→ (came in, waits)"""
    choice = {"svc": [service("Ремонт прокола").id], "car": car_type().id}
    page = screen.get(URL, query_string={"add": 1} | choice).text
    lit = re.findall(r'name="place" value="(\d+ [^"]+)"', page)
    sent = choice | {"nonce": new_token(), "place": lit[0] if lit else ""}
    known = set(db.session.scalars(select(Booking.number)))
    answers = [screen.post("/board/zimnyaya-5/walk-ins", data=sent) for _ in range(2)]  # gloves tap twice
    assert {answer.status_code for answer in answers} <= {303, 409}
    db.session.rollback()
    new = set(db.session.scalars(select(Booking.number))) - known
    assert len(new) <= 1
    for number in new:
        paper.states[number], paper.changes[number] = "arrived", 1
    return len(new), int(not new)


def two_move_the_same(screens, paper, dice):
    """Two people see the same booking and each takes it elsewhere: the second is told, and nothing is lost."""
    db.session.rollback()
    ahead = db.session.scalars(
        select(Booking).where(Booking.status == "confirmed", Booking.starts_at > kyiv("17:00")).order_by(Booking.id)
    ).all()
    if not ahead:
        return
    made = dice.choice(ahead)
    number, version = made.number, made.version
    page = screens[0].get(f"{URL}?move={number}").text
    lit = re.findall(r'name="place" value="(\d+ [^"]+)"', page)
    if len(lit) < 2:
        return
    answers = []
    for screen, place in zip(screens[:2], dice.sample(lit, 2), strict=True):
        sent = {"version": version, "place": place, "asks": "1"}
        answers.append(screen.post(f"/board/zimnyaya-5/bookings/{number}/move", data=sent))
    assert [answer.status_code for answer in answers] == [303, 409]
    assert "только что изменили" in answers[1].text
    paper.changes[number] += 1


def waiting_still():
    return db.session.scalar(select(func.count()).where(WaitingVisit.left_at.is_(None)))


def overlaps():
    pairs = text(
        "SELECT a.id, b.id FROM reservations a JOIN reservations b ON a.service_post_id = b.service_post_id"
        " AND a.id < b.id AND a.starts_at < b.ends_at AND b.starts_at < a.ends_at"
    )
    found = db.session.execute(pairs).all()
    live = db.session.scalar(select(func.count()).where(Booking.status.in_(LIVE)))
    assert live == db.session.scalar(select(func.count()).where(Reservation.kind == "booking"))
    return found

"""Holds and bookings race changes of the schedule: of a slot's length, of seasons, by two managers, by the nightly job.

Whatever the order: nobody has time that was never offered, nobody loses time they were promised, nobody deadlocks, and
the offer is in the end what the rules and the bookings make of it (tests/model.py). `make trials` has 500 rounds, other
ones each time.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import psycopg
import pytest

from tests import factories, model
from tests.history import app_on
from tests.load import told
from tests.model import Plan, Rules, Span, instant, minute, touches
from tests.races.conftest import TRIALS
from tests.races.players import WITHOUT_THE_SECOND_LOOK, Order, Player, crowd, dismiss, together
from tirefit import clock
from tirefit.schedule import slots
from tirefit.schedule.reservations import new_token

ROUNDS = 500 if TRIALS else 30
SEED = random.SystemRandom().randrange(10**6) if TRIALS else 20261102
ZONE = "Europe/Kyiv"
WORK = {20: "Ремонт прокола", 40: "Сезонная переобувка"}
LENGTHS = [20, 30, 40, 45]
WINDOWS = [(540, 720), (550, 730), (600, 690), (525, 700)]
REFUSALS = {"slot_taken", "slot_not_offered", "time_matches_no_slot", "services_do_not_fit"}

# Every slot that has ever been offered in a round, whoever offered it, and for however short a time.
REMEMBER = """
CREATE TABLE ever_offered (service_post_id int, starts_at timestamptz, ends_at timestamptz);
CREATE FUNCTION remember() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO ever_offered VALUES (NEW.service_post_id, NEW.starts_at, NEW.ends_at); RETURN NULL; END $$;
CREATE TRIGGER remember AFTER INSERT ON schedule_slots FOR EACH ROW EXECUTE FUNCTION remember();
"""
OF_A_ROUND = ("notifications", "booking_links", "booking_events", "booking_services", "bookings", "reservations")

Slots = dict[int, set[Span]]


@pytest.fixture
def race(new_database, tmp_path):
    """`with race() as race:` has the crowd ready; its players may be told to leave something out."""
    url = new_database("postgresql")
    plain = url.replace("+psycopg", "")

    @contextmanager
    def begin(*arguments: str) -> Iterator["Race"]:
        with app_on(url, tmp_path), psycopg.connect(plain, autocommit=True) as database:
            factories.station(posts=(30, 40), horizon_days=2)
            with crowd(url, tmp_path, 5, *arguments) as players:
                yield Race(database, players)

    return begin


def test_nobody_gets_or_loses_time_while_the_schedule_changes(race):
    with race() as race:
        for number in range(1, ROUNDS + 1):
            assert list(race.round()) == [], f"in round {number}: {race.story}"
        race.dismiss()
        told("regeneration", "postgresql", planned=4 * ROUNDS, made=race.asked, seed=SEED, **race.tally)
        assert race.deadlocks() == 0
        assert race.tally["won"] >= ROUNDS  # of three who ask in each round
        assert race.tally["refused"] >= ROUNDS / 4  # they do get into each other's way
        assert race.tally["changed under them"] >= ROUNDS / 20  # and some are just quicker than a change


def test_with_no_look_after_the_insert_somebody_gets_time_that_is_not_offered_any_more(race):
    """The control: the same crowd and the same changes."""
    with race(WITHOUT_THE_SECOND_LOOK) as race:
        assert any("is not offered" in wrong for _ in range(60) for wrong in race.round())


@dataclass(frozen=True)
class Claim:
    post: int
    start: int
    end: int
    kind: str


class Race:
    """One station, three customers and two managers, and what can be seen from outside."""

    def __init__(self, database: psycopg.Connection, players: list[Player]) -> None:
        self.database, self.customers, self.managers = database, players[:3], players[3:]
        self.tally: Counter[str] = Counter()
        self.asked = 0  # orders, of customers and of managers
        self.random = random.Random(SEED)
        ((self.point,),) = self.sql("SELECT id FROM service_points")
        self.car = factories.car_type().id
        self.services = {minutes: factories.service(name).id for minutes, name in WORK.items()}
        database.execute(REMEMBER)
        ((week,),) = self.sql("SELECT id FROM schedule_templates")
        together({self.managers[0]: self.season(None, None, week)})

    def round(self) -> Iterator[str]:
        """→ what must not have happened."""
        self.clean_up()
        before, day = self.slots("schedule_slots"), self.today() + timedelta(days=1)
        starts = sorted({start for cells in before.values() for start, _ in cells if self.day_of(start) == day})
        orders, had = self.customers_orders(starts, model.wall(ZONE, day, 540))
        changes = self.managers_orders(day)
        everybody = list((orders | changes).items())
        self.random.shuffle(everybody)
        answers = together(dict(everybody))
        self.asked += len(answers)
        self.story = [(*order, answers[player]) for player, order in everybody]

        won = {each: answers[each] for each in orders if isinstance(answers[each], int)}
        refused = {each: answers[each]["refused"] for each in orders if each not in won}
        self.tally += Counter(won=len(won), refused=len(refused))
        if strange := [answers[each] for each in changes if isinstance(answers[each], dict)]:
            yield f"a manager was refused: {strange}"
        late = {each for each in orders if orders[each][0] == "confirm late"}
        if strange := {code for each, code in refused.items() if each not in late or code != "hold_expired"} - REFUSALS:
            yield f"customers were refused with {strange}"
        if lost := [each for each in refused if orders[each][0] == "confirm"]:
            yield f"{len(lost)} holds did not become bookings"

        claims, after = self.claims(), self.slots("schedule_slots")
        over = {had[each] for each in late}
        kept = {had[each] for each in refused if each in had} - over
        if not set(won.values()) <= set(claims) or set(claims) - over != (set(won.values()) | kept) - over:
            yield "somebody has lost what they were promised, or has what they do not know of"
            return
        if not model.apart((each.post, each.start, each.end) for each in claims.values()):
            yield "two have the same time"
        seen = {id for each in changes if isinstance(answers[each], list) for id in answers[each]}
        ever = self.slots("ever_offered")
        for id in won.values():
            if not is_made_of(claims[id], after):
                self.tally["changed under them"] += 1
                if not is_made_of(claims[id], ever):
                    yield f"{claims[id]} was never offered"
                elif id not in seen and not any(name.startswith("confirm") for name, _ in orders.values()):
                    yield f"{claims[id]} is not offered, and was not there when the offer was changed"
        yield from self.differences_from_the_plan(after, claims)

    def customers_orders(self, starts: list[int], opens: int) -> tuple[dict[Player, Order], dict[Player, int]]:
        """All want time of the same hour. Some have a hold already, and exchange it or make it a booking."""
        orders: dict[Player, Order] = {}
        had: dict[Player, int] = {}
        hour = self.random.randrange(max(1, len(starts) - 4))
        near = [*starts[hour : hour + 4], opens + 5 * self.random.randrange(30)]
        if starts and not self.random.randrange(5):
            return self.orders_after_a_hold_is_over(near[0])
        for customer in self.customers:
            minutes, tab = self.random.choice([20, 40]), new_token()
            wish, booking = self.wish(self.random.choice(near), minutes, tab)
            what = self.random.choice(["hold", "hold", "book", "exchange", "confirm"])
            if what in ("exchange", "confirm") and starts:
                first, confirmation = self.wish(self.random.choice(starts), minutes, tab)
                held = together({customer: ("hold", first)})[customer]
                if isinstance(held, int):
                    had[customer] = held
                    orders[customer] = ("confirm", confirmation) if what == "confirm" else ("hold", wish)
                    continue
            orders[customer] = ("book", booking) if what == "book" else ("hold", wish)
        return orders, had

    def orders_after_a_hold_is_over(self, start: int) -> tuple[dict[Player, Order], dict[Player, int]]:
        """Its customer comes back, just when the others want the time."""
        late, *others = self.customers
        tokens = {customer: new_token() for customer in self.customers}
        hold, confirmation = self.wish(start, 20, tokens[late])
        had = together({late: ("hold", hold)})[late]
        orders = {customer: ("hold", self.wish(start, 20, tokens[customer])[0]) for customer in others}
        if not isinstance(had, int):
            return orders, {}
        self.database.execute("UPDATE reservations SET expires_at = now() - interval '1 second'")
        return {late: ("confirm late", confirmation), **orders}, {late: had}

    def managers_orders(self, day: date) -> dict[Player, Order]:
        olga, oleg = self.managers
        plans = "SELECT id FROM schedule_templates WHERE valid_from IS NOT NULL ORDER BY id"
        seasons = [id for (id,) in self.sql(plans)]
        one = self.random.choice(seasons or [None])
        new_or_one = one if len(seasons) > 2 else self.random.choice([None, one])
        what = self.random.choice(["length", "season", "both", "two of one season", "drop", "night", "close"])
        if what == "drop" and one:
            return {olga: ("drop", {"template": one})}
        if what == "close":
            return {olga: ("close", {"point": self.point, "day": day.isoformat()})}
        if what == "night":
            self.forget_the_last_day(day)
            return {olga: self.season(day, None, new_or_one), oleg: ("roll", {})}
        if what == "two of one season" and one:
            return {olga: self.season(day, day, one), oleg: self.season(day, None, one)}
        if what == "both":
            return {olga: self.season(day, day, new_or_one), oleg: self.length()}
        return {olga: self.season(day, day, new_or_one) if what == "season" else self.length()}

    def season(self, first: date | None, last: date | None, template: int | None) -> Order:
        window = self.random.choice(WINDOWS)
        dates = {"first": first and first.isoformat(), "last": last and last.isoformat()}
        windows = [(day, *window) for day in range(7)]
        return "season", {"point": self.point, "windows": windows, "template": template, **dates}

    def length(self) -> Order:
        posts = self.sql("SELECT id, post_number, slot_duration FROM service_posts")
        post, number, now = self.random.choice(posts)
        minutes = self.random.choice([each for each in LENGTHS if each != now])
        return "length", {"post": post, "number": number, "minutes": minutes}

    def wish(self, start: int, minutes: int, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The same wish as a hold and as a booking."""
        about = {"point": self.point, "at": instant(start).isoformat(), "token": token}
        return about | {"minutes": minutes}, about | {"services": [self.services[minutes]], "car": self.car}

    def differences_from_the_plan(self, offered: Slots, claims: dict[int, Claim]) -> Iterator[str]:
        rules = Rules(ZONE)
        for id, first, last in self.sql("SELECT id, valid_from, valid_until FROM schedule_templates"):
            rules.plans[id] = Plan([], None, first, last)
        for id, *window in self.sql("SELECT template_id, weekday, opens, closes FROM schedule_windows"):
            rules.plans[id].week.append(tuple(window))
        for (closed,) in self.sql("SELECT day FROM schedule_exceptions"):
            rules.exceptions[None, closed] = []
        ((until,),) = self.sql("SELECT slots_until FROM service_points")
        for post, length in self.sql("SELECT id, slot_duration FROM service_posts"):
            lasting = [(each.start, each.end) for each in claims.values() if each.post == post and each.kind != "hold"]
            plan = set(model.cells(rules.windows(post, self.today(), until), length, lasting))
            there = {cell for cell in offered[post] if not touches(cell, lasting)}
            if there != plan:
                yield f"post {post} offers {sorted(there - plan)} too many, and not {sorted(plan - there)}"

    def dismiss(self) -> None:
        """Everybody goes: a connection tells what it has met with when it ends."""
        dismiss([*self.customers, *self.managers])

    def deadlocks(self) -> int:
        return self.sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0]

    def claims(self) -> dict[int, Claim]:
        rows = self.sql("SELECT id, service_post_id, starts_at, ends_at, kind FROM reservations")
        return {id: Claim(post, minute(start), minute(end), kind) for id, post, start, end, kind in rows}

    def slots(self, table: str) -> Slots:
        found: Slots = {post: set() for (post,) in self.sql("SELECT id FROM service_posts")}
        for post, start, end in self.sql(f"SELECT service_post_id, starts_at, ends_at FROM {table}"):
            found[post].add((minute(start), minute(end)))
        return found

    def clean_up(self) -> None:
        """Nobody has anything, every day is open and cut anew, and what is offered is all that ever was."""
        for table in (*OF_A_ROUND, "schedule_exceptions"):
            self.database.execute(f"DELETE FROM {table}")
        self.database.execute("DELETE FROM schedule_slots")
        slots.generate_slots_from_template(self.point, self.today(), self.today() + timedelta(days=2))
        self.database.execute("DELETE FROM ever_offered")
        self.database.execute("INSERT INTO ever_offered SELECT service_post_id, starts_at, ends_at FROM schedule_slots")

    def forget_the_last_day(self, until: date) -> None:
        """As if the nightly job had not been here yet."""
        self.database.execute("UPDATE service_points SET slots_until = %s", (until,))
        end = instant(model.midnight(ZONE, until + timedelta(days=1)))
        self.database.execute("DELETE FROM schedule_slots WHERE starts_at >= %s", (end,))

    def today(self) -> date:
        return self.day_of(int(clock.now().timestamp()) // 60)

    def day_of(self, minute: int) -> date:
        return model.date_of(ZONE, minute)

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        return self.database.execute(query).fetchall()


def is_made_of(claim: Claim, slots: Slots) -> bool:
    """Do some of these slots, one after the other, make up exactly this time?"""
    reached = {claim.start}
    for start, end in sorted(slots[claim.post]):
        if start in reached and end <= claim.end:
            reached.add(end)
    return claim.end in reached

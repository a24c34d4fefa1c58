"""A crowd of processes, each with a database connection of its own, that do at once what they are told.

    with crowd(url, folder, 3) as (anna, boris, olga):
        answers = together({anna: ("hold", {...}), olga: ("length", {...})})

An answer is what the command gave, or {"refused": code}; anything but a refusal ends the test.
"""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

from tirefit.config import ROOT

Order = tuple[str, dict[str, Any]]

# The engine with the look only before the insert: a change of the offer in between goes unseen.
WITHOUT_THE_SECOND_LOOK = "--without-the-second-look"

# Whoever moves a booking locks the post it is on, and not the one it goes to.
WITH_ONE_POST_LOCKED = "--with-one-post-locked"

# Everybody looks before anybody keeps the others out.
WITHOUT_ORDER = "--without-order"


class Player:
    def __init__(self, url: str, folder: Path, *arguments: str) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("TIREFIT_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", __name__, *arguments],
            cwd=ROOT,
            env=clean | {"TIREFIT_DATABASE_URL": url, "TIREFIT_INSTANCE_PATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, order: Order) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "a player has ended; what went wrong stands above"
        return json.loads(line)


@contextlib.contextmanager
def crowd(url: str, folder: Path, size: int, *arguments: str) -> Iterator[list[Player]]:
    players = [Player(url, folder, *arguments) for _ in range(size)]
    try:
        for player in players:
            assert player.answer() == "ready"
        yield players
    finally:
        dismiss(players)


def dismiss(players: Iterable[Player]) -> None:
    """The orders end, and so do the players."""
    for player in players:
        if player.process.poll() is None:
            player.process.communicate(timeout=30)


def together(orders: Mapping[Player, Order]) -> dict[Player, Any]:
    """Everybody at once; → everybody's answer."""
    for player, order in orders.items():
        player.tell(order)
    return {player: player.answer() for player in orders}


def play() -> None:
    """What a player's process does: one order a line, until there are no more."""
    from sqlalchemy import Engine, event

    from tests import factories
    from tests.races import naive
    from tirefit import create_app
    from tirefit.booking import commands, record
    from tirefit.booking.commands import create_booking, reschedule_booking
    from tirefit.database import db
    from tirefit.errors import Problem
    from tirefit.schedule import changes, reservations, rolling

    if WITHOUT_ORDER in sys.argv:
        naive.let_writers_race()
    if WITHOUT_THE_SECOND_LOOK in sys.argv:
        reservations._is_offered = lambda *span: True
        at_once = reservations._insert

        def insert(values):
            """The danger lasts as long as it takes from the look to the insert: let a change come between."""
            time.sleep(0.05)
            return at_once(values)

        reservations._insert = insert
    if WITH_ONE_POST_LOCKED in sys.argv:
        commands.load_for_change = lambda booking_id, all_posts: record.load_for_change(booking_id)

        @event.listens_for(Engine, "before_cursor_execute")
        def wait_for_the_others(connection, cursor, statement, *rest):
            """The danger lasts some microseconds: everybody writes when the clock ticks."""
            if statement.startswith("UPDATE reservations"):
                tick = time.time() // 0.02 + 2
                while time.time() // 0.02 < tick:
                    pass

    def hold(point, at, minutes, token):
        start = datetime.fromisoformat(at)
        return reservations.reserve_slot_temporarily(point, start, minutes, token).reservation_id

    def book(point, at, services, car, token):
        start = datetime.fromisoformat(at)
        return create_booking(point, services, car, factories.ANNA, token=token, starts_at=start).reservation_id

    def move(booking, by, at, post, begin):
        while time.time() < begin:  # nobody is later than the others by the time that orders take
            pass
        start = datetime.fromisoformat(at)
        return reschedule_booking(booking, actor=by, starts_at=start, post_number=post).reservation_id

    def length(post, number, minutes):
        return seen(
            changes.update_post(post, post_number=number, slot_duration=minutes, name="", description="", active=True)
        )

    def confirm(**wish):
        return book(**wish)

    def season(point, windows, first, last, template):
        first, last = first and date.fromisoformat(first), last and date.fromisoformat(last)
        about = {"name": "Сезон", "template_id": template, "valid_from": first, "valid_until": last}
        return seen(changes.save_template(point, [tuple(window) for window in windows], **about))

    def drop(template):
        return seen(changes.delete_template(template))

    def close(point, day):
        return seen(changes.close_day(point, date.fromisoformat(day)))

    def roll():
        rolling.generate_rolling_schedule()
        return []

    def seen(difference):
        return [each.id for each in difference.reserved]

    known = {each.__name__: each for each in (hold, book, confirm, move, length, season, drop, close, roll)}
    known["confirm late"] = confirm
    with create_app().app_context():
        factories.car_type()  # connected, and everything imported
        db.session.rollback()
        print(json.dumps("ready"), flush=True)
        for line in sys.stdin:
            name, arguments = json.loads(line)
            try:
                answer = known[name](**arguments)
            except Problem as problem:
                answer = {"refused": problem.code}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    play()

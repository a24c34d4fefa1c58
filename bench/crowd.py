"""32 clients who all want one station of the large set: what that costs, and why.

Each client holds a free time and gives it back, again and again: two transactions a round. Through the program, and
through the bare driver with the statements that decide (insert under the guard, delete). The bare rounds are then
repeated with one thing changed at a time; what makes the crowd's loss go away is its cause. PostgreSQL only: SQLite has
one writer, whoever comes.
"""

import multiprocessing
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import psycopg
from flask import Flask, current_app

from bench import stage
from bench.stage import Scale
from tirefit import clock
from tirefit.database import db
from tirefit.errors import Problem
from tirefit.models import OVERLAP_GUARD
from tirefit.schedule.reservations import new_token, release_reservation, reserve_slot_temporarily

PROCESSES, THREADS, REPEATS = 8, 4, 3
Slot = tuple[int, int, Any, Any]  # station, post, start, end

FREE = """
    SELECT s.service_point_id, s.service_post_id, s.starts_at, s.ends_at FROM schedule_slots s
    WHERE s.service_point_id = ANY(%s) AND s.starts_at > now() + interval '1 day' AND NOT EXISTS (
        SELECT 1 FROM reservations r WHERE r.service_post_id = s.service_post_id AND r.starts_at < s.ends_at
        AND r.starts_at > s.starts_at - interval '1 day' AND r.ends_at > s.starts_at)
    ORDER BY s.starts_at"""
INSERT = f"""
    INSERT INTO reservations
        (service_point_id, service_post_id, starts_at, ends_at, kind, token_hash, wanted, expires_at, created_at)
    VALUES (%s, %s, %s, %s, 'hold', %s, '{{}}', %s, %s)
    ON CONFLICT ON CONSTRAINT {OVERLAP_GUARD} DO NOTHING RETURNING id"""
UNGUARDED = INSERT.replace(f"ON CONSTRAINT {OVERLAP_GUARD} ", "")
DELETE = "DELETE FROM reservations WHERE id = %s"
WAITING = """
    SELECT wait_event_type, wait_event FROM pg_stat_activity
    WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid()"""


@dataclass
class Crowd:
    """How a crowd fared in each of its runs: rounds a second, refusals a second; and what sessions waited for."""

    name: str
    rounds: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    waits: Counter[str] = field(default_factory=Counter)

    @property
    def waited_for(self) -> str:
        total = sum(self.waits.values()) or 1
        return ", ".join(f"{what} {count / total:.0%}" for what, count in self.waits.most_common(4))


@dataclass(frozen=True)
class Play:
    """What the clients of a crowd do: through what, at which stations, with which statement."""

    by: Callable[..., None]
    stations: list[int]
    own: bool = False  # each client has times of its own, so that no two ever want the same
    sql: str = INSERT


def measure(scale: Scale, url: str, seconds: float) -> list[Crowd]:
    """The last thing that is done to a database: it takes its constraints away, one by one."""
    conninfo = url.replace("+psycopg", "")
    one, many = [scale.asked[0]], list(range(1, scale.stations + 1))[:: max(1, scale.stations // 100)]
    found: list[Crowd] = []

    def compare(plays: dict[str, Play]) -> None:
        """In turns, so that whatever else the machine does meets all of them."""
        crowds = {name: Crowd(name) for name in plays}
        for _ in range(REPEATS):
            for name, play in plays.items():
                gather(crowds[name], conninfo, play, seconds)
        for crowd in crowds.values():
            stage.say(f"  {crowd.name}: {sorted(map(round, crowd.rounds))} rounds/s; {crowd.waited_for}")
        found.extend(crowds.values())

    compare(
        {
            "the program, many stations": Play(by_the_program, many),
            "the program, one station": Play(by_the_program, one),
            "bare driver, many stations": Play(by_the_driver, many),
            "bare driver, one station": Play(by_the_driver, one),
            "… each client with times of its own": Play(by_the_driver, one, own=True),
        }
    )
    change(conninfo, "ALTER TABLE reservations DROP CONSTRAINT " + foreign_key(conninfo))
    compare(
        {
            "… without the foreign key to the post: many stations": Play(by_the_driver, many),
            "… without the foreign key to the post: one station": Play(by_the_driver, one),
        }
    )
    change(conninfo, f"ALTER TABLE reservations DROP CONSTRAINT {OVERLAP_GUARD}")
    compare(
        {
            "… and without the guard: many stations": Play(by_the_driver, many, sql=UNGUARDED),
            "… and without the guard: one station": Play(by_the_driver, one, sql=UNGUARDED),
        }
    )
    return found


def gather(crowd: Crowd, conninfo: str, play: Play, seconds: float) -> None:
    """Processes that begin together, once each has its connections; and one that looks at what sessions wait for."""
    db.session.remove()
    db.engine.dispose()  # the children inherit the program, but no connection
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(PROCESSES + 1), context.Queue()
    processes = [
        context.Process(target=be_clients, args=(number, ready, results, conninfo, play, seconds))
        for number in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    ready.wait(60)
    with psycopg.connect(conninfo, autocommit=True) as watcher:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.05)
            waiting = watcher.execute(WAITING).fetchall()
            crowd.waits.update(f"{kind} {what}" if kind else "working" for kind, what in waiting)
    won, lost = map(sum, zip(*(results.get(timeout=60) for _ in processes), strict=True))
    for process in processes:
        process.join()
    crowd.rounds.append(won / seconds)
    crowd.refused.append(lost / seconds)


def be_clients(number: int, ready: Any, results: Any, conninfo: str, play: Play, seconds: float) -> None:
    """One process: some threads, each a client with its own connection."""
    with psycopg.connect(conninfo) as connection:
        free: list[Slot] = connection.execute(FREE, (play.stations,)).fetchall()
    counted: list[Counter[bool]] = [Counter() for _ in range(THREADS)]
    started = threading.Barrier(THREADS + 1)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    threads = []
    for n, counter in enumerate(counted):
        client = number * THREADS + n
        times = free[client :: PROCESSES * THREADS] if play.own else free
        arguments = (random.Random(client), times, counter, started, seconds)
        threads.append(
            threading.Thread(target=play.by, args=arguments, kwargs={"app": app, "conninfo": conninfo, "sql": play.sql})
        )
    for thread in threads:
        thread.start()
    ready.wait(60)
    started.wait(60)
    for thread in threads:
        thread.join()
    results.put((sum(counter[True] for counter in counted), sum(counter[False] for counter in counted)))


def by_the_driver(
    chance: random.Random,
    times: list[Slot],
    counter: Counter[bool],
    started: threading.Barrier,
    seconds: float,
    *,
    conninfo: str,
    sql: str,
    app: Flask,
) -> None:
    with psycopg.connect(conninfo, prepare_threshold=None) as connection:
        started.wait(60)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            now, token = clock.now(), new_token()
            values = (*chance.choice(times), token, now + timedelta(minutes=15), now)
            row = connection.execute(sql, values).fetchone()
            connection.commit()
            counter[row is not None] += 1
            if row is not None:
                connection.execute(DELETE, row)
                connection.commit()


def by_the_program(
    chance: random.Random,
    times: list[Slot],
    counter: Counter[bool],
    started: threading.Barrier,
    seconds: float,
    *,
    conninfo: str,
    sql: str,
    app: Flask,
) -> None:
    with app.app_context():
        started.wait(60)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            point_id, _, starts_at, _ = chance.choice(times)
            token = new_token()
            try:
                reserve_slot_temporarily(point_id, starts_at, 20, token)
            except Problem:
                counter[False] += 1
            else:
                counter[True] += 1
                release_reservation(token)
            db.session.remove()


def change(conninfo: str, statement: str) -> None:
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(statement)


def foreign_key(conninfo: str) -> str:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'reservations'::regclass"
        ).fetchone()
    assert row is not None
    return str(row[0])

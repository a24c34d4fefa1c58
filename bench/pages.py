"""`python -m bench.pages`, the second half of `make bench`: what a request costs with the production server.

One worker, one connection: the milliseconds are those of the program, without waiting. Each page stands beside the
empty one of the same server in the same run (/health/live, which asks no database), and is judged by how many of it it
costs; milliseconds tell about a machine. Writes bench/pages.md; exit 1 when a budget is missed. `--short` asks a tenth.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import stage
from bench.served import SLUG, Browser, Served, hidden, serve
from tests.services import Services

RESULTS = Path(__file__).parent / "pages.md"
ROUNDS = 400
# At most so many empty pages' CPU time. Twice what was measured: a change that doubles the cost of a page is seen.
BUDGETS = {
    "picker": 110,
    "month": 110,
    "day JSON": 50,
    "board poll, unchanged": 20,
    "board": 80,
    "hold": 70,
    "book": 90,
}
Ask = Callable[[int], float]


@dataclass(frozen=True)
class Cost:
    """Of one page: requests a second, CPU ms of a request, p50 and p95 in ms, and the CPU of so many empty pages."""

    a_second: float
    cpu: float
    p50: float
    p95: float
    times_empty: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--short", action="store_true")
    asked = parser.parse_args()
    rounds = ROUNDS // 10 if asked.short else ROUNDS
    services, found, memory = Services(durable=True), {}, {}
    try:
        for name in ("sqlite", "postgresql"):
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{folder}/bench.db"
                if name == "postgresql":
                    url = stage.new_database(services.postgresql, "bench_pages")
                with serve(url, Path(folder)) as it:
                    found[name] = measure(it, rounds)
                    memory[name] = max(it.memory_of(pid) for pid in it.workers)
                    stage.say(f"{name}: {found[name]}")
    finally:
        services.close()
    told, missed = as_markdown(found, memory)
    print(told)
    if not asked.short:
        RESULTS.write_text(told)
    return 1 if missed else 0


def measure(it: Served, rounds: int) -> dict[str, Cost]:
    """Every kind of request, `rounds` of each."""
    empty = time_of(it, page(it, "/health/live"), rounds, None)
    found = {"empty": empty}
    for name, ask in requests_of(it).items():
        found[name] = time_of(it, ask, rounds, empty)
    for name, cost in bookings(it, rounds, empty).items():
        found[name] = cost
    return found


def requests_of(it: Served) -> dict[str, Ask]:
    manager = Browser(it.port, 2, it.cookies)
    board = f"/board/{SLUG}/{it.day}"
    wanted = f"{it.choice.replace('svc', 'service_ids').replace('car', 'car_type_id')}"
    json = f"/api/v1/service_points/{it.station_id}/availability/{it.day}?{wanted}"
    return {
        "picker": page(it, f"/s/{SLUG}?{it.choice}"),
        "month": page(it, f"/s/{SLUG}/calendar?{it.choice}"),
        "day JSON": page(it, json),
        "board": page(it, board, manager),
        "board poll, unchanged": polls(manager, board),
    }


def polls(manager: Browser, board: str) -> Ask:
    """As an open board asks; once a minute it is told to show the new minute, and asks from there on."""
    where = board

    def ask(number: int) -> float:
        nonlocal where
        status, text, _, took = manager.ask("GET", where)
        if status == 304:
            return took
        assert status == 200, (status, where, text[:300])
        where = text.partition('data-poll hx-get="')[2].partition('"')[0].replace("&amp;", "&")
        return ask(number)

    return ask


def page(it: Served, path: str, browser: Browser | None = None) -> Ask:
    """Each request from another network: nobody's limit is reached."""

    def ask(number: int) -> float:
        who = browser or asking
        if browser is None:
            who.address = f"10.9.{number >> 8 & 255}.{number & 255}"
        status, text, _, took = who.ask("GET", path)
        assert status == 200, (status, path, text[:300])
        return took

    asking = Browser(it.port, 3)
    return ask


def time_of(it: Served, ask: Ask, rounds: int, empty: Cost | None) -> Cost:
    for number in range(10):
        ask(number)
    before = it.cpu()
    took = sorted(ask(number) for number in range(rounds))
    return cost_of(took, (it.cpu() - before) * 1000 / rounds, empty)


def bookings(it: Served, rounds: int, empty: Cost) -> dict[str, Cost]:
    """A customer each: look, hold, book. The CPU of the posts alone is found by taking away what looking costs."""
    holds, books, cpu = [], [], {"hold": 0.0, "book": 0.0}
    for number, moment in enumerate(it.times):
        if len(books) == rounds:
            break
        customer = Browser(it.port, 70_000 + number)
        looked = customer.ask("GET", f"/s/{SLUG}?{it.choice}&d={moment[:10]}")[1]
        before = it.cpu()
        status, text, where, took = customer.ask("POST", f"/s/{SLUG}/hold", [*hidden(looked, '/hold"'), ("at", moment)])
        if status in (409, 422):
            continue  # those before have taken what it overlaps
        assert status == 303, (status, text[:300])
        cpu["hold"] += it.cpu() - before
        holds.append(took)
        form = customer.ask("GET", where)[1]
        path = where.partition("?")[0]
        sent = [*hidden(form, path), ("name", "Анна"), ("phone", f"+38067{number:07}"), ("plate", "")]
        before = it.cpu()
        status, text, _, took = customer.ask("POST", where, sent)
        assert status == 303, (status, text[:600])
        cpu["book"] += it.cpu() - before
        books.append(took)
        customer.connection.close()
    count = len(holds)
    return {
        "hold": cost_of(sorted(holds), cpu["hold"] * 1000 / count, empty),
        "book": cost_of(sorted(books), cpu["book"] * 1000 / count, empty),
    }


def cost_of(took: list[float], cpu: float, empty: Cost | None) -> Cost:
    at = [took[int(part * (len(took) - 1))] for part in (0.5, 0.95)]
    return Cost(1000 * len(took) / sum(took), cpu, *at, cpu / empty.cpu if empty and empty.cpu else 1.0)


def as_markdown(found: dict[str, dict[str, Cost]], memory: dict[str, float]) -> tuple[str, list[str]]:
    missed = []
    lines = [
        "# What a request costs\n",
        "Written by `make bench`; docs/speed.md explains it. The production server (granian, one worker, one thread),",
        "one connection, no waiting; × empty is the CPU time in empty pages of the same server in the same run.\n",
        f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}",
        *(f"- {name}: a worker keeps {megabytes:.0f} MB" for name, megabytes in memory.items()),
        "",
        "| database | request | requests/s | CPU ms | p50 ms | p95 ms | × empty | at most |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for database, costs in found.items():
        for name, cost in costs.items():
            most = BUDGETS.get(name)
            if most and cost.times_empty > most:
                missed.append(f"{database}, {name}: {cost.times_empty:.0f} × empty, at most {most}")
            figures = f"{cost.a_second:.0f} | {cost.cpu:.2f} | {cost.p50:.2f} | {cost.p95:.2f} | {cost.times_empty:.1f}"
            lines.append(f"| {database} | {name} | {figures} | {most or ''} |")
    lines.append(f"\nBudgets missed: {len(missed)}.")
    return "\n".join([*lines, *(f"- **MISSED**: {each}" for each in missed), ""]), missed


if __name__ == "__main__":
    sys.exit(main())

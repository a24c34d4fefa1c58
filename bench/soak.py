"""`make soak`: does a worker grow, and do connections stay few? Prints one line; exit 1 when a figure is missed.

Two workers of the production server answer looks, holds, boards and questions of programs. After a tenth, which fills
the caches, the memory of each worker is noted, and again at the end. `--requests N` (200,000), `--database` one only.
"""

import argparse
import json
import sys
import tempfile
import threading
from itertools import count
from pathlib import Path
from typing import Any

import psycopg

from bench import stage
from bench.pages import requests_of
from bench.served import SLUG, Browser, Served, hidden, serve
from tests.services import Services

WORKERS, CLIENTS = 2, 4
GROWTH = 10.0  # megabytes of a worker, at most
POOL = 15  # connections of one process, at most: SQLAlchemy's own bounds


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    asked = parser.parse_args()
    services, kept = Services(), True
    try:
        for name in asked.database or ("sqlite", "postgresql"):
            url = stage.new_database(services.postgresql, f"soak_{name}") if name == "postgresql" else None
            told = soak(name, url, asked.requests)
            print(json.dumps(told), flush=True)
            kept = kept and told["kept"]
    finally:
        services.close()
    return 0 if kept else 1


def soak(database: str, url: str | None, requests: int, program: str = "app:app") -> dict[str, Any]:
    """So many requests; → what was seen, and whether it is within the bounds."""
    with tempfile.TemporaryDirectory() as folder:
        where = url or f"sqlite:///{folder}/soak.db"
        with serve(where, Path(folder), WORKERS, program) as it:
            ask_all(it, requests // 10)
            workers = it.workers
            before = [it.memory_of(pid) for pid in workers]
            failed, connections = ask_all(it, requests - requests // 10, url)
            after = [it.memory_of(pid) for pid in workers]
            same = it.workers == workers
    growth = max(late - early for early, late in zip(before, after, strict=True))
    few = connections <= WORKERS * POOL
    return {
        "soak": database,
        "requests": requests,
        "failed": failed,
        "MB a worker": [round(each, 1) for each in after],
        "growth MB": round(growth, 1),
        "connections": connections,
        "kept": failed == 0 and growth < GROWTH and few and same,
    }


def ask_all(it: Served, requests: int, url: str | None = None) -> tuple[int, int]:
    """→ how many failed, and the most connections that the database had of us."""
    number, failed, most, lock = count(), [0], [0], threading.Lock()

    def client(which: int) -> None:
        asks = list(requests_of(it).values())
        browser = Browser(it.port, 90_000 + which)
        while (turn := next(number)) < requests:
            try:
                if turn % 20 == 0:
                    hold(it, browser, turn)
                else:
                    asks[turn % (len(asks) - 1)](turn)  # an unchanged board: every hold changes it
            except (AssertionError, OSError) as error:
                print(repr(error)[:300], file=sys.stderr)
                with lock:
                    failed[0] += 1
            if url and turn % 500 == 0:
                with lock:
                    most[0] = max(most[0], connections_to(url))

    threads = [threading.Thread(target=client, args=(which,)) for which in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed[0], most[0]


def hold(it: Served, browser: Browser, turn: int) -> None:
    """One browser keeps one time: the one of before becomes free."""
    moment = it.times[turn // 20 % len(it.times)]
    looked = browser.ask("GET", f"/s/{SLUG}?{it.choice}&d={moment[:10]}")[1]
    status = browser.ask("POST", f"/s/{SLUG}/hold", [*hidden(looked, '/hold"'), ("at", moment)])[0]
    assert status in (303, 409, 422), status  # 422: it does not fit between what others hold


def connections_to(url: str) -> int:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as watcher:
        mine = "SELECT count(*) - 1 FROM pg_stat_activity WHERE datname = current_database()"
        return int(watcher.execute(mine).fetchone()[0])  # type: ignore[index]


if __name__ == "__main__":
    sys.exit(main())

"""The figures as a table, and the budgets. A budget is a ratio; the milliseconds beside it are for the reader."""

import os
import platform
import re
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import Engine

from bench.api import Requests
from bench.crowd import Crowd
from bench.generation import Generation
from bench.questions import Cost
from bench.samples import Figure
from bench.searching import BY_ID

OF_FLOOR = 4.0  # at most so many times what the bare driver takes for the same statements
OF_SEARCHS_FLOOR = 3.0  # the same, for a search; for one that finds few, of reading what it found by id
OF_ONE_STATION = 1.5  # at most so many times what the same question takes where there is one station only
OF_EMPTY_AND_QUESTION = 2.0  # at most so many times an empty request and the domain's question is the API's answer
MOST_STATEMENTS = 4  # of a day, and of two months
OF_FLOORS_ROWS = 0.5  # at least this share of the rows that the bare driver writes in the same time
OF_FIRST_RUN = 0.2  # at most this share of a first run is what a run takes that has nothing to do


@dataclass(frozen=True)
class Budget:
    what: str
    limit: float
    figure: Figure
    unit: str = " ×"
    at_least: bool = False  # else at most

    @property
    def verdict(self) -> str:
        """A budget between the bounds of a figure is neither kept nor missed, and calls that were all interrupted miss
        none: the machine was too restless to tell.
        """
        bounds = self.figure.low, self.figure.high
        worse, better = bounds if self.at_least else bounds[::-1]
        if self._holds(worse):
            return "kept"
        return "cannot be told" if self._holds(better) or self.figure.is_restless else "**MISSED**"

    def _holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        bound = f"at {'least' if self.at_least else 'most'} {self._told(self.limit)}"
        low, high = (self._told(value) for value in (self.figure.low, self.figure.high))
        median = self._told(self.figure.median)
        return f"{self.verdict}: {self.what}, {bound}: {median}{f' ({low} to {high})' if low != high else ''}"

    def _told(self, value: float) -> str:
        return f"{value:.0%}" if self.unit == "%" else f"{value:.3g}{self.unit}"


@dataclass
class Results:
    """All that was measured: by database, number of stations and question."""

    many: int
    costs: dict[tuple[str, int, str], Cost] = field(default_factory=dict)
    generations: dict[tuple[str, int], Generation] = field(default_factory=dict)
    requests: dict[tuple[str, int], Requests] = field(default_factory=dict)
    crowds: list[Crowd] = field(default_factory=list)
    servers: dict[str, str] = field(default_factory=dict)

    def see(self, database: str, engine: Engine) -> None:
        assert engine.dialect.server_version_info
        self.servers[database] = ".".join(map(str, engine.dialect.server_version_info))

    @property
    def budgets(self) -> Iterator[Budget]:
        for (database, stations, question), cost in self.costs.items():
            where = f"{database}, {stations}: {question}"
            is_search = question.startswith("search")
            if (database, stations, f"{question}{BY_ID}") not in self.costs:
                limit = OF_SEARCHS_FLOOR if is_search else OF_FLOOR
                yield Budget(f"{where}, of the floor", limit, cost.ratio)
            if is_search or question in ("day", "month (62 days)"):
                yield Budget(where, MOST_STATEMENTS, Figure(*[cost.statements] * 3), " statements")
            alone = self.costs.get((database, 1, question))
            if stations > 1 and alone and "city" not in question:  # a city of one station is no city
                yield Budget(f"{where}, of one station's time", OF_ONE_STATION, cost.effort.over(alone.effort))
        for (database, stations), asked in self.requests.items():
            what = f"{database}, {stations}: a day over the API, of an empty request and the question"
            yield Budget(what, OF_EMPTY_AND_QUESTION, asked.ratio)
        for (database, stations), made in self.generations.items():
            where = f"{database}, {stations}: generation"
            yield Budget(f"{where}, of the floor's rows a second", OF_FLOORS_ROWS, made.share_of_floor, "%", True)
            yield Budget(f"{where}, a second run", OF_FIRST_RUN, made.share_again, "%")

    @property
    def missed(self) -> bool:
        return any("MISSED" in budget.verdict for budget in self.budgets)


def as_markdown(results: Results) -> str:
    parts = (_head, _costs, _requests, _generations, _crowds, _budgets)
    return "\n".join(line for part in parts for line in part(results))


def _head(results: Results) -> Iterator[str]:
    yield "# What the engine costs\n"
    yield "Written by `make bench`; docs/speed.md explains it.\n"
    yield f"- {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield f"- {_processor()}, {os.cpu_count()} cores for all of it; load {os.getloadavg()[1]:.1f}"
    libraries = ", ".join(f"{name} {version(name)}" for name in ("SQLAlchemy", "psycopg", "Flask"))
    yield f"- Python {platform.python_version()}, {libraries}"
    yield "- " + ", ".join(f"{name} {number}" for name, number in results.servers.items()) + ", both durable"
    yield f"- one station of 4 posts, and {results.many} of 4 posts for 30 days, six slots in ten booked; asked are"
    yield "  stations with 62 days\n"


def _costs(results: Results) -> Iterator[str]:
    yield "Milliseconds of one call; the floor is the same statements through the bare driver. Behind a ratio, in"
    yield "brackets: between what its median lies with 95 % certainty.\n"
    yield "| database | stations | question | median | p95 | floor | × floor | statements | bytes fetched |"
    yield "|---|---:|---|---:|---:|---:|---:|---:|---:|"
    for (database, stations, question), cost in results.costs.items():
        fetched = "" if cost.fetched is None else f"{cost.fetched:,}"
        yield (
            f"| {database} | {stations:,} | {question} | {cost.median:.2f} | {cost.slow:.2f} | {cost.floor:.2f} |"
            f" {cost.ratio} | {cost.statements} | {fetched} |"
        )
    yield ""


def _requests(results: Results) -> Iterator[str]:
    yield "A day asked over the API, milliseconds; beside it what it cannot do without. In turns.\n"
    yield "| database | stations | request | empty request | question | × both |"
    yield "|---|---:|---:|---:|---:|---:|"
    for (database, stations), each in results.requests.items():
        figures = " | ".join(f"{value:.2f}" for value in (each.asked, each.empty, each.question))
        yield f"| {database} | {stations:,} | {figures} | {each.ratio} |"
    yield ""


def _generations(results: Results) -> Iterator[str]:
    yield "Opening 30 days of new stations. A second run finds nothing to do; `again` compares all.\n"
    yield "| database | stations | rows | rows/s | floor rows/s | share | statements | second run | comparing all |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
    for (database, stations), made in results.generations.items():
        yield (
            f"| {database} | {stations:,} | {made.rows:,} | {made.rows_a_second:,.0f} |"
            f" {made.rows / made.floor * 1000:,.0f} | {told(made.share_of_floor)} | {made.statements} |"
            f" {made.share_again.median:.1%} | {made.share_compared.median:.0%} |"
        )
    yield ""


def _crowds(results: Results) -> Iterator[str]:
    if not results.crowds:
        return
    yield "32 clients (8 processes of 4 threads), PostgreSQL: hold a free time and give it back.\n"
    yield "| who, where | rounds/s | least–most of 3 | refused/s | what the server's sessions were doing |"
    yield "|---|---:|---:|---:|---|"
    for each in results.crowds:
        yield (
            f"| {each.name} | {statistics.median(each.rounds):,.0f} | {min(each.rounds):,.0f}–{max(each.rounds):,.0f} |"
            f" {statistics.median(each.refused):,.0f} | {each.waited_for} |"
        )
    yield ""


def _budgets(results: Results) -> Iterator[str]:
    verdicts = Counter(budget.verdict for budget in results.budgets)
    yield "Budgets: " + ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()) + ".\n"
    for budget in results.budgets:
        yield f"- {budget}"
    yield ""


def told(share: Figure) -> str:
    return f"{share.median:.0%} ({share.low:.0%}–{share.high:.0%})"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()

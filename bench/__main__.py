"""`make bench`: measure, print, write bench/results.md; exit 1 when a budget is missed.

Only ratios are judged: milliseconds tell about a machine, ratios about the program. A budget that
lies within what the machine's restlessness spans is neither kept nor missed: `cannot be told`. `--short` measures less,
on a small set, in a minute, and leaves bench/results.md alone. `--database sqlite` or `postgresql` asks one only.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from bench import api, crowd, generation, questions, report, searching, stage, writing
from bench.report import Results
from tests.services import Services
from tirefit.database import db

RESULTS = Path(__file__).parent / "results.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    asked = parser.parse_args()
    large = stage.FORTY if asked.short else stage.THOUSAND
    rounds, passes, seconds = (5, 3, 1.0) if asked.short else (20, 5, 3.0)
    results = Results(large.stations)
    services = Services(durable=True)
    try:
        for name in asked.database or ("sqlite", "postgresql"):
            for scale in (stage.ONE, large):
                with tempfile.TemporaryDirectory() as folder:
                    url = f"sqlite:///{folder}/bench.db"
                    if name == "postgresql":
                        url = stage.new_database(services.postgresql, f"bench_{scale.stations}")
                    with stage.database(url, folder):
                        measure(results, name, scale, rounds, passes)
                        if name == "postgresql" and scale is large:
                            results.crowds = crowd.measure(scale, url, seconds)
    finally:
        services.close()
    told = report.as_markdown(results)
    print(told)
    if not asked.short and not asked.database:
        RESULTS.write_text(told)
    return 1 if results.missed else 0


def measure(results: Results, database: str, scale: stage.Scale, rounds: int, passes: int) -> None:
    stage.say(f"{database}, {scale.stations} stations")
    stage.load(scale)
    stage.check(scale)
    results.see(database, db.engine)
    costs = {**questions.measure(scale, rounds), "hold and book": writing.measure(scale, 5 * rounds)}
    costs |= searching.measure(scale, rounds)
    for question, cost in costs.items():
        results.costs[database, scale.stations, question] = cost
        stage.say(f"  {question}: {cost.median:.2f} ms, {cost.ratio} × the floor")
    asked = results.requests[database, scale.stations] = api.measure(scale, rounds)
    stage.say(f"  a day over the API: {asked.asked:.2f} ms, {asked.ratio} × an empty request and the question")
    made = results.generations[database, scale.stations] = generation.measure(scale, passes)
    stage.say(f"  generation: {made.rows_a_second:.0f} rows/s, {made.share_of_floor} of the floor's")


if __name__ == "__main__":
    sys.exit(main())

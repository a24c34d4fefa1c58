"""The API: a day's availability asked over HTTP, beside what it cannot do without: an empty request, and the question.

The empty request goes through the same program: its address is under /api/v1, with the allowance, the policy, the
headers and the ETag that every answer has. Request, empty request and question come in turns.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from flask import Flask, current_app, jsonify

from bench import stage
from bench.questions import MINUTES
from bench.samples import Figure, Turns, timed
from bench.stage import Scale
from tirefit import clock, config
from tirefit.database import db
from tirefit.schedule import availability
from tirefit.schedule.windows import local_day
from tirefit.web import policy

EMPTY = f"{config.API}/nothing"


@dataclass(frozen=True)
class Requests:
    """Medians in milliseconds; `ratio`: the median of each request over its empty one and its question."""

    asked: float
    empty: float
    question: float
    ratio: Figure


def measure(scale: Scale, rounds: int) -> Requests:
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    app.config["API_REQUESTS_PER_MINUTE"] = 10**9
    if "nothing" not in app.view_functions:
        app.add_url_rule(EMPTY, "nothing", policy.public(lambda: jsonify({})))
    client, today = app.test_client(), local_day(stage.ZONE, clock.now())
    points = [stage.station(number) for number in scale.asked]
    db.session.commit()
    turns = Turns()
    for n in turns.until_calm(10 * rounds, before=10):  # the first ones of a process load things
        point, day = points[n % len(points)], today + timedelta(days=1 + n % 7)
        address = f"{config.API}/service_points/{point.id}/availability/{day}?duration_minutes={MINUTES}"
        whole = timed(lambda address=address: _ask(client, address))
        empty = timed(lambda: _ask(client, EMPTY))
        question = timed(lambda point=point, day=day: (availability.days(point, day, 1, MINUTES), db.session.commit()))
        if n >= 0:
            turns.add(whole=whole, empty=empty, question=question, both=empty + question)
    medians = (turns.median(kind) for kind in ("whole", "empty", "question"))
    return Requests(*medians, turns.ratio("whole", "both"))


def _ask(client: Any, address: str) -> None:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text

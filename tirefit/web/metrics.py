"""Figures for a monitoring system (Prometheus), read from the database when it asks: true for all processes at once."""

from collections.abc import Iterator

from flask import Blueprint, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tirefit import config, figures, jobs
from tirefit.web import policy

bp = Blueprint("metrics", __name__)


@bp.get("/metrics")
@policy.monitoring
def show() -> Response:
    registry = CollectorRegistry()
    registry.register(_Figures())
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class _Figures(Collector):
    def collect(self) -> Iterator[Metric]:
        yield _gauge("tirefit_info", "The version that runs.", [({"version": config.VERSION}, 1)])
        state = jobs.queue_state()
        if state != "none":
            yield _gauge("tirefit_queue_up", "Does the queue answer?", [({}, int(state == "ok"))])
        for figure in figures.now():
            yield _gauge(f"tirefit_{figure.name}", figure.meaning, figure.values)


def _gauge(name: str, meaning: str, values: list[tuple[dict[str, str], float]]) -> GaugeMetricFamily:
    labels = list(values[0][0]) if values else []
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for labelled, value in values:
        family.add_metric(list(labelled.values()), value)
    return family

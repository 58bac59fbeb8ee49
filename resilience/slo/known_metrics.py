"""Check of the metrics that an objective counts against the instruments of the process."""

from __future__ import annotations

from typing import Any

from resilience import promql
from resilience.core.matchers import predicate
from resilience.errors import ConfigError
from resilience.promql import nodes
from resilience.promql.show import show
from resilience.signals import Signals
from resilience.signals.instruments import Gauge, Histogram, Instrument
from resilience.slo.bucket_bounds import bucket_selectors
from resilience.slo.measure import Events
from resilience.slo.objective import SLO
from resilience.slo.query import WINDOW, metric_name, not_a_counter

__all__ = ["check_metrics"]


def check_metrics(slo: SLO, signals: Signals) -> None:
    """Check that an objective counts counters, and that the buckets that it reads exist.

    Args:
        slo: the objective.
        signals: instruments of the process; other metrics are not checked.

    Raises:
        ConfigError: the objective takes the increase of a gauge, or reads a bucket that its histogram does not have.
    """
    if not isinstance(slo.measure, Events):
        return
    for option, template in (
        ("total", slo.measure.total),
        ("bad", slo.measure.bad),
        ("good", slo.measure.good),
    ):
        if template is None:
            continue
        for node in nodes.walk(promql.parse(template.replace(WINDOW, "5m")).node):
            match node:
                case nodes.Call(function="increase", arguments=(nodes.Range(selector=selector),)) if (
                    isinstance(_instrument(metric_name(selector), signals), Gauge)
                ):
                    raise not_a_counter(f"{slo.id}: {option}", "a gauge", selector)
        for selector in bucket_selectors(template):
            name = (metric_name(selector) or "").removesuffix("_bucket")
            histogram = _instrument(name, signals)
            if isinstance(histogram, Histogram):
                _check_bound(f"{slo.id}: {option}", selector, histogram)


def _check_bound(option: str, selector: nodes.Selector, histogram: Histogram) -> None:
    bounds = histogram.bounds
    for matcher in selector.matchers:
        if matcher.label == "le" and not any(map(predicate(matcher), bounds)):
            message = (
                f"{option} must read a bucket of {histogram.name}, whose bounds are {', '.join(bounds)},"
                f" got {show(selector)}"
            )
            raise ConfigError(message)


def _instrument(name: str | None, signals: Signals) -> Instrument[Any] | None:
    if not name or not signals.declares(name):
        return None
    return signals.find(name.removeprefix(signals.prefix))

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from resilience.exporters.prometheus import SignalsCollector, render
from resilience.signals import Signals


@pytest.fixture
def signals() -> Signals:
    signals = Signals()
    signals.counter("orders_total", "Orders taken.", labels=("kind",)).bind('bo"ok\n').inc(3)
    signals.counter("odd_name", "A counter without the suffix.").bind().inc()
    signals.gauge("queue_length", "Orders waiting.").bind().set(7)
    signals.info("build_info", "The build.", labels=("version",)).set("1.2")
    histogram = signals.histogram("latency_seconds", "Latency.", buckets=(0.1, 1.0)).bind()
    for value in (0.05, 0.5, 5.0):
        histogram.observe(value)
    return signals


def figures(text: str, *, openmetrics: bool) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    parse = parse_openmetrics if openmetrics else parse_text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [("", False), ("text/plain", False), ("application/openmetrics-text; version=1.0.0", True)],
)
def test_both_formats_carry_every_instrument_exactly(
    signals: Signals, accept: str, openmetrics: bool
) -> None:
    body, content_type = render([SignalsCollector(signals)], accept)
    assert ("openmetrics" in content_type) is openmetrics
    found = figures(body.decode(), openmetrics=openmetrics)
    assert found["orders_total", (("kind", 'bo"ok\n'),)] == 3
    assert found["odd_name", ()] == 1
    assert found["queue_length", ()] == 7
    assert found["build_info", (("version", "1.2"),)] == 1
    buckets = [found["latency_seconds_bucket", (("le", le),)] for le in ("0.1", "1.0", "+Inf")]
    assert buckets == [1, 2, 3]
    assert found["latency_seconds_count", ()] == 3
    assert found["latency_seconds_sum", ()] == pytest.approx(5.55)


def test_the_applications_own_metrics_stand_beside_ours_and_no_name_stands_twice(signals: Signals) -> None:
    own = CollectorRegistry()
    Counter("orders", "The application's own.", registry=own).inc(100)
    Counter("carts", "The application's own.", registry=own).inc(5)
    body, _ = render([SignalsCollector(signals), own])
    assert body.count(b"# TYPE orders_total counter") == 1
    found = figures(body.decode(), openmetrics=False)
    assert found["carts_total", ()] == 5
    assert ("orders_total", ()) not in found


def test_a_second_collector_disturbs_nobody(signals: Signals) -> None:
    other = Signals()
    other.counter("orders_total", "Orders taken.", labels=("kind",)).bind("game").inc(1)
    registries = [CollectorRegistry(), CollectorRegistry()]
    for registry, source in zip(registries, (signals, other), strict=True):
        registry.register(SignalsCollector(source))
    assert registries[0].get_sample_value("orders_total", {"kind": "game"}) is None
    assert registries[1].get_sample_value("orders_total", {"kind": "game"}) == 1

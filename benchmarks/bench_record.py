"""Recording one request: a counter of five labels and a histogram of three, label values looked up each time."""

from __future__ import annotations

from compare import Batch, Function, Group

from resilience.core.verdict import Verdict
from resilience.signals import Signals, SliRecorder

COUNTED = ("service", "method", "route", "code", "verdict")
TIMED = ("service", "method", "route")

against_prometheus = Group(reference="prometheus_client", suspending=False)
against_opentelemetry = Group(reference="OpenTelemetry SDK", suspending=False)


@against_opentelemetry.row("SliRecorder")
@against_prometheus.row("SliRecorder")
def recorder() -> Batch:
    request = SliRecorder(Signals(), service="shop").request
    success = Verdict.SUCCESS

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            request("GET", "/orders/{id}", "200", success, 0.012)
            await function()

    return batch


@against_opentelemetry.row("instruments")
@against_prometheus.row("instruments")
def instruments() -> Batch:
    signals = Signals()
    requests = signals.counter("requests_total", labels=COUNTED)
    durations = signals.histogram("duration_seconds", labels=TIMED)

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            requests["shop", "GET", "/orders/{id}", "200", "success"].inc()
            durations["shop", "GET", "/orders/{id}"].observe(0.012)
            await function()

    return batch


@against_prometheus.row("prometheus_client")
def prometheus() -> Batch:
    from prometheus_client import CollectorRegistry, Counter, Histogram

    registry = CollectorRegistry()
    requests = Counter("requests", "Requests.", COUNTED, registry=registry)
    durations = Histogram("duration_seconds", "Durations.", TIMED, registry=registry)

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            requests.labels("shop", "GET", "/orders/{id}", "200", "success").inc()
            durations.labels("shop", "GET", "/orders/{id}").observe(0.012)
            await function()

    return batch


@against_opentelemetry.row("OpenTelemetry SDK")
def opentelemetry() -> Batch:
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    meter = MeterProvider(metric_readers=[InMemoryMetricReader()]).get_meter("bench")
    requests = meter.create_counter("requests")
    durations = meter.create_histogram("duration")

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            requests.add(
                1,
                {
                    "service": "shop",
                    "method": "GET",
                    "route": "/orders/{id}",
                    "code": "200",
                    "verdict": "success",
                },
            )
            durations.record(0.012, {"service": "shop", "method": "GET", "route": "/orders/{id}"})
            await function()

    return batch

"""Records of applications: what is no outcome, duration, timestamp, name or number changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.errors import ConfigError
from resilience.exporters.prometheus import SignalsCollector, render
from resilience.signals import MetricsCollector, Signals
from resilience.slo import SLO, Correctness, SLOManager

NO_BOOL = ["false", "error", "", 1, 0, None, [], {}, Decimal(0), ...]
NO_DURATION = [-1, -0.001, float("nan"), float("inf"), "1", True, 10**400, [1]]
NO_TIMESTAMP = [float("nan"), float("inf"), "now", True, 10**400, datetime(2024, 1, 1), [1]]  # noqa: DTZ001


def counted(signals: Signals) -> dict[tuple[str, ...], float]:
    return {
        (family.name, *(value for _, value in labels)): value
        for family in signals.collect()
        for _, labels, value in family.samples
        if value and not family.name.startswith("resilience_signals")
    }


@pytest.fixture
def signals(clock: ManualClock) -> Signals:
    return Signals(clock)


@pytest.fixture
def slos(signals: Signals) -> SLOManager:
    manager = SLOManager(signals)
    manager.register(
        SLO("ok", service="shop", target=0.99), SLO("right", service="shop", target=0.99, sli=Correctness())
    )
    return manager


def events(signals: Signals) -> dict[str, float]:
    """The events of the objective `right` by verdict."""
    counter = signals.counter("slo_events_total", labels=("slo", "service", "verdict"))
    return {key[2]: series.current for key, series in counter.items()}


@pytest.mark.parametrize(
    "event",
    [
        {"success": False},
        {"success": False, "duration": 0.15},
        {"success": False, "duration": 0.15, "timestamp": datetime(2030, 1, 1, tzinfo=UTC)},
        {"success": False, "timestamp": None},
    ],
)
def test_a_mapping_means_what_its_success_says(event: Any, signals: Signals, slos: SLOManager) -> None:
    slos.record_metric("right", event)
    assert events(signals) == {"failure": 1.0}
    slos.record_metric("right", {**event, "success": True})
    assert events(signals) == {"failure": 1.0, "success": 1.0}


def test_a_mapping_counts_as_a_request_where_the_objective_is_about_requests(
    clock: ManualClock, signals: Signals, slos: SLOManager
) -> None:
    slos.record_metric("ok", {"success": False, "duration": 0.1})
    clock.shift(1)
    signals.tick(clock.now())
    slos.tick(clock.now())
    assert (slos.error_budget("ok").bad, slos.error_budget("ok").total) == (1, 1)


@pytest.mark.parametrize(
    "event",
    [{}, {"sucess": True}, {"success": True, "latency": 1}, {"duration": 0.1}, {1: True}]
    + [{"success": success} for success in NO_BOOL]
    + [{"success": True, "duration": duration} for duration in NO_DURATION]
    + [{"success": True, "timestamp": timestamp} for timestamp in NO_TIMESTAMP],
    ids=lambda value: repr(value)[:40],
)
@pytest.mark.parametrize("objective", ["ok", "right"])
def test_a_mapping_that_is_no_event_is_refused(
    objective: str, event: Any, signals: Signals, slos: SLOManager
) -> None:
    before = counted(signals)
    with pytest.raises(ConfigError):
        slos.record_metric(objective, event)
    assert counted(signals) == before


def test_a_field_is_given_once(slos: SLOManager) -> None:
    slos.record_metric("ok", {"success": True}, 0.1)
    with pytest.raises(ConfigError, match="'duration' of an event is given twice"):
        slos.record_metric("ok", {"success": True, "duration": 0.1}, 0.1)


@pytest.mark.parametrize("success", [*NO_BOOL, "true"], ids=lambda value: repr(value)[:40])
def test_an_outcome_is_a_bool(success: Any, signals: Signals, slos: SLOManager) -> None:
    before = counted(signals)
    for record in (signals.record_request, slos.record_request):
        with pytest.raises(ConfigError, match="success"):
            record(service="shop", route="/", success=success, duration=0.1)
    for objective in ("ok", "right"):
        with pytest.raises(ConfigError, match="success"):
            slos.record_metric(objective, success)
    assert counted(signals) == before


@pytest.mark.parametrize(
    ("option", "value"),
    [("duration", duration) for duration in NO_DURATION]
    + [("timestamp", timestamp) for timestamp in NO_TIMESTAMP]
    + [(name, value) for name in ("route", "method", "code") for value in (None, 200, b"GET", ["GET"])],
    ids=lambda value: repr(value)[:40],
)
def test_what_cannot_be_recorded_is_refused(
    option: str, value: Any, signals: Signals, slos: SLOManager
) -> None:
    before = counted(signals)
    for record in (signals.record_request, slos.record_request):
        with pytest.raises(ConfigError, match=option):
            record(**{"service": "shop", "route": "/", "success": True, "duration": 0.1, option: value})
    assert counted(signals) == before


@pytest.mark.parametrize("timestamp", ["now", "aware"])
def test_a_timestamp_may_be_a_datetime_with_a_time_zone(
    timestamp: str, clock: ManualClock, signals: Signals
) -> None:
    at = clock.time() + 1
    signals.record_request(
        service="shop",
        route="/",
        success=True,
        duration=0.1,
        timestamp=at if timestamp == "now" else datetime.fromtimestamp(at, UTC),
    )
    assert (
        signals.counter("http_requests_total", labels=("service", "method", "route", "code", "verdict"))[
            "shop", "", "/", "", "success"
        ].current
        == 1.0
    )


def test_an_error_may_have_a_timestamp_that_no_tick_has_passed(
    clock: ManualClock, signals: Signals, slos: SLOManager
) -> None:
    for record in (signals.record_error, slos.record_error):
        record("shop", ValueError("no"), "cart", timestamp=datetime.fromtimestamp(clock.time() + 1, UTC))
        record("shop", "ValueError", "cart", timestamp=clock.time())
        with pytest.raises(ConfigError, match="timestamp must not be before the last tick"):
            record("shop", "ValueError", "cart", timestamp=clock.time() - 60)
        with pytest.raises(ConfigError, match="time zone"):
            record("shop", "ValueError", "cart", timestamp=datetime(2026, 1, 1))  # noqa: DTZ001  that is the point
    errors = signals.counter("errors_total", labels=("service", "component", "type"))
    assert errors["shop", "cart", "ValueError"].current == 4.0


@pytest.mark.parametrize("error", [None, 5, {"name": "TypeError"}, b"TypeError"])
def test_an_error_is_an_exception_or_a_name(error: Any, slos: SLOManager) -> None:
    with pytest.raises(ConfigError, match="error"):
        slos.record_error("shop", error, "web")
    with pytest.raises(ConfigError, match="component"):
        slos.record_error("shop", ValueError(), error)


NO_NUMBERS = ["1", None, [1], 1j, 10**400, Decimal("sNaN"), ...]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: repr(value)[:40])
def test_what_is_no_number_is_refused_and_counted(value: Any, clock: ManualClock, signals: Signals) -> None:
    counter, histogram = signals.counter("a_total").bind(), signals.histogram("b_seconds").bind()
    gauge = signals.gauge("c").bind()
    gauge.set(3.0)
    if value != "1":  # a text that is a number is one to a gauge, as to prometheus_client
        gauge.set(value)
    counter.inc(value)
    histogram.observe(value)
    gauge.inc(value)
    gauge.dec(value)
    MetricsCollector(signals).observe("b_seconds", value)
    clock.shift(1)
    signals.tick(clock.now())
    assert (counter.current, gauge.current) == (0.0, 3.0)
    refused = {labels: cell.current for labels, cell in refusals(signals).items()}
    assert refused[("a_total",)] == 1.0
    assert refused[("b_seconds",)] == 2.0
    assert refused[("c",)] == 2.0 + (value != "1")


def refusals(signals: Signals) -> Any:
    return signals.find("resilience_observations_refused_total")


TEXTS = st.text(st.characters() | st.sampled_from('\ud800\udfff\x00\n"\\{}'), max_size=12) | st.sampled_from(
    ["x" * 100_000, "__overflow__", "\ud800", "\x00", "é", "{}", 'a"b\\n']
)


@given(TEXTS, TEXTS, TEXTS)
def test_any_text_as_a_label_leaves_the_exposition_readable(route: str, error: str, tenant: str) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    for _ in range(2):
        signals.record_request(service="shop", route=route, success=False, duration=0.1, tenant=tenant)
        signals.record_error("shop", error, component=route)
    signals.counter("mine_total", labels=("name",))[(tenant,)].inc()
    clock.shift(1)
    signals.tick(clock.now())
    text, _ = render([SignalsCollector(signals)])
    assert b"http_requests_total{" in text
    requests = signals.find("http_requests_total")
    assert requests is not None
    assert [cell.current for cell in requests.values()] == [2.0]

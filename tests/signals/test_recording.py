"""What services record without an instrument of their own; process figures; other registries."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from resilience.core.clock import ManualClock
from resilience.core.ports import Matcher
from resilience.core.ports import Recorder as RecorderProtocol
from resilience.core.verdict import Verdict
from resilience.errors import CircuitOpen, ConfigError, MissingExtra
from resilience.signals import Signals, SliRecorder
from resilience.signals.process import ProcessFigures, memory_limit
from resilience.signals.prometheus import RegistrySampler


def shown(signals: Signals, name: str) -> dict[tuple[str, ...], float]:
    """The series of one name: label values, sorted by label, -> value."""
    return {
        tuple(value for _, value in labels): value
        for family in signals.collect()
        for sample, labels, value in family.samples
        if sample == name
    }


def grown(signals: Signals, name: str, seconds: float) -> list[float]:
    selection = signals.source.select([Matcher("__name__", "=", name)])
    now = signals.last_tick.monotonic
    found = signals.source.increase(selection, now - seconds, now)
    assert found is not None
    return list(found[1])


def advance(signals: Signals, clock: ManualClock, seconds: float = 1.0) -> None:
    clock.shift(seconds)
    signals.tick(clock.now())


def test_requests_are_counted_and_timed_under_the_names_that_rules_use() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    recorder.request("GET", "/a", "200", Verdict.SUCCESS, 0.2)
    recorder.request("GET", "/a", "200", Verdict.SUCCESS, 0.2)
    recorder.request("GET", "/a", "499", Verdict.CANCELLED, 0.7)
    assert shown(signals, "http_requests_total") == {
        ("200", "GET", "/a", "shop", "success"): 2,
        ("499", "GET", "/a", "shop", "cancelled"): 1,
    }
    assert shown(signals, "http_request_duration_seconds_sum") == {("GET", "/a", "shop"): pytest.approx(1.1)}


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), float("inf")])
def test_a_duration_that_cannot_be_counts_as_none(wrong: float) -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    for _ in range(2):
        recorder.request("GET", "/a", "200", Verdict.SUCCESS, wrong)
    recorder.client("c", "h", "GET", "200", Verdict.SUCCESS, wrong)
    assert shown(signals, "http_request_duration_seconds_sum") == {("GET", "/a", "shop"): 0.0}
    assert shown(signals, "http_request_duration_seconds_count") == {("GET", "/a", "shop"): 2.0}


def test_requests_in_flight_shed_and_by_tenant() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    recorder.request_started()
    recorder.request_started()
    recorder.request_finished()
    recorder.shed("sheddable")
    recorder.tenant("acme", Verdict.FAILURE)
    assert recorder.in_flight == 1
    assert shown(signals, "http_requests_in_flight") == {("shop",): 1.0}
    assert shown(signals, "http_requests_shed_total") == {("sheddable", "shop"): 1.0}
    assert shown(signals, "tenant_requests_total") == {("shop", "acme", "failure"): 1.0}


def test_outbound_requests_without_an_answer_carry_the_verdict_for_a_code() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    recorder.client("pay", "pay.example", "POST", "200", Verdict.SUCCESS, 0.2)
    recorder.client("pay", "pay.example", "POST", "", Verdict.FAILURE, 0.2)
    assert shown(signals, "client_requests_total") == {
        ("pay", "200", "pay.example", "POST"): 1.0,
        ("pay", "failure", "pay.example", "POST"): 1.0,
    }


def test_policy_events_become_series() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    calls: RecorderProtocol = recorder.calls("pay", "pipeline")
    calls.record(Verdict.REJECTED, 0.0)
    recorder.circuit_state("pay", "closed")
    recorder.circuit_transition("pay", "closed", "open")
    recorder.retry_attempt("pay")
    assert shown(signals, "resilience_calls_total")["pipeline", "pay", "rejected"] == 1.0
    states = shown(signals, "circuit_breaker_state")
    assert [state for (_, state), value in states.items() if value] == ["open"]
    assert len(states) == 6
    assert shown(signals, "circuit_breaker_transitions_total") == {("closed", "pay", "open"): 1.0}
    assert shown(signals, "retry_attempts_total") == {("pay",): 1.0}


def test_requests_by_hand_share_the_adapters_series_and_do_not_change_the_past() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    advance(signals, clock)
    now = clock.time()
    for timestamp in (None, now, now + 0.5):
        signals.record_request(
            service="shop", route="/a", success=False, duration=0.1, tenant="acme", timestamp=timestamp
        )
    for timestamp, message in ((now - 0.1, "backtest"), (float("nan"), "timestamp")):
        with pytest.raises(ConfigError, match=message):
            signals.record_request(
                service="shop", route="/a", success=True, duration=0.1, timestamp=timestamp
            )
    assert shown(signals, "http_requests_total") == {("", "", "/a", "shop", "failure"): 3.0}
    assert shown(signals, "tenant_requests_total") == {("shop", "acme", "failure"): 3.0}
    signals.record_error("shop", ValueError("secret"), "checkout")
    assert shown(signals, "errors_total") == {("checkout", "shop", "ValueError"): 1.0}


async def test_a_job_is_counted_by_how_it_ended() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    for error in (None, ValueError(), CircuitOpen(""), asyncio.CancelledError()):
        with contextlib.nullcontext() if error is None else pytest.raises(type(error)):
            async with signals.job("invoice"):
                clock.shift(2)
                if error is not None:
                    raise error
    assert shown(signals, "job_runs_total") == {
        ("invoice", verdict): 1.0 for verdict in ("success", "failure", "rejected", "cancelled")
    }
    assert shown(signals, "job_duration_seconds_sum") == {("invoice",): 8.0}
    assert shown(signals, "job_last_success_timestamp_seconds") == {("invoice",): 1_700_000_002.0}


def test_process_figures_come_with_the_tick_and_lag_is_the_worst_since_the_last() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    figures = ProcessFigures(signals)
    figures.lag(0.2)
    figures.lag(0.1)
    advance(signals, clock)
    assert shown(signals, "event_loop_lag_seconds") == {(): 0.2}
    memory = shown(signals, "process_resident_memory_bytes")[()]
    assert 1e6 < memory <= shown(signals, "process_memory_limit_bytes")[()]
    assert shown(signals, "process_cpu_seconds_total")[()] > 0
    assert shown(signals, "process_open_fds")[()] > 2
    advance(signals, clock)
    assert shown(signals, "event_loop_lag_seconds") == {(): 0.0}


def test_a_configured_memory_limit_goes_before_the_machines() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    ProcessFigures(signals, memory_limit=5e8)
    advance(signals, clock)
    assert shown(signals, "process_memory_limit_bytes") == {(): 5e8}
    with pytest.raises(ConfigError, match="memory_limit must be a number above 0, got 0"):
        ProcessFigures(signals, memory_limit=0)


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/a/b\n", {"a/memory.max": "1000\n", "a/b/memory.max": "max\n"}, 1000),
        ("0::/a/b\n", {"a/memory.max": "1000\n", "a/b/memory.max": "500\n"}, 500),
        ("0::/\n", {"memory.max": "700\n"}, 700),
        ("0::/host/path\n", {"memory.max": "700\n"}, 700),
        ("0::/a\n", {}, None),
        ("5:cpu:/x\n4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "300\n"}, 300),
        ("4:cpu,memory:/x\n", {"memory/memory.limit_in_bytes": "400\n"}, 400),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, None),
    ],
)
def test_the_tightest_limit_of_the_control_groups_counts(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int | None
) -> None:
    own = tmp_path / "own"
    own.write_text(groups)
    for name, text in files.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert memory_limit(tmp_path / "cgroup", own) == expected
    assert memory_limit(tmp_path, tmp_path / "missing") is None


def test_a_registry_that_is_not_given_is_the_global_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    RegistrySampler(signals, interval=10)
    for _ in range(3):
        advance(signals, clock)
    selection = signals.source.select([Matcher("__name__", "=", "python_info")])
    assert list(signals.source.samples(selection, 0, clock.monotonic())[0].values) == [1.0]
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(MissingExtra, match="asyncio-resilience\\[prometheus\\]"):
        RegistrySampler(signals)


def test_another_registry_is_read_without_what_it_counted_before() -> None:
    registry = CollectorRegistry()
    orders = Counter("orders", "Orders.", ["kind"], registry=registry)
    depth = Gauge("depth", "Depth.", registry=registry)
    taken = Histogram("taken_seconds", "Taken.", buckets=(1, 2), registry=registry)
    clash = Counter("http_requests", "The application's own.", registry=registry)
    orders.labels("book").inc(1000)
    clash.inc(5)
    clock = ManualClock()
    signals = Signals(clock)
    SliRecorder(signals, service="shop")
    RegistrySampler(signals, registry, interval=1)
    advance(signals, clock)
    orders.labels("book").inc(3)
    orders.labels("pen").inc(2)
    depth.set(7)
    taken.observe(1.5)
    advance(signals, clock)
    assert grown(signals, "orders_total", 60) == [3.0, 2.0]
    assert grown(signals, "taken_seconds_bucket", 60) == [0.0, 1.0, 1.0]
    now = clock.monotonic()
    selection = signals.source.select([Matcher("__name__", "=", "depth")])
    assert signals.source.at(selection, now, 300)[1] == (7.0,)
    assert signals.source.select([Matcher("__name__", "=", "http_requests_total")]).labels == []
    assert signals.source.select([Matcher("__name__", "=", "orders_created")]).labels == []
    orders.remove("book")
    advance(signals, clock)
    assert grown(signals, "orders_total", 60) == [2.0]


def test_idle_policies_take_nothing_of_the_cap_of_label_sets() -> None:
    signals = Signals(ManualClock(), max_label_sets=10)
    sli = SliRecorder(signals, service="shop")
    recorders = [sli.calls(f"pipeline {number}", "pipeline") for number in range(200)]
    calls = signals.counter("resilience_calls_total", labels=("policy", "kind", "verdict"))
    assert len(calls) == 0
    for recorder in recorders[:5]:
        recorder.record(Verdict.SUCCESS, 0.1)
        recorder.record(Verdict.SUCCESS, 0.1)
    assert sorted(calls) == [(f"pipeline {number}", "pipeline", "success") for number in range(5)]
    assert [series.current for series in calls.values()] == [2.0] * 5


def test_recorders_of_one_policy_count_together_from_their_first_call_on() -> None:
    signals = Signals(ManualClock())
    sli = SliRecorder(signals, service="shop")
    one, other = sli.calls("pay", "pipeline"), sli.calls("pay", "pipeline")
    one.record(Verdict.FAILURE, 0.1)
    other.record(Verdict.FAILURE, 0.1)
    calls = signals.counter("resilience_calls_total", labels=("policy", "kind", "verdict"))
    assert calls["pay", "pipeline", "failure"].current == 2.0

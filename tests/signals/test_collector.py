"""The collector, against every value kept."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.errors import ConfigError
from resilience.signals import MetricsCollector, Signals, SliRecorder


def exact(values: list[float], share: float) -> tuple[float, float]:
    """The two values between which a percentile lies."""
    ordered = sorted(values)
    place = share * len(ordered)
    low = ordered[max(0, math.ceil(place) - 2)]
    return low, ordered[min(len(ordered) - 1, math.ceil(place))]


@given(values=st.lists(st.floats(0.002, 5000), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_figures_agree_with_all_values(values: list[float]) -> None:
    clock = ManualClock()
    signals = Signals(clock)
    collector = MetricsCollector(signals)
    for place, value in enumerate(values):
        collector.observe("d_seconds", value, half=str(place % 2))
        if place % 3 == 0:
            clock.shift(0.3)
            signals.tick(clock.now())
    found = collector.aggregate("d_seconds", window=300)
    merged = found.merged
    assert merged.count == len(values)
    assert merged.rate == pytest.approx(len(values) / 300)
    assert merged.mean == pytest.approx(math.fsum(values) / len(values))
    assert (merged.min, merged.max) == (min(values), max(values))
    for share, percentile in ((0.5, merged.p50), (0.9, merged.p90), (0.95, merged.p95), (0.99, merged.p99)):
        low, high = exact(values, share)
        assert low / 1.3 <= percentile <= high * 1.3
    for part in found.by_labels:
        of_part = values[int(part.labels["half"]) :: 2]
        assert part.count == len(of_part)
        assert (part.min, part.max) == (min(of_part), max(of_part))


def test_only_the_window_counts() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    collector = MetricsCollector(signals)
    for second in range(7200):
        collector.observe("d_seconds", 1.0 + second)
        clock.shift(1)
        signals.tick(clock.now())
    for window, step in ((10, 1), (60, 1), (300, 5), (3600, 60)):
        merged = collector.aggregate("d_seconds", window=window).merged
        assert merged.count == pytest.approx(window, abs=1)
        assert merged.max == 7200
        assert merged.min == pytest.approx(7200 - window, abs=step + 1)
        assert merged.mean == pytest.approx(7200 - window / 2, abs=2)


def test_label_sets_that_were_dropped_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resilience.signals.collector._PRUNE_FROM", 10)
    signals = Signals(ManualClock())
    collector = MetricsCollector(signals)
    for number in range(500):
        collector.observe("d_seconds", 1.0, id=str(number))
        histogram = signals.find("d_seconds")
        assert histogram is not None
        histogram.remove(str(number))
    assert len(collector._extremes) <= 20


def test_extremes_leave_the_window_with_their_step() -> None:
    clock = ManualClock()
    collector = MetricsCollector(Signals(clock))
    collector.observe("d_seconds", 100.0)
    clock.shift(20)
    collector.observe("d_seconds", 1.0)
    assert collector.aggregate("d_seconds", window=60).merged.max == 100.0
    assert collector._extremes.popitem()[1].since(clock.monotonic() - 10) == (1.0, 1.0)


def test_nothing_is_nan_and_not_zero() -> None:
    signals = Signals(ManualClock())
    signals.histogram("d_seconds", labels=("a",))
    found = MetricsCollector(signals).aggregate("d_seconds")
    assert (found.merged.count, found.merged.rate, found.by_labels) == (0, 0.0, ())
    assert math.isnan(found.merged.mean)
    assert math.isnan(found.merged.p95)


def test_histograms_that_others_record_are_answered_from_their_buckets() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    for route, seconds in (("/a", 0.2), ("/a", 0.2), ("/b", 20.0)):
        recorder.request("GET", route, "200", Verdict.SUCCESS, seconds)
    collector = MetricsCollector(signals)
    found = collector.aggregate("http_request_duration_seconds")
    assert found.merged.count == 3
    assert (found.merged.min, found.merged.max) == (0.1, 10.0)
    only = collector.aggregate("http_request_duration_seconds", route="/a").merged
    assert only.labels == {"route": "/a"}
    assert (only.count, only.min, only.max) == (2, 0.1, 0.25)


def test_what_does_not_fit_is_refused() -> None:
    signals = Signals(ManualClock())
    signals.counter("a_total")
    collector = MetricsCollector(signals)
    collector.observe("d_seconds", 1.0, kind="x")
    for wrong in (
        lambda: collector.observe("d_seconds", 1.0),
        lambda: collector.observe("a_total", 1.0),
        lambda: collector.aggregate("missing"),
        lambda: collector.aggregate("d_seconds", window=0),
    ):
        with pytest.raises(ConfigError):
            wrong()
    collector.observe("d_seconds", float("nan"), kind="x")
    collector.observe("d_seconds", -1.0, kind="x")
    assert collector.aggregate("d_seconds").merged.count == 1
    assert collector.aggregate("d_seconds").merged.max == 1.0

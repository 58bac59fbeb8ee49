"""Requests counted where their series was found once, whatever becomes of the series."""

from __future__ import annotations

import gc
import sys
import threading
import weakref

import pytest

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.signals import Signals, SliRecorder
from resilience.signals.instruments import OVERFLOW
from tests.signals.test_recording import shown


def counted(signals: Signals) -> tuple[float, float, float]:
    """How many requests, durations and seconds there are."""
    return (
        sum(shown(signals, "http_requests_total").values()),
        sum(shown(signals, "http_request_duration_seconds_count").values()),
        sum(shown(signals, "http_request_duration_seconds_sum").values()),
    )


def test_each_request_is_counted_with_its_duration_and_is_in_flight_no_more() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    series = recorder.request_series("GET", "/a", "200", Verdict.SUCCESS)
    for seconds in (0.005, 0.006, 0.25, 60.0):
        recorder.request_started()
        series.finish(seconds)
    assert counted(signals) == (4.0, 4.0, 60.261)
    assert recorder.in_flight == 0
    buckets = {key[0]: value for key, value in shown(signals, "http_request_duration_seconds_bucket").items()}
    assert [buckets[le] for le in ("0.005", "0.01", "0.25", "10.0", "+Inf")] == [1.0, 2.0, 3.0, 3.0, 4.0]


def test_a_series_is_found_once() -> None:
    recorder = SliRecorder(Signals(ManualClock()), service="shop")
    found = [recorder.request_series("GET", "/a", "200", Verdict.SUCCESS) for _ in range(2)]
    assert found[0] is found[1]


def test_a_series_that_was_dropped_counts_from_zero_and_disturbs_no_other() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    series = recorder.request_series("GET", "/a", "200", Verdict.SUCCESS)
    series.finish(0.1)
    instrument = signals.find("http_requests_total")
    assert instrument is not None
    instrument.remove("shop", "GET", "/a", "200", "success")
    other = signals.counter("other_total").bind()  # takes the column that came free
    series.finish(0.1)
    series.finish(0.1)
    assert other.current == 0.0
    assert counted(signals)[:2] == (2.0, 3.0)


def test_over_the_cap_all_is_counted_together() -> None:
    signals = Signals(ManualClock(), max_label_sets=2)
    recorder = SliRecorder(signals, service="shop")
    for number in range(5):
        series = recorder.request_series("GET", f"/{number}", "200", Verdict.SUCCESS)
        series.finish(0.1)
        series.finish(0.1)
    assert counted(signals)[:2] == (10.0, 10.0)
    assert shown(signals, "http_requests_total")[(OVERFLOW,) * 5] == 6.0


def test_no_request_is_lost_between_threads() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    series = recorder.request_series("GET", "/a", "200", Verdict.SUCCESS)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=lambda: [series.finish(0.5) for _ in range(5_000)]) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counted(signals) == (20_000.0, 20_000.0, 10_000.0)


def outbound(signals: Signals) -> tuple[float, float]:
    """How many outbound requests and durations there are."""
    return (
        sum(shown(signals, "client_requests_total").values()),
        sum(shown(signals, "client_request_duration_seconds_count").values()),
    )


def test_outbound_requests_are_counted_where_their_series_was_found_once() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    series = recorder.client_series("pay", "pay.example", "GET", "200", Verdict.SUCCESS)
    assert recorder.client_series("pay", "pay.example", "GET", "200", Verdict.SUCCESS) is series
    series.finish(0.1)
    count, duration = series.columns
    assert (series.values[count], series.values[duration]) == (1.0, 0.1)
    assert outbound(signals) == (1.0, 1.0)


def test_an_outbound_series_that_was_dropped_asks_anew_where_it_stands() -> None:
    signals = Signals(ManualClock())
    recorder = SliRecorder(signals, service="shop")
    series = recorder.client_series("pay", "pay.example", "GET", "200", Verdict.SUCCESS)
    series.finish(0.1)
    instrument = signals.find("client_requests_total")
    assert instrument is not None
    instrument.remove("pay", "pay.example", "GET", "200")
    with pytest.raises(IndexError):
        series.values[series.columns[0]] += 1.0
    other = signals.counter("other_total").bind()  # takes the column that came free
    series.finish(0.1)
    assert other.current == 0.0
    assert outbound(signals) == (1.0, 2.0)


def test_outbound_series_live_as_long_as_somebody_keeps_them() -> None:
    recorder = SliRecorder(Signals(ManualClock()), service="shop")
    kept = recorder.client_series("pay", "kept.example", "GET", "200", Verdict.SUCCESS)
    gone = weakref.ref(recorder.client_series("pay", "gone.example", "GET", "200", Verdict.SUCCESS))
    gc.collect()
    assert gone() is None
    assert recorder.client_series("pay", "kept.example", "GET", "200", Verdict.SUCCESS) is kept


def test_outbound_requests_over_the_cap_are_counted_together() -> None:
    signals = Signals(ManualClock(), max_label_sets=2)
    recorder = SliRecorder(signals, service="shop")
    for number in range(5):
        for _ in range(2):
            recorder.client("pay", f"{number}.example", "GET", "200", Verdict.SUCCESS, 0.1)
    assert outbound(signals) == (10.0, 10.0)
    assert shown(signals, "client_requests_total")[(OVERFLOW,) * 4] == 6.0

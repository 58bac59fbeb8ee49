"""Cost of a new host of an HTTP client: memory and time of its guards, and memory of its series.

Bars: 8 kB and 0.3 ms for the guards, 2.5 kB for each column of the series, of which rows are the most once all rings are full.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.http.calls import HttpCalls
from resilience.http.preset import HostPipelines, for_http
from resilience.policies.presets import API_CALLS
from resilience.reliability import Reliability
from resilience.signals import Signals, SliRecorder

HOSTS = 200
HOURS = 7


async def release(response: object) -> None:
    """Release nothing."""


@contextmanager
def allocated() -> Iterator[Callable[[], int]]:
    """Give a function that returns the bytes that are there since."""
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]

    def since() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before

    try:
        yield since
    finally:
        tracemalloc.stop()


def client() -> HttpCalls[Any, Any]:
    rel = Reliability("shop")
    guard = HostPipelines(rel.pipeline, "http", for_http(API_CALLS), clock=rel.clock)
    calls: HttpCalls[Any, Any] = HttpCalls(
        guard, status="status", release=release, record=rel.sli.client_series
    )
    calls.of("http://warm:80")  # what is compiled once
    return calls


def guards() -> None:
    calls = client()
    with allocated() as since:
        for number in range(HOSTS):
            calls.of(f"http://host{number}:80")
        memory = since() / HOSTS
    calls = client()
    started = time.process_time()
    for number in range(HOSTS):
        calls.of(f"http://host{number}:80")
    seconds = (time.process_time() - started) / HOSTS
    print(f"guards of a new host: {memory / 1000:.1f} kB, {seconds * 1000:.2f} ms")


def series() -> None:
    clock = ManualClock()
    signals = Signals(clock)
    recorder = SliRecorder(signals, service="shop")
    recorder.client_series("http", "http://warm:80", "GET", "200", Verdict.SUCCESS).finish(0.01)
    columns = len(signals.values)
    with allocated() as since:
        each = [
            recorder.client_series("http", f"http://host{number}:80", "GET", "200", Verdict.SUCCESS)
            for number in range(HOSTS)
        ]
        for one in each:
            one.finish(0.01)
        columns = len(signals.values) - columns
        bare = since() / columns
        for second in range(HOURS * 3600):
            each[second % HOSTS].finish(0.01)
            clock.shift(1)
            signals.tick(clock.now())
        full = since() / columns
    print(
        f"series of a new host: {columns // HOSTS} columns of {bare / 1000:.2f} kB, after {HOURS} h {full / 1000:.2f} kB"
    )


if __name__ == "__main__":
    guards()
    series()

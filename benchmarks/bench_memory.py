"""Memory of 1,000 active label sets, a counter and a histogram of 14 buckets each. Bar: 64 MB with default retention.

The first row has seven hours of ticks behind it, so that all rings are full; the second holds the same sets and no
history. Each row is measured in a process of its own: what others left behind would hide it.
"""

from __future__ import annotations

import gc
import importlib
import subprocess
import sys
from collections.abc import Callable

SETS = 1000
HOURS = 7


def resident() -> float:
    psutil = importlib.import_module("psutil")
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def full_rings() -> Callable[[], object]:
    from resilience.core.clock import ManualClock
    from resilience.core.verdict import Verdict
    from resilience.signals import Signals, SliRecorder

    def fill() -> object:
        clock = ManualClock()
        signals = Signals(clock)
        recorder = SliRecorder(signals, service="shop")
        for second in range(HOURS * 3600):
            # All of them each minute; a row is a row, whatever has changed in it.
            for route in range(SETS) if second % 60 == 0 else (second % SETS,):
                recorder.request("GET", f"/{route}", "200", Verdict.SUCCESS, 0.012)
            clock.shift(1)
            signals.tick(clock.now())
        return signals, recorder

    return fill


def no_history() -> Callable[[], object]:
    from prometheus_client import CollectorRegistry, Counter, Histogram

    def fill() -> object:
        registry = CollectorRegistry()
        labels = ("service", "method", "route", "code", "verdict")
        requests = Counter("http_requests", "Requests.", labels, registry=registry)
        durations = Histogram("http_request_duration_seconds", "Durations.", labels[:3], registry=registry)
        for route in range(SETS):
            requests.labels("shop", "GET", f"/{route}", "200", "success").inc()
            durations.labels("shop", "GET", f"/{route}").observe(0.012)
        return registry

    return fill


FILLS = {f"signals, {HOURS} h of ticks": full_rings, "prometheus_client, no history": no_history}


def main(name: str) -> None:
    fill = FILLS[name]()  # what it imports is no memory of label sets
    before = resident()
    kept = fill()
    print(resident() - before)
    del kept


def in_another_process(name: str) -> float:
    done = subprocess.run([sys.executable, __file__, name], check=False, capture_output=True, text=True)
    if done.returncode:
        raise ImportError(done.stderr.strip().rpartition("\n")[2])
    return float(done.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
else:
    from compare import Measure

    measure = Measure(reference="prometheus_client, no history", unit="MB")
    for _name in FILLS:
        measure.row(_name)(lambda name=_name: in_another_process(name))

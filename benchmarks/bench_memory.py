"""Memory of 1,000 active label sets with default retention, after seven hours of ticks. Bar: 64 MB.

python benchmarks/bench_memory.py [--json]

A script of its own: it needs a process of its own.
"""

from __future__ import annotations

import gc
import json
import sys

import psutil

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.signals import Signals, SliRecorder

SETS = 1000


def resident() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def main() -> None:
    before = resident()
    clock = ManualClock()
    signals = Signals(clock)
    recorder = SliRecorder(signals, service="shop")
    for second in range(7 * 3600):
        # All of them each minute; a row is a row, whatever has changed in it.
        for route in range(SETS) if second % 60 == 0 else (second % SETS,):
            recorder.request("GET", f"/{route}", "200", Verdict.SUCCESS, 0.012)
        clock.shift(1)
        signals.tick(clock.now())
    used = resident() - before
    if "--json" in sys.argv:
        print(json.dumps([{"group": "memory", "name": f"{SETS} label sets", "megabytes": round(used, 1)}]))
    else:
        print(f"memory       {SETS} label sets {used:10.1f} MB (bar: 64)")


if __name__ == "__main__":
    main()

"""The longest stretch of the event loop that an evaluation of rules takes. Bar: 5 ms.

A task that does nothing else asks for its turn again and again; the figure is the longest it had to wait, in CPU time of
the process, over three evaluations with a tick between them; "first" are those of rules that are new, which make plans and
series. As anywhere here, garbage collection is off within a round.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import time

from compare import Measure

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.rules import AlertRule, Evaluator, RecordingRule, RuleGroup
from resilience.signals import Signals, SliRecorder

SETS = 1000
RATIO = (
    'sum(rate(http_requests_total{{route="/{0}",verdict="failure"}}[5m]))'
    ' / sum(rate(http_requests_total{{route="/{0}"}}[5m])) > 0.1'
)
BUCKETS = "http_request_duration_seconds_bucket"
RULES = {
    "1,000 rules": [RATIO.format(route) for route in range(SETS)],
    "one rule, p99 of 1,000 routes": [
        f"histogram_quantile(0.99, sum by (le, route) (rate({BUCKETS}[5m]))) > 5"
    ],
    "one rule, all samples of 15,000 series": [f"sum(stddev_over_time({BUCKETS}[5m])) > 5e9"],
    "one rule, a subquery over 15,000 series": [f"max_over_time(sum(rate({BUCKETS}[1m]))[10m:10s]) > 5e9"],
    "one rule, 1,000 alerts": ["http_requests_total > 0"],
    "one rule, 15,000 results": [f"{BUCKETS} >= 0"],
}
ROUNDS = 3

measure = Measure(reference="1,000 rules", unit="ms")


@functools.cache
def history() -> tuple[ManualClock, Signals]:
    """A thousand routes, twenty minutes old."""
    clock = ManualClock()
    signals = Signals(clock)
    recorder = SliRecorder(signals, service="shop")
    for second in range(1200):
        for route in range(SETS) if second % 30 == 0 else ():
            recorder.request("GET", f"/{route}", "200", Verdict.SUCCESS, 0.012 * (route % 9))
        clock.shift(1)
        signals.tick(clock.now())
    return clock, signals


async def longest(rules: Evaluator, clock: ManualClock) -> float:
    """Milliseconds for which an evaluation kept others from their turn, at most."""
    worst, last = 0.0, time.process_time()

    async def others() -> None:
        nonlocal worst, last
        while True:
            now = time.process_time()
            worst, last = max(worst, now - last), now
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    await asyncio.sleep(0)
    await rules.evaluate(clock.now())
    await asyncio.sleep(0)
    task.cancel()
    return worst * 1000


names = map("r{}".format, itertools.count())


def new_rules(name: str) -> Evaluator:
    """An evaluator of rules that have never been evaluated."""
    kind = RecordingRule if "results" in name else AlertRule
    _, signals = history()
    group = RuleGroup("g", [kind(next(names), text) for text in RULES[name]])
    return Evaluator([group], signals.source, signals, interval=1)


def evaluated(rules: Evaluator) -> float:
    clock, signals = history()
    clock.shift(1)
    signals.tick(clock.now())
    gc.collect()
    gc.disable()
    try:
        return asyncio.run(longest(rules, clock))
    finally:
        gc.enable()


def first(name: str) -> float:
    return max(evaluated(new_rules(name)) for _ in range(ROUNDS))


def again(name: str) -> float:
    rules = new_rules(name)
    evaluated(rules)
    return max(evaluated(rules) for _ in range(ROUNDS))


for _name in RULES:
    measure.row(f"{_name}, first")(functools.partial(first, _name))
    measure.row(_name)(functools.partial(again, _name))

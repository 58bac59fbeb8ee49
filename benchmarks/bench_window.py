"""How a window query's cost depends on the window and on traffic: it must not (2 x at most)."""

from __future__ import annotations

from compare import Batch, Function, Group

from resilience.core.clock import ManualClock
from resilience.core.ports import Matcher
from resilience.signals import Signals

SERIES = 100
DAY = 86_400.0

by_window = Group(reference="5 m", scene=f"{SERIES} series", suspending=False, batches=5)
by_traffic = Group(reference="10/s", scene="1 h window", suspending=False, batches=5)
by_birth = Group(reference="1,000 rules", scene="new label set", suspending=False, batches=2)


def query(window: float, per_second: int = 100) -> Batch:
    """Ask how much 100 series grew in a window, after 31 days of ticks."""
    clock = ManualClock()
    signals = Signals(clock)
    signals.retain("requests_total", 30 * DAY)
    counter = signals.counter("requests_total", labels=("route",))
    series = [counter.bind(str(route)) for route in range(SERIES)]

    def run(seconds: float, step: float) -> None:
        for _ in range(int(seconds / step)):
            for one in series:
                one.inc(per_second * step / SERIES)
            clock.shift(step)
            signals.tick(clock.now())

    run(31 * DAY, 1800)
    run(7 * 3600, 30)
    run(120, 1)
    source = signals.source
    selection = source.select([Matcher("__name__", "=", "requests_total")])
    now = clock.monotonic()

    async def batch(function: Function, calls: int) -> None:
        for call in range(calls):
            # Another moment each time, as at each tick: nothing is remembered from the last question.
            source.increase(selection, now - window + call / 1000, now)
            await function()

    return batch


by_window.row("10 s")(lambda: query(10))
by_window.row("5 m")(lambda: query(300))
by_window.row("1 h")(lambda: query(3600))
by_window.row("6 h")(lambda: query(6 * 3600))
by_window.row("30 d")(lambda: query(30 * DAY))
by_traffic.row("10/s")(lambda: query(3600, 10))
by_traffic.row("10,000/s")(lambda: query(3600, 10_000))


@by_birth.row("1,000 rules")
def birth() -> Batch:
    """A counter and a histogram of 14 buckets are born under 1,000 rules that select by service."""
    signals = Signals(ManualClock(), max_label_sets=1_000_000)
    counter = signals.counter("requests_total", labels=("service", "route"))
    histogram = signals.histogram("duration_seconds", labels=("service", "route"))
    kept = []
    for rule in range(1000):
        by_service = Matcher("service", "=", f"s{rule}")
        kept += [
            signals.source.select([Matcher("__name__", "=", name), by_service])
            for name in ("requests_total", "duration_seconds_bucket")
        ]
        signals.retain([Matcher("__name__", "=", "requests_total"), by_service], 30 * DAY)
    born = iter(range(1_000_000))

    async def batch(function: Function, calls: int) -> None:
        assert kept
        for _ in range(calls):
            route = str(next(born))
            counter.bind("s1", route).inc()
            histogram.bind("s1", route).observe(0.1)
            await function()

    return batch

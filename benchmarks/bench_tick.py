"""One tick over 1,000 label sets, each a counter and a histogram of 14 buckets. Bars: 1 ms active, 0.1 ms idle."""

from __future__ import annotations

from compare import Batch, Function, Group

from resilience.core.clock import ManualClock
from resilience.core.verdict import Verdict
from resilience.signals import Signals, SliRecorder

SETS = 1000

group = Group(reference="idle", suspending=False, batches=10)


def thousand() -> tuple[ManualClock, Signals]:
    """A `Signals` with all its sets, an hour old."""
    clock = ManualClock()
    signals = Signals(clock)
    recorder = SliRecorder(signals, service="shop")
    for route in range(SETS):
        recorder.request("GET", f"/{route}", "200", Verdict.SUCCESS, 0.012)
    for _ in range(3600):
        clock.shift(1)
        signals.tick(clock.now())
    return clock, signals


@group.row("idle")
def idle() -> Batch:
    clock, signals = thousand()

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            clock.shift(1)
            signals.tick(clock.now())
            await function()

    return batch


@group.row("all sets active")
def active() -> Batch:
    clock, signals = thousand()
    # Every figure moves between two ticks, at the price of one copy: recording itself is another benchmark.
    values = signals.values
    moved = values[:]
    for column in range(len(moved)):
        moved[column] += 1

    async def batch(function: Function, calls: int) -> None:
        for _ in range(calls):
            values[:], moved[:] = moved[:], values[:]
            clock.shift(1)
            signals.tick(clock.now())
            await function()

    return batch

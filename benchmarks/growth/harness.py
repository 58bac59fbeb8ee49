"""Curves and their bars: what a size costs, and how to measure it."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience.core.ports import Put
from resilience.stores.memory import MemoryStore

FACTOR = 50


@dataclass(frozen=True)
class Cost:
    """Cost of one size: seconds of CPU, the longest stretch of the loop in seconds of CPU, and bytes stored per tick."""

    seconds: float
    stretch: float = 0.0
    bytes_per_tick: float = 0.0


Run = Callable[[int], Awaitable[Cost]]


@dataclass(frozen=True)
class Curve:
    """A curve and its bars; None for no bar."""

    run: Run
    size: int
    exponent: float | None = 1.1
    stretch: float | None = None
    bytes_per_tick: float | None = None


CURVES: dict[str, Curve] = {}


def curve(name: str, size: int, **bars: float | None) -> Callable[[Run], Run]:
    def register(run: Run) -> Run:
        CURVES[name] = Curve(run, size, **bars)
        return run

    return register


class CountingStore(MemoryStore):
    """Counts what is written, for all of its kind: a service may put another store before its own."""

    bytes = 0

    async def write(self, batch: Sequence[Put]) -> None:
        CountingStore.bytes += sum(len(put.table) + len(put.key) + len(put.value or b"") for put in batch)
        await super().write(batch)


class Stretches:
    """The longest stretch for which a loop was busy with one coroutine."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def of(self, work: Awaitable[Any]) -> None:
        steps = work.__await__()
        while True:
            began = time.process_time()  # slices run in another thread, while the loop waits
            try:
                next(steps)
            except StopIteration:
                return
            finally:
                self.longest = max(self.longest, time.process_time() - began)
            await asyncio.sleep(0)


async def collecting(rel: Reliability, clock: ManualClock, ticks: int, change: Callable[[], object]) -> Cost:
    """The cost of collecting and storing what ticks have changed, apart from the ticks themselves."""
    persisted, stretches = rel._persisted, Stretches()
    rel._persisted = Uncollected()
    CountingStore.bytes, seconds = 0, 0.0
    for _ in range(ticks):
        change()
        clock.shift(1)
        await rel.tick()
        began = time.thread_time()
        found: list[Put] = []

        async def collect(into: list[Put] = found) -> None:
            into += await persisted.collect(clock.now(), term=rel.alerts.term)

        await stretches.of(collect())
        seconds += time.thread_time() - began
        await rel._store.write(found)
    rel._persisted = persisted
    return Cost(seconds / ticks, stretches.longest, CountingStore.bytes / ticks)


class Uncollected:
    """Stands in for the state while a tick is made whose collection is measured apart."""

    closing = False

    async def collect(self, at: object, *, term: object) -> list[Put]:
        return []


class Collections:
    """The longest full pass of the garbage collector over what a curve has built."""

    longest = 0.0


@contextmanager
def uncollected() -> Iterator[None]:
    """Leave out the garbage collector, and measure one full pass of it apart.

    A full pass visits each tracked object of the process, whatever work happens to start it: after curves over thousands
    of rules, it would add the same pause to any curve, at times to the small size and at times to the large one. It
    begins only when the objects have grown by a quarter, so it belongs to loading many objectives, and not to a tick.
    """
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        began = time.process_time()
        gc.collect()
        Collections.longest = max(Collections.longest, time.process_time() - began)
        gc.enable()


def exponent(size: int, small: Cost, large: Cost) -> float:
    return math.log(max(large.seconds, 1e-9) / max(small.seconds, 1e-9)) / math.log(FACTOR) if size else 0.0


async def measure(name: str) -> dict[str, Any]:
    one = CURVES[name]
    small = await one.run(one.size)
    Collections.longest = 0.0
    large = await one.run(one.size * FACTOR)
    row: dict[str, Any] = {
        "curve": name,
        "sizes": [one.size, one.size * FACTOR],
        "ms": [round(small.seconds * 1e3, 4), round(large.seconds * 1e3, 4)],
        "exponent": round(exponent(one.size, small, large), 2),
        "longest_ms": round(large.stretch * 1e3, 3),
        "collection_ms": round(Collections.longest * 1e3, 1),
        "bytes_per_tick": round(large.bytes_per_tick),
    }
    over = [
        what
        for what, value, bar in (
            ("exponent", row["exponent"], one.exponent),
            ("longest_ms", large.stretch, one.stretch),
            ("bytes_per_tick", large.bytes_per_tick, one.bytes_per_tick),
        )
        if bar is not None and value > bar
    ]
    return {**row, "over": over}

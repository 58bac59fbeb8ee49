"""One timer for all deadlines of a loop: they wait in buckets of an eighth of a second.

Making and cancelling a loop timer for each call is most of what `asyncio.timeout` costs. Nearly every deadline is
withdrawn long before it is due, so each is only put into the dict of its eighth of a second; the one bucket that falls
due becomes a heap, and a single loop timer waits for the heap's first entry or the next bucket, whichever is earlier.
Arming and withdrawing are O(1), expiry is exact to the loop's own resolution, and nothing outlives its bucket.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
import time as _time
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import Cancellable, Clock

__all__ = [
    "BEFORE",
    "FIRED",
    "ORDER",
    "OUTER",
    "OWNER",
    "TASK",
    "WHEN",
    "WIDTH",
    "Deadlines",
    "Entry",
    "deadlines_here",
    "deadlines_on",
    "here",
]

Entry: TypeAlias = list[Any]
"""One deadline: `[when, order, task, fired, outer, owner, before]`.

A list, since a list display is the cheapest record there is (40 ns; a slotted object 150): `when` on the clock of
`owner`, the `Deadlines` it waits in; `order` to tell entries apart; the `task` to cancel, None once the deadline is
withdrawn or dealt with; whether it has `fired`; the deadline `outer` to it; and how many cancellations had been asked
for `before` it was entered.
"""
WHEN, ORDER, TASK, FIRED, OUTER, OWNER, BEFORE = range(7)

WIDTH = 0.125
"""Seconds in a bucket. A power of two: `when // WIDTH`, the bucket's number, is exact."""

# Empty buckets are kept up to this many, 400 kB: deadlines of all lengths up to eight minutes then find one there.
_SWEEP_AT = 4096
_ATTRIBUTE = "_resilience_deadlines"


def expire(entry: Entry) -> None:
    """Cancel the task of a deadline that has come, unless it was withdrawn meanwhile."""
    if (task := entry[TASK]) is not None:
        entry[FIRED] = True
        task.cancel()


class Deadlines:
    """The deadlines of one loop, or of one injected clock.

    Args:
        loop: the loop whose tasks they cancel; None for those of an injected clock, which may serve several.
        time: the clock they are measured on, in seconds.
        call_at: sets the one timer.
        resolution: how much too early a timer of this clock may be, in seconds.
    """

    __slots__ = (
        "_call_at",
        "_due",
        "_numbers",
        "_resolution",
        "_sweep_at",
        "_timer",
        "_timer_at",
        "buckets",
        "loop",
        "order",
        "time",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        time: Callable[[], float],
        call_at: Callable[[float, Callable[[], object]], Cancellable],
        resolution: float = 0.0,
    ) -> None:
        self.loop = loop
        self.time = time
        self.order = itertools.count().__next__
        self.buckets: dict[float, dict[int, Entry]] = {}
        self._call_at = call_at
        self._resolution = resolution
        self._due: list[Entry] = []
        self._numbers: list[float] = []  # of all buckets, a heap
        self._timer: Cancellable | None = None
        self._timer_at = math.inf
        self._sweep_at = _SWEEP_AT

    @classmethod
    def on_clock(cls, clock: Clock) -> Deadlines:
        """Make the deadlines of an injected clock."""
        return cls(None, clock.monotonic, clock.call_at)

    def waiting(self) -> int:
        """How many deadlines wait."""
        return sum(map(len, self.buckets.values())) + sum(entry[TASK] is not None for entry in self._due)

    def arm(self, entry: Entry) -> dict[int, Entry] | None:
        """Let a deadline wait.

        Args:
            entry: what is to expire; its task must be the running one.

        Returns:
            the bucket to take it out of when it is withdrawn, or None when clearing its task is enough.
        """
        when = entry[WHEN]
        if when == math.inf:
            return None
        number = when // WIDTH
        bucket = self.buckets.get(number)
        if bucket is None:
            now = self.time()
            if when <= now:
                # As asyncio.timeout does; a timer would let callbacks that are due go first.
                asyncio.get_running_loop().call_soon(expire, entry)
                return None
            if number <= now // WIDTH:
                heapq.heappush(self._due, entry)
                self._wake_at(when)
                return None
            if len(self.buckets) >= self._sweep_at:
                self._sweep()
            bucket = self.buckets[number] = {}
            heapq.heappush(self._numbers, number)
            self._wake_at(number * WIDTH)
        bucket[entry[ORDER]] = entry
        return bucket

    def _sweep(self) -> None:
        """Drop the buckets that have emptied before their time."""
        for number in [number for number, bucket in self.buckets.items() if not bucket]:
            del self.buckets[number]
        self._numbers = sorted(self.buckets)  # sorted is a heap
        self._sweep_at = max(_SWEEP_AT, 2 * len(self.buckets))

    def _wake_at(self, when: float) -> None:
        if when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = self._call_at(when, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        limit = self.time() + self._resolution
        due = self._due
        numbers = self._numbers
        if numbers and numbers[0] * WIDTH <= limit:
            while numbers and numbers[0] * WIDTH <= limit:
                due.extend(self.buckets.pop(heapq.heappop(numbers)).values())
            heapq.heapify(due)
        while due and (due[0][TASK] is None or due[0][WHEN] <= limit):
            expire(heapq.heappop(due))
        if due:
            self._wake_at(due[0][WHEN])
        if numbers:
            self._wake_at(numbers[0] * WIDTH)


class _Here(threading.local):
    """The deadlines of the loop that was asked for last in this thread."""

    # No loop yet: no task can be current on it, so whoever looks here is sent to `deadlines_on`.
    deadlines = Deadlines(
        cast("asyncio.AbstractEventLoop", object()), SYSTEM_CLOCK.monotonic, SYSTEM_CLOCK.call_at
    )


here = _Here()
"""A short cut: `current_task(here.deadlines.loop)` costs half of `get_running_loop()` and `current_task()`, and is None
where another loop runs here now."""


def deadlines_on(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """Return the deadlines of a loop, made at first use.

    They are kept on the loop itself: they live as long as it does, and another loop, in another thread or after this
    one, has its own.
    """
    found: Deadlines | None = getattr(loop, _ATTRIBUTE, None)
    if found is None:
        # Same clock, half the price; uvloop and virtual-time loops have clocks of their own.
        plain = getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time
        time = _time.monotonic if plain else loop.time
        found = Deadlines(loop, time, loop.call_at, getattr(loop, "_clock_resolution", 1e-3))
        setattr(loop, _ATTRIBUTE, found)
    here.deadlines = found
    return found


def deadlines_here() -> tuple[Deadlines, asyncio.Task[Any]]:
    """Return the running loop's deadlines and the running task, the long way.

    Raises:
        RuntimeError: no loop runs, or no task.
    """
    deadlines = deadlines_on(asyncio.get_running_loop())
    if (task := asyncio.current_task()) is None:
        raise RuntimeError("a timeout must be used inside a task")
    return deadlines, task

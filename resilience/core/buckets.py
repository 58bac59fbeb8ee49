"""One timer for all deadlines of a loop: they wait in a timing wheel whose buckets are as wide as they are far away.

Making and cancelling a loop timer for each call is most of what `asyncio.timeout` costs. Nearly every deadline is
withdrawn long before it is due, so each is only linked into a bucket: a sixteenth of its delay or less wide, so that
all buckets in use are few, and a policy finds the one that it used last good for its next calls. The bucket that falls
due is emptied into a heap, and a single loop timer waits for the heap's first deadline or the next bucket, whichever is
earlier. Arming and withdrawing are O(1), expiry is exact to the loop's own resolution, and nothing that was withdrawn in
time outlives it. After Varghese and Lauck, "Hashed and hierarchical timing wheels" (1987).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import sys
import threading
import time as _time
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias, cast

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import Cancellable, Clock

__all__ = [
    "BEFORE",
    "END",
    "FIRED",
    "LATE",
    "NEXT",
    "NOWHERE",
    "OF",
    "OUTER",
    "OWNER",
    "PREVIOUS",
    "START",
    "TASK",
    "WHEN",
    "WIDTH",
    "Bucket",
    "Deadlines",
    "Entry",
    "deadlines_here",
    "deadlines_on",
    "fire",
    "here",
    "running_task",
    "withdraw",
]

Entry: TypeAlias = list[Any]
"""One deadline: `[when, task, fired, outer, owner, before, previous, next]`.

A list, since a list display is the cheapest record there is (40 ns; a slotted object 150): `when` on the clock of
`owner`, the `Deadlines` it waits in; the `task` to cancel, None once the deadline is withdrawn or dealt with; whether it
has `fired`; the deadline `outer` to it; how many cancellations had been asked for `before` it was entered; and its
neighbours in the bucket, None once it has left.

Where there is more, `[..., late, of]`, the function `late` of the entry is called instead of cancelling the task: it may end it
by `fire` now, or later. `of` is what it wants to know besides.
"""
WHEN, TASK, FIRED, OUTER, OWNER, BEFORE, PREVIOUS, NEXT, LATE, OF = range(10)

Bucket: TypeAlias = list[Any]
"""The head of a ring of deadlines that lie from `start` up to `end`; its `owner` is None once it has fallen due.

Anyone may keep a bucket for the next deadline: it is good if the owner is right and the deadline within its bounds. To
link an entry in, make it with `bucket[PREVIOUS]` and `bucket` as its neighbours, and set theirs to it.
"""
START, END = WHEN, BEFORE

WIDTH = 0.125
"""Seconds in the narrowest bucket. All are powers of two: `when // width`, the number of a bucket, is exact."""

_ATTRIBUTE = "_resilience_deadlines"


def _ring(start: float, end: float, owner: Deadlines | None) -> Bucket:
    bucket: Bucket = [start, None, False, None, owner, end, None, None]
    bucket[PREVIOUS] = bucket[NEXT] = bucket
    return bucket


NOWHERE: Final = _ring(math.inf, math.inf, None)
"""The bucket of those that have not been given one."""


def withdraw(entry: Entry) -> None:
    """Take a deadline out of its bucket."""
    previous, after = entry[PREVIOUS], entry[NEXT]
    previous[NEXT] = after
    after[PREVIOUS] = previous
    entry[PREVIOUS] = entry[NEXT] = None


def _members(bucket: Bucket) -> Iterator[Entry]:
    entry = bucket[NEXT]
    while entry is not bucket:
        # Read first: the caller may take the entry out.
        following = entry[NEXT]
        yield entry
        entry = following


def _expire(entry: Entry) -> None:
    """Cancel the task of a deadline that has come, or let somebody else see to it."""
    withdraw(entry)
    if len(entry) > LATE:
        entry[PREVIOUS] = entry[NEXT] = entry  # it can still be withdrawn
        entry[LATE](entry)
    else:
        fire(entry)


def fire(entry: Entry) -> None:
    """Cancel the task of a deadline."""
    entry[PREVIOUS] = entry[NEXT] = None
    entry[FIRED] = True
    entry[TASK].cancel()


def _expire_all(bucket: Bucket) -> None:
    for entry in _members(bucket):
        _expire(entry)
    _dismiss(bucket)


def _dismiss(bucket: Bucket) -> None:
    """Let nobody use a bucket again, and break its cycle."""
    owner = bucket[OWNER]
    if owner is not None and owner.latest is bucket:
        owner.latest = NOWHERE
    bucket[OWNER] = bucket[PREVIOUS] = bucket[NEXT] = None


class Deadlines:
    """The deadlines of one loop, or of one injected clock.

    Args:
        loop: the loop whose tasks they cancel; None for those of an injected clock, which may serve several.
        time: the clock they are measured on, in seconds.
        call_at: sets the one timer.
        resolution: how much too early a timer of this clock may be, in seconds.
    """

    __slots__ = (
        "_buckets",
        "_call_at",
        "_due",
        "_near",
        "_never",
        "_order",
        "_resolution",
        "_starts",
        "_timer",
        "_timer_at",
        "latest",
        "loop",
        "time",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop | None,
        time: Callable[[], float],
        call_at: Callable[[float, Callable[[], object]], Cancellable],
        resolution: float = 0.0,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop | None = loop
        self.time: Callable[[], float] = time
        self.latest: Bucket = NOWHERE
        """The bucket that was asked for last, as long as it has not fallen due."""
        self._call_at = call_at
        self._resolution = resolution
        self._buckets: dict[tuple[float, float], Bucket] = {}  # by start and width
        self._starts: list[tuple[float, float]] = []  # of all buckets, a heap
        self._near = _ring(math.inf, math.inf, self)
        self._never = _ring(math.inf, math.inf, self)
        self._due: list[tuple[float, int, Entry]] = []
        self._order = itertools.count()
        self._timer: Cancellable | None = None
        self._timer_at = math.inf

    @classmethod
    def on_clock(cls, clock: Clock) -> Deadlines:
        """Make the deadlines of an injected clock."""
        return cls(None, clock.monotonic, clock.call_at)

    def waiting(self) -> int:
        """How many deadlines wait."""
        rings = (self._near, self._never, *self._buckets.values())
        return sum(1 for ring in rings for _ in _members(ring)) + sum(map(_waits, self._due))

    def bucket(self, when: float) -> Bucket:
        """Find the bucket of a deadline, the long way.

        Args:
            when: the deadline, which must be linked in before the loop turns.
        """
        if when == math.inf:
            return self._never
        now = self.time()
        if when <= now:
            # As asyncio.timeout does; a timer would let callbacks that are due go first.
            passed = _ring(when, when, None)
            asyncio.get_running_loop().call_soon(_expire_all, passed)
            return passed
        # The largest power of two up to a sixteenth of the delay.
        width = max(WIDTH, math.ldexp(0.5, math.frexp((when - now) / 16)[1]))
        start = when // width * width
        if start <= now:
            self._wake_at(when)
            return self._near
        bucket = self._buckets.get((start, width))
        if bucket is None:
            bucket = self._buckets[start, width] = _ring(start, start + width, self)
            heapq.heappush(self._starts, (start, width))
            self._wake_at(start)
        self.latest = bucket
        return bucket

    def put(self, entry: Entry) -> None:
        """Link a deadline into its bucket."""
        bucket = self.bucket(entry[WHEN])
        last = entry[PREVIOUS] = bucket[PREVIOUS]
        entry[NEXT] = bucket
        last[NEXT] = bucket[PREVIOUS] = entry

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
        self._collect(self._near)
        while self._starts and self._starts[0][0] <= limit:
            bucket = self._buckets.pop(heapq.heappop(self._starts))
            self._collect(bucket)
            _dismiss(bucket)
        while due and (due[0][0] <= limit or not _waits(due[0])):
            if _waits(item := heapq.heappop(due)):
                _expire(item[2])
        if due:
            self._wake_at(due[0][0])
        if self._starts:
            self._wake_at(self._starts[0][0])

    def _collect(self, bucket: Bucket) -> None:
        """Move the deadlines of a bucket to the heap."""
        for entry in _members(bucket):
            entry[PREVIOUS] = entry[NEXT] = entry
            heapq.heappush(self._due, (entry[WHEN], next(self._order), entry))
        bucket[PREVIOUS] = bucket[NEXT] = bucket


def _waits(item: tuple[float, int, Entry]) -> bool:
    """Whether what was put into the heap is still to happen."""
    when, _, entry = item
    return entry[TASK] is not None and not entry[FIRED] and entry[WHEN] == when


class _Here(threading.local):
    """The deadlines of the loop that was asked for last in this thread."""

    # No loop yet: no task can be current on it, so whoever looks here is sent to `deadlines_on`.
    deadlines: Deadlines = Deadlines(
        cast("asyncio.AbstractEventLoop", object()), SYSTEM_CLOCK.monotonic, SYSTEM_CLOCK.call_at
    )


running_task: Callable[[asyncio.AbstractEventLoop | None], asyncio.Task[Any] | None] = (
    asyncio.current_task if sys.version_info >= (3, 14) else asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]  # noqa: SLF001  a third of what asking costs; 3.14 keeps it elsewhere, and is quick
)
"""`asyncio.current_task` of a loop that is known."""

here: _Here = _Here()
"""A short cut: `running_task(here.deadlines.loop)` costs a quarter of `get_running_loop()` and `current_task()`, and is None
where another loop runs here now."""


def deadlines_on(loop: asyncio.AbstractEventLoop) -> Deadlines:
    """Return the deadlines of a loop, made at first use.

    They are kept on the loop itself: they live as long as it does, and another loop, in another thread or after this
    one, has its own.
    """
    found: Deadlines | None = getattr(loop, _ATTRIBUTE, None)
    if found is None:
        time: Callable[[], float] = loop.time
        call_at: Callable[[float, Callable[[], object]], Cancellable] = loop.call_at
        if getattr(loop.time, "__func__", None) is asyncio.BaseEventLoop.time:
            time = _time.monotonic  # the same, at half the price; virtual-time loops have clocks of their own
        elif type(loop).__module__.partition(".")[0] == "uvloop":
            # Its own is a whole millisecond of that clock; a policy that has read the clock itself need not read it again.
            time, call_at = _time.monotonic, SYSTEM_CLOCK.call_at
        found = Deadlines(loop, time, call_at, getattr(loop, "_clock_resolution", 1e-3))
        setattr(loop, _ATTRIBUTE, found)
    here.deadlines = found
    return found


def deadlines_here(own: Deadlines | None = None) -> tuple[Deadlines, asyncio.Task[Any]]:
    """Return the running loop's deadlines (or `own`, those of a clock) and the running task, the long way.

    Raises:
        RuntimeError: no loop runs, or no task.
    """
    deadlines = own or deadlines_on(asyncio.get_running_loop())
    if (task := asyncio.current_task()) is None:
        raise RuntimeError("a timeout must be used inside a task")
    return deadlines, task

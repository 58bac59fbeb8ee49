"""Deadlines: `asyncio.timeout`'s semantics at a quarter of its cost, and a deadline that flows down to what is called.

The innermost deadline of a call is in a context variable, so child tasks inherit it: a timeout inside one of them never
outlives it, and an outbound request can send what is left (`remaining`). The variable is set on entry and not put back
on exit, since each change of it costs as much as a look-up in three dicts; a deadline that is over is skipped instead.
So a task that was started inside a block and outlives it is freed from the block's deadline.
"""

from __future__ import annotations

import asyncio
import math
import sys
from asyncio import CancelledError, current_task
from contextvars import ContextVar
from types import TracebackType
from typing import Self

from resilience.core.buckets import (
    BEFORE,
    END,
    FIRED,
    NEXT,
    OUTER,
    OWNER,
    PREVIOUS,
    START,
    TASK,
    WHEN,
    Deadlines,
    Entry,
    deadlines_here,
    deadlines_on,
    here,
    withdraw,
)
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import Clock
from resilience.errors import TimeoutExceeded

__all__ = [
    "Timeout",
    "capped",
    "current_deadline",
    "expired",
    "innermost",
    "live",
    "reason",
    "remaining",
    "timeout",
    "timeout_at",
]

innermost: ContextVar[Entry | None] = ContextVar("resilience_deadline", default=None)
"""The deadline entered last, which may be over: read it through `live`."""


def live(entry: Entry | None) -> Entry | None:
    """Return `entry`, or the nearest deadline outside it that is not over."""
    while entry is not None and entry[TASK] is None:
        entry = entry[OUTER]
    return entry


def current_deadline() -> float | None:
    """When the work of this task must be done, on the monotonic clock (or the clock of the timeout that says so).

    Returns:
        the nearest deadline around the caller, those inherited from parent tasks included; None without one.
    """
    nearest = math.inf
    entry = live(innermost.get())
    while entry is not None:
        nearest = min(nearest, entry[WHEN])
        entry = live(entry[OUTER])
    return None if nearest == math.inf else nearest


def remaining() -> float | None:
    """How many seconds are left for the work of this task: what an outbound call may take, and should send along.

    Returns:
        seconds, 0 once the deadline has passed; None without a deadline.

    Example:
        >>> async def main():
        ...     async with timeout(5):
        ...         return 4.9 < remaining() <= 5
        >>> asyncio.run(main())
        True
    """
    left = math.inf
    entry = innermost.get()
    while entry is not None:
        # What is over counts no more, as in `live`: inlined, since every outbound request asks.
        if entry[TASK] is not None and (mine := entry[WHEN] - entry[OWNER].time()) < left:
            left = mine
        entry = entry[OUTER]
    if left == math.inf:
        return None
    return left if left > 0 else 0.0


def capped(when: float, outer: Entry, deadlines: Deadlines) -> float:
    """Bring `when` forward to a deadline that was inherited from another task, and so would not interrupt this one.

    A deadline of the same task needs no such help: it cancels the task, whatever is armed inside it.
    """
    inherited: Entry | None = outer
    while inherited is not None:
        when = min(when, deadlines.time() + inherited[WHEN] - inherited[OWNER].time())
        inherited = live(inherited[OUTER])
    return when


def expired(entry: Entry, task: asyncio.Task[object], error: BaseException | None) -> bool:
    """Settle a deadline that has fired, once its block has ended with `error`; called once.

    Returns:
        whether it is to be reported as a timeout: the block ended by a cancellation, and nobody else asked for one.
    """
    if task.uncancel() > entry[BEFORE] or error is None:
        return False
    if isinstance(error, CancelledError):
        return True
    if sys.version_info >= (3, 13):
        _insert_timeout(error)
        if isinstance(error, BaseExceptionGroup):
            for part in error.exceptions:
                _insert_timeout(part)
    return False


def _insert_timeout(error: BaseException) -> None:
    """Say in the chain of `error` that a cancellation in it was a timeout, as asyncio does from 3.13."""
    while error.__context__ is not None:
        if isinstance(error.__context__, CancelledError):
            cause = TimeoutError()
            cause.__context__ = cause.__cause__ = error.__context__
            error.__context__ = cause
            return
        error = error.__context__


def reason(error: BaseException) -> BaseException:
    """Return what a guard should hold against the call that ended with `error`.

    A cancellation passes through every guard inside the timeout that caused it. To those guards it is a failure, a
    call that did not answer in time; a cancellation from outside is no verdict at all. Where both have happened the
    outside wins.

    Args:
        error: what the call raised.

    Returns:
        a TimeoutExceeded when one of the caller's own (or inherited) deadlines has fired, else `error`.
    """
    if not isinstance(error, CancelledError):
        return error
    task = current_task()
    fired = 0
    before = 0
    inherited = False
    entry = live(innermost.get())
    while entry is not None:
        if entry[FIRED] and entry[TASK] is task:
            fired += 1
            before = entry[BEFORE]
        elif entry[FIRED]:
            inherited = True
        entry = live(entry[OUTER])
    asked = task.cancelling() if task is not None else 0
    if (fired and asked - before <= fired) or (inherited and not fired):
        failure = TimeoutExceeded("a deadline around the call passed")
        failure.__cause__ = error
        return failure
    return error


class Timeout:
    """`asyncio.Timeout`, on the shared timer: an async context manager that cancels its block at a deadline.

    Args:
        when: the deadline, or None for no limit yet.
        deadlines: where it waits, which also says on whose clock `when` is; by default those of the running loop.

    Raises:
        TimeoutError: on exit, when the deadline cut the block short.
    """

    __slots__ = ("_deadlines", "_entry", "_when")

    def __init__(self, when: float | None, deadlines: Deadlines | None = None) -> None:
        self._when = when
        self._deadlines = deadlines
        self._entry: Entry | None = None

    def when(self) -> float | None:
        """The deadline, or None."""
        return self._when

    def expired(self) -> bool:
        """Whether the deadline has passed while the block ran."""
        return self._entry is not None and bool(self._entry[FIRED])

    def reschedule(self, when: float | None) -> None:
        """Move the deadline, or lift it with None.

        Raises:
            RuntimeError: the block was not entered, has ended, or is being cancelled already.
        """
        entry = self._entry
        if entry is None:
            raise RuntimeError("Timeout has not been entered")
        if (state := self._state()) != "active":
            raise RuntimeError(f"Timeout is {state} already")
        outer, deadlines = entry[OUTER], entry[OWNER]
        self._when = when
        if when is None:
            when = math.inf
        elif outer is not None and outer[TASK] is not entry[TASK]:
            when = capped(when, outer, deadlines)
        withdraw(entry)
        entry[WHEN] = when
        deadlines.put(entry)

    def _state(self) -> str:
        if (entry := self._entry) is None:
            return "created"
        if entry[TASK] is None:
            return "expired" if entry[FIRED] else "finished"
        return "expiring" if entry[FIRED] else "active"

    async def __aenter__(self) -> Self:
        if self._entry is not None:
            raise RuntimeError("Timeout has already been entered")
        deadlines = self._deadlines or here.deadlines
        task = current_task(deadlines.loop)
        if task is None:
            deadlines, task = deadlines_here()
        outer = innermost.get()
        while outer is not None and outer[TASK] is None:
            outer = outer[OUTER]
        when = self._when
        if when is None:
            when = math.inf
        elif outer is not None and outer[TASK] is not task:
            when = capped(when, outer, deadlines)
        bucket = deadlines.latest
        if bucket[OWNER] is not deadlines or not bucket[START] <= when < bucket[END]:
            bucket = deadlines.bucket(when)
        last = bucket[PREVIOUS]
        self._entry = entry = [when, task, False, outer, deadlines, task.cancelling(), last, bucket]
        last[NEXT] = bucket[PREVIOUS] = entry
        innermost.set(entry)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entry = self._entry
        if entry is None:
            return
        task = entry[TASK]
        entry[TASK] = None
        if entry[OUTER] is not None:
            entry[OUTER] = live(entry[OUTER])
        if entry[FIRED]:
            if expired(entry, task, error):
                raise self.error() from error
        else:
            previous, after = entry[PREVIOUS], entry[NEXT]
            previous[NEXT] = after
            after[PREVIOUS] = previous
            entry[PREVIOUS] = entry[NEXT] = None

    def error(self) -> TimeoutError:
        """Make what is raised when the deadline has cut the block short."""
        return TimeoutError()

    def __repr__(self) -> str:
        state = self._state()
        when = f" when={self._when:.3f}" if state == "active" and self._when is not None else ""
        return f"<Timeout [{state}]{when}>"


def timeout(delay: float | None, *, clock: Clock = SYSTEM_CLOCK) -> Timeout:
    """Limit a block, as `asyncio.timeout` does.

    Args:
        delay: seconds from now; zero or less cancels the block at its first suspension; None sets no limit.
        clock: where time comes from.

    Raises:
        TimeoutError: on leaving the block, when the deadline cut it short.

    Example:
        >>> async def main():
        ...     try:
        ...         async with timeout(0.001):
        ...             await asyncio.sleep(3600)
        ...     except TimeoutError:
        ...         return "too late"
        >>> asyncio.run(main())
        'too late'
    """
    deadlines = here.deadlines
    if clock is not SYSTEM_CLOCK:
        deadlines = Deadlines.on_clock(clock)
    elif current_task(deadlines.loop) is None:
        deadlines = deadlines_on(asyncio.get_running_loop())
    return Timeout(None if delay is None else deadlines.time() + delay, deadlines)


def timeout_at(when: float | None, *, clock: Clock = SYSTEM_CLOCK) -> Timeout:
    """Limit a block to a moment, as `asyncio.timeout_at` does.

    Args:
        when: the moment, on the clock of the running loop or on `clock`; None sets no limit.
        clock: where time comes from.
    """
    return Timeout(when, None if clock is SYSTEM_CLOCK else Deadlines.on_clock(clock))

"""Time, injected: the system's clock, and one that moves only when a test says so."""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import time as _time
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

from resilience.core.ports import Cancellable, Clock
from resilience.core.validate import number

__all__ = ["SYSTEM_CLOCK", "Instant", "ManualClock", "SystemClock"]


class Instant(NamedTuple):
    """One moment on both clocks: `monotonic` for durations and windows, `wall` (Unix time) for people and files."""

    monotonic: float
    wall: float


class SystemClock:
    """The machine's clocks; the loop's timers.

    Example:
        >>> SystemClock().monotonic() <= SystemClock().monotonic()
        True
    """

    __slots__ = ()
    monotonic: staticmethod[[], float] = staticmethod(_time.monotonic)
    time: staticmethod[[], float] = staticmethod(_time.time)
    sleep: staticmethod[[float], Coroutine[Any, Any, None]] = staticmethod(asyncio.sleep)

    @staticmethod
    def call_at(when: float, callback: Callable[[], object]) -> Cancellable:
        """Call `callback` once the monotonic clock has reached `when`; needs a running loop."""
        # uvloop's time() is a cached millisecond of the same clock: a difference keeps both honest.
        return asyncio.get_running_loop().call_later(when - _time.monotonic(), callback)


SYSTEM_CLOCK: Clock = SystemClock()
"""The clock that everything uses unless another is given."""


class _Timer:
    """One callback of a manual clock."""

    __slots__ = ("callback", "order", "when")

    def __init__(self, when: float, order: int, callback: Callable[[], object]) -> None:
        self.when = when
        self.order = order
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: _Timer) -> bool:
        return (self.when, self.order) < (other.when, other.order)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)


class ManualClock:
    """A clock that stands still until it is moved; wall time moves along.

    Args:
        monotonic: where the monotonic clock starts, in seconds.
        wall: where the wall clock starts, in seconds of Unix time.

    Raises:
        ConfigError: a start is not a finite number.

    Example:
        >>> async def main():
        ...     clock = ManualClock()
        ...     nap = asyncio.create_task(clock.sleep(30))
        ...     await clock.advance(29.9); early = nap.done()
        ...     await clock.advance(0.1)
        ...     return early, nap.done()
        >>> asyncio.run(main())
        (False, True)
    """

    # Loop turns after which tasks that were woken are taken to have come to rest; each `await` through a
    # future costs about two.
    _TURNS = 25

    def __init__(self, monotonic: float = 1_000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = number("monotonic", monotonic)
        self._offset = number("wall", wall) - self._now
        self._timers: list[_Timer] = []
        self._order = itertools.count()

    def monotonic(self) -> float:
        """Seconds of the monotonic clock."""
        return self._now

    def time(self) -> float:
        """Seconds of Unix time."""
        return self._now + self._offset

    def now(self) -> Instant:
        """Both at once."""
        return Instant(self._now, self._now + self._offset)

    def step_wall(self, seconds: float) -> None:
        """Step the wall clock alone, as an administrator or NTP does."""
        self._offset += number("seconds", seconds)

    def call_at(self, when: float, callback: Callable[[], object]) -> Cancellable:
        """Call `callback` once the clock is moved to `when` or past it."""
        timer = _Timer(when, next(self._order), callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock has been moved by `seconds`; zero or less yields once, as `asyncio.sleep`."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        timer = self.call_at(self._now + seconds, functools.partial(_wake, woken))
        try:
            await woken
        finally:
            timer.cancel()

    def shift(self, seconds: float) -> None:
        """Move the clock without giving the loop a turn; callbacks that fall due are called, in order.

        Args:
            seconds: how far, zero or more.

        Raises:
            ConfigError: it would go back.
        """
        target = self._now + number("seconds", seconds, low=0)
        while self._fire_next(target):
            pass
        self._now = target

    async def advance(self, seconds: float = 0.0) -> None:
        """Move the clock from timer to timer, and let the woken tasks run after each.

        Args:
            seconds: how far, zero or more; 0 only lets tasks run.

        Raises:
            ConfigError: it would go back.
        """
        target = self._now + number("seconds", seconds, low=0)
        await self._settle()
        while self._fire_next(target):
            await self._settle()
        self._now = max(self._now, target)
        await self._settle()

    def _fire_next(self, target: float) -> bool:
        """Move to the next live timer up to `target` and call it; False when there is none."""
        timers = self._timers
        while timers and timers[0].when <= target:
            timer = heapq.heappop(timers)
            if (callback := timer.callback) is not None:
                self._now = max(self._now, timer.when)
                callback()
                return True
        return False

    async def _settle(self) -> None:
        for _ in range(self._TURNS):
            await asyncio.sleep(0)

"""Nap: the sleep of a call that waits inside a policy, which the policy can end before its time."""

from __future__ import annotations

import asyncio
import math

from resilience.core.ports import Clock

__all__ = ["Nap"]


class Nap:
    """A sleep that a change of options can end early, so that the caller computes the remaining wait again.

    Args:
        clock: where time comes from.

    Example:
        >>> from resilience.core.clock import SYSTEM_CLOCK
        >>> async def main():
        ...     nap = Nap(SYSTEM_CLOCK)
        ...     asyncio.get_running_loop().call_soon(nap.wake)
        ...     await nap.sleep(math.inf)
        ...     return "awake"
        >>> asyncio.run(main())
        'awake'
    """

    __slots__ = ("_clock", "_woken", "loop")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._woken: asyncio.Future[None] | None = None
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    async def sleep(self, when: float) -> None:
        """Sleep until a monotonic time, or until `wake`."""
        self._woken = woken = self.loop.create_future()
        timer = None if when == math.inf else self._clock.call_at(when, self.wake)
        try:
            await woken
        finally:
            self._woken = None
            if timer is not None:
                timer.cancel()

    @property
    def cancelled(self) -> bool:
        """True if the task that sleeps was cancelled, and has not run since."""
        return self._woken is not None and self._woken.cancelled()

    def wake(self) -> None:
        """End the sleep, if there is one."""
        if self._woken is not None and not self._woken.done() and not self.loop.is_closed():
            self._woken.set_result(None)

"""The loop that ticks: punctual, never ended by a fault, and honest about how late it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from resilience.core.clock import Instant
from resilience.core.interrupts import INTERRUPTS
from resilience.core.log import log
from resilience.core.ports import Clock

__all__ = ["Ticker"]

_PUNCTUAL = 0.1  # share of the interval by which a tick may come late and still carry its planned time


class Ticker:
    """Calls a function at every interval until cancelled.

    A tick carries the time it was planned for, as Prometheus' evaluations do: else a rule with `for: 2s` and ticks every
    second would miss its moment by a millisecond, and fire a second late. Ticks that were missed, because the loop was
    blocked or the machine slept, are not caught up with.

    Args:
        tick: called with the moment; what it raises is logged, and the next tick comes all the same.
        interval: seconds between ticks, above 0.
        late: told how many seconds each tick came late.
        failed: called with the exception of a tick that raised.
        clock: where time comes from.
    """

    def __init__(
        self,
        tick: Callable[[Instant], Awaitable[object]],
        *,
        interval: float,
        late: Callable[[float], object],
        failed: Callable[[BaseException], object],
        clock: Clock,
    ) -> None:
        self._tick = tick
        self._interval = interval
        self._late = late
        self._failed = failed
        self._clock = clock

    async def run(self) -> None:
        """Tick until cancelled."""
        clock = self._clock
        due = clock.monotonic()
        while True:
            now = clock.monotonic()
            due = due + self._interval if due + self._interval > now else now + self._interval
            await clock.sleep(due - now)
            lag = max(0.0, clock.monotonic() - due)
            self._late(lag)
            at = due if lag <= _PUNCTUAL * self._interval else clock.monotonic()
            await self.tick(Instant(at, clock.time() - (clock.monotonic() - at)))

    async def tick(self, at: Instant) -> None:
        """Tick once, now; a failure is logged and reported, and not raised."""
        try:
            await self._tick(at)
        except INTERRUPTS:
            raise
        except BaseException as error:  # noqa: BLE001  the next tick may do better, and somebody must go on looking
            self._failed(error)
            log(__name__).error("tick_failed", error=error, exc_info=error)

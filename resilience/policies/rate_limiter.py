"""Rate limiter: at most so many calls in a time, refused or made to wait beyond it."""

# ruff: noqa: ARG002  a guard is told more of a call than this one needs

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import choice, integer, number
from resilience.errors import RateLimited
from resilience.policies.base import Inline, RefusingPolicy
from resilience.policies.rate_algorithms import ALGORITHMS
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["RateLimiter", "RateLimiterSettings", "RateLimiterStatistics"]

_PASS = 1


@dataclass(frozen=True, slots=True)
class RateLimiterStatistics:
    """What a rate limiter knows at one moment.

    Args:
        name: name of the limiter.
        rate: calls for each `per`.
        per: seconds.
        burst: calls that may come at once.
        waiting: calls that wait.
        rejected: calls refused so far; in `observe` mode, that would have been refused or made to wait.
        retry_after: seconds until the next call could go; 0: now.
    """

    name: str
    rate: float
    per: float
    burst: int
    waiting: int
    rejected: int
    retry_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimiterSettings:
    """The options of a `RateLimiter`, which describes them; validated as a whole."""

    rate: float
    per: float = 1.0
    burst: int | None = None
    algorithm: Literal["token_bucket", "gcra", "sliding_window"] = "token_bucket"
    max_wait: float | None = 0.0
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        number("rate", self.rate, above=0)
        number("per", self.per, above=0)
        if self.burst is not None:
            integer("burst", self.burst)
        choice("algorithm", self.algorithm, ALGORITHMS)
        if self.max_wait is not None:
            number("max_wait", self.max_wait, low=0)
        is_observing(self.mode)

    @property
    def figures(self) -> tuple[float, float, int]:
        """What an algorithm is made of: rate, per, burst."""
        return self.rate, self.per, math.ceil(self.rate) if self.burst is None else self.burst


class RateLimiter(RefusingPolicy[int]):
    """Lets at most `rate` calls go in `per` seconds; what comes beyond is refused, or waits for its turn.

    Those that wait go in the order they came, and nobody overtakes them. A cancelled one costs no call, and those behind
    it go the sooner. It belongs to one thread; its callers may be on different event loops.

    Args:
        rate: calls in each `per`, above 0.
        per: seconds, above 0. Default 1.
        burst: calls that may come at once after a pause, at least 1. Default: as many as `rate` (rounded up); 1 spaces
            all calls evenly, as Uber's leaky bucket.
        algorithm: `token_bucket` (default), which is what others call `gcra`; or `sliding_window`, which never
            lets more than `burst` go in any `burst * per / rate` seconds, where a bucket may let twice as many.
        max_wait: seconds a call may wait for its turn; 0 (default): refuse at once; None: as long as it takes.
        name: what events, errors and statistics call it.
        mode: `normal`, or `observe`: all the same, but nobody waits or is refused.
        clock: where time comes from.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> from resilience.core.clock import ManualClock
        >>> clock = ManualClock()
        >>> limiter = RateLimiter(2, burst=1, clock=clock)
        >>> async def main():
        ...     async with limiter.guard():
        ...         pass
        ...     async with limiter.guard():
        ...         pass
        >>> asyncio.run(main())
        Traceback (most recent call last):
        resilience.errors.RateLimited: rate limiter 'rate_limiter' allows 2 calls in 1 s
        >>> limiter.statistics().retry_after
        0.5
    """

    kind = "rate_limiter"
    inline: ClassVar[Inline | None] = Inline("not {guard}._waiters and {guard}._algorithm.take(now)")
    holds: ClassVar[bool] = False

    def __init__(
        self,
        rate: float,
        per: float = 1.0,
        *,
        burst: int | None = None,
        algorithm: Literal["token_bucket", "gcra", "sliding_window"] = "token_bucket",
        max_wait: float | None = 0.0,
        name: str | None = None,
        mode: Mode = "normal",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        # In the order they came. The first sleeps until its turn; each of the others waits to become the first.
        self._waiters: OrderedDict[asyncio.Future[None], None] = OrderedDict()
        settings = RateLimiterSettings(
            rate=rate, per=per, burst=burst, algorithm=algorithm, max_wait=max_wait, mode=mode
        )
        self._algorithm = ALGORITHMS[algorithm](*settings.figures)
        self._apply(settings)

    def _apply(self, settings: RateLimiterSettings) -> None:
        self.settings = settings
        self._observing = is_observing(settings.mode)

    def enter(self, now: float, context: CallContext | None) -> int | None:
        """Let a call go; None when it has to wait for its turn.

        Raises:
            RateLimited: its turn is further away than `max_wait`.
        """
        if (not self._waiters or self._first() is None) and self._algorithm.take(now):
            return _PASS
        delay = self._delay(now)
        max_wait = self.settings.max_wait
        if not self._observing and (max_wait is None or (max_wait and delay <= max_wait)):
            return None
        if self._refuses("rate", now, delay):
            rate, per, _ = self.settings.figures
            raise RateLimited(
                f"rate limiter {self.name!r} allows {rate:g} calls in {per:g} s",
                policy=self.name,
                retry_after=delay,
            )
        return _PASS

    def _delay(self, now: float) -> float:
        return max(0.0, self._algorithm.ready_at(len(self._waiters) + 1) - now)

    async def wait(self, context: CallContext | None) -> int:
        """Wait for the call's turn; cancelled, leave nothing behind."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._first() is None:
            turn.set_result(None)
        self._waiters[turn] = None
        try:
            await turn
            now = self.clock.monotonic()
            while not self._algorithm.take(now):
                await self.clock.sleep(self._algorithm.ready_at(1) - now)
                now = self.clock.monotonic()
        finally:
            self._waiters.pop(turn, None)
            # One that was called already sleeps and hears nothing; one that was cancelled calls the next when it runs.
            if (first := self._first()) is not None and not first.done():
                first.set_result(None)
        return _PASS

    def _first(self) -> asyncio.Future[None] | None:
        """Who is next, those passed over whose loop is closed and will never run them."""
        while self._waiters:
            turn = next(iter(self._waiters))
            if not turn.get_loop().is_closed():
                return turn
            del self._waiters[turn]
        return None

    def statistics(self) -> RateLimiterStatistics:
        """Say how it stands."""
        return RateLimiterStatistics(
            self.name,
            *self.settings.figures,
            len(self._waiters),
            self._rejected,
            self._delay(self.clock.monotonic()),
        )

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works: what was counted stays, unless the algorithm changes, and so do those that wait.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        settings = changed(self.settings, options)
        if settings.algorithm == self.settings.algorithm:
            self._algorithm.adjust(*settings.figures, self.clock.monotonic())
        else:
            self._algorithm = ALGORITHMS[settings.algorithm](*settings.figures)
        self._apply(settings)

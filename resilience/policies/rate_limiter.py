"""Rate limiter: at most so many calls in a time, refused or made to wait beyond it."""

# ruff: noqa: ARG002  a guard is told more of a call than this one needs

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import choice, integer, number
from resilience.errors import RateLimited
from resilience.policies.base import Inline, RefusingPolicy
from resilience.policies.nap import Nap
from resilience.policies.rate_algorithms import ALGORITHMS
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["RateLimiter", "RateLimiterSettings", "RateLimiterStatistics"]

_PASS = 1

# A turn that is reckoned anew differs in its last bits from the same turn before.
_ROUNDING = 1e-6


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


class _Waiter(Nap):
    """A call that waits for its turn."""

    __slots__ = ("admitted", "latest", "refused")

    def __init__(self, clock: Clock, latest: float) -> None:
        super().__init__(clock)
        self.latest = latest
        """Monotonic time after which its turn may not come."""
        self.admitted = False
        """True once it may go without a token, because the limiter only observes."""
        self.refused: float | None = None
        """Seconds until its turn, once that comes too late."""


class RateLimiter(RefusingPolicy[int]):
    """Lets at most `rate` calls go in `per` seconds; what comes beyond is refused, or waits for its turn.

    Those that wait go in the order they came, and nobody overtakes them. A cancelled one costs no call, and those behind
    it go the sooner. It belongs to one thread; its callers may be on different event loops.

    Args:
        rate: calls in each `per`, above 0.
        per: seconds, above 0. Default 1.
        burst: calls that may come at once after a pause, at least 1. Default: as many as `rate` (rounded up); 1 spaces
            all calls evenly, as Uber's leaky bucket without its slack.
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
        >>> import asyncio
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
        self._waiters: OrderedDict[_Waiter, None] = OrderedDict()
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
        self._refuse(now, delay)
        return _PASS

    def _refuse(self, now: float, delay: float) -> None:
        """Refuse a call, or when observing only say so."""
        if self._refuses("rate", now, delay):
            rate, per, _ = self.settings.figures
            raise RateLimited(
                f"rate limiter {self.name!r} allows {rate:g} calls in {per:g} s",
                policy=self.name,
                retry_after=delay,
            )

    def _delay(self, now: float) -> float:
        return max(0.0, self._algorithm.ready_at(len(self._waiters) + 1) - now)

    async def wait(self, context: CallContext | None) -> int:
        """Wait for the call's turn; cancelled, leave nothing behind.

        Raises:
            RateLimited: its turn has moved further away than `max_wait`, since the limiter was reconfigured.
        """
        max_wait = self.settings.max_wait
        monotonic = self.clock.monotonic
        waiter = _Waiter(self.clock, math.inf if max_wait is None else monotonic() + max_wait)
        self._waiters[waiter] = None
        try:
            while not waiter.admitted:
                now = monotonic()
                if waiter.refused is not None:
                    self._refuse(now, waiter.refused)
                    break
                when = math.inf
                if self._first() is waiter:
                    if self._algorithm.take(now):
                        break
                    when = self._algorithm.ready_at(1)
                await waiter.sleep(when)
        finally:
            self._waiters.pop(waiter, None)
            if (first := self._first()) is not None:
                first.wake()
        return _PASS

    def _first(self) -> _Waiter | None:
        """Who is next, those passed over whose loop is closed and will never run them."""
        while self._waiters:
            waiter = next(iter(self._waiters))
            if not waiter.loop.is_closed():
                return waiter
            del self._waiters[waiter]
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
        """Change options while it works: what was counted stays, unless the algorithm changes.

        Those that wait go when the new options say, in their order. One whose turn moves further away than the
        `max_wait` that it came under is refused now. In `observe` mode all of them go now.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        settings = changed(self.settings, options)
        if settings.algorithm == self.settings.algorithm:
            self._algorithm.adjust(*settings.figures, self.clock.monotonic())
        else:
            self._algorithm = ALGORITHMS[settings.algorithm](*settings.figures)
        self._apply(settings)
        self._reckon()

    def _reckon(self) -> None:
        """Wake those that wait, to go by the options that hold now."""
        now = self.clock.monotonic()
        position = 1
        for waiter in list(self._waiters):
            if self._observing:
                waiter.admitted = True
            elif (turn := self._algorithm.ready_at(position)) > waiter.latest + _ROUNDING:
                waiter.refused = turn - now
            else:
                position += 1
                continue
            del self._waiters[waiter]
            waiter.wake()
        if (first := self._first()) is not None:
            first.wake()

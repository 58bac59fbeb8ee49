"""Token bucket and sliding window: from when on may the next call go, or the one after so many others?

Each says of a call the moment from which it may go, and `take` compares with that same figure. So a call that comes
again exactly when it was told to is let through, and one that sleeps until then never wakes a rounding error too early.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

__all__ = ["ALGORITHMS", "RateAlgorithm", "SlidingWindow", "TokenBucket"]

# Sums of intervals and readings of the clock differ in their last bits; a call may be that many seconds early.
_EARLY = 1e-9


class RateAlgorithm(Protocol):
    """The state of one rate limit: `burst` calls at once, `rate` in each `per` seconds."""

    def __init__(self, rate: float, per: float, burst: int) -> None: ...

    def take(self, now: float) -> bool:
        """Let one call go at `now` and count it, or say no."""

    def ready_at(self, position: int) -> float:
        """The moment from which the `position`-th call from now may go, where 1 is the next and nobody is let by."""

    def adjust(self, rate: float, per: float, burst: int, now: float) -> None:
        """Go on with other figures from `now` on; what was counted stays."""


class TokenBucket:
    """Tokens drip in evenly, up to `burst`; a call takes one.

    Of the bucket one moment is kept, at which it will be full: the form in which the generic cell rate algorithm (GCRA, ITU-T
    I.371) states the same rule. A call may come up to `burst - 1` intervals before it.
    """

    __slots__ = ("_due", "_interval", "_tolerance")

    def __init__(self, rate: float, per: float, burst: int) -> None:
        self._interval = per / rate
        self._tolerance = (burst - 1) * self._interval
        self._due = -math.inf

    def take(self, now: float) -> bool:
        """Move the moment on by an interval, if the call is not too early."""
        due = self._due
        if now < due - self._tolerance - _EARLY:
            return False
        self._due = (due if due > now else now) + self._interval  # noqa: FURB136  calling max() would cost as much as all the rest
        return True

    def ready_at(self, position: int) -> float:
        """When the even stream will be so many calls further."""
        return self._due - self._tolerance + (position - 1) * self._interval

    def adjust(self, rate: float, per: float, burst: int, now: float) -> None:
        """Change the interval and how early a call may be; as many calls as before may come at once now."""
        at_once = min(1 + (self._tolerance - max(0.0, self._due - now)) / self._interval, burst)
        self._interval = per / rate
        self._tolerance = (burst - 1) * self._interval
        self._due = now + (burst - at_once) * self._interval


class SlidingWindow:
    """At most `burst` calls in any window of `burst * per / rate` seconds; it remembers when each of them went."""

    __slots__ = ("_span", "_taken")

    def __init__(self, rate: float, per: float, burst: int) -> None:
        self._span = burst * per / rate
        self._taken: deque[float] = deque(maxlen=burst)

    def take(self, now: float) -> bool:
        """Let a call go, if the one that stands `burst` before it has left the window."""
        taken = self._taken
        if len(taken) == taken.maxlen and now < taken[0] + self._span - _EARLY:
            return False
        taken.append(now)
        return True

    def ready_at(self, position: int) -> float:
        """When the call that stands `burst` before it leaves the window, which may itself be still to come."""
        taken = self._taken
        burst = taken.maxlen or 1
        if len(taken) < burst:
            return -math.inf
        windows, place = divmod(position - 1, burst)
        return taken[place] + (windows + 1) * self._span

    def adjust(self, rate: float, per: float, burst: int, now: float) -> None:  # noqa: ARG002  RateAlgorithm
        """Change the window; the newest calls stay in it."""
        self._span = burst * per / rate
        self._taken = deque(self._taken, burst)


ALGORITHMS: dict[str, type[RateAlgorithm]] = {
    "token_bucket": TokenBucket,
    "gcra": TokenBucket,
    "sliding_window": SlidingWindow,
}
"""By the names that options use."""

"""Token bucket and sliding window: from when on may the next call go, or the one after so many others?

Each says of a call the moment from which it may go, and `take` compares with that same figure. So a call that comes
again exactly when it was told to is let through, and one that sleeps until then never wakes a rounding error too early.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

__all__ = ["ALGORITHMS", "RateAlgorithm", "SlidingWindow", "TokenBucket"]


def _early(now: float) -> float:
    """Return how many seconds before its time a call may come, because readings of the clock are rounded.

    A reading is the coarser the longer the machine runs: after a year, floats are 4 ns apart.
    """
    return 1e-9 + now * 1e-15


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

    The bucket was full at `_full`, and `_taken` calls have gone since, so it is full again `_taken` intervals later. A
    call may come up to `burst - 1` intervals before that. (So says the generic cell rate algorithm, GCRA, of ITU-T I.371.)
    The time is reckoned from a count instead of adding intervals up, so that no rounding error grows.
    """

    __slots__ = ("_burst", "_full", "_interval", "_taken")

    def __init__(self, rate: float, per: float, burst: int) -> None:
        self._interval = per / rate
        self._burst = burst
        self._full = -math.inf
        self._taken = 0

    def take(self, now: float) -> bool:
        """Count a call, if it is not too early."""
        since = now - self._full
        taken = self._taken
        if since >= taken * self._interval:
            self._full = now
            self._taken = 1
            return True
        if since + 1e-9 + now * 1e-15 < (taken + 1 - self._burst) * self._interval:  # `_early`, written out
            return False
        self._taken = taken + 1
        return True

    def ready_at(self, position: int) -> float:
        """When the even stream will be so many calls further."""
        return self._full + (self._taken + position - self._burst) * self._interval

    def adjust(self, rate: float, per: float, burst: int, now: float) -> None:
        """Change the interval and how early a call may be; as many calls as before may come at once now."""
        missing = max(0.0, self._taken - (now - self._full) / self._interval)
        at_once = min(self._burst - missing, burst)
        self._interval = per / rate
        self._burst = burst
        self._taken = math.ceil(burst - at_once)
        self._full = now - (self._taken - (burst - at_once)) * self._interval


class SlidingWindow:
    """At most `burst` calls in any window of `burst * per / rate` seconds; it remembers when each of them went."""

    __slots__ = ("_span", "_taken")

    def __init__(self, rate: float, per: float, burst: int) -> None:
        self._span = burst * per / rate
        self._taken: deque[float] = deque(maxlen=burst)

    def take(self, now: float) -> bool:
        """Let a call go, if the one that stands `burst` before it has left the window."""
        taken = self._taken
        if len(taken) == taken.maxlen and now < taken[0] + self._span - _early(now):
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

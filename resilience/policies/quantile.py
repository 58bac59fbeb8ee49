"""A quantile of the latest latencies, kept up to date with each call."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

from resilience.core.validate import integer, number
from resilience.errors import ConfigError

__all__ = ["LiveQuantile", "Quantile"]


@dataclass(frozen=True, slots=True)
class Quantile:
    """Which quantile of the latest latencies to take.

    Args:
        q: the quantile, above 0 and at most 1: 0.95 is what 95 of 100 calls stay within.
        window: how many of the latest calls count; 500.
        minimum: calls before it says anything; 50 (failsafe-go's adaptive limiter waits for as many).
        initial: seconds that serve until then; 2.

    Raises:
        ConfigError: an option is out of its range, or more calls are needed than are kept.
    """

    q: float
    window: int = 500
    minimum: int = 50
    initial: float = 2.0

    def __post_init__(self) -> None:
        number("q", self.q, above=0, high=1)
        integer("window", self.window)
        integer("minimum", self.minimum)
        number("initial", self.initial, low=0)
        if self.minimum > self.window:
            raise ConfigError(f"minimum must be at most the window of {self.window}, got {self.minimum}")


class LiveQuantile:
    """The latencies behind a `Quantile`: a step costs a binary search and a short move in memory.

    Args:
        quantile: which one.

    Example:
        >>> live = LiveQuantile(Quantile(0.9, window=10, minimum=10))
        >>> for milliseconds in range(1, 11): live.record(milliseconds / 1000)
        >>> live.value()
        0.009
    """

    __slots__ = ("_latest", "_sorted", "quantile")

    def __init__(self, quantile: Quantile) -> None:
        self.quantile: Quantile = quantile
        self._latest: deque[float] = deque()
        self._sorted: list[float] = []

    def record(self, seconds: float) -> None:
        """Take in one latency; the oldest beyond the window is forgotten."""
        self._latest.append(seconds)
        insort(self._sorted, seconds)
        if len(self._latest) > self.quantile.window:
            del self._sorted[bisect_left(self._sorted, self._latest.popleft())]

    def value(self) -> float:
        """Return the quantile in seconds, by nearest rank."""
        count = len(self._sorted)
        if count < self.quantile.minimum:
            return self.quantile.initial
        # Less a hair, so that 0.95 x 20 is rank 19 though the product is a little more in binary.
        return self._sorted[max(0, math.ceil(self.quantile.q * count - 1e-9) - 1)]

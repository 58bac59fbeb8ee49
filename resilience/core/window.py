"""The circuit breaker's windows: the last N calls, or the last so many seconds, both of constant size."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from resilience.core.options import named_options
from resilience.core.validate import integer, number

__all__ = ["CallCounts", "CountWindow", "TimeWindow", "Window"]


class CallCounts(Protocol):
    """The live counts of one window.

    The three figures are plain attributes, because the closed path of a breaker reads them at every call; what a time
    window still holds at `now` is true after `expire(now)` or `record(..., now)`.
    """

    calls: int
    failures: int
    slow_calls: int
    quiet_until: float
    """Until when a call that neither failed nor was slow is one more of `calls`, and nothing else."""

    def record(self, failed: bool, slow: bool, now: float) -> None:  # noqa: FBT001  hot path: positional
        """Count one call that ended at `now` (monotonic seconds)."""

    def expire(self, now: float) -> None:
        """Forget what has left the window by `now`: for readers, since traffic may have stopped."""


@named_options
@dataclass(frozen=True, slots=True)
class CountWindow:
    """The last `size` calls.

    This says what window is meant; `start()` makes the counts, so one CountWindow can serve many breakers.

    Args:
        size: how many calls, at least 1. Default 100, as resilience4j.

    Raises:
        ConfigError: `size` is no whole number of at least 1.

    Example:
        >>> counts = CountWindow(2).start()
        >>> for failed in (True, False, False):
        ...     counts.record(failed, False, 0.0)
        >>> counts.calls, counts.failures
        (2, 0)
    """

    size: int = 100

    def __post_init__(self) -> None:
        integer("size", self.size)

    def start(self) -> CallCounts:
        """Make empty counts of this window."""
        return _Ring(self.size)


@named_options
@dataclass(frozen=True, slots=True)
class TimeWindow:
    """The last `seconds`, in buckets.

    A call leaves the window with its bucket, so the window reaches back between `seconds` less one bucket and
    `seconds`.

    Args:
        seconds: length, above 0. Default 60.
        buckets: how many parts of equal length, 1 to 10,000; by default as many as make each one second or finer,
            and at least 10 (resilience4j uses buckets of one second, Polly ten for any length).

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> counts = TimeWindow(10).start()
        >>> counts.record(True, False, 100.0)
        >>> counts.expire(109.9); counts.failures
        1
        >>> counts.expire(110.0); counts.failures
        0
    """

    seconds: float = 60.0
    buckets: int | None = None

    def __post_init__(self) -> None:
        number("seconds", self.seconds, above=0)
        if self.buckets is not None:
            integer("buckets", self.buckets, high=10_000)

    def start(self) -> CallCounts:
        """Make empty counts of this window."""
        buckets = self.buckets or min(max(math.ceil(self.seconds), 10), 10_000)
        return _Buckets(self.seconds / buckets, buckets)


Window: TypeAlias = CountWindow | TimeWindow
"""What a breaker may count over."""


class _Ring:
    """Counts of the last `size` calls, one byte for each: bit 0 failed, bit 1 slow."""

    __slots__ = ("_at", "_ring", "_size", "calls", "failures", "quiet_until", "slow_calls")

    def __init__(self, size: int) -> None:
        self._ring = bytearray(size)
        self._size = size
        self._at = 0
        self.calls = 0
        self.failures = 0
        self.slow_calls = 0
        self.quiet_until = -math.inf

    def record(self, failed: bool, slow: bool, now: float) -> None:  # noqa: ARG002, FBT001  CallCounts
        ring = self._ring
        at = self._at
        if self.calls < self._size:
            self.calls += 1
        elif oldest := ring[at]:
            self.failures -= oldest & 1
            self.slow_calls -= oldest >> 1
            ring[at] = 0
        if failed:
            self.failures += 1
            ring[at] = 1
        if slow:
            self.slow_calls += 1
            ring[at] |= 2
        at += 1
        self._at = at if at < self._size else 0

    def expire(self, now: float) -> None:
        """Nothing leaves by time."""


class _Buckets:
    """Counts of the last so many buckets of `width` seconds.

    Kept are the running totals as they stood when each bucket began: what is in the window is the difference to the
    oldest of them, whatever the traffic.
    """

    __slots__ = ("_edge", "_index", "_starts", "_width", "calls", "failures", "quiet_until", "slow_calls")

    def __init__(self, width: float, buckets: int) -> None:
        self._width = width
        self._starts: deque[tuple[int, int, int]] = deque([(0, 0, 0)] * buckets, buckets)
        self._index = 0
        self._edge = -math.inf
        self.calls = 0
        self.failures = 0
        self.slow_calls = 0
        self.quiet_until = -math.inf

    def record(self, failed: bool, slow: bool, now: float) -> None:  # noqa: FBT001  CallCounts
        if now >= self._edge:
            self.expire(now)
        self.calls += 1
        if failed:
            self.failures += 1
            self.quiet_until = -math.inf
        if slow:
            self.slow_calls += 1
            self.quiet_until = -math.inf

    def expire(self, now: float) -> None:
        if now < self._edge:
            return
        index = int(now // self._width)
        starts = self._starts
        calls, failures, slow_calls = starts[0]
        total = (calls + self.calls, failures + self.failures, slow_calls + self.slow_calls)
        starts.extend([total] * min(index - self._index, len(starts)))
        calls, failures, slow_calls = starts[0]
        self.calls = total[0] - calls
        self.failures = total[1] - failures
        self.slow_calls = total[2] - slow_calls
        self._index = index
        self._edge = (index + 1) * self._width
        self.quiet_until = -math.inf if self.failures or self.slow_calls else self._edge

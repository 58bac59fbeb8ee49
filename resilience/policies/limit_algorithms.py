"""How many calls at once a server can take, judged by how long they take: AIMD, Gradient2, Vegas.

The algorithms and their figures are those of Netflix's concurrency-limits; only Vegas takes something else for the latency
without load. Each is fed one sample for each window of calls.
"""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Protocol, Self

from resilience.core.options import named_options
from resilience.core.validate import integer, number, shown
from resilience.errors import ConfigError

__all__ = ["ALGORITHMS", "Aimd", "Gradient2", "LimitAlgorithm", "LimitSample", "Vegas"]


@dataclass(frozen=True, slots=True)
class LimitSample:
    """What one window of calls has shown.

    Args:
        latency: mean seconds of the calls that were answered; None when none was.
        in_flight: most calls at once.
        dropped: whether any call was dropped: timed out, or refused by the server.
    """

    latency: float | None
    in_flight: int
    dropped: bool


class LimitAlgorithm(Protocol):
    """One way to move a limit."""

    limit: float

    def start(self) -> Self:
        """Make one of its own for a limiter: the same options, nothing learnt."""

    def update(self, sample: LimitSample) -> None:
        """Learn from one window, and move `limit`."""


@dataclass(slots=True, kw_only=True)
class _Bounded:
    """A limit between two bounds.

    Args:
        initial: calls at once to begin with.
        minimum: never fewer, at least 1.
        maximum: never more.
    """

    initial: int = 20
    minimum: int = 20
    maximum: int = 200
    limit: float = field(init=False, compare=False)

    def __post_init__(self) -> None:
        integer("minimum", self.minimum)
        integer("maximum", self.maximum, low=self.minimum)
        integer("initial", self.initial, low=self.minimum, high=self.maximum)
        self.limit = self.initial

    def start(self) -> Self:
        """Make one of its own for a limiter: the same options, nothing learnt."""
        return dataclasses.replace(self)

    def _move(self, limit: float, smoothing: float = 1.0) -> None:
        self.limit = max(self.minimum, min(self.maximum, self.limit * (1 - smoothing) + limit * smoothing))


@named_options
@dataclass(slots=True, kw_only=True)
class Aimd(_Bounded):
    """Additive increase, multiplicative decrease: one more while all goes well, a share less when calls are dropped.

    Args:
        initial: calls at once to begin with. Default 20.
        minimum: never fewer. Default 20.
        maximum: never more. Default 200.
        backoff: what the limit is multiplied by after a drop, 0.5 to below 1. Default 0.9.
        timeout: seconds of latency that count as a drop. Default 5.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> aimd = Aimd(minimum=10).start()
        >>> aimd.update(LimitSample(0.1, 20, dropped=False)); aimd.limit
        21.0
        >>> aimd.update(LimitSample(0.1, 20, dropped=True)); round(aimd.limit, 1)
        18.9
    """

    backoff: float = 0.9
    timeout: float = 5.0

    def __post_init__(self) -> None:
        _Bounded.__post_init__(self)
        number("backoff", self.backoff, low=0.5)
        number("timeout", self.timeout, above=0)
        if self.backoff >= 1:
            raise ConfigError(f"backoff must be a number below 1, got {shown(self.backoff)}")

    def update(self, sample: LimitSample) -> None:
        """Go down after a drop; go up by one if the limit was half used at least."""
        if sample.dropped or (sample.latency is not None and sample.latency > self.timeout):
            self._move(self.limit * self.backoff)
        elif sample.in_flight * 2 >= self.limit:
            self._move(self.limit + 1)


@named_options
@dataclass(slots=True, kw_only=True)
class Gradient2(_Bounded):
    """Follows the ratio of the latency over a long time to the latency now.

    While calls take up to `tolerance` times what they took on average, the limit grows by `queue` a window; beyond that it
    shrinks by the ratio, at most to half.

    Args:
        initial: calls at once to begin with. Default 20.
        minimum: never fewer. Default 20.
        maximum: never more. Default 200.
        smoothing: share of a new figure in the limit, in (0, 1]. Default 0.2.
        tolerance: by what factor latency may rise before the limit falls, at least 1. Default 1.5.
        queue: calls that may wait in the server, at least 1. Default 4.
        long_window: windows over which latency is averaged, at least 10. Default 600, ten minutes.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> gradient = Gradient2().start()
        >>> for latency in [0.1] * 10:
        ...     gradient.update(LimitSample(latency, 20, dropped=False))
        >>> round(gradient.limit, 1)
        28.0
    """

    smoothing: float = 0.2
    tolerance: float = 1.5
    queue: int = 4
    long_window: int = 600
    _average: float = field(init=False, compare=False, default=0.0)
    _seen: int = field(init=False, compare=False, default=0)

    def __post_init__(self) -> None:
        _Bounded.__post_init__(self)
        number("smoothing", self.smoothing, above=0, high=1)
        number("tolerance", self.tolerance, low=1)
        integer("queue", self.queue)
        integer("long_window", self.long_window, low=10)

    def update(self, sample: LimitSample) -> None:
        """Compare the latency of the window with the long average."""
        latency = sample.latency
        if latency is None or latency <= 0:
            if sample.dropped:
                self._move(self.limit / 2, self.smoothing)
            return
        average = self._learn(latency)
        if sample.in_flight * 2 < self.limit:
            return
        gradient = max(0.5, min(1.0, self.tolerance * average / latency))
        self._move(self.limit * gradient + self.queue, self.smoothing)

    def _learn(self, latency: float) -> float:
        # A plain mean of the first ten, then exponential, as Netflix's ExpAvgMeasurement.
        self._seen += 1
        weight = 1 / self._seen if self._seen <= 10 else 2 / (self.long_window + 1)  # noqa: PLR2004  see above
        average = self._average * (1 - weight) + latency * weight
        # After a long overload the average has risen: let it come down quickly once the load is gone.
        self._average = average * 0.95 if average > 2 * latency else average
        return average


@named_options
@dataclass(slots=True, kw_only=True)
class Vegas(_Bounded):
    """Keeps the number of calls that wait in the server, reckoned from its latency without load, between two bounds.

    Netflix takes the smallest latency ever seen for the one without load, so that one lucky call (a cached answer, say)
    makes all others look queued and brings the limit down to 1. Here it is the lowest twentieth of the last `history`
    windows, and never the single lowest.

    Args:
        initial: calls at once to begin with. Default 20.
        minimum: never fewer. Default 1.
        maximum: never more. Default 1000.
        smoothing: share of a new figure in the limit, in (0, 1]. Default 1.
        history: windows that the latency without load is taken from, at least 10. Default 600, ten minutes.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> vegas = Vegas().start()
        >>> for latency in (0.1, 0.1, 0.1):
        ...     vegas.update(LimitSample(latency, 20, dropped=False))
        >>> vegas.limit > 20
        True
    """

    minimum: int = 1
    maximum: int = 1000
    smoothing: float = 1.0
    history: int = 600
    _latencies: deque[float] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _Bounded.__post_init__(self)
        number("smoothing", self.smoothing, above=0, high=1)
        integer("history", self.history, low=10)
        self._latencies = deque(maxlen=self.history)

    def update(self, sample: LimitSample) -> None:
        """Reckon the queue in the server, and go up while it is short, down when it is long."""
        limit = self.limit
        step = max(1, int(math.log10(limit)))  # whole, as in Netflix's
        if sample.dropped:
            self._move(limit - step, self.smoothing)
            return
        if sample.latency is None or sample.latency <= 0:
            return
        self._latencies.append(sample.latency)
        if len(self._latencies) == 1 or sample.in_flight * 2 < limit:
            return
        queue = math.ceil(limit * max(0.0, 1 - self._unloaded() / sample.latency))
        # Netflix's figures: alpha 3, beta 6, and a leap of beta while next to nothing waits, all times the whole part of log10.
        if queue <= step:
            self._move(limit + 6 * step, self.smoothing)
        elif queue < 3 * step:
            self._move(limit + step, self.smoothing)
        elif queue > 6 * step:
            self._move(limit - step, self.smoothing)

    def _unloaded(self) -> float:
        return heapq.nsmallest(max(2, len(self._latencies) // 20), self._latencies)[-1]


ALGORITHMS: dict[str, type[Aimd | Gradient2 | Vegas]] = {"gradient2": Gradient2, "vegas": Vegas, "aimd": Aimd}
"""By the names that options use."""

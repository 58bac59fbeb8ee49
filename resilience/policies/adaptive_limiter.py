"""Adaptive limiter: a bulkhead that finds its limit itself, from latency and drops."""

# ruff: noqa: ARG002  a guard is told more of a call than this one needs

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from resilience.core.callbacks import BROKEN, callback_failed, holds
from resilience.core.classify import ErrorFilter, matcher
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import reason
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import choice, integer, number, shown
from resilience.errors import ConfigError, LimitReached
from resilience.policies.base import RefusingPolicy
from resilience.policies.limit_algorithms import ALGORITHMS, LimitAlgorithm, LimitSample
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["AdaptiveLimiter", "AdaptiveLimiterSettings", "AdaptiveLimiterStatistics", "LimitChanged"]

_PERMIT = 1  # all permits are alike


@dataclass(frozen=True, slots=True)
class LimitChanged:
    """An adaptive limiter has moved its limit.

    Args:
        name: name of the limiter.
        previous: calls at once that were allowed.
        limit: calls at once that are allowed now.
        at: monotonic seconds.
    """

    name: str
    previous: int
    limit: int
    at: float


@dataclass(frozen=True, slots=True)
class AdaptiveLimiterStatistics:
    """What an adaptive limiter knows at one moment.

    Args:
        name: name of the limiter.
        limit: calls allowed at once now.
        in_flight: calls inside.
        rejected: calls refused so far (in `observe` mode: that would have been).
        latency: mean seconds of the last whole window, or None before there was one.
    """

    name: str
    limit: int
    in_flight: int
    rejected: int
    latency: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveLimiterSettings:
    """The options of an `AdaptiveLimiter`, which describes them; validated as a whole."""

    algorithm: LimitAlgorithm | str = "gradient2"
    window: float = 1.0
    minimum_calls: int = 10
    dropped: ErrorFilter = (TimeoutError, ConnectionError)
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        if isinstance(self.algorithm, str):
            choice("algorithm", self.algorithm, ALGORITHMS)
        elif not callable(getattr(self.algorithm, "start", None)):
            raise ConfigError(
                f"algorithm must be a Gradient2(), Vegas() or Aimd(), got {shown(self.algorithm)}"
            )
        number("window", self.window, above=0)
        integer("minimum_calls", self.minimum_calls)
        matcher("dropped", self.dropped)
        is_observing(self.mode)

    def start(self) -> LimitAlgorithm:
        """Make the algorithm that is meant, with nothing learnt."""
        return ALGORITHMS[self.algorithm]() if isinstance(self.algorithm, str) else self.algorithm.start()


class AdaptiveLimiter(RefusingPolicy[int]):
    """Allows as many calls at once as what is called can take, judged by their latency.

    Calls are gathered in windows; each window that is full moves the limit. A call that failed is no measure of latency
    and is left out; one that was dropped counts against the limit; one that was cancelled counts nowhere.

    Args:
        algorithm: `gradient2` (default), `vegas` or `aimd`, or one of `limit_algorithms` with options of its own, such as
            `Vegas(maximum=50)`; a limiter learns in a copy, so one can be given to many.
        window: seconds that a window lasts at least, above 0. Default 1, as Netflix.
        minimum_calls: answered or dropped calls that a window must hold. Default 10, as Netflix.
        dropped: what counts as dropped: exception types or a predicate. Default TimeoutError (the timeout around the
            call included) and ConnectionError.
        name: what events, errors and statistics call it.
        mode: `normal`, or `observe`: all the same, but nothing is refused.
        clock: where time comes from.

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> from resilience.policies.limit_algorithms import Aimd
        >>> limiter = AdaptiveLimiter(Aimd(initial=1, minimum=1))
        >>> token = limiter.enter(0.0, None)
        >>> limiter.enter(0.0, None)
        Traceback (most recent call last):
        resilience.errors.LimitReached: adaptive limiter 'adaptive_limiter' allows 1 calls at once now
    """

    kind = "adaptive_limiter"

    def __init__(
        self,
        algorithm: LimitAlgorithm | str = "gradient2",
        *,
        window: float = 1.0,
        minimum_calls: int = 10,
        dropped: ErrorFilter = (TimeoutError, ConnectionError),
        name: str | None = None,
        mode: Mode = "normal",
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        settings = AdaptiveLimiterSettings(
            algorithm=algorithm,
            window=window,
            minimum_calls=minimum_calls,
            dropped=dropped,
            mode=mode,
        )
        self._in_flight = 0
        self._most = 0
        self._latency: float | None = None
        self._algorithm = settings.start()
        self._limit = int(self._algorithm.limit)
        self._begin_window(clock.monotonic() + window)
        self._apply(settings)

    def _apply(self, settings: AdaptiveLimiterSettings) -> None:
        self.settings = settings
        self._dropped = matcher("dropped", settings.dropped)
        self._observing = is_observing(settings.mode)

    @property
    def limit(self) -> int:
        """Calls allowed at once now."""
        return self._limit

    def enter(self, now: float, context: CallContext | None) -> int:
        """Take a permit.

        Raises:
            LimitReached: there are as many calls as the limit allows now.
        """
        if self._in_flight >= self._limit:
            self._reject(now)
        self._in_flight += 1
        if self._in_flight > self._most:  # noqa: PLR1730  calling max() would cost as much as all the rest
            self._most = self._in_flight
        return _PERMIT

    def _reject(self, now: float) -> None:
        if self._refuses("limit", now):
            message = f"adaptive limiter {self.name!r} allows {self._limit} calls at once now"
            raise LimitReached(message, policy=self.name)

    def leave(
        self, token: int, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        """Give the permit back and learn from the call."""
        self._in_flight -= 1
        if error is None:
            self._calls += 1
            self._seconds += now - started
        elif self._was_dropped(error):
            self._drops += 1
        else:
            return
        if now >= self._window_end and self._calls + self._drops >= self.settings.minimum_calls:
            self._learn(now)

    def _was_dropped(self, error: BaseException) -> bool:
        cause = reason(error)
        return isinstance(cause, Exception) and holds(self.name, "dropped", self._dropped, cause)

    def _learn(self, now: float) -> None:
        self._latency = self._seconds / self._calls if self._calls else None
        try:
            self._algorithm.update(LimitSample(self._latency, self._most, self._drops > 0))
            self._move(now)
        except BROKEN as error:  # the limit stays where it is
            callback_failed(self.name, "algorithm", error)
        self._begin_window(now + self.settings.window)

    def _begin_window(self, end: float) -> None:
        self._window_end = end
        self._calls = self._drops = 0
        self._seconds = 0.0
        self._most = self._in_flight

    def _move(self, now: float) -> None:
        previous, self._limit = self._limit, int(self._algorithm.limit)
        if self._limit != previous and self.events:
            self.events.emit(LimitChanged(self.name, previous, self._limit, now))

    def statistics(self) -> AdaptiveLimiterStatistics:
        """Say how it stands."""
        return AdaptiveLimiterStatistics(
            self.name, self._limit, self._in_flight, self._rejected, self._latency
        )

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works: calls in flight stay; another algorithm starts where its options say.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        settings = changed(self.settings, options)
        if settings.algorithm != self.settings.algorithm:
            self._algorithm = settings.start()
            self._move(self.clock.monotonic())
        self._apply(settings)

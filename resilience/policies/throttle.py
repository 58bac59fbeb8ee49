"""Adaptive throttle: a client that sends less to a server which refuses, before it has to refuse."""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from resilience.core.callbacks import number_of
from resilience.core.classify import ErrorFilter
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.humanize import percent
from resilience.core.ports import CallContext, Clock
from resilience.core.validate import callback, number
from resilience.core.verdict import Verdict
from resilience.core.window import TimeWindow
from resilience.errors import LoadShed
from resilience.policies.base import RefusingPolicy
from resilience.policies.judge import Judged
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["AdaptiveThrottle", "AdaptiveThrottleSettings", "AdaptiveThrottleStatistics"]

_SENT = 1  # all calls are alike
_UNSENT = 2  # it would have been refused: counted already


@dataclass(frozen=True, slots=True)
class AdaptiveThrottleStatistics:
    """What an adaptive throttle knows at one moment.

    Args:
        name: name of the throttle.
        requests: calls in the window, those refused here included.
        accepts: calls in the window that the server accepted.
        probability: share of calls that are refused now, 0..1.
        rejected: calls refused here so far (in `observe` mode: that would have been).
    """

    name: str
    requests: int
    accepts: int
    probability: float
    rejected: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveThrottleSettings(Judged):
    """The options of an `AdaptiveThrottle`, which describes them; validated as a whole."""

    multiplier: float = 2.0
    window: float = 120.0
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        number("multiplier", self.multiplier, low=1)
        number("window", self.window, above=0)
        self.judge("throttle")
        is_observing(self.mode)


class AdaptiveThrottle(RefusingPolicy[int]):
    """Refuses a share of calls here, so that a server in trouble need not spend itself on refusing them.

    A call is refused with the probability `max(0, (requests - multiplier * accepts) / (requests + 1))`, where requests are
    the calls that ended in the window or were refused here, and accepts those that the server accepted: client-side
    throttling as in the SRE book, "Handling Overload". Unlike a breaker it never stops asking.

    Args:
        multiplier: how many calls are sent for each that is accepted, at least 1. Default 2, as the SRE book; less refuses
            sooner and wastes less of the server, more hears sooner that it is well again.
        window: seconds, above 0. Default 120, as the SRE book.
        on: what counts as not accepted: exception types or a predicate. Default every `Exception`.
        ignore: what counts as nothing; looked at before `on`.
        failed_result: says of a returned value that the server did not accept the call (a 429, say).
        name: what events, errors and statistics call it.
        mode: `normal`, or `observe`: all the same, but nothing is refused.
        clock: where time comes from.
        random: a function that gives a float in [0, 1).

    Raises:
        ConfigError: an option is outside its range.

    Example:
        >>> throttle = AdaptiveThrottle(random=lambda: 0.4)
        >>> token = throttle.enter(0.0, None)
        >>> throttle.leave(token, None, ConnectionError(), 0.0, 0.0)
        >>> throttle.enter(1.0, None)
        Traceback (most recent call last):
        resilience.errors.LoadShed: adaptive throttle 'throttle' refuses 50% of calls now
    """

    kind = "throttle"

    def __init__(
        self,
        *,
        multiplier: float = 2.0,
        window: float = 120.0,
        on: ErrorFilter = Exception,
        ignore: ErrorFilter = (),
        failed_result: Callable[[Any], bool] | None = None,
        name: str | None = None,
        mode: Mode = "normal",
        clock: Clock = SYSTEM_CLOCK,
        random: Callable[[], float] = _random.random,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._random = callback("random", random)
        settings = AdaptiveThrottleSettings(
            multiplier=multiplier,
            window=window,
            on=on,
            ignore=ignore,
            failed_result=failed_result,
            mode=mode,
        )
        self._counts = TimeWindow(window).start()  # what it calls failures are the calls not accepted
        self._apply(settings)

    def _apply(self, settings: AdaptiveThrottleSettings) -> None:
        self.settings = settings
        self._judge = settings.judge(self.name)
        self._observing = is_observing(settings.mode)

    def enter(self, now: float, context: CallContext | None) -> int:  # noqa: ARG002  all calls are alike
        """Let a call go, or refuse it by chance.

        Raises:
            LoadShed: chance was against it.
        """
        counts = self._counts
        if counts.failures:
            counts.expire(now)
            probability = self._probability()
            if probability > 0 and number_of(self.name, "random", 1.0, self._random) < probability:
                return self._reject(probability, now)
        return _SENT

    def _probability(self) -> float:
        counts = self._counts
        accepts = counts.calls - counts.failures
        return max(0.0, (counts.calls - self.settings.multiplier * accepts) / (counts.calls + 1))

    def _reject(self, probability: float, now: float) -> int:
        self._counts.record(True, False, now)  # noqa: FBT003  failed, not slow
        if self._refuses("throttled", now):
            message = f"adaptive throttle {self.name!r} refuses {percent(probability, up=True)} of calls now"
            raise LoadShed(message, policy=self.name)
        return _UNSENT

    def leave(
        self,
        token: int,
        result: object,
        error: BaseException | None,
        started: float,  # noqa: ARG002  durations mean nothing here
        now: float,
    ) -> None:
        """Count whether the server accepted the call."""
        if token == _UNSENT:
            return
        verdict = self._judge(result, error)
        if verdict is Verdict.SUCCESS or verdict is Verdict.FAILURE:
            self._counts.record(verdict is Verdict.FAILURE, False, now)  # noqa: FBT003  not slow

    def statistics(self) -> AdaptiveThrottleStatistics:
        """Say how it stands."""
        counts = self._counts
        counts.expire(self.clock.monotonic())
        accepts = counts.calls - counts.failures
        return AdaptiveThrottleStatistics(
            self.name, counts.calls, accepts, self._probability(), self._rejected
        )

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works; its counts stay, unless the window changes.

        Raises:
            ConfigError: an option is unknown or outside its range; nothing was changed.
        """
        settings = changed(self.settings, options)
        if settings.window != self.settings.window:
            self._counts = TimeWindow(settings.window).start()
        self._apply(settings)

"""What a retry is set to, what it counts, and what it tells its listeners."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from resilience.core.callbacks import BROKEN, callback_failed
from resilience.core.classify import ErrorFilter, matcher, rejection
from resilience.core.deadline import remaining
from resilience.core.ports import CallContext
from resilience.core.validate import callback, flag, integer, number, shown
from resilience.errors import ConfigError
from resilience.policies.backoff import Backoff, Exponential
from resilience.policies.budget import RetryBudget
from resilience.policies.retry_after import retry_after_of
from resilience.policies.retry_switch import attempts_bound
from resilience.policies.settings import Mode, is_observing

__all__ = [
    "MAX_RETRY_AFTER",
    "BeforeSleep",
    "Repeat",
    "RetrySettings",
    "RetryStatistics",
    "RetryStopped",
    "StopReason",
]

StopReason: TypeAlias = Literal["attempts", "elapsed", "deadline", "idempotency", "budget"]
"""What stood against another attempt."""


MAX_RETRY_AFTER: Final = 60.0  # seconds


_USUAL: Final = Exponential()
"""The curve in place of a backoff that raises."""


@dataclass(slots=True)  # frozen it would cost three times as much, for each failed attempt
class Repeat:
    """An attempt after the first.

    Args:
        attempt: its number, from 2.
        delay: seconds to wait before it.
        spent: price that the budget took for it; None without a budget.
        previous: seconds that were waited before the attempt before it.
        asked: seconds that `Retry-After` asks to wait; None if it does not.
    """

    attempt: int
    delay: float
    spent: int | None
    previous: float = 0.0
    asked: float | None = None


@dataclass(frozen=True, slots=True)
class BeforeSleep:
    """A retry is about to wait and to make another attempt.

    Args:
        name: name of the retry.
        attempt: which attempt failed, from 1.
        delay: seconds until the next.
        elapsed: seconds since the first attempt began.
        error: what the attempt raised; None when it is the result that counts as failed.
        result: what it returned in that case.
        observed: the retry only observes: no attempt follows.
    """

    name: str
    attempt: int
    delay: float
    elapsed: float
    error: BaseException | None
    result: object
    observed: bool


@dataclass(frozen=True, slots=True)
class RetryStopped:
    """A call failed in a way that is retried, and will not be made again.

    Args:
        name: name of the retry.
        attempts: how many attempts were made.
        reason: what stood against another: `attempts`, `elapsed`, `deadline`, `idempotency` or `budget`.
        error: what the last attempt raised; None when it is the result that counts as failed.
    """

    name: str
    attempts: int
    reason: StopReason
    error: BaseException | None


@dataclass(frozen=True, slots=True)
class RetryStatistics:
    """What a retry has done so far.

    Args:
        retries: attempts after the first, made or (observed) not made.
        stopped: failures that were not retried any more, by reason.
    """

    retries: int
    stopped: dict[StopReason, int]


@dataclass(frozen=True, kw_only=True)
class RetrySettings:
    """The options of a `Retry`, valid as a whole; and the decisions that follow from them alone; described there."""

    attempts: int
    backoff: Backoff
    on: ErrorFilter
    on_result: Callable[[Any], bool] | None
    max_elapsed: float | None
    budget: RetryBudget | None
    respect_retry_after: bool
    max_retry_after: float
    retry_rejections: bool
    mode: Mode

    def __post_init__(self) -> None:
        integer("attempts", self.attempts)
        if not callable(getattr(self.backoff, "delay", None)):
            raise ConfigError(
                f"backoff must be Exponential(...) or another backoff, got {shown(self.backoff)}"
            )
        matcher("on", self.on)
        if self.on_result is not None:
            callback("on_result", self.on_result)
        if self.max_elapsed is not None:
            number("max_elapsed", self.max_elapsed, above=0)
        if self.budget is not None and not callable(getattr(self.budget, "spend", None)):
            raise ConfigError(
                f"budget must be a TokenBudget or another retry budget, got {shown(self.budget)}"
            )
        flag("respect_retry_after", self.respect_retry_after)
        number("max_retry_after", self.max_retry_after, low=0)
        flag("retry_rejections", self.retry_rejections)
        is_observing(self.mode)

    def dormant(self) -> dict[str, str]:
        """Return the options that have no effect; see `Dormant`."""
        if self.respect_retry_after or self.max_retry_after == MAX_RETRY_AFTER:
            return {}
        return {"max_retry_after": "with respect_retry_after=False"}

    @functools.cached_property
    def meant(self) -> Callable[[BaseException], bool]:
        """Whether an exception is among those of `on`."""
        return matcher("on", self.on)

    @property
    def waits(self) -> tuple[Backoff, bool, float]:
        """What decides how long to wait."""
        return self.backoff, self.respect_retry_after, self.max_retry_after

    def failed(self, owner: str, result: object, error: BaseException | None) -> bool:
        """Return whether an attempt failed in a way that is retried; `owner` is the policy's name, for the log."""
        try:
            if error is None:
                return self.on_result is not None and bool(self.on_result(result))
            # A cancellation is no failure: nobody waits for the answer any more.
            if not isinstance(error, Exception):
                return False
            if not self.retry_rejections and rejection(error) is not None:
                return False
            return bool(self.meant(error))
        except BROKEN as broken:
            callback_failed(owner, "on_result" if error is None else "on", broken)
            return False

    def asked(self, source: object, wall: float) -> float | None:
        """Return the seconds that `Retry-After` asks to wait, or None.

        Args:
            source: error of the attempt, or the result that counts as failed.
            wall: Unix time.
        """
        return retry_after_of(source, wall) if self.respect_retry_after else None

    def delay(self, owner: str, attempt: int, previous: float, asked: float | None) -> float:
        """Return the seconds to wait after a failed attempt.

        Args:
            owner: name of the policy, for the log.
            attempt: number of the attempt that failed, from 1.
            previous: seconds that were waited before the attempt.
            asked: seconds that `Retry-After` asks to wait.
        """
        if attempts_bound.get() is not None:
            return 0.0
        # `number_of`, written out: a call less for each failed attempt.
        try:
            delay = float(self.backoff.delay(attempt, previous))
            if not 0 <= delay < math.inf:
                raise ValueError(f"a wait must be a finite number of seconds, got {shown(delay)}")
        except BROKEN as broken:
            callback_failed(owner, "backoff", broken)
            delay = _USUAL.delay(attempt, previous)
        if asked is not None and self.respect_retry_after:
            return max(delay, min(asked, self.max_retry_after))
        return delay

    def obstacle(  # noqa: PLR0917  hot: keywords would cost
        self,
        attempt: int,
        delay: float,
        elapsed: float,
        context: CallContext | None,
        now: float,
        source: object,
    ) -> StopReason | None:
        """Return what prevents another attempt after `delay`, apart from the budget.

        `source` is the error of the attempt, or the result that counts as failed.
        """
        bound = attempts_bound.get()
        if attempt >= (self.attempts if bound is None else min(bound, self.attempts)):
            return "attempts"
        left = remaining()
        if context is not None:
            if context.idempotent is False and not (
                context.unprocessed is not None and context.unprocessed(source)
            ):
                return "idempotency"
            if context.deadline is not None:
                left = min(context.deadline - now, math.inf if left is None else left)
        if left is not None and delay >= left:
            return "deadline"
        if self.max_elapsed is not None and elapsed + delay > self.max_elapsed:
            return "elapsed"
        return None

"""Retry: make the call again after a failure that may pass."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import aclosing, suppress
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, Self, TypeVar, overload

from resilience.core.callbacks import BROKEN, callback_failed
from resilience.core.classify import ErrorFilter
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import Call, CallContext, Clock
from resilience.errors import ConfigError
from resilience.policies.backoff import Backoff, Exponential
from resilience.policies.base import WrappingPolicy, refuse_sync
from resilience.policies.budget import RetryBudget, TokenBudget, guarded_budget
from resilience.policies.nap import Nap
from resilience.policies.retry_settings import (
    MAX_RETRY_AFTER,
    BeforeSleep,
    Repeat,
    RetrySettings,
    RetryStatistics,
    RetryStopped,
    StopReason,
)
from resilience.policies.settings import Mode, changed, effective, is_observing

__all__ = ["Retry", "RetryAttempts"]

P = ParamSpec("P")
T = TypeVar("T")

_NOTHING = object()


class Retry(WrappingPolicy):
    """Make a call again, after a wait, when it failed in a way that may pass.

    The last error is raised itself, with a note of how many attempts were made; the last result is returned
    itself. Never repeated: a cancelled call, one whose context says that it is not idempotent (unless the context's
    `unprocessed` holds for the outcome), and one that a
    policy inside refused (an open breaker, say) unless asked. An attempt that could only begin after `max_elapsed`
    or after the call's deadline is not waited for: it gives up at once.

    Args:
        attempts: how often the call is made at most, the first time included (as resilience4j's `maxAttempts`).
        backoff: how long to wait in between; `Exponential()`: full jitter up to 0.1 s, 0.2 s, 0.4 s ... 20 s.
        on: which exceptions are retried: types, or a function of the exception.
        on_result: says of a returned value that the call failed; not asked of blocks and generators.
        max_elapsed: seconds since the first attempt began after which none begins any more; None for no bound.
        budget: what may be sent again over all calls; share one between policies.
        respect_retry_after: wait at least as long as `Retry-After` of the error or the response asks.
        max_retry_after: seconds that `Retry-After` may make a call wait at most; 60.
        retry_rejections: also retry what a policy inside refused.
        mode: `observe` counts and reports what would be retried, and repeats nothing (nor spends any budget).
        name: what events and statistics call it.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> answers = iter([OSError("reset"), OSError("reset"), "ok"])
        >>> @Retry(3, backoff=Exponential(0.001), on=OSError)
        ... async def fetch():
        ...     answer = next(answers)
        ...     if isinstance(answer, OSError): raise answer
        ...     return answer
        >>> asyncio.run(fetch())
        'ok'
    """

    kind: ClassVar[str] = "retry"
    repeats: bool = True

    def __init__(
        self,
        attempts: int = 3,
        *,
        backoff: Backoff | None = None,
        on: ErrorFilter = Exception,
        on_result: Callable[[Any], bool] | None = None,
        max_elapsed: float | None = None,
        budget: RetryBudget | None = None,
        respect_retry_after: bool = True,
        max_retry_after: float = MAX_RETRY_AFTER,
        retry_rejections: bool = False,
        mode: Mode = "normal",
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._retries = 0
        self._waiting: dict[Nap, Repeat] = {}
        self._stopped: dict[StopReason, int] = {}
        self._use(
            effective(
                RetrySettings(
                    attempts=attempts,
                    backoff=Exponential() if backoff is None else backoff,
                    on=on,
                    on_result=on_result,
                    max_elapsed=max_elapsed,
                    budget=budget,
                    respect_retry_after=respect_retry_after,
                    max_retry_after=max_retry_after,
                    retry_rejections=retry_rejections,
                    mode=mode,
                )
            )
        )

    def reconfigure(self, **options: Any) -> None:
        """Change options while calls are under way; what is not named stays, and the budget cannot be exchanged.

        A call that waits for its next attempt makes it all the same, after a wait that is reckoned anew from its start;
        in `observe` mode now.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing is changed then.
        """
        # Calls under way have begun on this budget, and must end on it.
        if options.get("budget", self.settings.budget) is not self.settings.budget:
            raise ConfigError("budget must stay the one that the retry was made with")
        before = self.settings
        self._use(changed(before, options))
        if self._observing or self.settings.waits != before.waits:
            for nap, repeat in self._waiting.items():
                repeat.delay = 0.0 if self._observing else self._delay_of(repeat)
                nap.wake()

    def _delay_of(self, repeat: Repeat) -> float:
        return self.settings.delay(self.name, repeat.attempt - 1, repeat.previous, repeat.asked)

    def _use(self, settings: RetrySettings) -> None:
        self.settings = settings
        self.max_attempts: int = settings.attempts
        self.budget: RetryBudget | None = guarded_budget(self.name, settings.budget)
        # Nothing begins with a token budget, so it is spared the call.
        self.begin: Callable[[], None] | None = (
            None if self.budget is None or type(self.budget) is TokenBudget else self.budget.begin
        )
        self._observing = is_observing(settings.mode)
        self.on_result: Callable[[Any], bool] | None = settings.on_result
        self.judges_results: bool = settings.on_result is not None or self.budget is not None

    def statistics(self) -> RetryStatistics:
        """Count what has been retried, and what has not and why."""
        return RetryStatistics(self._retries, dict(self._stopped))

    # -- running calls ------------------------------------------------------------------------------------------

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call`, again where it fails; see the class."""
        monotonic = self.clock.monotonic
        if (budget := self.budget) is not None:
            budget.begin()
        started = monotonic()
        try:
            result = await call()
        except BaseException as error:
            repeat = self.again(None, None, error, monotonic() - started, context)
            if repeat is None:
                raise
        else:
            if not self.judges_results:
                return result
            repeat = self.again(None, result, None, monotonic() - started, context)
            if repeat is None:
                return result
        return await self._repeat(call, context, started, repeat)

    async def _repeat(
        self, call: Call[T], context: CallContext | None, started: float, repeat: Repeat | None
    ) -> T:
        """Make the second attempt as `repeat` says, and those that follow."""
        while repeat is not None:
            await self.pause(repeat)
            current = repeat
            try:
                result = await call()
            except BaseException as error:
                repeat = self.again(current, None, error, self.clock.monotonic() - started, context)
                if repeat is None:
                    self.gave_up(error, current)
                    raise
            else:
                if not self.judges_results:
                    return result
                repeat = self.again(current, result, None, self.clock.monotonic() - started, context)
        return result

    def attempts(self, context: CallContext | None = None) -> RetryAttempts:
        """Retry a block: `async for attempt in retry.attempts(): with attempt: ...`."""
        return RetryAttempts(self, context)

    @overload
    def __call__(self, function: Callable[P, AsyncIterator[T]]) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __call__(self, function: Callable[P, Any]) -> Callable[P, Any]:
        """Decorate a coroutine function, or an async generator function: that is retried before its first item only.

        With `@contextlib.asynccontextmanager` above, what a context manager does to enter is retried.

        Raises:
            ConfigError: it is a plain `def`.
        """
        if not inspect.isasyncgenfunction(function):
            return self._decorated(function)

        @functools.wraps(function)
        async def generator(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
            async for attempt in self.attempts():
                with attempt:
                    items = function(*args, **kwargs)
                    item = await anext(items, _NOTHING)
            async with aclosing(items):
                while item is not _NOTHING:
                    # As `yield from` would, if there were one: what the consumer sends or throws reaches the function.
                    try:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            raise
                        except BaseException as error:  # noqa: BLE001  it is the function's to handle
                            item = await items.athrow(error)
                        else:
                            item = await items.asend(sent)
                    except StopAsyncIteration:
                        return

        return generator

    def _decorated(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        refuse_sync(function, f"{type(self).__name__} {self.name!r}")
        monotonic = self.clock.monotonic

        # `execute` once more, on the function itself: a coroutine and a partial less are half the cost.
        @functools.wraps(function)
        async def retried(*args: P.args, **kwargs: P.kwargs) -> T:
            judged = self.judges_results
            if judged and self.budget is not None:
                self.budget.begin()
            started = monotonic()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                repeat = self.again(None, None, error, monotonic() - started, None)
                if repeat is None:
                    raise
            else:
                if not judged:
                    return result
                repeat = self.again(None, result, None, monotonic() - started, None)
                if repeat is None:
                    return result
            return await self._repeat(functools.partial(function, *args, **kwargs), None, started, repeat)

        return retried

    # -- what a generated pipeline asks -------------------------------------------------------------------------

    def again(
        self,
        current: Repeat | None,
        result: object,
        error: BaseException | None,
        elapsed: float,
        context: CallContext | None,
    ) -> Repeat | None:
        """Decide whether another attempt follows, count it and tell the listeners.

        A driver of its own calls `budget.begin()` first where there is a `budget`, then this after every attempt
        that raised anything, and, where `judges_results`, after every other; and `pause` with what this returns.

        Args:
            current: the attempt that has ended, as this returned it; None for the first attempt.
            result: what it returned, when `error` is None.
            error: what it raised.
            elapsed: seconds since the first attempt began.
            context: what is known about the call.

        Returns:
            the attempt that follows, or None when that was the last.
        """
        if not self.settings.failed(self.name, result, error):
            self.settle(current, succeeded=error is None)
            return None
        return self.after_failure(current, result, error, elapsed, context)

    def accepts(self, current: Repeat | None, result: object) -> bool:
        """Whether a result is none to be retried, and the call ends with it; else `after_failure` must follow.

        The two are `again` in parts: what nearly every call comes to should not pay for the rest.
        """
        if (on_result := self.on_result) is not None:
            try:
                if on_result(result):
                    return False
            except BROKEN as broken:
                callback_failed(self.name, "on_result", broken)
        if (budget := self.budget) is not None:
            if current is None:
                budget.end(succeeded=True)
            else:
                budget.release()
                budget.end(succeeded=True, spent=current.spent)
        return True

    def after_failure(
        self,
        current: Repeat | None,
        result: object,
        error: BaseException | None,
        elapsed: float,
        context: CallContext | None,
    ) -> Repeat | None:
        """Decide as `again` does, after an attempt that is known to have failed."""
        settings, clock = self.settings, self.clock
        attempt, previous = (1, 0.0) if current is None else (current.attempt, current.delay)
        source = result if error is None else error
        asked = settings.asked(source, clock.time())
        delay = settings.delay(self.name, attempt, previous, asked)
        stop = settings.obstacle(attempt, delay, elapsed, context, clock.monotonic(), source)
        spent: int | None = None
        if (budget := self.budget) is not None:
            if current is not None:
                budget.release()
            spent = budget.spend(error, wanted=stop is None and not self._observing)
            if spent is None:
                budget.end(succeeded=False)
                if not self._observing:
                    stop = stop or "budget"
        if stop is not None:
            self._stopped[stop] = self._stopped.get(stop, 0) + 1
            if self.events:
                self.events.emit(RetryStopped(self.name, attempt, stop, error))
            return None
        observed = self._observing
        self._retries += 1
        if self.events:
            self.events.emit(BeforeSleep(self.name, attempt, delay, elapsed, error, result, observed))
        return None if observed else Repeat(attempt + 1, delay, spent, previous, asked)

    async def pause(self, repeat: Repeat) -> None:
        """Wait for the next attempt; cancelled, it gives back what the budget granted."""
        try:
            if repeat.delay > 0:
                await self._wait(repeat)
            else:
                await self.clock.sleep(0)
        except BaseException:
            self.settle(repeat, succeeded=False)
            raise

    async def _wait(self, repeat: Repeat) -> None:
        """Sleep for the delay of an attempt, which `reconfigure` may change meanwhile."""
        monotonic = self.clock.monotonic
        began = monotonic()
        nap = Nap(self.clock)
        self._waiting[nap] = repeat
        try:
            while (due := began + repeat.delay) > monotonic():
                await nap.sleep(due)
        finally:
            del self._waiting[nap]

    def gave_up(self, error: BaseException, current: Repeat | None) -> None:
        """Note on the error that is raised how many attempts were made, where it was more than one."""
        if current is not None and isinstance(error, Exception):
            note = f"{self.name}: gave up after {current.attempt} attempts"
            with suppress(Exception):  # the error's own class may have other ideas of notes
                # An error object that a caller raises over and over must not collect notes without end.
                if note not in getattr(error, "__notes__", ()):
                    error.add_note(note)

    def settle(self, current: Repeat | None, *, succeeded: bool) -> None:
        """Tell the budget that a call has ended with an attempt, or in the wait before it."""
        if (budget := self.budget) is not None:
            if current is None:
                budget.end(succeeded=succeeded)
            else:
                budget.release()
                budget.end(succeeded=succeeded, spent=current.spent)


class RetryAttempts:
    """The attempts of one retried block, and the context manager of each.

    Args:
        retry: the policy.
        context: what is known about the call.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     async for attempt in Retry(3, backoff=Exponential(0.001)).attempts():
        ...         with attempt:
        ...             if attempt.number < 3: raise OSError
        ...             return attempt.number
        >>> asyncio.run(main())
        3
    """

    __slots__ = ("_context", "_current", "_ended", "_next", "_retry", "_started", "number")

    def __init__(self, retry: Retry, context: CallContext | None) -> None:
        self._retry = retry
        self._context = context
        self._started = 0.0
        self._current: Repeat | None = None
        self._next: Repeat | None = None
        self._ended = False
        self.number: int = 0
        """Which attempt this is, from 1."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Self:
        if self._ended:
            raise StopAsyncIteration
        if (following := self._next) is not None:
            self._next = None
            if (budget := self._retry.budget) is not None:
                budget.resume()
            await self._retry.pause(following)
            self._current = following
        elif self.number:
            raise ConfigError(
                "each turn of `async for attempt in retry.attempts()` must be `with attempt: ...`"
            )
        self.number += 1
        return self

    def __enter__(self) -> Self:
        if self.number == 1:
            self._started = self._retry.clock.monotonic()
            if self._retry.budget is not None:
                self._retry.budget.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        retry = self._retry
        if error is None:  # a block has no result that could be judged
            retry.settle(self._current, succeeded=True)
        else:
            elapsed = retry.clock.monotonic() - self._started
            self._next = retry.again(self._current, None, error, elapsed, self._context)
            if self._next is not None:
                # The loop may be left here, and nobody would hear of that: the budget holds nothing meanwhile.
                retry.settle(self._next, succeeded=False)
                return True
            retry.gave_up(error, self._current)
        self._ended = True
        return False

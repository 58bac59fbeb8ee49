"""Timeout: give a call so many seconds, and no more."""

from __future__ import annotations

import functools
import math
from asyncio import current_task
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar, cast

from resilience.core.buckets import (
    END,
    FIRED,
    NEXT,
    NOWHERE,
    OUTER,
    OWNER,
    PREVIOUS,
    START,
    TASK,
    Bucket,
    Deadlines,
    deadlines_here,
    here,
    withdraw,
)
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import Timeout as BlockTimeout
from resilience.core.deadline import capped, expired, innermost, live
from resilience.core.ports import Call, CallContext, Cancellable, Clock
from resilience.core.validate import number
from resilience.errors import TimeoutExceeded
from resilience.policies.base import WrappingPolicy, refuse_sync
from resilience.policies.generate import Source, generate
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["TimedOut", "Timeout", "TimeoutSettings", "TimeoutStatistics"]

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TimedOut:
    """A call took longer than its timeout allows.

    Args:
        name: name of the timeout.
        seconds: what it allows.
        observed: True in `observe` mode: the call went on.
    """

    name: str
    seconds: float
    observed: bool = False


@dataclass(frozen=True, slots=True)
class TimeoutStatistics:
    """What a timeout knows at one moment.

    Args:
        name: name of the timeout.
        seconds: what it allows.
        timed_out: calls so far that took longer; in `observe` mode, that would have been cut short.
    """

    name: str
    seconds: float
    timed_out: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutSettings:
    """The options of a `Timeout`, which describes them; validated as a whole."""

    seconds: float
    mode: Mode = "normal"

    def __post_init__(self) -> None:
        number("seconds", self.seconds, above=0)
        is_observing(self.mode)


class Timeout(WrappingPolicy):
    """Cancel a call that takes too long, and raise TimeoutExceeded.

    Outside a Retry it limits all attempts together, inside one each attempt. A `TimeoutError` of the function's own is
    passed on as it is, and a cancellation from outside stays one, even where the deadline has passed as well.

    Args:
        seconds: how long a call may take, above 0.
        name: what errors and events call it; `timeout` by default.
        clock: where time comes from.
        mode: `observe` reports a call that is too slow, and lets it go on.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> async def main():
        ...     quick = Timeout(0.001)
        ...     try:
        ...         await quick.call(asyncio.sleep, 3600)
        ...     except TimeoutExceeded as error:
        ...         return str(error)
        >>> asyncio.run(main())
        "timeout 'timeout': no answer within 0.001 s"
    """

    kind = "timeout"

    def __init__(
        self, seconds: float, *, name: str | None = None, clock: Clock = SYSTEM_CLOCK, mode: Mode = "normal"
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._timed_out = 0
        self._apply(TimeoutSettings(seconds=seconds, mode=mode))
        self.deadlines: Deadlines | None = None if clock is SYSTEM_CLOCK else Deadlines.on_clock(clock)
        """Where its deadlines wait when they are not on the running loop's clock."""
        self.bucket: Bucket = NOWHERE
        """The one that was good for the latest call."""

    def _apply(self, settings: TimeoutSettings) -> None:
        self.settings: TimeoutSettings = settings
        self.seconds: float = settings.seconds
        self.observing: bool = is_observing(settings.mode)
        self.limit: float = math.inf if self.observing else self.seconds
        """After how many seconds a call is cut short."""

    def __repr__(self) -> str:
        return f"Timeout({self.seconds:g}, name={self.name!r})"

    def reconfigure(self, **options: Any) -> None:
        """Change options while it works; calls under way keep their limit.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing was changed.
        """
        self._apply(changed(self.settings, options))

    def statistics(self) -> TimeoutStatistics:
        """Say how it stands."""
        return TimeoutStatistics(self.name, self.seconds, self._timed_out)

    def exceeded(self) -> TimeoutExceeded:
        """Report a timeout, and return the error that says so."""
        self._timed_out += 1
        if self.events:
            self.events.emit(TimedOut(self.name, self.seconds))
        message = f"timeout {self.name!r}: no answer within {self.seconds:g} s"
        return TimeoutExceeded(message, policy=self.name, seconds=self.seconds)

    async def execute(  # noqa: C901  unrolled: each call of a function would cost a twentieth of it
        self,
        call: Call[T],
        context: CallContext | None = None,  # noqa: ARG002  one limit for all calls
    ) -> T:
        """Run `call`, for at most `seconds`."""
        if self.observing:
            return await self._observe(call)
        deadlines = self.deadlines or here.deadlines
        task = current_task(deadlines.loop)
        if task is None:
            deadlines, task = deadlines_here()
        when = deadlines.time() + self.seconds
        outer = innermost.get()
        while outer is not None and outer[TASK] is None:
            outer = outer[OUTER]
        if outer is not None and outer[TASK] is not task:
            when = capped(when, outer, deadlines)
        bucket = self.bucket
        if bucket[OWNER] is not deadlines or not bucket[START] <= when < bucket[END]:
            bucket = self.bucket = deadlines.bucket(when)
        last = bucket[PREVIOUS]
        entry = [when, task, False, outer, deadlines, task.cancelling(), last, bucket]
        last[NEXT] = bucket[PREVIOUS] = entry
        innermost.set(entry)
        try:
            result = await call()
        except BaseException as error:
            entry[TASK] = None
            if outer is not None:
                entry[OUTER] = live(outer)
            late = entry[FIRED] and expired(entry, task, error)
            if not entry[FIRED]:
                withdraw(entry)
            del task  # the error may become the task's own, and its traceback names this frame: a cycle
            if late:
                raise self.exceeded() from error
            raise
        entry[TASK] = None
        if outer is not None:
            entry[OUTER] = live(outer)
        if entry[FIRED]:
            task.uncancel()
        else:
            last, after = entry[PREVIOUS], entry[NEXT]
            last[NEXT] = after
            after[PREVIOUS] = last
            entry[PREVIOUS] = entry[NEXT] = None
        return result

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function; its signature stays.

        Raises:
            ConfigError: it is a plain `def`.
        """
        if not self.unrolls:
            return super().__call__(function)
        refuse_sync(function, f"Timeout {self.name!r}")
        _, decorate = generate((self,), self.clock.monotonic, "timeout")
        return cast("Callable[P, Coroutine[Any, Any, T]]", functools.wraps(function)(decorate(function)))

    @property
    def unrolls(self) -> bool:
        """Whether `unroll` says all of what it does."""
        return type(self) is Timeout

    def unroll(self, source: Source, index: int, limits: tuple[int, ...], attempt: str) -> None:
        """Write the layer into a generated pipeline; see `generate.Unrolled`."""
        name, limit, before, fired = (f"{word}{index}" for word in ("timeout", "limit", "before", "fired"))
        source.names[name] = self
        if limits:
            outer = f"before{limits[-1]}"
            source.line(
                f"{before} = {outer} if {attempt} is None else task.cancelling()"
                if attempt
                else f"{before} = {outer}"
            )
            source.line(f"{limit} = present + {name}.limit")
        else:
            source.task(self.deadlines)
            source.line(f"{before} = task.cancelling()")
            source.line(f"{limit} = present + {name}.limit")
            with source.block(f"if outer is not None and outer[TASK] is not task and {limit} < NEVER:"):
                source.line(f"{limit} = capped({limit}, outer, deadlines)")
        # What only observes has a watch here instead of a deadline that has fired; one look at the mode is all it costs.
        source.line(f"{fired} = {name}.watch() if {name}.observing else None")
        with source.block("try:"):
            source.layers(index + 1, (*limits, index), attempt="")
        with source.block("except BaseException as error:"):
            with source.block(f"if {fired} is not None:"):
                with source.block(f"if type({fired}) is not list:"):
                    source.line(f"{fired}.cancel()")
                with source.block("else:"):
                    source.line(f"{fired}[TASK] = None")
                    with source.block(f"if expired({fired}, task, error):"):
                        if not limits:
                            source.line("del task")
                        source.line(f"raise {name}.exceeded() from error")
            if not limits:
                # The error may become the task's own, and its traceback names this frame: a cycle.
                source.line("del task")
            source.line("raise")
        with source.block(f"if {fired} is not None:"):
            with source.block(f"if type({fired}) is not list:"):
                source.line(f"{fired}.cancel()")
            with source.block("else:"):
                source.line(f"{fired}[TASK] = None")
                source.line("task.uncancel()")

    async def _observe(self, call: Call[T]) -> T:
        """Run `call` to its end, and report it if that is too late."""
        with self._watched():
            return await call()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Report a block at the moment at which it would have been cancelled."""
        late = self.watch()
        try:
            yield
        finally:
            late.cancel()

    def watch(self) -> Cancellable:
        """Report a call at the moment at which it would be cut short, unless what is returned is cancelled before."""
        return self.clock.call_at(self.clock.monotonic() + self.seconds, self._report)

    def _report(self) -> None:
        self._timed_out += 1
        self.events.emit(TimedOut(self.name, self.seconds, observed=True))

    @asynccontextmanager
    async def guard(
        self,
        context: CallContext | None = None,  # noqa: ARG002  one limit for all calls
    ) -> AsyncIterator[None]:
        """Limit a block: `async with policy.guard():`."""
        if self.observing:
            with self._watched():
                yield
        else:
            deadlines = self.deadlines or deadlines_here()[0]
            async with _Block(self, deadlines):
                yield


class _Block(BlockTimeout):
    """A block under a policy."""

    __slots__ = ("_policy",)

    def __init__(self, policy: Timeout, deadlines: Deadlines) -> None:
        super().__init__(deadlines.time() + policy.seconds, deadlines)
        self._policy = policy

    def error(self) -> TimeoutExceeded:
        """Report the timeout as the policy's."""
        return self._policy.exceeded()

"""Timeout: give a call so many seconds, and no more."""

from __future__ import annotations

import functools
from asyncio import current_task
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import ParamSpec, TypeVar, cast

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
from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import number
from resilience.errors import TimeoutExceeded
from resilience.policies.base import WrappingPolicy, refuse_sync
from resilience.policies.generate import Source, generate
from resilience.policies.settings import Mode, is_observing

__all__ = ["TimedOut", "Timeout"]

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
        self.seconds: float = number("seconds", seconds, above=0)
        self.observing: bool = is_observing(mode)
        self.deadlines: Deadlines | None = None if clock is SYSTEM_CLOCK else Deadlines.on_clock(clock)
        """Where its deadlines wait when they are not on the running loop's clock."""
        self.bucket: Bucket = NOWHERE
        """The one that was good for the latest call."""
        if self.observing:
            self.execute = self._observe  # type: ignore[method-assign]  # of the same signature

    def __repr__(self) -> str:
        return f"Timeout({self.seconds:g}, name={self.name!r})"

    def reconfigure(self, *, seconds: float) -> None:
        """Change the limit; calls under way keep theirs.

        Args:
            seconds: how long a call may take, above 0.

        Raises:
            ConfigError: it is not such a number.
        """
        self.seconds = number("seconds", seconds, above=0)

    def exceeded(self) -> TimeoutExceeded:
        """Report a timeout, and return the error that says so."""
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
            if entry[FIRED]:
                if expired(entry, task, error):
                    raise self.exceeded() from error
            else:
                withdraw(entry)
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

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        """Decorate a coroutine function; its signature stays.

        Raises:
            ConfigError: it is a plain `def`.
        """
        if not self.unrolls:
            return super().__call__(function)
        refuse_sync(function, f"Timeout {self.name!r}")
        _, decorate = generate((self,), self.clock.monotonic, "<timeout>")
        return cast("Callable[P, Awaitable[T]]", functools.wraps(function)(decorate(function)))

    @property
    def unrolls(self) -> bool:
        """Whether `unroll` says all of what it does."""
        return type(self) is Timeout and not self.observing

    def unroll(self, source: Source, index: int, limits: tuple[int, ...], attempt: str) -> None:
        """Write the layer into a generated pipeline; see `generate.Unrolled`."""
        name, limit, before, fired = (f"{word}{index}" for word in ("timeout", "limit", "before", "fired"))
        source.names[name] = self
        if limits:
            outer = f"before{limits[-1]}"
            source.line(
                f"{before} = {outer} if {attempt} == 1 else task.cancelling()"
                if attempt
                else f"{before} = {outer}"
            )
            source.line(f"{limit} = present + {name}.seconds")
        else:
            source.task(self.deadlines)
            source.line(f"{before} = task.cancelling()")
            source.line(f"{limit} = present + {name}.seconds")
            with source.block("if outer is not None and outer[TASK] is not task:"):
                source.line(f"{limit} = capped({limit}, outer, deadlines)")
        source.line(f"{fired} = None")
        with source.block("try:"):
            source.layers(index + 1, (*limits, index), attempt="")
        with source.block("except BaseException as error:"):
            with source.block(f"if {fired} is not None:"):
                source.line(f"{fired}[TASK] = None")
                with source.block(f"if expired({fired}, task, error):"):
                    source.line(f"raise {name}.exceeded() from error")
            source.line("raise")
        with source.block(f"if {fired} is not None:"):
            source.line(f"{fired}[TASK] = None")
            source.line("task.uncancel()")

    async def _observe(
        self,
        call: Call[T],
        context: CallContext | None = None,  # noqa: ARG002  one limit for all calls
    ) -> T:
        """Run `call` to its end, and report it if that is too late."""
        with self._watched():
            return await call()

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Report a block at the moment at which it would have been cancelled."""
        late = self.clock.call_at(self.clock.monotonic() + self.seconds, self._report)
        try:
            yield
        finally:
            late.cancel()

    def _report(self) -> None:
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

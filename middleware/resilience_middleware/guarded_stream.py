"""Guards of an endpoint that yields: permits are held, and the time counts, until its last item."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Iterator, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Final

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.deadline import timeout
from resilience.core.ports import Clock, Guard, Policy
from resilience.core.validate import shown
from resilience.errors import ConfigError, Rejected
from resilience.policies.pipeline import Pipeline
from resilience.policies.timeout import Timeout

__all__ = ["GuardedEndpoint", "GuardedStream", "yields"]

_END: Final = object()

InThread = Callable[[Callable[..., Any]], Callable[..., Awaitable[Any]]]


def yields(function: object) -> bool:
    """Return whether calling a function gives a generator, plain or asynchronous."""
    return inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function)


class GuardedEndpoint(functools.partial[Any]):
    """Generator function under guards.

    Guards are entered by the call, and not with the first item: a framework sends the status before that, and no refusal
    could be answered any more. Frameworks see an asynchronous generator function, because a partial is what its function is.
    """

    layers: Sequence[Timeout | Guard[Any]]
    names: Collection[str]

    def __call__(self, *args: Any, **kwargs: Any) -> GuardedStream:
        """Enter the guards and return the items."""
        try:
            return GuardedStream(super().__call__(*args, **kwargs), self.layers)
        except Rejected as error:
            error.inbound = error.policy in self.names
            raise

    @classmethod
    def of(
        cls,
        function: Callable[..., Any],
        policies: Sequence[Policy],
        in_thread: InThread,
        names: Collection[str],
    ) -> GuardedEndpoint:
        """Guard a generator function.

        Args:
            function: an asynchronous generator function, or a plain one, whose steps run in threads.
            policies: from the outermost to the innermost.
            in_thread: makes a coroutine function of a plain one.
            names: of the policies whose refusals are those of this service's own door.

        Raises:
            ConfigError: a policy can guard a call and no stream.
        """
        layers = tuple(_layers(policies))
        if not inspect.isasyncgenfunction(function):
            function = _threaded(function, in_thread)
        made = cls(function)
        functools.update_wrapper(made, function)
        made.layers, made.names = layers, names
        return made


class GuardedStream(AsyncGenerator[Any, Any]):
    """Items of a generator under guards.

    A timeout counts from the call to the end. It interrupts the generator and never its consumer: once the consumer has
    used up the time, the next step raises.

    Args:
        items: the generator.
        layers: guards and timeouts, from the outermost to the innermost.

    Raises:
        Rejected: a guard refuses.
    """

    def __init__(self, items: AsyncGenerator[Any, Any], layers: Sequence[Timeout | Guard[Any]]) -> None:
        self._items = items
        self._held: list[tuple[Guard[Any], Any, float]] = []
        self._watches = [layer.watch() for layer in layers if isinstance(layer, Timeout) and layer.observing]
        limits = [layer for layer in layers if isinstance(layer, Timeout) and not layer.observing]
        self._limit = min(limits, key=lambda limit: limit.seconds, default=None)
        self._end = 0.0 if self._limit is None else self._limit.clock.monotonic() + self._limit.seconds
        self._guards = [layer for layer in layers if not isinstance(layer, Timeout)]
        try:
            while self._guards and self._enter(self._guards[0]):
                self._guards.pop(0)
        except Rejected as error:
            self._leave(error)
            raise

    def __del__(self) -> None:
        # A consumer that has requested no item does not close the stream.
        self._leave(asyncio.CancelledError())

    async def asend(self, value: Any) -> Any:
        """Return the next item."""
        return await self._step(lambda: self._in_time(functools.partial(self._items.asend, value)))

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,  # noqa: ARG002  its signature in `AsyncGenerator`
    ) -> Any:
        """Raise an error in the generator; what it does then is not limited in time."""
        error = typ if isinstance(typ, BaseException) else val if isinstance(val, BaseException) else typ()
        return await self._step(lambda: self._items.athrow(error))

    async def _step(self, step: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await step()
        except StopAsyncIteration:
            self._leave(None)
            raise
        except GeneratorExit:
            self._leave(asyncio.CancelledError())
            raise
        except BaseException as error:
            self._leave(error)
            raise

    async def _in_time(self, step: Callable[[], Awaitable[Any]]) -> Any:
        policy = self._limit
        if policy is None:
            return await self._admitted(step)
        left = self._end - policy.clock.monotonic()
        if left <= 0:
            await self._items.aclose()
            raise policy.exceeded()
        limit = timeout(left, clock=policy.clock)
        try:
            async with limit:
                return await self._admitted(step)
        except TimeoutError as error:
            if limit.expired():
                raise policy.exceeded() from error
            raise

    async def _admitted(self, step: Callable[[], Awaitable[Any]]) -> Any:
        """Take a step once the guards that let a call wait have admitted it."""
        while self._guards:
            guard = self._guards.pop(0)
            if not self._enter(guard):
                token = await guard.wait(None)
                self._held.append((guard, token, _now(guard)))
        return await step()

    def _enter(self, guard: Guard[Any]) -> bool:
        now = _now(guard)
        token = guard.enter(now, None)
        if token is not None:
            self._held.append((guard, token, now))
        return token is not None

    def _leave(self, error: BaseException | None) -> None:
        held, self._held = self._held, []
        for guard, token, since in reversed(held):
            if guard.holds:
                guard.leave(token, None, error, since, _now(guard))
        watches, self._watches = self._watches, []
        for watch in watches:
            watch.cancel()


def _now(guard: Guard[Any]) -> float:
    clock: Clock = getattr(guard, "clock", SYSTEM_CLOCK)
    return clock.monotonic()


def _layers(policies: Sequence[object]) -> Iterator[Timeout | Guard[Any]]:
    for policy in policies:
        if isinstance(policy, Pipeline):
            yield from _layers(policy.policies)
        elif isinstance(policy, Timeout | Guard) and not getattr(policy, "repeats", False):
            yield policy
        else:
            message = f"guarded() takes guards and timeouts for an endpoint that yields, got {shown(policy)}"
            raise ConfigError(message)


def _threaded(function: Callable[..., Any], in_thread: InThread) -> Callable[..., AsyncGenerator[Any, Any]]:
    """Make an asynchronous generator function of a plain one; each step runs in a thread."""

    @functools.wraps(function)
    async def iterate(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        generator = function(*args, **kwargs)
        step = functools.partial(next, generator, _END)
        try:
            while (item := await in_thread(step)()) is not _END:
                step = functools.partial(next, generator, _END)
                try:
                    yield item
                except GeneratorExit:
                    raise
                except BaseException as error:  # noqa: BLE001  it is the generator's to handle
                    step = functools.partial(_throw, generator, error)
        finally:
            with suppress(ValueError):  # a step that nobody waits for any more is still running
                await in_thread(generator.close)()

    return iterate


def _throw(generator: Any, error: BaseException) -> Any:
    try:
        return generator.throw(error)
    except StopIteration:
        return _END

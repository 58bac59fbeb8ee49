"""Pipeline: several policies round one call, outermost first."""

from __future__ import annotations

import functools
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar, cast

from resilience.core.classify import Classifier
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import unknown
from resilience.core.ports import Call, CallContext, Clock, Guard, Policy, Recorder
from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.policies.base import GuardPolicy, WrappingPolicy, check_called, refuse_sync
from resilience.policies.changes import all_or_nothing, mapping_of_options, reconfigured, undone
from resilience.policies.generate import generate, generate_sender, identified
from resilience.policies.opening import opened
from resilience.policies.order import CompositionWarning, check_order
from resilience.policies.recording import Recording
from resilience.policies.retry import Retry

__all__ = ["Pipeline", "ReloadFailed", "Reloaded"]

P = ParamSpec("P")
K = TypeVar("K")
Q = TypeVar("Q")
T = TypeVar("T")

_USUAL: Final = Classifier()


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Options of a pipeline's policies were changed.

    Args:
        name: name of the pipeline.
        changes: the new options, by the policy's name.
    """

    name: str
    changes: Mapping[str, Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """A reload was refused; everything is as it was.

    Args:
        name: name of the pipeline.
        error: what was wrong with it.
    """

    name: str
    error: Exception


class Pipeline(WrappingPolicy):
    """Compose policies round a call, outermost first.

    The order that works is: fallback, coalesce, total timeout, load shedder, rate limiter or bulkhead or adaptive
    limiter, hedge, retry, circuit breaker, attempt timeout, fault injection. Another one raises a CompositionWarning.

    Args:
        *policies: at least one; their names must differ (of two timeouts without names, the inner one is called
            `attempt_timeout`; one that is named as the pipeline is called by its kind).
        name: what events, statistics and signals call it; `pipeline` by default.
        clock: where time comes from; by default the clock of the policies, which must all share one.
        recorder: counts each call with its verdict and duration, retries included.
        classifier: says what the recorder calls a failure; by default every exception but cancellations and rejections.

    Raises:
        ConfigError: there is no policy, or something that is none; two have one name or different clocks; a timeout of
            all attempts is shorter than that of one.

    Example:
        >>> import asyncio
        >>> from resilience.policies.timeout import Timeout
        >>> @Pipeline(Timeout(2), Retry(3))
        ... async def fetch(key):
        ...     return key.upper()
        >>> asyncio.run(fetch("a"))
        'A'
    """

    kind = "pipeline"

    def __init__(
        self,
        *policies: Policy | Guard[Any],
        name: str | None = None,
        clock: Clock | None = None,
        recorder: Recorder | None = None,
        classifier: Classifier | None = None,
    ) -> None:
        _check(policies)
        super().__init__(name=name, clock=_common_clock(policies, clock))
        self.policies = policies
        self.repeats: bool = any(getattr(policy, "repeats", False) for policy in policies)
        self._by_name = dict(zip(_names(policies, self.name), policies, strict=True))
        for complaint in check_order(policies):
            warnings.warn(f"pipeline {self.name!r}: {complaint}", CompositionWarning, stacklevel=3)
        self._recorder = recorder
        self._classifier = _USUAL if classifier is None else classifier
        self._compile()

    def _compile(self) -> None:
        layers: tuple[Policy | Guard[Any], ...] = self.policies
        if self._recorder is not None:
            layers = (Recording(self._recorder, self._classifier, self.clock, name=self.name), *layers)
        self._layers = layers

    def __repr__(self) -> str:
        return f"Pipeline({', '.join(self._by_name)}, name={self.name!r})"

    # -- what it is made of -------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Policy | Guard[Any]]:
        return iter(self.policies)

    def __getitem__(self, name: str) -> Policy | Guard[Any]:
        """Return one of the policies.

        Raises:
            KeyError: none is called so.
        """
        return self._by_name[name]

    def get(self, kind: type[K], name: str | None = None) -> K:
        """Return the policy of a class.

        Args:
            kind: the class of the policy.
            name: its name in the pipeline, where several are of the class.

        Raises:
            ConfigError: no policy is of this class and name, or several are.

        Example:
            >>> Pipeline(Retry(5)).get(Retry).settings.attempts
            5
        """
        found = {
            own: policy
            for own, policy in self._by_name.items()
            if isinstance(policy, kind) and name in {None, own}
        }
        if len(found) == 1:
            return next(iter(found.values()))
        wanted = kind.__name__ if name is None else f"{kind.__name__} {name!r}"
        reason = f"several policies of {wanted}, give its name" if found else f"no {wanted}"
        known = ", ".join(found or self._by_name)
        raise ConfigError(f"pipeline {self.name!r} has {reason}; there are: {known}")

    def names(self) -> tuple[str, ...]:
        """What the policies are called here, outermost first."""
        return tuple(self._by_name)

    @property
    def needs_identity(self) -> bool:
        """True if one of the policies must know which call it guards; a pipeline around this one hands that on."""
        return any(getattr(policy, "needs_identity", False) for policy in self._layers)

    def describe(self) -> str:
        """Say what it is made of, one policy on a line, outermost first."""
        lines = [f"pipeline {self.name!r}"]
        for depth, (name, policy) in enumerate(self._by_name.items(), start=1):
            lines.append(f"{'  ' * depth}{name}: {_described(policy)}")
        return "\n".join(lines)

    # -- calls --------------------------------------------------------------------------------------------------

    # Generated on first use, because the pipeline of a host only uses `extended`; and in the method's own place, because a
    # coroutine that only hands on would cost a tenth of the whole.
    @functools.cached_property
    def execute(self) -> Callable[..., Coroutine[Any, Any, Any]]:
        """Run `call` under all policies."""
        return self._generated[0]

    @functools.cached_property
    def _generated(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        return generate(self._layers, self.clock.monotonic, f"pipeline {self.name}")

    def extended(
        self, outside: Policy, inside: Policy
    ) -> Callable[[Callable[[Q], Awaitable[T]], Q, CallContext], Coroutine[Any, Any, T]]:
        """Return a function that calls another with its argument, with a layer round all policies and one inside them.

        The policies and their state are the same; what is added must write itself, see `generate.Unrolled`.
        """
        layers = (outside, *self._layers, inside)
        return generate_sender(layers, self.clock.monotonic)

    async def nested(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call` by nesting each policy's `execute` in the next: what `execute` means, at twice its price."""
        context = self._identified(call, context)
        for execute in self._executors:
            call = functools.partial(execute, call, context)
        return await call()

    @functools.cached_property
    def _executors(self) -> tuple[Callable[..., Awaitable[Any]], ...]:
        """The policies' `execute`, innermost first."""
        return tuple(_executor(policy, self.clock) for policy in reversed(self._layers))

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function(*args, **kwargs)` under all policies.

        Raises:
            ConfigError: `function` is a coroutine, or a plain `def` whose result cannot be awaited.
        """
        try:
            result: T = await self.execute(functools.partial(function, *args, **kwargs))
        except TypeError as error:
            check_called(function, error)
            raise
        return result

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function; its signature stays.

        Raises:
            ConfigError: it is a plain `def`.
        """
        refuse_sync(function, f"Pipeline {self.name!r}")
        guarded = self._generated[1](function)
        return cast("Callable[P, Coroutine[Any, Any, T]]", functools.wraps(function)(guarded))

    # -- blocks -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def guard(self, context: CallContext | None = None) -> AsyncIterator[None]:
        """Guard a block: `async with pipeline.guard():`.

        Raises:
            ConfigError: a policy may repeat the call, or cannot guard a block: a block runs once.
        """
        async with AsyncExitStack() as stack:
            for policy in self._layers:
                await stack.enter_async_context(_block(self.name, policy, context))
            yield

    @asynccontextmanager
    async def stream(
        self,
        function: Callable[P, AsyncIterator[T] | AbstractAsyncContextManager[T]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncIterator[Any]:
        """Open something under all policies, and hold their permits until the block ends.

        Deadlines span the block. A retry repeats the opening (up to and with the first item of a generator), never
        what comes after it.

        Args:
            function: an async generator function, or one that returns an async context manager.
            args: what it is called with.
            kwargs: what it is called with.

        Yields:
            an iterator over the items, or what the context manager's `__aenter__` returned.

        Raises:
            ConfigError: a policy cannot hold a block (a hedge, say).

        Example:
            >>> import asyncio
            >>> async def lines():
            ...     yield "a"
            ...     yield "b"
            >>> async def main():
            ...     async with Pipeline(Retry(3)).stream(lines) as stream:
            ...         return [line async for line in stream]
            >>> asyncio.run(main())
            ['a', 'b']
        """
        async with AsyncExitStack() as stack:
            opening = functools.partial(function, *args, **kwargs)
            context = self._identified(cast("Call[Any]", opening), None)
            yield await self._open(stack, 0, opening, context)

    def _identified(self, call: Call[Any], context: CallContext | None) -> CallContext | None:
        """Return the context of a call with its identity, where a policy needs that."""
        return identified(call, context) if self.needs_identity else context

    async def _open(
        self, stack: AsyncExitStack, index: int, opening: Callable[[], Any], context: CallContext | None
    ) -> Any:
        """Enter the policies from `index` on and open what is inside them; `stack` then holds all of it."""
        if index == len(self._layers):
            return await stack.enter_async_context(opened(opening))
        policy = self._layers[index]
        if not isinstance(policy, Retry):
            await stack.enter_async_context(_block(self.name, policy, context))
            return await self._open(stack, index + 1, opening, context)

        async def attempt() -> tuple[AsyncExitStack, Any]:
            async with AsyncExitStack() as inner:
                value = await self._open(inner, index + 1, opening, context)
                return inner.pop_all(), value
            raise AssertionError  # pragma: no cover  no policy's block swallows an exception

        inner, value = await policy.execute(attempt)
        await stack.enter_async_context(inner)
        return value

    # -- change -------------------------------------------------------------------------------------------------

    def reload(self, changes: Mapping[str, Mapping[str, Any]]) -> None:
        """Change options of the policies: counts, permits and calls under way stay as they are.

        Args:
            changes: new options by the policy's name; what is not named stays. An `Update` makes the new value of the
                old one.

        Raises:
            ConfigError: a policy or an option is unknown, or a value out of its range; nothing is changed then.
        """
        self.reconfigured(changes)

    def reconfigured(self, changes: Mapping[str, Mapping[str, Any]]) -> Callable[[], None]:
        """Do as `reload` does, and return a function that puts the old options back.

        Args:
            changes: new options by the policy's name.

        Raises:
            ConfigError: as for `reload`.
        """
        try:
            with all_or_nothing() as undo:
                for name, options in mapping_of_options("changes", changes).items():
                    undo.append(reconfigured(self._known(name), options))
                check_order(self.policies)
        except Exception as error:
            self.events.emit(ReloadFailed(self.name, error))
            raise
        self.events.emit(Reloaded(self.name, changes))
        return functools.partial(undone, undo)

    def _known(self, name: str) -> Policy | Guard[Any]:
        if name not in self._by_name:
            raise ConfigError(f"pipeline {self.name!r}: {unknown('policy', name, self._by_name)}")
        return self._by_name[name]


def _check(policies: tuple[object, ...]) -> None:
    if not policies:
        raise ConfigError("a pipeline must have at least one policy")
    for policy in policies:
        # The base first, because to ask for a protocol takes 20 microseconds on CPython 3.11.
        if isinstance(policy, type) or not isinstance(policy, WrappingPolicy | Policy | Guard):
            message = f"a pipeline is made of policies (objects with execute, or enter and leave), got {shown(policy)}"
            raise ConfigError(message)
    if len(set(map(id, policies))) < len(policies):
        raise ConfigError("each policy must stand in a pipeline once: its permits would be taken twice")


def _common_clock(policies: tuple[object, ...], clock: Clock | None) -> Clock:
    clocks = [policy.clock for policy in policies if hasattr(policy, "clock")]
    if clock is not None:
        clocks.append(clock)
    if any(other is not clocks[0] for other in clocks):
        raise ConfigError("all policies of a pipeline must share one clock, and the pipeline too")
    return cast("Clock", clocks[0]) if clocks else SYSTEM_CLOCK


def _names(policies: tuple[Policy | Guard[Any], ...], pipeline: str) -> list[str]:
    """What a pipeline calls its policies: what they are where they bear its own name, else their names.

    Of two timeouts that were given no names the inner one is `attempt_timeout`.
    """
    names: list[str] = []
    for policy in policies:
        name = getattr(policy, "kind", policy.name) if policy.name == pipeline else policy.name
        if name == "timeout" and name in names:
            name = "attempt_timeout"
        if name in names:
            raise ConfigError(
                f"the policies of a pipeline must have different names, got {shown(name)} twice"
            )
        names.append(name)
    return names


def _described(policy: object) -> str:
    text = repr(policy)
    # The default repr says where the object lies in memory, which helps nobody.
    return type(policy).__name__ if text.startswith("<") else text


def _executor(policy: Policy | Guard[Any], clock: Clock) -> Callable[..., Awaitable[Any]]:
    """The `execute` of a policy, or of a guard that has none."""
    if isinstance(policy, Policy):
        return policy.execute
    return functools.partial(GuardPolicy.execute, _Adapter(policy, clock))


class _Adapter(GuardPolicy[Any]):
    """Makes a policy of a guard of the user's own."""

    def __init__(self, guard: Guard[Any], clock: Clock) -> None:
        super().__init__(name=guard.name, clock=clock)
        self.enter = guard.enter  # type: ignore[method-assign]  # it is exactly this guard's
        self.wait = guard.wait  # type: ignore[method-assign]  # same
        if guard.holds:
            self.leave = guard.leave  # type: ignore[method-assign]  # same


def _block(pipeline: str, policy: Any, context: CallContext | None) -> AbstractAsyncContextManager[None]:
    if not hasattr(policy, "execute"):
        policy = _Adapter(policy, SYSTEM_CLOCK)
    if getattr(policy, "repeats", False) or not hasattr(policy, "guard"):
        raise ConfigError(f"pipeline {pipeline!r}: {policy.name!r} cannot guard a block, only a call")
    return cast("AbstractAsyncContextManager[None]", policy.guard(context))

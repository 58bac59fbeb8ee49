"""What every policy can do once it has said how it wraps a call: decorate, `call`, guard a block."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, ClassVar, Generic, NamedTuple, NoReturn, ParamSpec, TypeVar, cast

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.events import Listeners
from resilience.core.options import named_options
from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import text
from resilience.errors import ConfigError
from resilience.policies.events import CallRejected

__all__ = [
    "GuardPolicy",
    "Inline",
    "RefusingPolicy",
    "WrappingPolicy",
    "check_called",
    "is_async",
    "not_awaitable",
    "refuse_sync",
]

P = ParamSpec("P")
T = TypeVar("T")
Token = TypeVar("Token")


def is_async(function: object) -> bool:
    """Whether calling `function` gives a coroutine: `async def`, a partial of one, or an object whose call is one.

    Not so a class with an `async def __call__`, because calling the class makes an object.
    """
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isclass(function):
        return False
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  not whether, but how it is called
    )


def refuse_sync(function: object, policy: str) -> None:
    """Refuse to decorate what would run unprotected.

    Raises:
        ConfigError: `function` is a plain `def`, a class, or an async generator.
    """
    if not is_async(function):
        kind, remedy = (
            "a plain function",
            "make it `async def`, or guard `asyncio.to_thread(function, ...)` inside one",
        )
        if inspect.isasyncgenfunction(function):
            kind, remedy = "an async generator", "open it by `Pipeline(...).stream(function, ...)`"
        elif inspect.isclass(function):
            kind, remedy = "a class", "decorate its `async def __call__`, or an object made of it"
        name = getattr(function, "__qualname__", function)
        raise ConfigError(f"{policy} guards coroutines, and {name!r} is {kind}: {remedy}")


def not_awaitable(error: BaseException) -> bool:
    """Return True if an error says that a result cannot be awaited, as that of a plain `def`."""
    return isinstance(error, TypeError) and "can't be used in 'await' expression" in str(error)


def check_called(function: object, error: TypeError) -> None:
    """Explain a TypeError of `call` that comes from what was given to it.

    Args:
        function: what was given as the function.
        error: what came of it.

    Raises:
        ConfigError: `function` is a coroutine, or a plain `def` whose result cannot be awaited.
    """
    if inspect.iscoroutine(function):
        function.close()  # it never runs, and Python need not warn of that
        called = function.__qualname__
        raise ConfigError(
            f"call takes a function and its arguments: write `call({called}, ...)`, not `call({called}(...))`"
        )
    if not_awaitable(error) and not is_async(function):
        name = getattr(function, "__qualname__", function)
        raise ConfigError(
            f"call takes a coroutine function, and {name!r} is a plain function:"
            " make it `async def`, or write `call(asyncio.to_thread, function, ...)`"
        ) from error


def _shown(value: object) -> str:
    """A value as code names it: where a function lies in memory helps nobody."""
    return str(getattr(value, "__qualname__", None) or repr(value))


class WrappingPolicy:
    """Base of the policies that wrap: a subclass defines `execute` and, where it may repeat, sets `repeats`.

    Args:
        name: what events, statistics and signals call it; the class's `kind` when not given.
        clock: where time comes from.
    """

    kind: ClassVar[str] = "policy"
    repeats: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        named_options(cls)

    def __init__(self, *, name: str | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        self.name: str = self.kind if name is None else text("name", name)
        self.clock = clock
        self.events: Listeners[object] = Listeners()

    def __repr__(self) -> str:
        """Say what it is made with: the options that are not at their defaults."""
        settings = getattr(self, "settings", self)
        options: list[str] = []
        for option, parameter in inspect.signature(type(self)).parameters.items():
            default = self._default(option, parameter.default)
            value = getattr(settings, option, default)
            if option == "name":
                value, default = self.name, self.kind
            # Compared as they are shown: what a user gives need not know how to be compared.
            if option != "clock" and _shown(value) != _shown(default):
                options.append(f"{option}={_shown(value)}")
        return f"{type(self).__name__}({', '.join(options)})"

    def _default(self, option: str, declared: object) -> object:  # noqa: ARG002  for subclasses
        """Return the value of an option that was not given."""
        return declared

    async def __aenter__(self) -> NoReturn:
        """Refuse `async with policy:`, because each block is a call of its own.

        Raises:
            ConfigError: always, with what to write instead.
        """
        name = type(self).__name__
        remedy = "decorate a function with it, or write `await policy.call(function, ...)`"
        if self.repeats:
            remedy = "a block cannot be repeated: decorate a function with it, or write `await policy.call(function, ...)`"
        elif hasattr(self, "guard"):
            remedy = "write `async with policy.guard():`"
        raise ConfigError(f"{name} {self.name!r} is no context manager: {remedy}")

    async def __aexit__(self, *_error: object) -> None:
        """End a block; see `__aenter__`."""

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call` under this policy and return what it returns."""
        raise NotImplementedError  # pragma: no cover  every subclass defines it

    async def call(self, function: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function(*args, **kwargs)` under this policy.

        Raises:
            ConfigError: `function` is a coroutine, or a plain `def` whose result cannot be awaited.
        """
        try:
            return await self.execute(functools.partial(function, *args, **kwargs))
        except TypeError as error:
            check_called(function, error)
            raise

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function; its signature stays.

        Raises:
            ConfigError: it is a plain `def`.
        """
        refuse_sync(function, f"{type(self).__name__} {self.name!r}")
        execute = self.execute

        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            return await execute(functools.partial(function, *args, **kwargs))

        return guarded


class Inline(NamedTuple):
    """What a guard does for a call that says nothing of itself and may go at once, as source with `{guard}` for the guard.

    Functions that are generated for certain guards run it in the place of `enter` and `leave`: a call costs more than what
    most guards do. It speaks for the very class that defines it, and not for what is derived from that.

    Args:
        admits: an expression: whether such a call may go at once, which is all that it does where that is false; `now` is
            the monotonic time.
        enters: a statement for such a call, or nothing.
        leaves: a statement for when such a call has ended, however it did, or nothing. Its token is 1.
    """

    admits: str
    enters: str = ""
    leaves: str = ""


class GuardPolicy(WrappingPolicy, Generic[Token]):
    """Base of the policies that admit and release: a subclass defines `enter`, and `wait` and `leave` where it needs them."""

    holds: ClassVar[bool] = True
    shortcut: ClassVar[str | None] = None
    """Name of the attribute that holds the token of calls that need no look, and is false when each needs one."""
    inline: ClassVar[Inline | None] = None

    def enter(self, now: float, context: CallContext | None) -> Token | None:
        """Admit one call; see `core.ports.Guard`."""
        raise NotImplementedError  # pragma: no cover  every subclass defines it

    async def wait(self, context: CallContext | None) -> Token:
        """Wait for admission; only called where `enter` may return None."""
        raise NotImplementedError  # pragma: no cover  as above

    def leave(
        self, token: Token, result: object, error: BaseException | None, started: float, now: float
    ) -> None:
        """Give the token back; see `core.ports.Guard`."""

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call` once, if it is admitted."""
        monotonic = self.clock.monotonic
        started = monotonic()
        token = self.enter(started, context)
        if token is None:
            token = await self.wait(context)
            started = monotonic()
        try:
            result = await call()
        except BaseException as error:
            self.leave(token, None, error, started, monotonic())
            raise
        self.leave(token, result, None, started, monotonic())
        return result

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        """Decorate a coroutine function; its signature stays.

        Raises:
            ConfigError: it is a plain `def`.
        """
        refuse_sync(function, f"{type(self).__name__} {self.name!r}")
        enter, leave, monotonic = self.enter, self.leave, self.clock.monotonic

        if not self.holds:

            @functools.wraps(function)
            async def admitted(*args: P.args, **kwargs: P.kwargs) -> T:
                if enter(monotonic(), None) is None:
                    await self.wait(None)
                return await function(*args, **kwargs)

            return admitted

        # `execute` once more, on the function itself: a coroutine and a partial less are a third of a guard's cost.
        @functools.wraps(function)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
            started = monotonic()
            token = enter(started, None)
            if token is None:
                token = await self.wait(None)
                started = monotonic()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                leave(token, None, error, started, monotonic())
                raise
            leave(token, result, None, started, monotonic())
            return result

        return guarded

    @asynccontextmanager
    async def guard(self, context: CallContext | None = None) -> AsyncIterator[None]:
        """Guard a block: `async with policy.guard():`.

        Each `guard()` is one call of its own, so any number of blocks can be inside at once.
        """
        monotonic = self.clock.monotonic
        started = monotonic()
        token = self.enter(started, context)
        if token is None:
            token = await self.wait(context)
            started = monotonic()
        try:
            yield
        except BaseException as error:
            self.leave(token, None, error, started, monotonic())
            raise
        self.leave(token, cast("Any", None), None, started, monotonic())


class RefusingPolicy(GuardPolicy[Token]):
    """Base of the guards that refuse calls, and in `observe` mode only say so.

    Args:
        name: what events, errors and statistics call it.
        clock: where time comes from.
    """

    def __init__(self, *, name: str | None = None, clock: Clock = SYSTEM_CLOCK) -> None:
        super().__init__(name=name, clock=clock)
        self._observing = False
        self._rejected = 0

    def _refuses(self, why: str, now: float, retry_after: float | None = None) -> bool:
        """Count and tell of a call that is refused, or would be; False where it goes on because the guard observes."""
        self._rejected += 1
        if self.events.listeners:
            self.events.emit(CallRejected(self.name, self.kind, why, now, retry_after, self._observing))
        return not self._observing

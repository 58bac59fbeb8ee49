"""FaultInjection: make calls fail, hang or lie on purpose, to see what the guards around them do."""

from __future__ import annotations

import random as _random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeVar, cast

from resilience.core.callbacks import answer_of, callback_failed, number_of
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import callback, flag, number, shown
from resilience.errors import ConfigError
from resilience.policies.base import WrappingPolicy
from resilience.policies.settings import Mode, changed, is_observing

__all__ = ["Fault", "FaultInjected", "FaultInjection", "FaultInjectionSettings", "FaultInjectionStatistics"]

T = TypeVar("T")

Fault = Literal["error", "result", "latency"]


@dataclass(frozen=True, slots=True)
class FaultInjected:
    """A call was given a fault.

    Args:
        name: name of the policy.
        fault: `error` or `result` in the call's place, or only `latency` before it.
        observed: the policy only observes: the call was left alone.
    """

    name: str
    fault: Fault
    observed: bool


@dataclass(frozen=True, slots=True)
class FaultInjectionStatistics:
    """What a policy has done so far.

    Args:
        injected: calls that were given a fault (observed: that would have been).
    """

    injected: int


_NOTHING: Any = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInjectionSettings:
    """The options of a `FaultInjection`, valid as a whole; described there."""

    error: Callable[[], BaseException] | None
    result: Any
    latency: float
    rate: float
    enabled: bool
    mode: Mode

    def __post_init__(self) -> None:
        if self.error is not None:
            callback("error", self.error)
        number("latency", self.latency, low=0)
        number("rate", self.rate, low=0, high=1)
        flag("enabled", self.enabled)
        is_observing(self.mode)
        if self.error is not None and self.result is not _NOTHING:
            raise ConfigError("error and result must not both be given: a call ends in one way")
        if self.error is None and self.result is _NOTHING and not self.latency:
            raise ConfigError("error, result or latency must be given: there is nothing to inject")

    @property
    def fault(self) -> Fault:
        """What is injected, the latency aside where there is more."""
        if self.error is not None:
            return "error"
        return "latency" if self.result is _NOTHING else "result"


class FaultInjection(WrappingPolicy):
    """Give a share of the calls a fault: latency, and then an error or a result in the call's place.

    It belongs innermost, so that all guards see the faults as if the called side had made them. Off unless it is
    enabled explicitly.

    Args:
        error: an exception's class, or a function that makes an exception.
        result: what to return instead of calling; any value, None included.
        latency: seconds to wait first; with neither error nor result, the call is then made.
        rate: share of the calls, 0..1; 0.001 (Polly).
        enabled: whether faults are injected at all.
        mode: `observe` counts and reports the calls that would be given a fault, and leaves them alone.
        random: a number in [0, 1) each time it is called; seed it to have a run again.
        name: what events and statistics call it.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range, there is nothing to inject, or there are both an error and a result.

    Example:
        >>> import asyncio
        >>> async def answer(): return "ok"
        >>> chaos = FaultInjection(error=ConnectionError, rate=1.0)
        >>> asyncio.run(chaos.call(answer))
        'ok'
        >>> with chaos.active():
        ...     asyncio.run(chaos.call(answer))
        Traceback (most recent call last):
        ConnectionError
    """

    kind: ClassVar[str] = "fault_injection"

    def __init__(
        self,
        *,
        error: Callable[[], BaseException] | None = None,
        result: Any = _NOTHING,
        latency: float = 0.0,
        rate: float = 0.001,
        enabled: bool = False,
        mode: Mode = "normal",
        random: Callable[[], float] = _random.random,
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self.settings: FaultInjectionSettings = FaultInjectionSettings(
            error=error, result=result, latency=latency, rate=rate, enabled=enabled, mode=mode
        )
        self._random = callback("random", random)
        self._injected = 0

    def reconfigure(self, **options: Any) -> None:
        """Change options while calls are under way; what is not named stays.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing is changed then.
        """
        self.settings = changed(self.settings, options)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Enable it within a block, for all callers."""
        before = self.settings.enabled
        self.reconfigure(enabled=True)
        try:
            yield
        finally:
            self.reconfigure(enabled=before)

    def statistics(self) -> FaultInjectionStatistics:
        """Count the faults so far."""
        return FaultInjectionStatistics(self._injected)

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:  # noqa: ARG002  the protocol's
        """Run `call`, or give it a fault."""
        settings = self.settings
        if not settings.enabled or number_of(self.name, "random", 1.0, self._random) >= settings.rate:
            return await call()
        observed = is_observing(settings.mode)
        self._injected += 1
        if self.events:
            self.events.emit(FaultInjected(self.name, settings.fault, observed))
        if observed:
            return await call()
        if settings.latency:
            await self.clock.sleep(settings.latency)
        if settings.error is not None and (error := self._made(settings.error)) is not None:
            raise error
        if settings.result is not _NOTHING:
            return cast("T", settings.result)
        return await call()

    def _made(self, factory: Callable[[], BaseException]) -> BaseException | None:
        """Return the error to inject, or None where the user's function does not make one."""
        error = answer_of(self.name, "error", None, factory)
        if error is None or isinstance(error, BaseException):
            return error
        callback_failed(self.name, "error", TypeError(f"an exception is needed, got {shown(error)}"))
        return None

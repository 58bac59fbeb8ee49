"""Fallback: an answer that will do when the call has none."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, cast

from resilience.core.callbacks import holds
from resilience.core.classify import ErrorFilter, matcher
from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.ports import Call, CallContext, Clock
from resilience.core.validate import callback, integer, number
from resilience.errors import ConfigError
from resilience.policies.base import WrappingPolicy, not_awaitable
from resilience.policies.identity import UNIDENTIFIED, compact_key, identify
from resilience.policies.settings import Mode, changed, effective, is_observing

__all__ = ["Fallback", "FallbackSettings", "FallbackSource", "FallbackStatistics", "FallbackUsed"]

T = TypeVar("T")

FallbackSource: TypeAlias = Literal["stale", "value", "function"]
"""Where an answer came from."""


@dataclass(frozen=True, slots=True)
class FallbackUsed:
    """A call failed, and its caller got another answer.

    Args:
        name: name of the fallback.
        source: `stale` (what the same call returned last), `value` or `function`.
        error: what the call raised; None when it is the result that counts as failed.
        observed: the fallback only observes: the caller got the failure.
    """

    name: str
    source: FallbackSource
    error: Exception | None
    observed: bool


@dataclass(frozen=True, slots=True)
class FallbackStatistics:
    """What a fallback has done so far.

    Args:
        used: answers given in place of a failure (observed: that would have been), by source.
        kept: results that are kept for later failures.
    """

    used: dict[FallbackSource, int]
    kept: int


_NOTHING: Any = object()
_MAX_STALE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class FallbackSettings:
    """The options of a `Fallback`, valid as a whole; described there."""

    value: Any
    function: Callable[[Exception | None], Any] | None
    stale_for: float | None
    max_stale: int
    key: Callable[..., Hashable] | None
    on: ErrorFilter
    on_result: Callable[[Any], bool] | None
    mode: Mode

    def __post_init__(self) -> None:
        for option in ("function", "key", "on_result"):
            if getattr(self, option) is not None:
                callback(option, getattr(self, option))
        if self.stale_for is not None:
            number("stale_for", self.stale_for, above=0)
        integer("max_stale", self.max_stale)
        matcher("on", self.on)
        is_observing(self.mode)
        if self.function is not None and self.value is not _NOTHING:
            raise ConfigError("value and function must not both be given: there is one answer")
        if self.function is None and self.value is _NOTHING and self.stale_for is None:
            raise ConfigError("value, function or stale_for must be given: there is nothing to fall back on")

    def dormant(self) -> dict[str, str]:
        """Return the options that have no effect; see `Dormant`."""
        if self.stale_for is not None:
            return {}
        used = {"key": self.key is not None, "max_stale": self.max_stale != _MAX_STALE}
        return {option: "without stale_for: no result is kept" for option, is_set in used.items() if is_set}

    @property
    def source(self) -> FallbackSource | None:
        """Where an answer comes from when nothing was kept."""
        if self.function is not None:
            return "function"
        return None if self.value is _NOTHING else "value"


class Fallback(WrappingPolicy):
    """Answer in the place of a call that failed: with what it returned last, with a value, or with a function's answer.

    Refusals by the policies inside (an open breaker, say) are failures here; cancellations never are. What the
    function raises is raised, with the call's error as its context.

    Args:
        value: the answer; any value, None included, the same object each time.
        function: makes the answer, sync or async, of the exception (None when it was the result that failed).
        stale_for: seconds for which the last good result of the same call serves when it fails ("stale if error",
            RFC 5861), before value and function; None keeps nothing.
        max_stale: how many calls' results are kept; of more, those longest unused go; 1000.
        key: a function of the call's arguments that says which calls are the same; None to compare the function and
            all of its arguments.
        on: which exceptions are failures: types, or a function of the exception.
        on_result: says of a returned value that the call failed.
        mode: `observe` counts and reports, and lets the failure go on.
        name: what events and statistics call it.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range, or there is nothing to fall back on, or both a value and a function;
            at a call, with `stale_for`: that nothing tells it apart.

    Example:
        >>> import asyncio
        >>> @Fallback([], on=OSError)
        ... async def recommendations(user):
        ...     raise ConnectionError("down")
        >>> asyncio.run(recommendations("ann"))
        []
    """

    kind: ClassVar[str] = "fallback"

    def __init__(
        self,
        value: Any = _NOTHING,
        *,
        function: Callable[[Exception | None], Awaitable[Any] | Any] | None = None,
        stale_for: float | None = None,
        max_stale: int = _MAX_STALE,
        key: Callable[..., Hashable] | None = None,
        on: ErrorFilter = Exception,
        on_result: Callable[[Any], bool] | None = None,
        mode: Mode = "normal",
        name: str | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        super().__init__(name=name, clock=clock)
        self._used: dict[FallbackSource, int] = {}
        # The last good results and when they came, the longest unused first.
        self._kept: OrderedDict[Hashable, tuple[Any, float]] = OrderedDict()
        self._use(
            effective(
                FallbackSettings(
                    value=value,
                    function=function,
                    stale_for=stale_for,
                    max_stale=max_stale,
                    key=key,
                    on=on,
                    on_result=on_result,
                    mode=mode,
                )
            )
        )

    def _use(self, settings: FallbackSettings) -> None:
        self.settings = settings
        self._meant = matcher("on", settings.on)
        self.needs_identity: bool = settings.stale_for is not None
        if not self.needs_identity:
            self._kept.clear()
        self._trim()

    def reconfigure(self, **options: Any) -> None:
        """Change options while calls are under way; what is not named stays.

        Raises:
            ConfigError: an option is unknown or out of its range; nothing is changed then.
        """
        self._use(changed(self.settings, options))

    def statistics(self) -> FallbackStatistics:
        """Count the answers so far."""
        return FallbackStatistics(dict(self._used), len(self._kept))

    async def execute(self, call: Call[T], context: CallContext | None = None) -> T:
        """Run `call`, and answer in its place if it fails."""
        settings = self.settings
        identity: Hashable = None
        if settings.stale_for is not None:
            identity = compact_key(identify(self.name, settings.key, call, context))
        try:
            result = await call()
        except Exception as error:
            # An answer in its place would hide for good that a plain `def` was given.
            if not_awaitable(error) or not holds(self.name, "on", self._meant, error):
                raise
            answer = await self._answer(settings, identity, error)
            if answer is _NOTHING:
                raise
            return cast("T", answer)
        if settings.on_result is not None and holds(self.name, "on_result", settings.on_result, result):
            answer = await self._answer(settings, identity, None)
            return result if answer is _NOTHING else cast("T", answer)
        if settings.stale_for is not None and identity is not UNIDENTIFIED:
            self._kept[identity] = result, self.clock.monotonic()
            self._kept.move_to_end(identity)
            self._trim()
        return result

    async def _answer(self, settings: FallbackSettings, identity: Hashable, error: Exception | None) -> Any:
        """What to return in the call's place, or _NOTHING."""
        stale = _NOTHING if settings.stale_for is None else self._stale(identity, settings.stale_for)
        source = settings.source if stale is _NOTHING else "stale"
        if source is None:
            return _NOTHING
        observed = is_observing(settings.mode)
        self._used[source] = self._used.get(source, 0) + 1
        if self.events:
            self.events.emit(FallbackUsed(self.name, source, error, observed))
        if observed:
            return _NOTHING
        if source == "stale":
            return stale
        if settings.function is None:
            return settings.value
        answer = settings.function(error)
        return await answer if inspect.isawaitable(answer) else answer

    def _stale(self, identity: Hashable, seconds: float) -> Any:
        """The last good result of the same call, unless it is too old."""
        result, at = self._kept.get(identity, (_NOTHING, 0.0))
        if result is not _NOTHING:
            if self.clock.monotonic() - at > seconds:
                del self._kept[identity]
                return _NOTHING
            self._kept.move_to_end(identity)
        return result

    def _trim(self) -> None:
        while len(self._kept) > self.settings.max_stale:
            self._kept.popitem(last=False)

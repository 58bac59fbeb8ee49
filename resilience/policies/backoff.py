"""How long to wait between attempts: four curves, four kinds of jitter."""

from __future__ import annotations

import random as _random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias, get_args

from resilience.core.options import named_options
from resilience.core.validate import callback, choice, number
from resilience.errors import ConfigError

__all__ = ["Backoff", "Constant", "Exponential", "Fibonacci", "Jitter", "Linear"]

Jitter: TypeAlias = Literal["full", "equal", "decorrelated", "none"]
"""How chance spreads the waits of callers that failed together.

`full`: anything up to the curve; `equal`: the upper half of that; `decorrelated`: from `base` up to three times
the wait before (the first: three times `base`), then cut at the cap, whatever the curve; `none`: the curve itself.
(M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog.)
"""


class Backoff(Protocol):
    """Says how long to wait; holds no state of a call, so any number of calls can share one."""

    def delay(self, attempt: int, previous: float) -> float:
        """Return the seconds to wait after an attempt that failed.

        Args:
            attempt: which attempt failed, from 1.
            previous: what this call waited before that attempt, in seconds; 0 before the first wait.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spread:
    """What the curves have in common: the cap, the jitter, and where chance comes from."""

    cap: float = 20.0
    jitter: Jitter = "full"
    random: Callable[[], float] = field(default=_random.random, repr=False)

    def __post_init__(self) -> None:
        number("cap", self.cap, above=0)
        choice("jitter", self.jitter, get_args(Jitter))
        callback("random", self.random)

    def _spread(self, curve: float, base: float, previous: float) -> float:
        height = min(curve, self.cap)
        match self.jitter:
            case "none":
                return height
            case "full":
                return height * self.random()
            case "equal":
                return height * (0.5 + 0.5 * self.random())
            case "decorrelated":
                high = max(base, 3 * (previous or base))
                return min(self.cap, base + (high - base) * self.random())


@named_options
@dataclass(frozen=True, slots=True)
class Constant:
    """The same wait each time.

    Args:
        seconds: the wait, zero or more.
        jitter: `none`, `full` or `equal`; there is nothing for `decorrelated` to grow from.
        random: a number in [0, 1) each time it is called.

    Raises:
        ConfigError: an option is out of its range, or has no effect.

    Example:
        >>> Constant(2).delay(1, 0.0)
        2
    """

    seconds: float
    jitter: Literal["full", "equal", "none"] = field(default="none", kw_only=True)
    random: Callable[[], float] = field(default=_random.random, repr=False, kw_only=True)

    def __post_init__(self) -> None:
        number("seconds", self.seconds, low=0)
        choice("jitter", self.jitter, ("full", "equal", "none"))
        callback("random", self.random)
        if self.seconds == 0 and self.jitter != "none":
            raise ConfigError("jitter has no effect on a wait of 0 seconds")

    def delay(self, attempt: int, previous: float) -> float:  # noqa: ARG002  the protocol's arguments
        """Return the wait; see `Backoff.delay`."""
        if self.jitter == "none":
            return self.seconds
        share = self.random()
        return self.seconds * (share if self.jitter == "full" else 0.5 + 0.5 * share)


@named_options
@dataclass(frozen=True, slots=True)
class Linear(_Spread):
    """`base`, then `step` more each time, up to `cap`.

    Args:
        base: the first wait in seconds, above 0.
        step: seconds added each time, zero or more; `base` when None.
        cap: the longest wait in seconds; 20.
        jitter: see `Jitter`; `full`.
        random: a number in [0, 1) each time it is called.

    Raises:
        ConfigError: an option is out of its range, or has no effect.

    Example:
        >>> [Linear(1, jitter="none").delay(attempt, 0.0) for attempt in (1, 2, 3)]
        [1, 2, 3]
    """

    base: float = 0.1
    step: float | None = None

    def __post_init__(self) -> None:
        _Spread.__post_init__(self)
        number("base", self.base, above=0)
        if self.step is not None:
            number("step", self.step, low=0)

    def delay(self, attempt: int, previous: float) -> float:
        """Return the wait; see `Backoff.delay`."""
        step = self.base if self.step is None else self.step
        return self._spread(self.base + step * (attempt - 1), self.base, previous)


@named_options
@dataclass(frozen=True, slots=True)
class Exponential(_Spread):
    """`base`, then `factor` times as long each time, up to `cap`.

    The defaults are full jitter with the AWS SDKs' factor 2 and cap of 20 s, from a base that suits calls within
    a data centre.

    Args:
        base: the first wait in seconds, above 0.
        factor: growth from one wait to the next, at least 1.
        cap: the longest wait in seconds; 20.
        jitter: see `Jitter`; `full`.
        random: a number in [0, 1) each time it is called.

    Raises:
        ConfigError: an option is out of its range, or has no effect.

    Example:
        >>> [Exponential(1, cap=5, jitter="none").delay(attempt, 0.0) for attempt in (1, 2, 3, 4)]
        [1.0, 2.0, 4.0, 5]
    """

    base: float = 0.1
    factor: float = 2.0

    def __post_init__(self) -> None:
        _Spread.__post_init__(self)
        number("base", self.base, above=0)
        number("factor", self.factor, low=1)

    def delay(self, attempt: int, previous: float) -> float:
        """Return the wait; see `Backoff.delay`."""
        try:
            curve = self.base * self.factor ** (attempt - 1)
        except OverflowError:  # after a thousand attempts or so: far above any cap
            curve = self.cap
        return self._spread(curve, self.base, previous)


@named_options
@dataclass(frozen=True, slots=True)
class Fibonacci(_Spread):
    """`base` times 1, 1, 2, 3, 5, 8 ... up to `cap`: grows by about 1.6, gentler than doubling.

    Args:
        base: the first wait in seconds, above 0.
        cap: the longest wait in seconds; 20.
        jitter: see `Jitter`; `full`.
        random: a number in [0, 1) each time it is called.

    Raises:
        ConfigError: an option is out of its range, or has no effect.

    Example:
        >>> [Fibonacci(1, jitter="none").delay(attempt, 0.0) for attempt in (1, 2, 3, 4, 5)]
        [1, 1, 2, 3, 5]
    """

    base: float = 0.1

    def __post_init__(self) -> None:
        _Spread.__post_init__(self)
        number("base", self.base, above=0)

    def delay(self, attempt: int, previous: float) -> float:
        """Return the wait; see `Backoff.delay`."""
        wait, following = self.base, self.base
        for _ in range(attempt - 1):
            if wait >= self.cap:
                break
            wait, following = following, wait + following
        return self._spread(wait, self.base, previous)

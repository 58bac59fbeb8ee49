"""Every exception this library raises on purpose, one family in one file."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

__all__ = [
    "BulkheadFull",
    "CircuitOpen",
    "ConfigError",
    "DeadlinePassed",
    "DeliveryError",
    "FailureRecord",
    "IntegrationError",
    "LimitReached",
    "LoadShed",
    "MissingExtra",
    "QueryError",
    "RateLimited",
    "Rejected",
    "ResilienceError",
    "StoreError",
    "TimeoutExceeded",
]

_LONGEST: Final = 200  # characters of one given value
_LONG: Final = re.compile(r"""(?<!\w)'[^']{201,}'(?!\w)|(?<!\w)"[^"]{201,}"(?!\w)|\S{202,}""")


def shortened(message: str) -> str:
    """Return an error message with each long value in it, a quoted text or a word, cut to 200 characters.

    Example:
        >>> message = shortened(f"unknown key {'x' * 1000!r}; known are service, slos")
        >>> len(message), message[-29:]
        (239, "xx…'; known are service, slos")
    """
    return message if len(message) <= _LONGEST else _LONG.sub(_cut, message)


def _cut(match: re.Match[str]) -> str:
    given = match[0]
    quote = given[0] if given[0] in "'\"" and given[-1] == given[0] else ""
    inner = given[len(quote) : len(given) - len(quote)]
    return f"{quote}{inner[: _LONGEST - 1]}…{quote}"


def _rebuild(kind: type[ResilienceError], args: tuple[Any, ...], state: dict[str, Any]) -> ResilienceError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ResilienceError(Exception):
    """Base of the family: `except ResilienceError` catches whatever the library itself decided."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only constructors break the default pickling, which process pools rely on.
        return _rebuild, (type(self), self.args, self.__dict__)


class ConfigError(ResilienceError, ValueError):
    """An option, a file or a rule says something that cannot be meant.

    Args:
        message: what is wrong and what is allowed, in one line.
        file: where it was read, if it was read from a file.
        line: the line in that file, from 1.
        column: the column in that line, from 1.
    """

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, column: int | None = None
    ) -> None:
        message = shortened(message)
        named = None if file is None else shortened(file)
        place = ":".join(str(part) for part in (named, line, column) if part is not None)
        super().__init__(f"{place}: {message}" if place else message)
        self.message = message
        self.file = file
        self.line = line
        self.column = column


class QueryError(ResilienceError):
    """A PromQL expression that cannot be parsed, is not supported, or fails when it is evaluated.

    Args:
        message: what is wrong, in one line.
        text: the expression.
        position: offset of the fault in `text`, in characters from 0.
    """

    def __init__(self, message: str, *, text: str | None = None, position: int | None = None) -> None:
        message = shortened(message)
        where = "" if position is None else f" (at character {position + 1})"
        super().__init__(message + where)
        self.message = message
        self.text = text
        self.position = position


class Rejected(ResilienceError):
    """A policy refused a call before it began: nothing was sent, nothing was run.

    Args:
        message: who refused and why.
        policy: name of the policy that refused.
        retry_after: seconds after which another try makes sense, or None when nobody knows.

    Attributes:
        inbound: whether a request was refused at this service's own door, rather than a call that it made;
            an adapter of a server sets it.
    """

    inbound: bool = False

    def __init__(self, message: str, *, policy: str = "", retry_after: float | None = None) -> None:
        super().__init__(message)
        self.policy = policy
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class FailureRecord:
    """Record of an exception, without the traceback and the local variables that the exception holds in memory.

    Args:
        type: name of the exception's class.
        text: its message, cut at 1,024 bytes of UTF-8.
        timestamp: Unix time at which it was counted, in seconds.

    Example:
        >>> print(FailureRecord.of(ConnectionError("refused"), 1_700_000_000.0))
        ConnectionError: refused
    """

    type: str
    text: str
    timestamp: float

    LONGEST: ClassVar[int] = 1024

    @classmethod
    def of(cls, error: BaseException, timestamp: float) -> Self:
        """Make the record of an exception."""
        try:
            text = str(error)
        except Exception:  # noqa: BLE001  an exception of the user's own may have no text
            text = ""
        if len(text) > cls.LONGEST or not text.isascii():
            text = text.encode(errors="replace")[: cls.LONGEST].decode(errors="ignore")
        return cls(type(error).__name__, text, timestamp)

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type


class CircuitOpen(Rejected):
    """A circuit breaker is open (or half open with every permit taken).

    Args:
        message: which breaker, and in what state.
        policy: name of the breaker.
        retry_after: seconds until it lets a probe through; half open, the longest until its probes have decided
            or it opens again; None for `forced_open`.
        state: `open`, `half_open` or `forced_open`.
        last_failure: record of the failure that the breaker saw last.
    """

    def __init__(
        self,
        message: str,
        *,
        policy: str = "",
        retry_after: float | None = None,
        state: str = "open",
        last_failure: FailureRecord | None = None,
    ) -> None:
        super().__init__(message, policy=policy, retry_after=retry_after)
        self.state = state
        self.last_failure = last_failure


class BulkheadFull(Rejected):
    """Every permit of a bulkhead is taken and its queue is full, or the wait was too long."""


class RateLimited(Rejected):
    """A rate limiter has no token for this call now."""


class LimitReached(Rejected):
    """An adaptive limiter's current concurrency limit is taken."""


class LoadShed(Rejected):
    """The call was shed: its criticality is below what the load allows."""


class TimeoutExceeded(ResilienceError, TimeoutError):
    """A Timeout policy's own deadline passed; also a builtin `TimeoutError`, so plain code works.

    Args:
        message: which timeout, and how long it was.
        policy: name of the timeout.
        seconds: the time that was allowed.
    """

    def __init__(self, message: str = "", *, policy: str = "", seconds: float | None = None) -> None:
        super().__init__(message)
        self.policy = policy
        self.seconds = seconds


class DeadlinePassed(TimeoutExceeded, Rejected):
    """The caller's time was up before the call began: nothing was sent, so it says nothing of whom it was for."""

    def __init__(self, message: str = "", *, policy: str = "deadline") -> None:
        Rejected.__init__(self, message, policy=policy)
        self.seconds: float | None = None


class DeliveryError(ResilienceError):
    """A notification could not be delivered.

    Args:
        message: the channel and what it answered, without any secret.
        retryable: whether the same notification may succeed later.
        retry_after: seconds the receiver asked to wait.
        reached: True if the receiver may have got it all the same, as after a timeout; `retryable` when None.
    """

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = True,
        retry_after: float | None = None,
        reached: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after
        self.reached: bool = retryable if reached is None else reached


class IntegrationError(ResilienceError):
    """Another server could not be asked, or its answer cannot be used."""


class StoreError(ResilienceError):
    """State could not be read or written durably.

    Args:
        message: the store and what failed.
        locked: True if another process held a lock for too long: the same call may succeed later.
    """

    def __init__(self, message: str, *, locked: bool = False) -> None:
        super().__init__(message)
        self.locked = locked


class MissingExtra(ResilienceError, ImportError):
    """An optional dependency is not installed.

    Args:
        module: what could not be imported.
        extra: the extra of this distribution that brings it.
    """

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed: pip install 'asyncio-resilience[{extra}]'")
        self.module = module
        self.extra = extra

"""Calls of the user's functions: an error in one is logged, and never breaks the call that it is about."""

from __future__ import annotations

import math
from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from resilience.core.log import log

__all__ = ["BROKEN", "answer_of", "callback_failed", "holds", "number_of"]

P = ParamSpec("P")
T = TypeVar("T")

BROKEN: Final = (Exception, CancelledError)
"""Exceptions that a synchronous callback may raise by mistake.

A CancelledError of a synchronous function cancels nothing, because only an `await` delivers a cancellation: the function
has read the result of a cancelled future, for example.
"""


def callback_failed(owner: str, option: str, error: BaseException) -> None:
    """Log that a user's function raised.

    Args:
        owner: name of the policy that called the function.
        option: the option that the function was given as.
        error: what the function raised.
    """
    log(__name__).error("callback_failed", policy=owner, option=option, error=error, exc_info=error)


def answer_of(
    owner: str, option: str, default: T, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return what a user's function returns, or a default where the function raises.

    Args:
        owner: name of the policy, for the log.
        option: the option that the function was given as, for the log.
        default: the answer in place of the function's.
        function: the user's function.
        args: arguments of the function.
        kwargs: arguments of the function.

    Example:
        >>> answer_of("pay", "load", 0.0, lambda: 0.5)
        0.5
    """
    try:
        return function(*args, **kwargs)
    except BROKEN as error:
        callback_failed(owner, option, error)
        return default


def holds(
    owner: str, option: str, predicate: Callable[[Any], object], value: object, *, default: bool = False
) -> bool:
    """Return whether a user's predicate holds for a value; see `answer_of`.

    Example:
        >>> holds("pay", "on_result", lambda status: status >= 500, 503)
        True
    """
    try:
        return bool(predicate(value))
    except BROKEN as error:
        callback_failed(owner, option, error)
        return default


def number_of(
    owner: str,
    option: str,
    default: float,
    function: Callable[P, float],
    /,
    *args: P.args,
    **kwargs: P.kwargs,
) -> float:
    """Return the number that a user's function returns, or a default where it is not finite or negative; see `answer_of`.

    Example:
        >>> number_of("pay", "random", 0.5, lambda: 0.25)
        0.25
    """
    try:
        number = float(function(*args, **kwargs))
        if not 0 <= number < math.inf:
            raise ValueError(f"a number of at least 0 is needed, got {number!r}")
    except BROKEN as error:
        callback_failed(owner, option, error)
        return default
    return number

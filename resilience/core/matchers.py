"""Label matchers as predicates, regular expressions by RE2: linear time, Prometheus' syntax."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from resilience.core.ports import Matcher
from resilience.errors import QueryError

__all__ = ["pattern", "predicate"]


@functools.lru_cache(maxsize=4096)
def pattern(text: str) -> Any:
    """Compile a regular expression; the dot matches line ends too, as in Prometheus.

    Raises:
        QueryError: it is not one of RE2.
    """
    import re2  # noqa: PLC0415  native code that only who uses a regular expression should load

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(f"(?s:{text})", options)
    except (re2.error, UnicodeEncodeError) as error:
        message = f"not a regular expression of RE2: {text!r}: {error}"
        raise QueryError(message) from None


def predicate(matcher: Matcher) -> Callable[[str], bool]:
    """Make a function of the label's value, "" where the label is absent.

    Raises:
        QueryError: the regular expression is not one of RE2.

    Example:
        >>> predicate(Matcher("code", "=~", "5.."))("503")
        True
    """
    value = matcher.value
    if matcher.op == "=":
        return value.__eq__
    if matcher.op == "!=":
        return value.__ne__
    whole = pattern(value).fullmatch
    if matcher.op == "=~":
        return lambda text: whole(text) is not None
    return lambda text: whole(text) is None

"""Label matchers as predicates, regular expressions by RE2: linear time, Prometheus' syntax."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import re2

from resilience.core.ports import Matcher
from resilience.errors import QueryError

__all__ = ["pattern", "predicate"]

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False


@functools.lru_cache(maxsize=4096)
def pattern(text: str) -> Any:
    """Compile a regular expression; the dot matches line ends too, as in Prometheus.

    Raises:
        QueryError: it is not one of RE2.
    """
    try:
        return re2.compile(f"(?s:{text})", _OPTIONS)
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

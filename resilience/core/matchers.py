"""Label matchers as predicates, regular expressions by RE2: linear time, Prometheus' syntax."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from resilience.core.ports import Matcher
from resilience.errors import QueryError

__all__ = ["full_match", "predicate"]


@functools.lru_cache(maxsize=4096)
def full_match(text: str) -> Callable[[str], Any]:
    """Compile a regular expression that must match all of a value; the dot matches line ends, as in Prometheus.

    Args:
        text: in RE2's syntax.

    Returns:
        a function of a value: the match, or None.

    Raises:
        QueryError: it is not one of RE2.
    """
    import re2  # noqa: PLC0415  native code that only who uses a regular expression should load

    options = re2.Options()
    options.log_errors = False
    try:
        whole = re2.compile(f"(?s:{text})", options).fullmatch
    except (re2.error, UnicodeEncodeError) as error:
        message = f"not a regular expression of RE2: {text!r}: {error}"
        raise QueryError(message) from None

    def match(value: str) -> Any:
        try:
            return whole(value)
        except UnicodeEncodeError:  # half a surrogate pair, from bytes of a request that were no UTF-8
            return whole(value.encode(errors="replace").decode())

    return match


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
    match = full_match(value)
    if matcher.op == "=~":
        return lambda text: match(text) is not None
    return lambda text: match(text) is None

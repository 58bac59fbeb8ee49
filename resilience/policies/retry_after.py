"""When the called side says how long to wait: the `Retry-After` of an error or a response."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from resilience.core.callbacks import BROKEN, callback_failed

__all__ = ["parse_retry_after", "retry_after_of"]


_MOST: Final = sys.float_info.max


def parse_retry_after(value: object, now: float) -> float | None:
    """Read the value of a `Retry-After` field (RFC 9110, section 10.2.3).

    Args:
        value: whole seconds or an HTTP date as text, or a number of seconds.
        now: Unix time, which a date is counted from.

    Returns:
        seconds to wait, 0 for a date that has passed, or None for what is neither.

    Example:
        >>> parse_retry_after("120", 0.0), parse_retry_after("Thu, 01 Jan 1970 00:01:00 GMT", 0.0)
        (120.0, 60.0)
        >>> parse_retry_after("soon", 0.0) is None
        True
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if 0 <= value <= _MOST else None
    if not isinstance(value, str):
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:  # "-0000": UTC, of an unknown place
            when = when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - now)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None  # not a date: as if it had not been said


def _values(headers: Mapping[str, object], name: str) -> Sequence[object]:
    """Return the values of each field of a name; several are joined by commas in httpx's `get`."""
    # aiohttp's and httpx's headers.
    every = getattr(headers, "getall", None) or getattr(headers, "get_list", None)
    if every is None:
        value = headers.get(name)
        return () if value is None else (value,)
    values: Sequence[object] = every(name) if name in headers else ()
    return values


def retry_after_of(source: object, now: float) -> float | None:
    """Find what an error or a response says of when to come back.

    Looked at in order: an attribute `retry_after` (the library's own rejections have one), `headers` (a response;
    aiohttp's errors), `response.headers` (httpx's errors). Of several `Retry-After` fields the longest counts.

    Args:
        source: an exception or a response of any library.
        now: Unix time.

    Returns:
        seconds to wait, or None when it says nothing that can be understood, or raises when it is read.

    Example:
        >>> from resilience.errors import CircuitOpen
        >>> retry_after_of(CircuitOpen("open", retry_after=3.0), 0.0)
        3.0
    """
    try:
        said = parse_retry_after(getattr(source, "retry_after", None), now)
        if said is not None:
            return said
        for holder in (source, getattr(source, "response", None)):
            headers = getattr(holder, "headers", None)
            if isinstance(headers, Mapping):
                # Plain dicts are case-sensitive; HTTP/2 spells all names small.
                values = _values(headers, "Retry-After") or _values(headers, "retry-after")
                if values:
                    waits = [parse_retry_after(value, now) for value in values]
                    return max((wait for wait in waits if wait is not None), default=None)
    except BROKEN as error:  # a property of the user's class
        callback_failed("retry", "retry_after", error)
    return None

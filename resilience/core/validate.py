"""One way to refuse a nonsensical option: name it, show it, say what is allowed."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from resilience.errors import ConfigError

__all__ = [
    "callback",
    "choice",
    "flag",
    "host_names",
    "hostname",
    "integer",
    "number",
    "optional_text",
    "public_url",
    "shown",
    "text",
]

F = TypeVar("F", bound=Callable[..., Any])

_HOST = re.compile(r"\[[0-9a-f:.]+\]|[a-z0-9._-]+")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NO_HOST = re.compile(r"[\x00-\x20\x7f/?#@\\]|^\.")


_LONGEST = 200  # characters of a value in an error message


def shown(value: object) -> str:
    """Return a value as an error message shows it: its `repr`, shortened; its type where that fails.

    Example:
        >>> shown("abc"), shown(10**5000), len(shown("x" * 1000))
        ("'abc'", 'an int', 201)
    """
    try:
        written = repr(value)
    except Exception:  # noqa: BLE001  an integer of thousands of digits, a user's type
        name = type(value).__name__
        return f"{'an' if name[0] in 'aeiou' else 'a'} {name}"
    return written if len(written) <= _LONGEST else f"{written[:_LONGEST]}…"


def _range(kind: str, low: float | None, above: float | None, high: float | None) -> str:
    parts = [kind]
    if low is not None:
        parts.append(f"of at least {low:g}")
    if above is not None:
        parts.append(f"above {above:g}")
    if high is not None:
        parts.append(f"{'and ' if len(parts) > 1 else 'of '}at most {high:g}")
    return " ".join(parts)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return False


def number(
    option: str,
    value: object,
    *,
    low: float | None = None,
    above: float | None = None,
    high: float | None = None,
) -> float:
    """Return `value` as a float, or refuse it.

    Args:
        option: the option's name, for the message.
        value: what the user gave; NaN, infinities, booleans and strings are refused.
        low: the smallest value allowed.
        above: a bound that the value must be strictly above.
        high: the largest value allowed.

    Raises:
        ConfigError: it is not such a number.

    Example:
        >>> number("timeout", 2, above=0)
        2.0
        >>> number("timeout", float("nan"), above=0)
        Traceback (most recent call last):
        resilience.errors.ConfigError: timeout must be a number above 0, got nan
    """
    if isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(value):
        given = float(value)
        fits = (
            (low is None or given >= low)
            and (above is None or given > above)
            and (high is None or given <= high)
        )
        if fits:
            return given
    message = f"{option} must be {_range('a number', low, above, high)}, got {shown(value)}"
    raise ConfigError(message)


def integer(option: str, value: object, *, low: int = 1, high: int | None = None) -> int:
    """Return `value` as an int of at least `low` (and at most `high`), or refuse it.

    Raises:
        ConfigError: it is a boolean, not whole, or outside the range.
    """
    # What no machine can count is none: arithmetic with floats would overflow.
    fits = isinstance(value, int) and not isinstance(value, bool) and low <= value <= sys.maxsize
    if not fits or (high is not None and value > high):  # type: ignore[operator]  # fits says it is an int
        message = f"{option} must be {_range('a whole number', low, None, high)}, got {shown(value)}"
        raise ConfigError(message)
    return value  # type: ignore[return-value]  # same


def choice(option: str, value: object, allowed: Iterable[str]) -> str:
    """Return `value` if it is one of `allowed`, or refuse it.

    Raises:
        ConfigError: it is none of them.
    """
    names = tuple(allowed)
    if isinstance(value, str) and value in names:
        return value
    message = f"{option} must be one of {', '.join(names)}, got {shown(value)}"
    raise ConfigError(message)


def flag(option: str, value: object) -> bool:
    """Return `value` if it is True or False, or refuse it.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, bool):
        return value
    message = f"{option} must be true or false, got {shown(value)}"
    raise ConfigError(message)


def text(option: str, value: object) -> str:
    """Return `value` if it is a non-empty string that every output can hold, or refuse it.

    Raises:
        ConfigError: it is not a string, is blank, or contains half of a surrogate pair, for which UTF-8 has no form.
    """
    if isinstance(value, str) and value.strip():
        if _SURROGATE.search(value) is None:
            return value
        message = f"{option} must be a string of valid UTF-8, got {shown(value)}"
        raise ConfigError(message)
    message = f"{option} must be a non-empty string, got {shown(value)}"
    raise ConfigError(message)


def optional_text(option: str, value: object) -> str:
    """Return `value` if it is empty or a `text`, or refuse it.

    Raises:
        ConfigError: it is not a string, is blank but not empty, or is not valid UTF-8.
    """
    return "" if isinstance(value, str) and not value else text(option, value)


def hostname(option: str, value: object) -> str:
    """Return `value` if it can be the name or the address of a host, or refuse it.

    Raises:
        ConfigError: it is not a string, has an empty label or one above 63 characters, or contains what no name can.

    Example:
        >>> hostname("host", "prometheus..monitoring")
        Traceback (most recent call last):
        resilience.errors.ConfigError: host must be the name or the address of a host, got 'prometheus..monitoring'
    """
    given = text(option, value)
    try:
        given.encode("idna")  # as `getaddrinfo` does: what fails there fails at each call
        fits = _NO_HOST.search(given) is None
    except UnicodeError:
        fits = False
    if not fits:
        message = f"{option} must be the name or the address of a host, got {given!r}"
        raise ConfigError(message)
    return given


def public_url(option: str, value: object) -> str:
    """Return `value`, a URL that people may see, without a slash at its end; or refuse it.

    Raises:
        ConfigError: it is no absolute http or https URL, or has a user name, a password, a query or a fragment.

    Example:
        >>> public_url("external_url", "https://shop.example/ops/")
        'https://shop.example/ops'
    """
    given = text(option, value)
    try:
        parts = urlsplit(given)
        hostname(option, parts.hostname)
        fits = (
            parts.scheme in {"http", "https"} and parts.port != 0 and not parts.query and not parts.fragment
        )
    except ValueError:  # a ConfigError, too
        fits = False
    if not fits or "@" in given or any(character.isspace() for character in given):
        message = f"{option} must be an http:// or https:// URL without a password, a query or a fragment"
        raise ConfigError(message)
    return given.rstrip("/")


def callback(option: str, value: F) -> F:
    """Return `value` if it can be called, or refuse it.

    Raises:
        ConfigError: it cannot.
    """
    if callable(value):
        return value
    message = f"{option} must be a function, got {shown(value)}"
    raise ConfigError(message)


def host_names(option: str, value: object) -> frozenset[str]:
    """Return `value` as a set of host names in lower case, or refuse it.

    Raises:
        ConfigError: it is no list, or one of its items has a scheme, a port or a path.

    Example:
        >>> host_names("allowed_hosts", ["Ops.internal"])
        frozenset({'ops.internal'})
        >>> host_names("allowed_hosts", ["ops.internal:8000"])
        Traceback (most recent call last):
        resilience.errors.ConfigError: allowed_hosts must be a list of host names without scheme and port, such as ops.internal or [fd00::7], got 'ops.internal:8000'
    """
    wrong: object = value
    if isinstance(value, list | tuple | set | frozenset):
        names = [each.lower() if isinstance(each, str) else each for each in value]
        refused = [each for each in names if not (isinstance(each, str) and _HOST.fullmatch(each))]
        if not refused:
            return frozenset(names)
        wrong = refused[0]
    message = (
        f"{option} must be a list of host names without scheme and port, such as ops.internal or [fd00::7],"
        f" got {shown(wrong)}"
    )
    raise ConfigError(message)

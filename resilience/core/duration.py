"""Durations as files write them (`30s`, `1h30m`) and as Python holds them (seconds)."""

from __future__ import annotations

import re

from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["format_duration", "parse_duration", "parse_seconds"]

# Prometheus' units: a day has 24 h, a week 7 d, a year 365 d.
_UNITS = {
    "y": 31_536_000_000,
    "w": 604_800_000,
    "d": 86_400_000,
    "h": 3_600_000,
    "m": 60_000,
    "s": 1_000,
    "ms": 1,
}
# Prometheus keeps a duration in nanoseconds of 64 bits.
_LONGEST = (2**63 - 1) // 1_000_000
_FORM = re.compile("".join(rf"(?:(?P<{unit}>\d{{1,12}}){unit}(?![a-z]))?" for unit in _UNITS))


def parse_duration(text: object, *, option: str = "duration") -> float:
    """Read a duration in Prometheus' form.

    Args:
        text: `90s`, `5m`, `1h30m`, `30d`, `500ms`; units from long to short, each at most once, and 292 years in
            all; `0` alone is zero.
        option: name of what is read, for the message.

    Returns:
        seconds.

    Raises:
        ConfigError: it is not of that form.

    Example:
        >>> parse_duration("1h30m"), parse_duration("500ms")
        (5400.0, 0.5)
    """
    if text == "0":
        return 0.0
    if isinstance(text, str) and text and (match := _FORM.fullmatch(text)):
        milliseconds = sum(int(value) * _UNITS[unit] for unit, value in match.groupdict().items() if value)
        if milliseconds <= _LONGEST:
            return milliseconds / 1000
        message = f"{option} must be at most 292y, as in Prometheus, got {shown(text)}"
        raise ConfigError(message)
    raise _no_duration(option, text)


def parse_seconds(value: object, *, option: str = "duration") -> object:
    """Read a duration that a file may also write as a bare number of seconds, below 1,000.

    A larger bare number is refused, because it is mostly one of milliseconds, as other libraries have them.

    Args:
        value: a duration as `parse_duration` takes it, or a number; anything else is returned as it is.
        option: name of the option, for the message.

    Raises:
        ConfigError: the text is no duration, or the number may be one of milliseconds.

    Example:
        >>> parse_seconds("30s"), parse_seconds(30)
        (30.0, 30)
        >>> parse_seconds(30000, option="recoveryTimeout")
        Traceback (most recent call last):
        resilience.errors.ConfigError: recoveryTimeout must be a duration such as 30s, 5m, 1h30m or 30d, got 30000: write 30s or 30000ms
    """
    if isinstance(value, str):
        return parse_duration(value, option=option)
    if (bare := _bare(value)) is not None and bare >= _LEAST_WITH_UNIT:
        raise _no_duration(option, value)
    return value


_LEAST_WITH_UNIT = 1000
_DIGITS = 12  # of a bare number that an error message repeats with a unit


def _no_duration(option: str, value: object) -> ConfigError:
    message = f"{option} must be a duration such as 30s, 5m, 1h30m or 30d, got {shown(value)}"
    bare = _bare(value)
    if bare is None:
        return ConfigError(message)
    seconds = format_duration(bare)
    if bare >= _LEAST_WITH_UNIT:
        seconds = f"{format_duration(bare / 1000)} or {bare:.0f}ms"
    return ConfigError(f"{message}: write {seconds}")


def _bare(value: object) -> float | None:
    """Return the number that a value without a unit is, or None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _DIGITS:
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 10**_DIGITS:
        return float(value)
    return None


def format_duration(seconds: float) -> str:
    """Write seconds in Prometheus' form, to the millisecond.

    Args:
        seconds: any length of at least zero.

    Returns:
        the shortest text that `parse_duration` reads back, `0s` for zero.

    Example:
        >>> format_duration(5400), format_duration(0.5), format_duration(2592000)
        ('1h30m', '500ms', '30d')
    """
    left = round(seconds * 1000)
    if left <= 0:
        return "0s"
    parts = []
    for unit, size in _UNITS.items():
        # Prometheus writes 7 days as 1w, but 30 days as 30d: weeks and years only where they divide exactly.
        if unit in "yw" and left % size:
            continue
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)

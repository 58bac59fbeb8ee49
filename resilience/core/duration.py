"""Durations as files write them (`30s`, `1h30m`) and as Python holds them (seconds)."""

from __future__ import annotations

import re

from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["format_duration", "parse_duration"]

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
    message = f"{option} must be a duration such as 30s, 5m, 1h30m or 30d, got {shown(text)}"
    raise ConfigError(message)


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

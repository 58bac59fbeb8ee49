"""Unix time from outside: accepted within bounds, and drawn without an error whatever was stored."""

from __future__ import annotations

from datetime import UTC, datetime

from resilience.core.validate import number, shown
from resilience.errors import ConfigError

__all__ = ["LATEST", "unix_seconds", "utc"]

LATEST = 253_402_300_799.0
"""Unix seconds of the last second of the year 9999, the last one that a date can show."""


def unix_seconds(option: str, value: object) -> float:
    """Return `value` as Unix seconds between the years 1970 and 9999.

    Raises:
        ConfigError: not a number in this range, milliseconds for example.

    Example:
        >>> unix_seconds("end", 1_700_000_000)
        1700000000.0
        >>> unix_seconds("end", 1_700_000_000_000)
        Traceback (most recent call last):
        resilience.errors.ConfigError: end must be Unix seconds up to the year 9999, got 1700000000000
    """
    try:
        return number(option, value, low=0, high=LATEST)
    except ConfigError:
        message = f"{option} must be Unix seconds up to the year 9999, got {shown(value)}"
        raise ConfigError(message) from None


def utc(unix: float) -> datetime | None:
    """Return Unix seconds as a date in UTC, None if no date can show them.

    Example:
        >>> str(utc(0)), utc(1e300), utc(float("nan"))
        ('1970-01-01 00:00:00+00:00', None, None)
    """
    try:
        return datetime.fromtimestamp(unix, UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return None

"""Validation of what applications record themselves: outcomes, durations, timestamps, names."""

from __future__ import annotations

from datetime import datetime

from resilience.core.validate import flag, number, shown
from resilience.errors import ConfigError

__all__ = ["recorded_duration", "recorded_name", "recorded_success", "recorded_timestamp"]


def recorded_success(success: object) -> bool:
    """Return an outcome, or refuse everything that is not a bool: every text is true, `"false"` included.

    Raises:
        ConfigError: `success` is not True or False.
    """
    return flag("success", success)


def recorded_duration(duration: object) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigError: `duration` is not a finite number of at least 0.
    """
    return number("duration", duration, low=0)


def recorded_timestamp(timestamp: object, *, last: float | None = None) -> float | None:
    """Return a timestamp in Unix seconds, or None for now.

    Args:
        timestamp: Unix seconds, a datetime with a time zone, or None.
        last: Unix seconds of the last tick; windows before it have been evaluated.

    Raises:
        ConfigError: `timestamp` is none of these, or before `last`.

    Example:
        >>> from datetime import UTC
        >>> recorded_timestamp(datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
        60.0
    """
    if timestamp is None:
        return None
    if isinstance(timestamp, datetime):
        if timestamp.tzinfo is None:
            raise ConfigError(f"timestamp must have a time zone, got {shown(timestamp)}")
        seconds = timestamp.timestamp()
    else:
        seconds = number("timestamp", timestamp)
    if last is not None and seconds < last:
        message = (
            f"timestamp must not be before the last tick ({last:.3f}), got {shown(timestamp)}:"
            " what happened earlier can be judged by a backtest (`resilience backtest`)"
        )
        raise ConfigError(message)
    return seconds


def recorded_name(option: str, name: object) -> str:
    """Return a label value.

    Raises:
        ConfigError: `name` is not a string.
    """
    if isinstance(name, str):
        return name
    raise ConfigError(f"{option} must be a string, got {shown(name)}")

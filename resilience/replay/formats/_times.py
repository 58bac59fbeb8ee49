"""Moments and durations as logs write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final

from resilience.core.validate import choice

__all__ = ["UNITS", "common_log_time", "duration_reader", "iso_time"]

UNITS: Final[Mapping[str, float]] = {"s": 1.0, "ms": 1e3, "us": 1e6}
"""Units of durations, and how many of them make a second."""

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}


def common_log_time(text: str) -> float:
    """Read the time of the common log format, `21/Sep/2026:14:13:20 +0000`; months are English in any locale.

    Raises:
        ValueError: it is no such time.

    Example:
        >>> common_log_time("21/Sep/2026:16:13:20 +0200")
        1790000000.0
    """
    month = _MONTHS.get(text[3:6])
    if month is None or text[2] + text[6] + text[11] + text[20:21] != "//: ":
        message = f"no time of the common log format: {text!r}"
        raise ValueError(message)
    return datetime.fromisoformat(f"{text[7:11]}-{month:02}-{text[:2]}T{text[12:20]}{text[21:]}").timestamp()


def iso_time(text: str) -> float:
    """Read a time of ISO 8601, with `.` or `,` before fractions; UTC where it names no zone.

    Raises:
        ValueError: it is no such time.

    Example:
        >>> iso_time("2026-09-21 14:13:20,250"), iso_time("2026-09-21T16:13:20.25+02:00")
        (1790000000.25, 1790000000.25)
    """
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def duration_reader(unit: str | None) -> Callable[[str], float]:
    """Return a function that reads durations.

    Args:
        unit: `s`, `ms` or `us`; None to tell by the form: with a decimal point seconds, as nginx' `$request_time`,
            without one microseconds, as Apache's `%D`.

    Raises:
        ConfigError: there is no such unit.

    Example:
        >>> [duration_reader(None)(text) for text in ("0.049", "49000")], duration_reader("ms")("49")
        ([0.049, 0.049], 0.049)
    """
    if unit is None:
        return _by_form
    return partial(_scaled, UNITS[choice("unit", unit, UNITS)])


def _by_form(text: str) -> float:
    return float(text) if "." in text else float(text) / 1e6


def _scaled(per_second: float, text: str) -> float:
    return float(text) / per_second

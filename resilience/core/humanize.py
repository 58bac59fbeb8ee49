"""Percentages, durations, times and quantities as people read them, the same on every screen.

Rounding never makes a target look met that is not, and never makes a ratio look like 0% or 100% that is neither.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final

from resilience.core.duration import format_duration
from resilience.core.moments import utc

__all__ = [
    "NOTHING",
    "alert_name",
    "attained",
    "bar_ratio",
    "burn_rate",
    "date",
    "duration",
    "exact_percent",
    "exhausted_in",
    "percent",
    "points",
    "quantity",
    "timestamp",
    "words",
]

NOTHING: Final = "—"
"""Text where there is no value."""

_UNKNOWN_TIME: Final = "unknown time"
_IN_NAME: Final = frozenset({"alertname", "severity"})
_MINUTE, _HOUR, _DAY, _WEEK = 60, 3600, 86_400, 604_800
_FRACTIONS: Final = 59.95  # seconds; from here on three significant digits would be 60
_THOUSAND_PERCENT: Final = 10
_EXACT: Final = 12  # digits behind the point of a ratio; the rest is noise of binary fractions


def percent(ratio: Decimal | float | None, digits: int = 1, *, up: bool = False) -> str:
    """Write a ratio as a percentage, rounded down.

    Args:
        ratio: 0.999 is 99.9%.
        digits: digits behind the point, at most; none from 1,000% on.
        up: True to round up, for what is bad, such as errors or the consumed part of a budget.

    Example:
        >>> percent(0.9999), percent(0.5), percent(0.0001), percent(-115.7), percent(None)
        ('99.9%', '50%', '<0.1%', '-11,570%', '—')
        >>> percent(0.9999, up=True), percent(1.00001, up=True)
        ('>99.9%', '100.1%')
    """
    if ratio is None or not math.isfinite(ratio):
        return NOTHING
    exact = 100 * _exact(ratio)
    step = Decimal(1).scaleb(0 if abs(exact) >= 100 * _THOUSAND_PERCENT else -digits)
    if 0 < exact < step:
        return f"<{step}%"
    if 100 - step < exact < 100 and up:  # noqa: PLR2004  the whole
        return f">{100 - step}%"
    return f"{_short(exact.quantize(step, ROUND_CEILING if up else ROUND_FLOOR))}%"


def exact_percent(ratio: Decimal | float) -> str:
    """Write a ratio as a percentage with all its digits, as for a target.

    Example:
        >>> exact_percent(0.99999), exact_percent(Decimal("0.995")), exact_percent(1)
        ('99.999%', '99.5%', '100%')
    """
    return f"{_short(100 * _exact(ratio))}%"


def attained(ratio: Decimal | float | None, target: Decimal | float) -> str:
    """Write the attained value of an objective, with enough digits to compare it with the target.

    Args:
        ratio: the attained value.
        target: the target; a value below it is never written as the target, and a value above it never as less.

    Example:
        >>> attained(0.99899999, 0.999), attained(0.9999985, 0.99999), attained(None, 0.999)
        ('99.899%', '99.999%', '—')
    """
    places = -int((100 * _exact(target)).normalize().as_tuple().exponent)
    return percent(ratio, max(3, places))


def bar_ratio(remaining: Decimal | float | None) -> float:
    """Return the ratio of a bar that is filled, 0 to 1: nothing if a budget is spent, overspent or unknown.

    Example:
        >>> bar_ratio(0.25), bar_ratio(-3.0), bar_ratio(None)
        (0.25, 0.0, 0.0)
    """
    return 0.0 if remaining is None else min(1.0, max(0.0, float(remaining)))


def burn_rate(rate: Decimal | float | None) -> str:
    """Write a burn rate.

    Example:
        >>> burn_rate(Decimal("14.4")), burn_rate(11_570.2), burn_rate(None)
        ('14.4x', '11,570x', '—')
    """
    return NOTHING if rate is None else f"{quantity(float(rate))}x"


def exhausted_in(seconds: float | None, status: str) -> str:
    """Write the time until a budget is exhausted.

    Args:
        seconds: the time; None if the budget is not exhausted within its period.
        status: status of the budget; `exhausted` counts whatever the seconds are.

    Example:
        >>> exhausted_in(4000, "healthy"), exhausted_in(0, "exhausted"), exhausted_in(None, "healthy")
        ('1h6m', 'exhausted', '—')
    """
    return status if status == "exhausted" else duration(seconds)


def points(difference: float | None) -> str:
    """Write a difference of ratios in percentage points, with its sign.

    Example:
        >>> points(0.0012), points(-0.5), points(0.0)
        ('+0.12', '-50', '±0')
    """
    if difference is None:
        return NOTHING
    return f"{100 * difference:+.3g}" if round(difference, 6) else "±0"


def duration(seconds: float | None) -> str:
    """Write a duration in its two largest units, fractions of seconds with three significant digits.

    Example:
        >>> duration(93_784), duration(4000), duration(59), duration(9e6), duration(None)
        ('1d2h', '1h6m', '59s', '104d', '—')
        >>> duration(0.0123), duration(1.234), duration(0)
        ('12.3ms', '1.23s', '0s')
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if 0 < seconds < 1:
        return f"{quantity(1000 * seconds)}ms"
    if 0 < seconds < _FRACTIONS:
        return f"{seconds:.3g}s"
    unit = _DAY if seconds >= _WEEK else _HOUR if seconds >= _DAY else _MINUTE if seconds >= _HOUR else 1
    return format_duration(seconds // unit * unit)


def timestamp(unix: float | None, *, seconds: bool = True) -> str:
    """Write a time in UTC.

    Args:
        unix: Unix seconds.
        seconds: False to write no more than the minute.

    Example:
        >>> timestamp(0), timestamp(0, seconds=False), timestamp(1e300), timestamp(None)
        ('1970-01-01 00:00:00 UTC', '1970-01-01 00:00 UTC', 'unknown time', '—')
    """
    return _written(unix, "%Y-%m-%d %H:%M:%S UTC" if seconds else "%Y-%m-%d %H:%M UTC")


def date(unix: float | None) -> str:
    """Write the day of a time in UTC.

    Example:
        >>> date(86_400)
        '1970-01-02'
    """
    return _written(unix, "%Y-%m-%d")


def quantity(value: object) -> str:
    """Write a number with three significant digits, a whole one with all of them; anything else as text.

    Example:
        >>> quantity(14.3999), quantity(1234567.0), quantity(1234), quantity(True), quantity(None)
        ('14.4', '1,234,567', '1,234', 'yes', '—')
    """
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if math.isfinite(value) and abs(value) >= 99.95 else f"{value:.3g}"  # noqa: PLR2004  three digits
    return str(value)


def alert_name(labels: Mapping[str, str]) -> str:
    """Write which alert it is: its name and its labels, but the severity.

    Example:
        >>> alert_name({"alertname": "DiskFull", "severity": "critical", "host": "db1"})
        'DiskFull host=db1'
    """
    others = (f"{name}={value}" for name, value in sorted(labels.items()) if name not in _IN_NAME)
    return " ".join([*filter(None, [labels.get("alertname", "")]), *others])


def words(name: object) -> str:
    """Write a name of code as words.

    Example:
        >>> words("half_open")
        'half open'
    """
    return str(name).replace("_", " ")


def _exact(ratio: Decimal | float) -> Decimal:
    return ratio if isinstance(ratio, Decimal) else Decimal(str(round(ratio, _EXACT)))


def _short(figure: Decimal) -> str:
    text = f"{figure:,f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _written(unix: float | None, form: str) -> str:
    if unix is None:
        return NOTHING
    when = utc(unix)
    return _UNKNOWN_TIME if when is None else when.strftime(form)

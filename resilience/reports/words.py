"""Figures as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Decimal

from resilience.core.duration import format_duration

__all__ = ["NOTHING", "exhausted_in", "length", "moment", "percent", "points", "rate"]

NOTHING = "—"
_MINUTE, _HOUR, _DAY, _WEEK = 60, 3600, 86_400, 604_800


def percent(ratio: Decimal | float | None, digits: int = 3) -> str:
    """Write a ratio as a percentage, rounded down: what is not quite met must not look met.

    Args:
        ratio: 0.999 is 99.9%.
        digits: behind the point, at most.

    Example:
        >>> percent(0.9999999), percent(Decimal("-0.5")), percent(None)
        ('99.999%', '-50%', '—')
    """
    if ratio is None:
        return NOTHING
    exact = ratio if isinstance(ratio, Decimal) else Decimal(str(round(ratio, 12)))
    figure = (100 * exact).quantize(Decimal(1).scaleb(-digits), ROUND_FLOOR)
    return f"{figure.normalize():f}%"


def points(difference: float | None) -> str:
    """Write a difference of ratios in percentage points, with its sign.

    Example:
        >>> points(0.0012), points(-0.5), points(0.0)
        ('+0.12', '-50', '±0')
    """
    if difference is None:
        return NOTHING
    return f"{100 * difference:+.3g}" if round(difference, 6) else "±0"


def rate(burn: Decimal | None) -> str:
    """Write a burn rate.

    Example:
        >>> rate(Decimal("14.4")), rate(None)
        ('14.4x', '—')
    """
    return NOTHING if burn is None else f"{float(burn):.3g}x"


def length(seconds: float | None) -> str:
    """Write a length of time, as exactly as it is of use.

    Example:
        >>> length(93_784), length(4000), length(59), length(9e6), length(None)
        ('1d2h', '1h6m', '59s', '104d', '—')
    """
    if seconds is None:
        return NOTHING
    unit = _DAY if seconds >= _WEEK else _HOUR if seconds >= _DAY else _MINUTE if seconds >= _HOUR else 1
    return format_duration(seconds // unit * unit)


def exhausted_in(seconds: float | None, status: str) -> str:
    """Write the time until a budget is exhausted.

    Args:
        seconds: the time; None if the budget is not exhausted within its period.
        status: status of the budget; `exhausted` counts whatever the seconds are.

    Example:
        >>> exhausted_in(4000, "healthy"), exhausted_in(0, "exhausted"), exhausted_in(None, "healthy")
        ('1h6m', 'exhausted', '—')
    """
    return status if status == "exhausted" else length(seconds)


def moment(at: float | None, *, day: bool = False) -> str:
    """Write a time in UTC.

    Example:
        >>> moment(0), moment(0, day=True), moment(None)
        ('1970-01-01 00:00 UTC', '1970-01-01', '—')
    """
    if at is None:
        return NOTHING
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d" if day else "%Y-%m-%d %H:%M UTC")

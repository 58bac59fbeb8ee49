"""Sums, means and quantiles that lose no digits."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["kahan_add", "mean", "quantile", "total", "variance"]


def kahan_add(value: float, total: float, lost: float) -> tuple[float, float]:
    """One step of Neumaier's compensated sum: the new total, and what it has lost so far."""
    new = total + value
    if math.isinf(new):
        return new, 0.0
    if abs(total) >= abs(value):
        return new, lost + ((total - new) + value)
    return new, lost + ((value - new) + total)


def total(values: Sequence[float]) -> float:
    """Their sum; infinite where it overflows, as in Prometheus.

    Example:
        >>> total([1e100, 1.0, -1e100])
        1.0
    """
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):  # too large on the way, or infinities of both signs
        result = lost = 0.0
        for value in values:
            result, lost = kahan_add(value, result, lost)
        return result + lost


def mean(values: Sequence[float]) -> float:
    """Their mean, also where the sum would overflow."""
    count = len(values)
    try:
        return math.fsum(values) / count
    except (OverflowError, ValueError):
        average = lost = 0.0
        for number, value in enumerate(values, start=1):
            if math.isinf(average):
                # An infinite mean stays what it is, but for the opposite infinity and NaN.
                if math.isinf(value) and (average > 0) == (value > 0):
                    continue
                if math.isfinite(value):
                    continue
            average, lost = kahan_add(value / number - (average + lost) / number, average, lost)
        return average + lost


def variance(values: Sequence[float]) -> float:
    """Their population variance, by Welford's method with compensated steps."""
    average = average_lost = spread = spread_lost = 0.0
    for number, value in enumerate(values, start=1):
        delta = value - (average + average_lost)
        average, average_lost = kahan_add(delta / number, average, average_lost)
        spread, spread_lost = kahan_add(delta * (value - (average + average_lost)), spread, spread_lost)
    return (spread + spread_lost) / len(values)


def quantile(share: float, values: Sequence[float]) -> float:
    """The value below which a share of them lies, interpolated between neighbours.

    Args:
        share: 0 to 1; below is -Inf, above +Inf.
        values: at least one, NaN counting as the least of all.

    Example:
        >>> quantile(0.5, [1.0, 2.0, 4.0, 3.0])
        2.5
    """
    if not 0 <= share <= 1:
        return share * math.inf
    ordered = sorted(values, key=lambda value: -math.inf if math.isnan(value) else value)
    rank = share * (len(ordered) - 1)
    lower = max(0, math.floor(rank))
    upper = min(len(ordered) - 1, lower + 1)
    weight = rank - math.floor(rank)
    return ordered[lower] * (1 - weight) + ordered[upper] * weight

"""Sums, means and quantiles that lose no digits."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resilience.core.slices import breathing

__all__ = ["kahan_add", "mean", "mean_of_2", "plain_total", "quantile", "spread", "total", "variance"]


_INFINITE = (math.inf, -math.inf)


def kahan_add(value: float, total: float, lost: float) -> tuple[float, float]:
    """One step of Neumaier's compensated sum: the new total, and what it has lost so far."""
    new = total + value
    if math.isinf(new):
        return new, 0.0
    if abs(total) >= abs(value):
        return new, lost + ((total - new) + value)
    return new, lost + ((value - new) + total)


def total(values: Sequence[float]) -> float:
    """Their sum, compensated as Prometheus does it; infinite where it overflows.

    `math.fsum` would be exact, and so not what a Prometheus server says where compensation is not enough.

    Example:
        >>> total([1e100, 1.0, -1e100])
        1.0
    """
    if len(values) == 1:
        return values[0]
    result = lost = 0.0
    for value in breathing(values):
        # `kahan_add`, written out: sums are what rules are made of.
        new = result + value
        if new in _INFINITE:
            lost = 0.0
        elif abs(result) >= abs(value):
            lost += (result - new) + value
        else:
            lost += (value - new) + result
        result = new
    return result + lost


def mean(values: Sequence[float]) -> float:
    """Their mean; by ever finer shares from where the sum would overflow, as Prometheus does it."""
    result = lost = 0.0
    shared = False
    for number, value in enumerate(breathing(values), start=1):
        if not shared:
            new, new_lost = kahan_add(value, result, lost)
            if new not in _INFINITE or number == 1:
                result, lost = new, new_lost
                continue
            shared = True
            result /= number - 1
            lost /= number - 1
        rest = (number - 1) / number
        result, lost = kahan_add(value / number, rest * result, rest * lost)
    return result + lost if shared else result / len(values) + lost / len(values)


def plain_total(values: Sequence[float]) -> float:
    """Return the sum without compensation, as Prometheus 2.x aggregates.

    Example:
        >>> plain_total([0.1, 0.2]), plain_total([1e100, 1.0, -1e100])
        (0.30000000000000004, 0.0)
    """
    result = 0.0
    for value in breathing(values):  # the built-in `sum` compensates from CPython 3.12 on
        result += value
    return result


def mean_of_2(values: Sequence[float], *, compensated: bool) -> float:
    """Return the mean as Prometheus 2.x accumulates it, which never overflows.

    Args:
        values: at least one value.
        compensated: True for `avg_over_time`, False for the aggregation `avg`.

    Example:
        >>> mean_of_2([1e308, 1e308], compensated=False)
        1e+308
    """
    result = lost = 0.0
    for number, value in enumerate(breathing(values), start=1):
        if math.isinf(result) and not math.isnan(value) and value != -result:
            continue  # an infinite mean stays as it is until NaN or the opposite infinity
        share = value / number - result / number
        if compensated:
            result, lost = kahan_add(share, result, lost)
        else:
            result += share
    return result if math.isinf(result) else result + lost


def variance(values: Sequence[float]) -> float:
    """Their population variance, by Welford's method with compensated steps."""
    average = average_lost = spread = spread_lost = 0.0
    for number, value in enumerate(breathing(values), start=1):
        delta = value - (average + average_lost)
        average, average_lost = kahan_add(delta / number, average, average_lost)
        spread, spread_lost = kahan_add(delta * (value - (average + average_lost)), spread, spread_lost)
    return (spread + spread_lost) / len(values)


def spread(values: Sequence[float]) -> float:
    """Return the population variance of a group's values, by Welford's method as Prometheus' `stdvar` does it.

    `variance` is compensated, as Prometheus' `stdvar_over_time` is: the two differ in the last digits. The result is NaN
    once the first value is not finite.

    Example:
        >>> spread([1.0, 2.0, 3.0, 4.0])
        1.25
    """
    average, squares = values[0], 0.0 if math.isfinite(values[0]) else math.nan
    for number, value in enumerate(breathing(values[1:]), start=2):
        delta = value - average
        average += delta / number
        squares += delta * (value - average)
    return squares / len(values)


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

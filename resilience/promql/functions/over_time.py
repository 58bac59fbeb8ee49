"""Functions of all samples in a window: the `*_over_time` family and its like."""

from __future__ import annotations

import math

from resilience.core.ports import Samples
from resilience.errors import QueryError
from resilience.promql.functions.registry import over_time
from resilience.promql.sums import kahan_add, mean, mean_of_2, quantile, total, variance
from resilience.promql.values import Window

__all__: list[str] = []


@over_time("avg_over_time")
def _avg(samples: Samples, window: Window) -> float:
    return mean_of_2(samples.values, compensated=True) if window.old else mean(samples.values)


@over_time("sum_over_time")
def _sum(samples: Samples, window: Window) -> float:  # noqa: ARG001  the family's signature, here and below
    return total(samples.values)


@over_time("count_over_time")
def _count(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return float(len(samples.values))


@over_time("present_over_time")
def _present(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return 1.0


@over_time("max_over_time")
def _max(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return max((value for value in samples.values if not math.isnan(value)), default=math.nan)


@over_time("min_over_time")
def _min(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return min((value for value in samples.values if not math.isnan(value)), default=math.nan)


@over_time("last_over_time", keeps_name=True)
def _last(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return samples.values[-1]


@over_time("first_over_time", keeps_name=True)
def _first(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return samples.values[0]


@over_time("stdvar_over_time")
def _stdvar(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return variance(samples.values)


@over_time("stddev_over_time")
def _stddev(samples: Samples, window: Window) -> float:  # noqa: ARG001
    return math.sqrt(variance(samples.values))


@over_time("quantile_over_time", "scalar", first=True)
def _quantile(samples: Samples, window: Window, share: float) -> float:  # noqa: ARG001
    return quantile(share, samples.values)


@over_time("changes")
def _changes(samples: Samples, window: Window) -> float:  # noqa: ARG001
    changes, previous = 0, samples.values[0]
    for value in samples.values:
        changes += value != previous and not (math.isnan(value) and math.isnan(previous))
        previous = value
    return float(changes)


@over_time("resets")
def _resets(samples: Samples, window: Window) -> float:  # noqa: ARG001
    resets, previous = 0, samples.values[0]
    for value in samples.values:
        resets += value < previous
        previous = value
    return float(resets)


def _regression(samples: Samples, origin: float) -> tuple[float, float] | None:
    """Least squares: slope and value at `origin`; None of less than two samples."""
    times, values = samples.times, samples.values
    count = len(times)
    if count < 2:  # noqa: PLR2004  a line
        return None
    first = values[0]
    if all(value == first for value in values):
        return (math.nan, math.nan) if math.isinf(first) else (0.0, first)
    sums = [(0.0, 0.0)] * 4
    for time, value in zip(times, values, strict=True):
        x = round(time - origin, 3)  # milliseconds, as Prometheus has them
        parts = (x, value, x * value, x * x)
        sums = [kahan_add(part, *so_far) for part, so_far in zip(parts, sums, strict=True)]
    sum_x, sum_y, sum_xy, sum_xx = (so_far + lost for so_far, lost in sums)
    covariance = sum_xy - sum_x * sum_y / count
    spread = sum_xx - sum_x * sum_x / count
    slope = covariance / spread if spread else math.nan
    return slope, sum_y / count - slope * sum_x / count


@over_time("deriv")
def _deriv(samples: Samples, window: Window) -> float | None:  # noqa: ARG001
    # Any origin near the samples does; a far one costs digits.
    line = _regression(samples, samples.times[0])
    return None if line is None else line[0]


@over_time("predict_linear", "scalar")
def _predict_linear(samples: Samples, window: Window, ahead: float) -> float | None:
    line = _regression(samples, window.at)
    return None if line is None else line[0] * ahead + line[1]


@over_time(
    "holt_winters",
    "scalar",
    "scalar",
    removed="has been renamed double_exponential_smoothing in Prometheus 3, where it is experimental and not supported",
)
def _holt_winters(
    samples: Samples,
    window: Window,  # noqa: ARG001
    smoothing: float,
    trend_factor: float,
) -> float | None:
    """Return the double exponentially smoothed value (Prometheus 2.x, promql/functions.go `funcHoltWinters`)."""
    for name, factor in (("smoothing", smoothing), ("trend", trend_factor)):
        if not 0 < factor < 1:
            raise QueryError(f"the {name} factor of holt_winters must be above 0 and below 1, got {factor:g}")
    values = samples.values
    if len(values) < 2:  # noqa: PLR2004  a trend needs two samples
        return None
    previous, current, trend = 0.0, values[0], values[1] - values[0]
    for index, value in enumerate(values[1:]):
        if index:
            trend = trend_factor * (current - previous) + (1 - trend_factor) * trend
        previous, current = current, smoothing * value + (1 - smoothing) * (current + trend)
    return current

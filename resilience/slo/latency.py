"""How many requests of a service took how long, over time: what a heat map shows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from resilience.core.duration import format_duration
from resilience.promql import Series
from resilience.promql.show import quote

__all__ = ["latency_query", "plain_latency"]


def latency_query(service: str, step: float) -> str:
    """Return PromQL that counts a service's requests by bucket of their duration, cumulatively.

    Args:
        service: whose requests.
        step: seconds that are counted.

    Example:
        >>> latency_query("shop", 300)
        'sum by (le) (increase(http_request_duration_seconds_bucket{service="shop"}[5m]))'
    """
    selector = f"http_request_duration_seconds_bucket{{service={quote(service)}}}[{format_duration(step)}]"
    return f"sum by (le) (increase({selector}))"


def plain_latency(series: Iterable[Series], shift: float = 0.0) -> dict[str, Any]:
    """Return the counts of each bucket by itself as plain data.

    Args:
        series: what `latency_query` comes to over a range.
        shift: seconds from their time to Unix time.

    Returns:
        `times` (ends of the steps), `bounds` (upper bounds in seconds, null for none), `counts` (by bucket, then by
        step).

    Example:
        >>> fast, all_ = Series((("le", "0.1"),), [60.0], [3.0]), Series((("le", "+Inf"),), [60.0], [5.0])
        >>> plain_latency([all_, fast])
        {'times': [60.0], 'bounds': [0.1, None], 'counts': [[3.0], [2.0]]}
    """
    found = sorted((float(dict(each.labels)["le"]), each) for each in series)
    times = sorted({at for _, each in found for at in each.times})
    below = dict.fromkeys(times, 0.0)
    counts = []
    for _, each in found:
        cumulative = dict(zip(each.times, each.values, strict=True))
        # Extrapolation may leave a bucket a trifle under the one below it.
        counts.append([round(max(0.0, cumulative.get(at, below[at]) - below[at]), 3) for at in times])
        below = {at: max(below[at], cumulative.get(at, 0.0)) for at in times}
    return {
        "times": [at + shift for at in times],
        "bounds": [None if bound == float("inf") else bound for bound, _ in found],
        "counts": counts,
    }

"""From the result of an expression to the series of a recording rule."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from resilience import promql
from resilience.core.ports import Labels
from resilience.core.slices import breathing
from resilience.errors import QueryError
from resilience.rules.model import Rule

__all__ = ["pairs", "recorded"]


def pairs(result: promql.Value) -> Sequence[tuple[Labels, float]]:
    """Return what a rule's expression came to as label sets with values.

    Raises:
        QueryError: it is neither a vector nor a scalar.
    """
    if isinstance(result, promql.Vector):
        return list(result)
    if isinstance(result, promql.Scalar):
        return [((), result.value)]
    raise QueryError("rule result is not a vector or scalar")


def recorded(rule: Rule, found: Collection[tuple[Labels, float]], limit: int) -> list[tuple[Labels, float]]:
    """Give results the name and labels of their recording rule.

    Raises:
        QueryError: two have the same labels then, or there are more than `limit` (0 for any number).
    """
    series: dict[Labels, float] = {}
    for labels, value in breathing(found):
        named = {**dict(labels), **rule.labels, "__name__": rule.name}
        key = tuple(sorted((name, text) for name, text in named.items() if text))
        if key in series:
            raise QueryError("vector contains metrics with the same labelset after applying rule labels")
        series[key] = value
    if limit and len(series) > limit:
        message = f"exceeded limit of {limit} with {len(series)} series"
        raise QueryError(message)
    return list(series.items())

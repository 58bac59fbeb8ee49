"""Functions of classic histograms: cumulative buckets told apart by the label `le`."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import pairwise

from resilience.core.ports import Labels
from resilience.core.slices import breathing
from resilience.promql.functions.registry import general
from resilience.promql.labels import without
from resilience.promql.nodes import Call
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Vector

__all__: list[str] = []

Buckets = list[tuple[float, float]]

# Counts that differ by less were the same before floating point (Prometheus' smallDeltaTolerance).
_TOLERANCE = 1e-12


class _Grouping:
    """Which elements are buckets of which histogram; worked out again only when the label sets change."""

    def __init__(self) -> None:
        self._labels: Sequence[Labels] | None = None
        self._groups: dict[Labels, list[tuple[float, int]]] = {}

    def __call__(self, labels: Sequence[Labels]) -> dict[Labels, list[tuple[float, int]]]:
        """Histogram -> (upper bound, index) of its buckets, ascending."""
        if labels is not self._labels:
            groups: dict[Labels, list[tuple[float, int]]] = {}
            for index, one in enumerate(breathing(labels)):
                try:
                    bound = float(dict(one).get("le", ""))
                except ValueError:
                    continue
                groups.setdefault(without(one, ("le",)), []).append((bound, index))
            for buckets in breathing(groups.values()):
                buckets.sort()
            self._labels, self._groups = labels, groups
        return self._groups


def _coalesced(buckets: Buckets) -> Buckets:
    """With counts of equal bounds added up."""
    result: Buckets = []
    for bound, count in buckets:
        if result and result[-1][0] == bound:
            result[-1] = (bound, result[-1][1] + count)
        else:
            result.append((bound, count))
    return result


def _monotonic(buckets: Buckets) -> Buckets:
    """With counts that never fall: a scrape may catch buckets at different moments."""
    result = buckets[:1]
    for bound, count in buckets[1:]:
        previous = result[-1][1]
        close = abs(count - previous) <= _TOLERANCE * (abs(count) + abs(previous))
        result.append((bound, previous if close or count < previous else count))
    return result


def _quantile(share: float, buckets: Buckets) -> float:
    """Prometheus' `bucketQuantile`: linear within a bucket, which begins at 0 if it is the first."""
    if not 0 <= share <= 1:
        return share * math.inf
    if buckets[-1][0] != math.inf:
        return math.nan
    buckets = _monotonic(_coalesced(buckets))
    observations = buckets[-1][1]
    if len(buckets) < 2 or not observations or math.isnan(observations):  # noqa: PLR2004  one besides +Inf
        return math.nan
    rank = share * observations
    index = bisect_left(buckets, rank, hi=len(buckets) - 1, key=lambda bucket: bucket[1])
    if index == len(buckets) - 1:
        return buckets[-2][0]
    end, count = buckets[index]
    # The first bucket begins at 0, and is a point when it ends below.
    begin, below = buckets[index - 1] if index else (min(0.0, end), 0.0)
    if count == below:
        return end if begin == end else math.nan
    return begin + (end - begin) * ((rank - below) / (count - below))


def _fraction(lower: float, upper: float, buckets: Buckets) -> float:
    """Prometheus' `BucketFraction`: the share of observations between two bounds."""
    if buckets[-1][0] != math.inf:
        return math.nan
    buckets = _monotonic(_coalesced(buckets))
    observations = buckets[-1][1]
    if not observations or math.isnan(observations) or math.isnan(lower) or math.isnan(upper):
        return math.nan
    if lower >= upper:
        return 0.0
    return (_rank(upper, buckets) - _rank(lower, buckets)) / observations


def _rank(value: float, buckets: Buckets) -> float:
    """How many observations lie below a value."""
    first = buckets[0][0]
    edges = [(0.0 if first > 0 else -math.inf, 0.0), *buckets]
    for (begin, below), (end, count) in pairwise(edges):
        if begin >= value:
            return below
        if end > value:
            if math.isinf(begin):
                return count
            return below if math.isinf(end) else below + (count - below) * (value - begin) / (end - begin)
    return buckets[-1][1]


def _of_buckets(function: Callable[..., float]) -> Callable[[Scope, Call], Closure]:
    def build(scope: Scope, call: Call) -> Closure:
        *scalars, vector = map(scope.compile, call.arguments)
        grouping = _Grouping()

        def run(at: float) -> Vector:
            given = [scalar(at) for scalar in scalars]
            elements = vector(at)
            values = elements.values
            groups = grouping(elements.labels)
            results = [
                function(*given, [(bound, values[index]) for bound, index in members])
                for members in breathing(groups.values())
            ]
            return Vector(list(groups), results, drop=True)

        return run

    return build


general("histogram_quantile", "scalar", "vector")(_of_buckets(_quantile))
general("histogram_fraction", "scalar", "scalar", "vector")(_of_buckets(_fraction))

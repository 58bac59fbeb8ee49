"""Aggregation: many elements to one for each group, or to the best of each group."""

from __future__ import annotations

import functools
import heapq
import math
from collections.abc import Callable, Sequence
from operator import itemgetter

from resilience.core.ports import Labels
from resilience.core.slices import breathe, breathing
from resilience.errors import QueryError
from resilience.promql.goformat import format_float
from resilience.promql.labels import grouping, with_label
from resilience.promql.nodes import Aggregate
from resilience.promql.scope import Closure, Scope
from resilience.promql.sums import mean, mean_of_2, plain_total, quantile, spread, total
from resilience.promql.values import Drop, Vector, drop_flags, pick_drop

__all__ = ["aggregate"]

_LARGEST = 2.0**63


def _greatest(values: Sequence[float]) -> float:
    return max((value for value in values if not math.isnan(value)), default=math.nan)


def _least(values: Sequence[float]) -> float:
    return min((value for value in values if not math.isnan(value)), default=math.nan)


_REDUCERS: dict[str, Callable[[Sequence[float]], float]] = {
    "sum": total,
    "avg": mean,
    "min": _least,
    "max": _greatest,
    "count": lambda values: float(len(values)),
    "group": lambda _: 1.0,
    "stdvar": spread,
    "stddev": lambda values: math.sqrt(spread(values)),
}
_REDUCERS_OF_2 = _REDUCERS | {
    "sum": plain_total,
    "avg": functools.partial(mean_of_2, compensated=False),
}


class _Plan:
    """Which elements of a vector are of which group; worked out again only when its label sets change."""

    def __init__(self, group: Callable[[Labels], Labels]) -> None:
        self._group = group
        self._source: Sequence[Labels] | None = None
        self.labels: Sequence[Labels] = ()
        self.members: list[list[int]] = []
        self._pickers: list[Callable[[Sequence[float]], Sequence[float]]] = []

    def update(self, source: Sequence[Labels]) -> None:
        """Make the plan one for these label sets."""
        if source is self._source:
            return
        groups: dict[Labels, list[int]] = {}
        for index, labels in enumerate(breathing(source)):
            groups.setdefault(self._group(labels), []).append(index)
        members = list(groups.values())
        self._pickers = [_picker(each, len(source)) for each in breathing(members)]
        self._source, self.labels, self.members = source, list(groups), members

    def divide(self, values: Sequence[float]) -> list[Sequence[float]]:
        """The values of each group."""
        groups = [pick(values) for pick in breathing(self._pickers)]
        breathe()
        return groups

    def drop(self, drop: Drop) -> Drop:
        """A group's name is dropped once one of its elements' is."""
        if isinstance(drop, bool):
            return drop
        return [any(drop[index] for index in members) for members in self.members]


def _picker(indices: list[int], count: int) -> Callable[[Sequence[float]], Sequence[float]]:
    if len(indices) == count:
        return lambda values: values
    if len(indices) == 1:
        index = indices[0]
        return lambda values: (values[index],)
    return itemgetter(*indices)


def aggregate(scope: Scope, node: Aggregate) -> Closure:
    """Compile an aggregation."""
    inner = scope.compile(node.expression)
    plan = _Plan(grouping(node.labels, keep=node.by))
    if node.operator in _REDUCERS:
        reducers = _REDUCERS_OF_2 if scope.old else _REDUCERS
        return _reduced(inner, plan, reducers[node.operator])
    parameter = scope.compile(node.parameter)  # type: ignore[arg-type]  # the parser saw to it
    if node.operator == "quantile":
        return _quantile(inner, plan, parameter)
    if node.operator == "count_values":
        return _count_values(inner, node, parameter(0.0))
    return _best(inner, plan, parameter, node.operator)


def _reduced(inner: Closure, plan: _Plan, reduce: Callable[[Sequence[float]], float]) -> Closure:
    def run(at: float) -> Vector:
        vector: Vector = inner(at)
        if not vector.values:
            return Vector((), ())
        plan.update(vector.labels)
        return Vector(
            plan.labels,
            [reduce(values) for values in breathing(plan.divide(vector.values))],
            plan.drop(vector.drop),
        )

    return run


def _quantile(inner: Closure, plan: _Plan, share: Closure) -> Closure:
    def run(at: float) -> Vector:
        wanted = share(at)
        vector: Vector = inner(at)
        plan.update(vector.labels)
        values = [quantile(wanted, group) for group in breathing(plan.divide(vector.values))]
        return Vector(plan.labels, values, plan.drop(vector.drop))

    return run


def _count_values(inner: Closure, node: Aggregate, label: str) -> Closure:
    if not label:
        raise QueryError("count_values: the label must have a name")
    # The label is set before the elements are grouped, so that `without (label)` removes it again.
    group = grouping(node.labels | {label} if node.by else node.labels, keep=node.by)

    def run(at: float) -> Vector:
        vector: Vector = inner(at)
        counts: dict[Labels, tuple[float, bool]] = {}
        flags = drop_flags(vector.drop, len(vector))
        for labels, value, flag in zip(breathing(vector.labels), vector.values, flags, strict=True):
            key = group(with_label(labels, label, format_float(value)))
            count, dropped = counts.get(key, (0.0, False))
            counts[key] = count + 1, dropped or flag
        return Vector(
            list(counts), [count for count, _ in counts.values()], [flag for _, flag in counts.values()]
        )

    return run


def _best(inner: Closure, plan: _Plan, parameter: Closure, operator: str) -> Closure:
    top = operator == "topk"
    choose = heapq.nlargest if top else heapq.nsmallest
    worst = -math.inf if top else math.inf

    def run(at: float) -> Vector:
        wanted = parameter(at)
        if math.isnan(wanted):
            raise QueryError(f"the parameter of {operator} is NaN")
        if not -_LARGEST <= wanted < _LARGEST:
            raise QueryError(f"the parameter of {operator} is no whole number of 64 bits: {wanted:g}")
        vector: Vector = inner(at)
        values = vector.values

        def rank(index: int) -> tuple[float, bool]:
            # NaN is worse than everything, also than the worst infinity.
            value = values[index]
            return (worst, not top) if math.isnan(value) else (value, top)

        plan.update(vector.labels)
        limit = min(int(wanted), len(values))
        chosen = (
            [
                index
                for members in breathing(plan.members)
                for index in choose(limit, breathing(members), key=rank)
            ]
            if limit > 0
            else []
        )
        labels = [vector.labels[index] for index in chosen]
        return Vector(labels, [values[index] for index in chosen], pick_drop(vector.drop, chosen))

    return run

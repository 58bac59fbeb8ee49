"""Scalars from vectors and back, the time, and the order of a result."""

from __future__ import annotations

import math
from collections.abc import Callable

from resilience.promql.functions.registry import general
from resilience.promql.nodes import Call, Selector
from resilience.promql.scope import Closure, Scope
from resilience.promql.selectors import newest
from resilience.promql.values import Picker, Vector, pick_drop

__all__: list[str] = []


@general("time", returns="scalar")
def _time(scope: Scope, call: Call) -> Closure:  # noqa: ARG001  it has no arguments
    return lambda at: at + scope.source.epoch


@general("pi", returns="scalar")
def _pi(scope: Scope, call: Call) -> Closure:  # noqa: ARG001  it has no arguments
    return lambda _: math.pi


@general("vector", "scalar")
def _vector(scope: Scope, call: Call) -> Closure:
    scalar = scope.compile(call.arguments[0])
    labels = [()]
    return lambda at: Vector(labels, [scalar(at)])


@general("scalar", "vector", returns="scalar")
def _scalar(scope: Scope, call: Call) -> Closure:
    vector = scope.compile(call.arguments[0])

    def run(at: float) -> float:
        values = vector(at).values
        return values[0] if len(values) == 1 else math.nan

    return run


@general("timestamp", "vector")
def _timestamp(scope: Scope, call: Call) -> Closure:
    argument = call.arguments[0]
    if not isinstance(argument, Selector):
        inner = scope.compile(argument)

        def now(at: float) -> Vector:
            vector = inner(at)
            return Vector(vector.labels, [at + scope.source.epoch] * len(vector), drop=True)

        return now
    look = newest(scope, argument)
    pick = Picker()

    def run(at: float) -> Vector:
        labels, indices, _, times = look(at)
        return Vector(pick(labels, indices), [time + scope.source.epoch for time in times], drop=True)

    return run


def _sorting(*, descending: bool) -> Callable[[Scope, Call], Closure]:
    def build(scope: Scope, call: Call) -> Closure:
        vector = scope.compile(call.arguments[0])

        def run(at: float) -> Vector:
            elements = vector(at)
            values = elements.values
            sign = -1 if descending else 1
            # NaN comes last in either order.
            order = sorted(
                range(len(values)),
                key=lambda i: (math.isnan(values[i]), sign * values[i] if values[i] == values[i] else 0),
            )
            labels = [elements.labels[index] for index in order]
            return Vector(labels, [values[index] for index in order], pick_drop(elements.drop, order))

        return run

    return build


general("sort", "vector")(_sorting(descending=False))
general("sort_desc", "vector")(_sorting(descending=True))

"""Binary operators with a scalar on one side or both, and the minus sign."""

from __future__ import annotations

from collections.abc import Callable

from resilience.core.slices import breathing
from resilience.promql.matching import between_vectors, set_operation
from resilience.promql.nodes import Binary, Negation
from resilience.promql.operators import ARITHMETIC, COMPARISONS
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Picker, Vector, pick_drop

__all__ = ["binary", "negation"]


def binary(scope: Scope, node: Binary) -> Closure:
    """Compile a binary operator."""
    left, right = scope.compile(node.left), scope.compile(node.right)
    if node.operator in {"and", "or", "unless"}:
        return set_operation(node, left, right)
    if node.left.kind == node.right.kind == "vector":
        return between_vectors(node, left, right, old=scope.old)
    apply: Callable[[float, float], float]
    if compare := COMPARISONS.get(node.operator):
        if node.kind == "vector" and not node.as_bool:
            return _filter(left, right, compare, scalar_first=node.left.kind == "scalar")

        def apply(one: float, other: float) -> float:
            return float(compare(one, other))

    else:
        apply = ARITHMETIC[node.operator]
    if node.kind == "scalar":
        return lambda at: apply(left(at), right(at))
    # Prometheus 2.x does not drop the name for this one operator.
    names_stay = scope.old and node.operator == "atan2"
    return _with_scalar(left, right, apply, scalar_first=node.left.kind == "scalar", drop=not names_stay)


def _with_scalar(
    left: Closure, right: Closure, apply: Callable[[float, float], float], *, scalar_first: bool, drop: bool
) -> Closure:
    def before(at: float) -> Vector:
        scalar: float = left(at)
        vector: Vector = right(at)
        return Vector(vector.labels, [apply(scalar, value) for value in breathing(vector.values)], drop)

    def after(at: float) -> Vector:
        vector: Vector = left(at)
        scalar: float = right(at)
        return Vector(vector.labels, [apply(value, scalar) for value in breathing(vector.values)], drop)

    return before if scalar_first else after


def _filter(
    left: Closure, right: Closure, compare: Callable[[float, float], bool], *, scalar_first: bool
) -> Closure:
    pick = Picker()

    def run(at: float) -> Vector:
        first, second = left(at), right(at)
        if scalar_first:
            vector: Vector = second
            kept = [index for index, value in enumerate(breathing(vector.values)) if compare(first, value)]
        else:
            vector = first
            kept = [index for index, value in enumerate(breathing(vector.values)) if compare(value, second)]
        if len(kept) == len(vector.values):
            return vector
        values = [vector.values[index] for index in kept]
        return Vector(pick(vector.labels, kept), values, pick_drop(vector.drop, kept))

    return run


def negation(scope: Scope, node: Negation) -> Closure:
    """Compile a minus sign."""
    inner = scope.compile(node.expression)
    if node.kind == "scalar":
        return lambda at: -inner(at)

    def run(at: float) -> Vector:
        vector: Vector = inner(at)
        return Vector(vector.labels, [-value for value in vector.values], drop=True)

    return run

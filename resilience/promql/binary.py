"""Binary operators with a scalar on one side or both, and the minus sign."""

from __future__ import annotations

from collections.abc import Callable

from resilience.core.slices import breathing
from resilience.promql.matching import between_vectors, set_operation
from resilience.promql.nodes import Binary, Negation
from resilience.promql.operators import ARITHMETIC, COMPARISONS, SET_OPERATORS
from resilience.promql.scope import Closure, Scope
from resilience.promql.values import Picker, Vector, pick_drop

__all__ = ["binary", "negation"]


def binary(scope: Scope, node: Binary) -> Closure:
    """Compile a binary operator."""
    left, right = scope.compile(node.left), scope.compile(node.right)
    if node.operator in SET_OPERATORS:
        return set_operation(node, left, right)
    if node.left.kind == node.right.kind == "vector":
        return between_vectors(node, left, right, old=scope.old)
    apply: Callable[[float, float], float]
    if compare := COMPARISONS.get(node.operator):
        if node.kind == "vector" and not node.as_bool:
            return _Filter(left, right, compare, scalar_first=node.left.kind == "scalar")

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
    if scalar_first:

        def before(at: float) -> Vector:
            scalar: float = left(at)
            vector: Vector = right(at)
            return Vector(vector.labels, [apply(scalar, value) for value in breathing(vector.values)], drop)

        return before

    def after(at: float) -> Vector:
        vector: Vector = left(at)
        scalar: float = right(at)
        return Vector(vector.labels, [apply(value, scalar) for value in breathing(vector.values)], drop)

    return after


class _Filter:
    """The elements of a vector for which a comparison with a scalar is true."""

    __slots__ = ("_compare", "_left", "_pick", "_right", "_scalar_first")

    def __init__(
        self, left: Closure, right: Closure, compare: Callable[[float, float], bool], *, scalar_first: bool
    ) -> None:
        self._left, self._right = left, right
        self._compare = compare
        self._scalar_first = scalar_first
        self._pick = Picker()

    def __call__(self, at: float) -> Vector:
        first, second, compare = self._left(at), self._right(at), self._compare
        if self._scalar_first:
            vector: Vector = second
            kept = [index for index, value in enumerate(breathing(vector.values)) if compare(first, value)]
        else:
            vector = first
            kept = [index for index, value in enumerate(breathing(vector.values)) if compare(value, second)]
        if len(kept) == len(vector.values):
            return vector
        values = [vector.values[index] for index in kept]
        return Vector(self._pick(vector.labels, kept), values, pick_drop(vector.drop, kept))


def negation(scope: Scope, node: Negation) -> Closure:
    """Compile a minus sign."""
    inner = scope.compile(node.expression)
    if node.kind == "scalar":
        return lambda at: -inner(at)

    def run(at: float) -> Vector:
        vector: Vector = inner(at)
        return Vector(vector.labels, [-value for value in vector.values], drop=True)

    return run

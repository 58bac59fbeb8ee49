"""Operators between two vectors: which elements belong together, and what becomes of their labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resilience.core.ports import Labels
from resilience.core.slices import breathing
from resilience.errors import QueryError
from resilience.promql.labels import grouping, label_text, only, unnamed, with_label, without
from resilience.promql.nodes import Binary, Matching
from resilience.promql.operators import ARITHMETIC, COMPARISONS
from resilience.promql.scope import Closure
from resilience.promql.values import Drop, Picker, Vector, drop_flags, pick_drop

__all__ = ["between_vectors", "set_operation"]


class _Pairs:
    """The elements that belong together, and the labels of what comes of them; cached on the operands' label sets."""

    def __init__(self, node: Binary, *, names_stay: bool) -> None:
        self._matching = node.matching
        self._group = grouping(node.matching.labels, keep=node.matching.on)
        self._keeps_name = names_stay or (node.operator in COMPARISONS and not node.as_bool)
        self._left: Sequence[Labels] | None = None
        self._right: Sequence[Labels] | None = None
        self.many: list[int] = []
        self.one: list[int] = []
        self.labels: list[Labels] = []
        self._ambiguous = False
        self._repeats = False

    def update(self, many: Sequence[Labels], one: Sequence[Labels]) -> None:
        """Make the pairs those of these operands.

        Raises:
            QueryError: several elements of the one side are of the same group.
        """
        if many is self._left and one is self._right:
            return
        self._left = None  # nothing is right until all is
        places: dict[Labels, int] = {}
        for index, labels in enumerate(breathing(one)):
            key = self._group(labels)
            if key in places:
                side = "left" if self._matching.many == "right" else "right"
                raise QueryError(
                    f"found duplicate series for the match group {label_text(key)} on the {side} hand-side of the "
                    f"operation: {label_text(one[places[key]])}, {label_text(labels)}; many-to-many matching not "
                    "allowed: matching labels must be unique on one side"
                )
            places[key] = index
        pairs = [
            (index, place)
            for index, labels in enumerate(breathing(many))
            if (place := places.get(self._group(labels))) is not None
        ]
        self.many = [index for index, _ in pairs]
        self.one = [index for _, index in pairs]
        self._ambiguous = self._matching.many is None and len(set(self.one)) < len(self.one)
        self.labels = [self._result(many[index], one[place]) for index, place in breathing(pairs)]
        self._repeats = len(set(breathing(self.labels))) < len(self.labels)
        self._left, self._right = many, one

    def _result(self, many: Labels, one: Labels) -> Labels:
        matching = self._matching
        labels = many if self._keeps_name else unnamed(many)
        if matching.many is None:
            return only(labels, matching.labels) if matching.on else without(labels, matching.labels)
        taken = dict(one)
        for label in matching.include:
            labels = with_label(labels, label, taken.get(label, ""))
        return labels

    def refuse_duplicates(self, kept: Sequence[int]) -> None:
        """Check that the pairs at these indices give distinct results.

        Raises:
            QueryError: two pairs share an element that one-to-one matching allows once, or have the same result labels.
        """
        if self._ambiguous and len({self.one[index] for index in breathing(kept)}) < len(kept):
            raise QueryError(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
            )
        if self._repeats and len({self.labels[index] for index in breathing(kept)}) < len(kept):
            raise QueryError("multiple matches for labels: grouping labels must ensure unique matches")


def between_vectors(node: Binary, left: Closure, right: Closure, *, old: bool) -> Closure:
    """Compile an arithmetic operator or a comparison between two vectors.

    Args:
        node: the operator with its matching.
        left: the compiled left operand.
        right: the compiled right operand.
        old: True for the behaviour of Prometheus 2.x, which keeps the metric name for `atan2`, and which ignores
            ambiguous matches that a comparison filters out.
    """
    pairs = _Pairs(node, names_stay=old and node.operator == "atan2")
    swapped = node.matching.many == "right"
    compare = COMPARISONS.get(node.operator)
    apply: Callable[[float, float], float] = compare or ARITHMETIC[node.operator]
    filters = compare is not None and not node.as_bool
    pick = Picker()

    def run(at: float) -> Vector:
        first: Vector = left(at)
        second: Vector = right(at)  # evaluated even if the left side is empty, because it may fail
        if not first.values or not second.values:
            return Vector((), ())
        many, one = (second, first) if swapped else (first, second)
        pairs.update(many.labels, one.labels)
        lefts, rights = (pairs.one, pairs.many) if swapped else (pairs.many, pairs.one)
        a, b = first.values, second.values
        results = [apply(a[i], b[j]) for i, j in zip(breathing(lefts), rights, strict=True)]
        if not filters or not old:
            pairs.refuse_duplicates(range(len(results)))
        if not filters:
            if compare is not None:
                results = [float(result) for result in results]
            return Vector(pairs.labels, results, drop=compare is not None)
        kept = [index for index, result in enumerate(breathing(results)) if result]
        if old:
            pairs.refuse_duplicates(kept)
        chosen = [pairs.many[index] for index in kept]
        # A comparison keeps the left operand's value, also where the left side is the one of one-to-many.
        values = [a[lefts[index]] for index in kept]
        return Vector(pick(pairs.labels, kept), values, pick_drop(many.drop, chosen))

    return run


def set_operation(node: Binary, left: Closure, right: Closure) -> Closure:
    """Compile `and`, `or` or `unless`."""
    if node.operator == "or":
        return _Union(node.matching, left, right)
    return _Subset(node.matching, left, right, keep=node.operator == "and")


class _Subset:
    """The elements of the left side that the right side has, or has not."""

    __slots__ = ("_group", "_keep", "_left", "_pick", "_right")

    def __init__(self, matching: Matching, left: Closure, right: Closure, *, keep: bool) -> None:
        self._left, self._right = left, right
        self._group = grouping(matching.labels, keep=matching.on)
        self._keep = keep
        self._pick = Picker()

    def __call__(self, at: float) -> Vector:
        first: Vector = self._left(at)
        second: Vector = self._right(at)  # evaluated even if the left side is empty, because it may fail
        if not first.values:
            return first
        present = {self._group(labels) for labels in breathing(second.labels)}
        shown = enumerate(breathing(first.labels))
        kept = [i for i, labels in shown if (self._group(labels) in present) is self._keep]
        if len(kept) == len(first.values):
            return first
        values = [first.values[index] for index in kept]
        return Vector(self._pick(first.labels, kept), values, pick_drop(first.drop, kept))


class _Union:
    """The elements of the left side, and those of the right side that it has not."""

    __slots__ = ("_group", "_left", "_right")

    def __init__(self, matching: Matching, left: Closure, right: Closure) -> None:
        self._left, self._right = left, right
        self._group = grouping(matching.labels, keep=matching.on)

    def __call__(self, at: float) -> Vector:
        first: Vector = self._left(at)
        second: Vector = self._right(at)
        if not second.values:
            return first
        if not first.values:
            return second
        present = {self._group(labels) for labels in breathing(first.labels)}
        shown = enumerate(breathing(second.labels))
        more = [index for index, labels in shown if self._group(labels) not in present]
        labels = [*first.labels, *(second.labels[index] for index in more)]
        values = [*first.values, *(second.values[index] for index in more)]
        drop: Drop = first.drop
        if not isinstance(drop, bool) or drop is not second.drop:
            added = pick_drop(second.drop, more)
            drop = [*drop_flags(drop, len(first)), *drop_flags(added, len(more))]
        return Vector(labels, values, drop)

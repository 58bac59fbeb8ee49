"""From the result of an expression to what rules make of it."""

from __future__ import annotations

from collections.abc import Sequence

from resilience import promql
from resilience.core.ports import Labels
from resilience.core.slices import breathing
from resilience.errors import QueryError
from resilience.rules.model import RecordingRule

__all__ = ["Recorder", "pairs"]

_SCALAR: Sequence[Labels] = ((),)


def _columns(result: promql.Value) -> tuple[Sequence[Labels], Sequence[float]]:
    if isinstance(result, promql.Vector):
        return result.labels, result.values
    if isinstance(result, promql.Scalar):
        return _SCALAR, (result.value,)
    raise QueryError("rule result is not a vector or scalar")


def pairs(result: promql.Value) -> Sequence[tuple[Labels, float]]:
    """Return what a rule's expression came to as label sets with values.

    Raises:
        QueryError: it is neither a vector nor a scalar.
    """
    return list(zip(*_columns(result), strict=True))


class Recorder:
    """Gives results the name and labels of their recording rule; worked out again only when the label sets change.

    Args:
        rule: the rule.
    """

    def __init__(self, rule: RecordingRule) -> None:
        self._rule = rule
        self._labels: Sequence[Labels] | None = None
        self._named: Sequence[Labels] = ()

    def __call__(self, result: promql.Value, limit: int) -> Sequence[tuple[Labels, float]]:
        """The series that a result comes to.

        Raises:
            QueryError: it is neither a vector nor a scalar, two elements have the same labels as series, or there are
                more than `limit` (0 for any number).
        """
        labels, values = _columns(result)
        if labels is not self._labels:
            self._named = self._unique(labels)
            self._labels = labels
        if limit and len(values) > limit:
            message = f"exceeded limit of {limit} with {len(values)} series"
            raise QueryError(message)
        return list(zip(self._named, values, strict=True))

    def _unique(self, labels: Sequence[Labels]) -> Sequence[Labels]:
        named: dict[Labels, None] = {}
        for one in breathing(labels):
            pairs = {**dict(one), **self._rule.labels, "__name__": self._rule.name}
            key = tuple(sorted((name, text) for name, text in pairs.items() if text))
            if key in named:
                raise QueryError("vector contains metrics with the same labelset after applying rule labels")
            named[key] = None
        return list(named)

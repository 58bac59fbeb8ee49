"""Drops the metric names that are to be dropped."""

from __future__ import annotations

from collections.abc import Sequence

from resilience.core.ports import Labels
from resilience.core.slices import breathing
from resilience.errors import QueryError
from resilience.promql.labels import unnamed
from resilience.promql.values import Vector, drop_flags

__all__ = ["Namer", "unique"]


class Namer:
    """Drops names from vectors; the same label sets come out as the same object."""

    __slots__ = ("_labels", "_result")

    def __init__(self) -> None:
        self._labels: Sequence[Labels] | None = None
        self._result: Sequence[Labels] = ()

    def __call__(self, vector: Vector) -> Vector:
        """The vector with its names dropped where they are to be.

        Raises:
            QueryError: two elements come to have the same labels.
        """
        if vector.drop is False:
            return vector
        if vector.drop is not True:
            flags = drop_flags(vector.drop, len(vector))
            labels = [
                unnamed(one) if flag else one
                for one, flag in zip(breathing(vector.labels), flags, strict=True)
            ]
            return Vector(unique(labels), vector.values)
        if vector.labels is not self._labels:
            self._result = unique([unnamed(one) for one in breathing(vector.labels)])
            self._labels = vector.labels
        return Vector(self._result, vector.values)


def unique(labels: Sequence[Labels]) -> Sequence[Labels]:
    """Return label sets of which no two are the same.

    Raises:
        QueryError: two are.
    """
    if len(set(breathing(labels))) < len(labels):
        raise QueryError("vector cannot contain metrics with the same labelset")
    return labels

"""What expressions come to: scalars, strings, vectors and matrices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from resilience.core.ports import Labels, Samples

__all__ = [
    "Drop",
    "Matrix",
    "Picker",
    "Scalar",
    "Series",
    "String",
    "Value",
    "Vector",
    "Window",
    "drop_flags",
    "pick_drop",
]

Drop: TypeAlias = bool | Sequence[bool]
"""Whether the metric's name is to be dropped in the end, for all elements or for each.

Delayed, so that `label_replace` and aggregations by `__name__` still see it, as Prometheus'
`promql-delayed-name-removal`.
"""


@dataclass(slots=True)
class Scalar:
    """A number."""

    value: float


@dataclass(slots=True)
class String:
    """A string."""

    value: str


@dataclass(slots=True)
class Vector:
    """Label sets and, beside them, one value each.

    Args:
        labels: the label sets; plans downstream are cached on this object's identity.
        values: as many values.
        drop: see `Drop`; False in every result that leaves the package.
    """

    labels: Sequence[Labels]
    values: Sequence[float]
    drop: Drop = field(default=False, repr=False)

    def __iter__(self) -> Iterator[tuple[Labels, float]]:
        return zip(self.labels, self.values, strict=True)

    def __len__(self) -> int:
        return len(self.values)


class Series(NamedTuple):
    """One series of a matrix."""

    labels: Labels
    times: Sequence[float]
    values: Sequence[float]


@dataclass(slots=True)
class Matrix:
    """Series with their samples."""

    series: Sequence[Series]

    def __iter__(self) -> Iterator[Series]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)


Value: TypeAlias = Scalar | String | Vector | Matrix


@dataclass(slots=True)
class Window:
    """A range vector on its way to a function.

    Args:
        labels: the label sets.
        samples: those of each series in `(start, end]`, which may be none.
        end: where the window ends, `@` and `offset` taken into account.
        length: how long it is, in seconds.
        at: the time of the evaluation.
        old: True if functions follow Prometheus 2.x.
        drop: see `Drop`.
    """

    labels: Sequence[Labels]
    samples: Sequence[Samples]
    end: float
    length: float
    at: float
    old: bool
    drop: Drop = False

    @property
    def start(self) -> float:
        """Where it begins."""
        return self.end - self.length


class Picker:
    """Picks a part of a sequence of label sets; the same part of the same sequence is the same object."""

    __slots__ = ("_indices", "_labels", "_picked")

    def __init__(self) -> None:
        self._labels: Sequence[Labels] = ()
        self._indices: Sequence[int] = ()
        self._picked: Sequence[Labels] = ()

    def __call__(self, labels: Sequence[Labels], indices: Sequence[int]) -> Sequence[Labels]:
        """The label sets at `indices`, which ascend."""
        if len(indices) == len(labels):
            return labels
        if labels is not self._labels or (indices is not self._indices and indices != self._indices):
            self._labels, self._indices = labels, indices
            self._picked = [labels[index] for index in indices]
        return self._picked


def drop_flags(drop: Drop, count: int) -> Sequence[bool]:
    """One flag for each of `count` elements."""
    return [drop] * count if isinstance(drop, bool) else drop


def pick_drop(drop: Drop, indices: Sequence[int]) -> Drop:
    """The flags of the elements at `indices`."""
    return drop if isinstance(drop, bool) else [drop[index] for index in indices]

"""One series: a label set and the columns that its value is read from."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeAlias

from resilience.core.ports import Labels

__all__ = ["STALE", "Row", "Series", "is_stale"]

Row: TypeAlias = "memoryview[float]"
"""The figures of one tick: immutable bytes seen as float64, shared by the rings that hold it."""

# A quiet NaN of our own, as Prometheus marks staleness by a NaN of its own; a series may well be NaN otherwise.
_MARK = struct.pack("<Q", 0x7FF8_0000_0000_0002)
STALE: float = struct.unpack("<d", _MARK)[0]
"""The value of a series that is no longer there."""


def is_stale(value: float) -> bool:
    """Whether a value is the staleness marker."""
    return value != value and struct.pack("<d", value) == _MARK  # noqa: PLR0124  the cheapest test for a NaN


class Series:
    """One series of a table; its value is the sum of the columns `first` to `stop - 1` of a row.

    Histograms keep one column per bucket, not cumulated: an observation is one addition, and cumulation is left
    to who reads. `birth` is the last moment at which it was not there, `zero` what a counter counts from; `position`, `since` and `origin` belong to
    the long rows: where it stands in them, from when on, and its value at that moment.
    """

    __slots__ = (
        "birth",
        "cumulative",
        "dropped",
        "first",
        "labels",
        "origin",
        "position",
        "since",
        "stop",
        "zero",
    )

    def __init__(
        self, labels: Labels, first: int, stop: int, birth: float, *, cumulative: bool, zero: float = 0.0
    ) -> None:
        self.labels: Labels = labels
        self.first: int = first
        self.stop: int = stop
        self.birth: float = birth
        self.cumulative: bool = cumulative
        self.dropped: bool = False
        self.position: int = -1
        self.since: float = birth
        self.zero: float = zero
        self.origin: float = zero

    def value(self, row: Row | Sequence[float]) -> float:
        """Its value in a row that is newer than its birth."""
        if self.stop - self.first == 1:
            return row[self.first]
        return sum(row[self.first : self.stop])

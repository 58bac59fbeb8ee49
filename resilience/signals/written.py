"""Series that are written as a whole at one moment: results of recording rules, `ALERTS`, other registries."""

from __future__ import annotations

import math
from collections.abc import Sequence

from resilience.core.ports import Labels
from resilience.signals.retention import Retention
from resilience.signals.selection import SelectionIndex
from resilience.signals.series import STALE, Series
from resilience.signals.table import Table

__all__ = ["WrittenSeries"]

_NAN = float("nan")


class WrittenSeries:
    """Implements `core.ports.SampleSink` on a table of its own: readers see a write at once.

    Args:
        index: where new series are shown.
        retention: how much is kept.
        started: monotonic seconds now.
        cumulative: whether what is written are counters; one that is written no more is dropped.
    """

    def __init__(
        self, index: SelectionIndex, retention: Retention, started: float, *, cumulative: bool = False
    ) -> None:
        self.table: Table = Table(retention, started)
        self._cumulative = cumulative
        self._index = index
        self._series: dict[Labels, Series] = {}
        self._owned: dict[str, frozenset[Labels]] = {}
        self._stale: dict[Labels, float] = {}
        self._sweep_at = started

    def write(self, owner: str, at: float, series: Sequence[tuple[Labels, float]]) -> None:
        """Replace what `owner` wrote last: series that are no longer among `series` become stale at `at`.

        Args:
            owner: who writes, a rule for instance; each series should have one owner.
            at: monotonic seconds; a moment before the newest write counts as that.
            series: label sets with the metric's name, and values.
        """
        table = self.table
        table.touch(at)
        at = table.time
        self._put(series, at, new=owner in self._owned)
        columns, values = self._series, table.values
        now = frozenset(labels for labels, _ in series)
        for labels in self._owned.get(owner, frozenset()) - now:
            if self._cumulative:
                self._drop(labels)
            else:
                values[columns[labels].first] = STALE
                self._stale[labels] = at
        if self._stale:
            for labels in now.intersection(self._stale):
                del self._stale[labels]
            if at >= self._sweep_at:
                self._sweep(at)
        if now or self._cumulative:
            self._owned[owner] = now
        else:
            self._owned.pop(owner, None)
        table.touch(at)

    def _put(self, series: Sequence[tuple[Labels, float]], at: float, *, new: bool) -> None:
        """Write values; `new` says that series which begin now count from zero."""
        table = self.table
        columns, values = self._series, table.values
        begun: list[Series] = []
        for labels, value in series:
            known = columns.get(labels)
            if known is None:
                begun.append(self._begin(labels, at, value, new=new))
            else:
                # Whoever computes with a marker must not write one.
                values[known.first] = value if value == value else _NAN  # noqa: PLR0124
        if begun:
            table.touch(at)  # a row that is kept because of the first must have all of them
            for one in begun:
                self._index.add(table, one)

    def _begin(self, labels: Labels, at: float, value: float, *, new: bool) -> Series:
        table = self.table
        first = table.allocate(1)
        table.values[first] = value
        birth = math.nextafter(at, -math.inf)  # there from this very moment on
        # What an owner shows at its first write was counted before, nobody knows when.
        zero = value if self._cumulative and not new else 0.0
        series = Series(labels, first, first + 1, birth, cumulative=self._cumulative, zero=zero)
        self._series[labels] = series
        return series

    def _sweep(self, at: float) -> None:
        """Drop what has been stale for longer than any window looks back."""
        retention = self.table.rings.retention
        self._sweep_at = at + retention.rings[-1].step
        for labels, since in list(self._stale.items()):
            series = self._series[labels]
            if at - since > (retention.reach if series.position < 0 else retention.cap):
                del self._stale[labels]
                self._drop(labels)

    def _drop(self, labels: Labels) -> None:
        series = self._series.pop(labels)
        self._index.drop(self.table, series)
        self.table.release(series.first, 1)

"""Series that are written as a whole at one moment: results of recording rules, `ALERTS`, other registries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from resilience.core.ports import Labels
from resilience.core.slices import breathe, breathing
from resilience.signals.retention import Retention
from resilience.signals.selection import SelectionIndex
from resilience.signals.series import STALE, Series
from resilience.signals.table import Table

__all__ = ["WrittenSeries"]

_NAN = float("nan")
_BATCH = 64  # series that begin together


class WrittenSeries:
    """Implements `core.ports.SampleSink` on a table of its own: readers see a write at once, and as a whole.

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
        self._owned: dict[str, AbstractSet[Series]] = {}
        self._stale: dict[Series, float] = {}
        self._sweep_at = started

    def write(self, owner: str, at: float, series: Sequence[tuple[Labels, float]]) -> None:
        """Replace what `owner` wrote last: series that are no longer among `series` become stale at `at`.

        In sliced work others have their turn while it is prepared; they see all of it or nothing.

        Args:
            owner: who writes, a rule for instance; each series should have one owner.
            at: monotonic seconds; a moment before the newest write counts as that.
            series: label sets with the metric's name, and values.
        """
        figures = self._prepared(owner, at, series)
        now = {one for one, _ in breathing(figures)}
        breathe()
        self._commit(owner, at, figures, now)
        breathe()
        if self._stale and self.table.time >= self._sweep_at:
            self._sweep(self.table.time)

    def known(self, labels: Labels) -> Series | None:
        """Return the series of a label set, None where there is none."""
        return self._series.get(labels)

    def revive(self, labels: Labels, birth: float) -> Series:
        """Begin a series that an earlier process had; stale until it is written, and dropped if it never is."""
        table = self.table
        first = table.allocate(1)
        table.values[first] = 0.0 if self._cumulative else STALE
        series = Series(labels, first, first + 1, table.time, cumulative=self._cumulative)
        self._series[labels] = series
        self._stale[series] = table.time
        self._index.add(table, series)
        series.birth = series.since = birth
        return series

    def _prepared(
        self, owner: str, at: float, series: Sequence[tuple[Labels, float]]
    ) -> Sequence[tuple[Series, float]]:
        """Find the series, and begin those that are new."""
        self.table.touch(at)  # to seal the row before takes a while
        breathe()
        found: list[tuple[Series, float]] = []
        fresh: dict[Labels, float] = {}
        for labels, given in breathing(series):
            # Whoever computes with a marker must not write one.
            value = given if given == given else _NAN  # noqa: PLR0124
            known = self._series.get(labels)
            if known is None:
                fresh[labels] = value
            else:
                found.append((known, value))
        begun = list(fresh.items())
        for start in range(0, len(begun), _BATCH):
            found += self._begin(begun[start : start + _BATCH], at, new=owner in self._owned)
            breathe()
        return found

    def _begin(
        self, batch: Sequence[tuple[Labels, float]], at: float, *, new: bool
    ) -> list[tuple[Series, float]]:
        """Make series, which are stale until they are written; `new` says that counters which begin now count from zero."""
        table = self.table
        table.touch(at)
        at = table.time
        birth = math.nextafter(at, -math.inf)  # there from this very moment on
        begun: list[Series] = []
        for labels, value in batch:
            if labels in self._series:  # somebody else has begun it in between
                continue
            first = table.allocate(1)
            # No value of a counter says that it is not there yet.
            table.values[first] = value if self._cumulative else STALE
            # What an owner shows at its first write was counted before, nobody knows when.
            zero = value if self._cumulative and not new else 0.0
            series = Series(labels, first, first + 1, birth, cumulative=self._cumulative, zero=zero)
            begun.append(series)
        table.touch(at)  # a row that is kept because of the first must have all of them
        for one in begun:
            self._series[one.labels] = one
            self._stale[one] = at
            self._index.add(table, one)
        return [(self._series[labels], value) for labels, value in batch]

    def _commit(
        self, owner: str, at: float, figures: Sequence[tuple[Series, float]], now: AbstractSet[Series]
    ) -> None:
        """Write the figures of series, in one piece."""
        table, values, stale = self.table, self.table.values, self._stale
        table.touch(at)
        for one, value in figures:
            if not one.dropped:
                values[one.first] = value
        for one in self._owned.get(owner, frozenset()) - now:
            if one.dropped:  # two owners, or others that came in between
                continue
            if self._cumulative:
                self._drop(one)
            else:
                values[one.first] = STALE
                stale[one] = table.time
        if stale:
            for one in now & stale.keys():
                del stale[one]
        if now or self._cumulative:
            self._owned[owner] = now
        else:
            self._owned.pop(owner, None)
        table.touch(at)

    def _sweep(self, at: float) -> None:
        """Drop what has been stale for longer than any window looks back."""
        retention = self.table.rings.retention
        self._sweep_at = at + retention.rings[-1].step
        for one, since in breathing(list(self._stale.items())):
            kept = retention.reach if one.position < 0 else retention.cap
            if at - since > kept and self._stale.get(one) == since:
                del self._stale[one]
                self._drop(one)

    def _drop(self, series: Series) -> None:
        del self._series[series.labels]
        self._index.drop(self.table, series)
        self.table.release(series.first, 1)

"""Series that have not moved for long make room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from resilience.signals.instruments import Cell, Home, Instrument
from resilience.signals.table import Table

__all__ = ["IdleSweeper"]

_LOOKS = 100  # label sets looked at in one tick, so that no tick is long


class IdleSweeper:
    """Drops the label sets of counters and histograms that have not moved, a few looks at each tick.

    A gauge that stands still is no idle gauge, and what a rule keeps in the long rows stays.

    Args:
        home: who drops them.
        instruments: all there are, by name.
        table: where their figures and rows are.
        idle_after: seconds without a change.
    """

    def __init__(
        self, home: Home, instruments: Mapping[str, Instrument[Any]], table: Table, idle_after: float
    ) -> None:
        self._home = home
        self._instruments = instruments
        self._table = table
        self._idle_after = idle_after
        self._sets = self._round()

    def sweep(self) -> None:
        """Look at the next few."""
        for _ in range(_LOOKS):
            found = next(self._sets, None)
            if found is None:
                self._sets = self._round()
                return
            instrument, key, cell = found
            figures = self._unmoved(cell, instrument.width)
            if figures is not None:
                self._home.leave(instrument, key, unless_moved=figures)

    def _round(self) -> Iterator[tuple[Instrument[Any], tuple[str, ...], Cell]]:
        for instrument in list(self._instruments.values()):
            if instrument.cumulative and instrument.labels:
                for key, cell in list(instrument.items()):
                    yield instrument, key, cell

    def _unmoved(self, cell: Cell, width: int) -> list[float] | None:
        """The figures of a label set, if they are what they were."""
        rings = self._table.rings
        then = rings.latest(rings.newest_at - self._idle_after, math.inf, long=False)
        series, column = cell.series, cell.column
        if then is None or not series or any(one.position >= 0 for one in series):
            return None
        at, row, _ = then
        figures = list(row[column : column + width])
        unmoved = series[0].birth < at and figures == self._table.values[column : column + width]
        return figures if unmoved else None

"""Label sets that an earlier process had: their series go on, whether or not their instrument is declared yet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from resilience.core.ports import Labels
from resilience.signals.instruments import Cell, Instrument
from resilience.signals.selection import SelectionIndex
from resilience.signals.series import STALE, Series
from resilience.signals.table import Table

__all__ = ["CellShape", "RevivedCells"]

_SUFFIXES = ("_sum", "_count", "_bucket")


class CellShape(NamedTuple):
    """One label set of an instrument, as another process can begin it anew.

    Args:
        name: the instrument's name.
        values: the values of its labels.
        signature: what two declarations of the instrument must agree on.
        cumulative: whether it only grows.
        width: its columns.
        series: labels, first and last column of each series, counted from the first column of the label set.
    """

    name: str
    values: tuple[str, ...]
    signature: str
    cumulative: bool
    width: int
    series: tuple[tuple[Labels, int, int], ...]


class _Revived(NamedTuple):
    shape: CellShape
    column: int
    series: tuple[Series, ...]


class RevivedCells:
    """Columns and series of label sets that an earlier process had, until their instruments use them.

    Args:
        index: the series there are.
        table: the table of the instruments.
        instruments: the instruments by name.
        labelled: a function that adds the labels of this process to those of a series.
    """

    def __init__(
        self,
        index: SelectionIndex,
        table: Table,
        instruments: Mapping[str, Instrument[Any]],
        labelled: Callable[[Labels], Labels],
    ) -> None:
        self._index = index
        self._table = table
        self._instruments = instruments
        self._labelled = labelled
        self._waiting: dict[tuple[str, tuple[str, ...]], _Revived] = {}

    def shape_of(self, series: Series) -> tuple[int, tuple[Series, ...], CellShape] | None:
        """Return the first column, the series and the shape of the label set of a series, None if there is none."""
        labels = dict(series.labels)
        name = labels["__name__"]
        for candidate in (name, *(name.removesuffix(each) for each in _SUFFIXES)):
            instrument = self._instruments.get(candidate)
            cell = None if instrument is None else instrument.get(_values(instrument, labels))
            if instrument is not None and cell is not None and series in cell.series:
                first = cell.column
                spans = tuple((one.labels, one.first - first, one.stop - first) for one in cell.series)
                shape = CellShape(
                    instrument.name,
                    cell.key,
                    instrument.signature,
                    instrument.cumulative,
                    instrument.width,
                    spans,
                )
                return first, cell.series, shape
        return None

    def revive(self, shape: CellShape, birth: float) -> tuple[int, tuple[Series, ...]]:
        """Begin the series of a label set that an earlier process had.

        Args:
            shape: what the earlier process had.
            birth: monotonic seconds at which they began.

        Returns:
            their first column and the series.
        """
        with self._index.lock:
            instrument = self._instruments.get(shape.name)
            cell = None if instrument is None else instrument.get(shape.values)
            if instrument is not None and cell is not None and instrument.signature == shape.signature:
                for one in cell.series:
                    one.birth = one.since = birth
                return cell.column, cell.series
            column = self._table.allocate(shape.width)
            if not shape.cumulative:
                self._table.values[column] = STALE
            series = tuple(
                Series(
                    self._labelled(labels),
                    column + first,
                    column + stop,
                    self._table.time,
                    cumulative=shape.cumulative,
                )
                for labels, first, stop in shape.series
            )
            for one in series:
                self._index.add(self._table, one)
                one.birth = one.since = birth
            self._waiting[shape.name, shape.values] = _Revived(shape, column, series)
            return column, series

    def attach(self, instrument: Instrument[Any], cell: Cell) -> bool:
        """Give a new cell what an earlier process had of it; return False if there is nothing that fits."""
        revived = self._waiting.pop((instrument.name, cell.key), None)
        if revived is None:
            return False
        if revived.shape.signature != instrument.signature:
            self._drop(revived)
            return False
        cell.series, cell.column = revived.series, revived.column
        if not instrument.cumulative:
            self._table.values[cell.column] = 0.0
        return True

    def drop_unused(self, *, kept: bool) -> None:
        """Drop what was not used: what no rule keeps in the long rows, or with `kept` everything."""
        with self._index.lock:
            for key, revived in list(self._waiting.items()):
                if kept or all(one.position < 0 for one in revived.series):
                    del self._waiting[key]
                    self._drop(revived)

    def sort_selections(self) -> None:
        """Put the series of selections into the order of their births, some of which are older than was known."""
        self._index.sort()

    def _drop(self, revived: _Revived) -> None:
        for one in revived.series:
            self._index.drop(self._table, one)
        self._table.release(revived.column, revived.shape.width)


def _values(instrument: Instrument[Any], labels: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(labels.get(label, "") for label in instrument.labels)

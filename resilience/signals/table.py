"""A table of columns: every live figure in one flat list, sampled as whole rows."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

from resilience.core.slices import breathing
from resilience.signals.retention import Retention
from resilience.signals.rings import Edge, Ring, Rings
from resilience.signals.series import STALE, Row, Series

__all__ = ["Table"]

_PAGE = 1024  # figures that are compared and packed as one


class Table:
    """Columns, the series that are read from them, and their rows.

    Args:
        retention: how many rows are kept.
        started: monotonic seconds when counting began: the birth of what exists before the first row.

    Example:
        >>> table = Table(Retention(), started=0.0)
        >>> first = table.allocate(1)
        >>> table.values[first] += 3
        >>> table.sample(1.0)
        >>> table.rings.newest[first]
        3.0
    """

    def __init__(self, retention: Retention, started: float) -> None:
        # A list, not an array: it stores a float four times as fast, and recording is what must be fast.
        self.values: list[float] = []
        self._pages: list[list[float]] = []
        self._packed: list[bytes] = []
        self.rings: Rings = Rings(retention)
        self.time: float = started
        self._free: dict[int, list[int]] = {}
        self._long: list[Series | None] = []
        self._long_free: list[int] = []
        self._kept = 0
        self.forgotten: int = 0  # how many series have been dropped so far
        self._unsealed = False

    # -- columns ------------------------------------------------------------------------------------------------

    def allocate(self, width: int) -> int:
        """Return the first of `width` adjacent columns, all zero."""
        if free := self._free.get(width):
            return free.pop()
        first = len(self.values)
        self.values.extend([0.0] * width)
        return first

    def release(self, first: int, width: int) -> None:
        """Give columns back; rows older than the birth of their next series are never read for it."""
        for column in range(first, first + width):
            self.values[column] = 0.0
        self._free.setdefault(width, []).append(first)

    # -- rows ---------------------------------------------------------------------------------------------------

    def sample(self, at: float) -> None:
        """Keep all figures as the row of time `at`; where nothing has changed that is the last row once more."""
        row = self._row()
        self.time = at
        self._unsealed = False
        self.rings.push(at, row)
        if self._long and self.rings.long.wants(at):
            self.rings.long.put(at, self._long_row(row))

    def _row(self) -> Row:
        """Pack the figures; pages that nothing has touched are packed already."""
        pages, packed, values = self._pages, self._packed, self.values
        changed = False
        for page, start in enumerate(range(0, len(values), _PAGE)):
            figures = values[start : start + _PAGE]
            if page == len(pages):
                pages.append([])
                packed.append(b"")
            if figures != pages[page]:
                pages[page] = figures
                packed[page] = struct.pack(f"{len(figures)}d", *figures)
                changed = True
        if changed or self.rings.newest is None:
            return memoryview(b"".join(packed)).cast("d")
        return self.rings.newest

    def touch(self, at: float) -> None:
        """Begin a row of time `at` that is still written to; it is sealed when somebody reads or time goes on."""
        if at > self.time:
            self.seal()
            self.time = at
        self._unsealed = True

    def seal(self) -> None:
        """Keep the row that is being written."""
        if self._unsealed:
            self.sample(self.time)

    # -- long rows ----------------------------------------------------------------------------------------------

    @property
    def kept(self) -> int:
        """How many series have been kept so far; it only grows."""
        return self._kept

    def keep(self, series: Sequence[Series], rows: int) -> None:
        """Keep series in the long rows from now on.

        Args:
            series: those to keep; known ones stay where they are.
            rows: how many long rows are needed at least.
        """
        self.seal()
        self.rings.long.size = max(self.rings.long.size, rows)
        newest = self.rings.newest
        for one in series:
            if one.position >= 0:
                continue
            self._kept += 1
            if self._long_free:
                one.position = self._long_free.pop()
                self._long[one.position] = one
            else:
                one.position = len(self._long)
                self._long.append(one)
            if newest is not None and one.birth < self.rings.newest_at:
                one.since, one.origin = self.rings.newest_at, one.value(newest)

    def forget(self, series: Series) -> None:
        """Leave a dropped series out of the long rows to come; older ones are never read for who has its place next."""
        series.dropped = True
        self.forgotten += 1
        if series.position >= 0:
            self._long[series.position] = None
            self._long_free.append(series.position)

    def _long_row(self, row: Row) -> Row:
        figures = [STALE if one is None else one.value(row) for one in self._long]
        return memoryview(struct.pack(f"{len(figures)}d", *figures)).cast("d")

    def prepend(self, find: Callable[[float, float], Sequence[tuple[float, Row]]]) -> None:
        """Take rows that are older than all there are; see `Rings.prepend`."""
        self.seal()
        self.rings.widen(memoryview(struct.pack(f"{len(self.values)}d", *self.values)).cast("d"))
        self.rings.prepend(find)
        long = self.rings.long
        if self._long:
            rows = find(long.step, long.step * long.size)
            long.prepend([(at, self._long_row(row)) for at, row in breathing(rows)])

    @property
    def persisted(self) -> Sequence[Ring]:
        """The rings whose rows are worth keeping over a restart."""
        return (*self.rings.coarse, self.rings.long) if self._long else self.rings.coarse

    def edge(self, when: float, *, left: bool, long: bool) -> Edge | None:
        """The rows around a moment; see `Rings.edge`."""
        self.seal()
        return self.rings.edge(when, left=left, long=long)

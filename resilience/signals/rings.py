"""Rows in rings of falling resolution."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from resilience.signals.retention import Retention
from resilience.signals.series import Row

__all__ = ["Edge", "Ring", "Rings"]


_EDGES = 256
_GAP = 2.5  # so many times as far apart as is usual, rows have a gap between them


class Ring:
    """The newest `size` rows, at most one in each `step` seconds; bisected by time, so that gaps do no harm."""

    __slots__ = ("_slot", "rows", "size", "step", "times")

    def __init__(self, step: float, size: int) -> None:
        self.step: float = step
        self.size: int = size
        self.times: list[float] = []
        self.rows: list[Row] = []
        self._slot: float | None = None

    def wants(self, at: float) -> bool:
        """Whether a row of this time is the first of its step, or the same row once more."""
        return at // self.step != self._slot or self.times[-1] == at

    def put(self, at: float, row: Row) -> None:
        """Take a row that is wanted."""
        if self.times and self.times[-1] == at:
            self.rows[-1] = row
            return
        self._slot = at // self.step
        self.times.append(at)
        self.rows.append(row)
        excess = len(self.times) - self.size
        if excess > 0:
            del self.times[:excess]
            del self.rows[:excess]

    def prepend(self, rows: Sequence[tuple[float, Row]]) -> None:
        """Take rows that are older than all it has, oldest first."""
        room = self.size - len(self.times)
        older = rows[-room:] if room > 0 else ()
        self.times[:0] = [at for at, _ in older]
        self.rows[:0] = [row for _, row in older]


class Edge(NamedTuple):
    """Where a moment lies: between row `before` and row `after`.

    Args:
        at: the moment, moved to the nearest row when nothing is known about the moment itself.
        before: the newest row not after `at`, or None when there is none yet.
        before_at: its time; minus infinity without one.
        after: the next row, the same one when `at` is exactly on a row.
        after_at: its time.
        long: whether these are long rows.
    """

    at: float
    before: Row | None
    before_at: float
    after: Row
    after_at: float
    long: bool = False


class Rings:
    """All rings of a table and its newest row."""

    def __init__(self, retention: Retention) -> None:
        self.retention = retention
        self.newest: Row | None = None
        self.newest_at: float = float("-inf")
        self.first_at: float = float("inf")
        self._rings = tuple(Ring(step, size) for step, size in retention.rings)
        self.long: Ring = Ring(retention.long_step, 0)
        self._edges: dict[tuple[float, bool, bool], Edge] = {}

    def push(self, at: float, row: Row) -> None:
        """Take a new row; at the time of the newest it replaces that."""
        self.newest = row
        self.newest_at = at
        self.first_at = min(self.first_at, at)
        self._edges.clear()
        for ring in self._rings:
            if ring.wants(at):
                ring.put(at, row)

    @property
    def coarse(self) -> Sequence[Ring]:
        """The rings from the second one on: those whose rows are worth keeping over a restart."""
        return self._rings[1:] or self._rings

    def widen(self, row: Row) -> None:
        """Give rows that are narrower than a row the rest of its figures: columns that are new in all of them."""
        for ring in self._rings:
            ring.rows[:] = [_widened(each, row) for each in ring.rows]
        if self.newest is not None:
            self.newest = _widened(self.newest, row)

    def prepend(self, find: Callable[[float, float], Sequence[tuple[float, Row]]]) -> None:
        """Take rows that are older than all there are.

        Args:
            find: returns times and rows, oldest first, for the step of a ring and the seconds that it reaches back.
        """
        self._edges.clear()
        for ring in self._rings:
            rows = find(ring.step, ring.step * ring.size)
            ring.prepend(rows)
            if rows and rows[0][0] < self.first_at:
                self.first_at = rows[0][0]
            if rows and rows[-1][0] > self.newest_at:
                self.newest_at, self.newest = rows[-1]

    def covering(self, when: float, *, long: bool) -> Ring:
        """The finest ring whose oldest row is not after `when`, else the one that goes back furthest."""
        for ring in self._rings:
            if ring.times[0] <= when:
                return ring
        furthest = min(self._rings, key=lambda ring: ring.times[0])
        if long and self.long.times and self.long.times[0] < furthest.times[0] > self.first_at:
            return self.long
        return furthest

    def latest(self, when: float, lookback: float, *, long: bool) -> tuple[float, Row, bool] | None:
        """Find the newest row in `(when - lookback, when]`; in a coarser ring lookback is at least its step."""
        newest = self.newest
        if newest is None:
            return None
        if when >= self.newest_at:
            return (self.newest_at, newest, False) if self.newest_at > when - lookback else None
        ring = self.covering(when, long=long)
        place = bisect_right(ring.times, when) - 1
        if place < 0 or ring.times[place] <= when - max(lookback, ring.step):
            return None
        return ring.times[place], ring.rows[place], ring is self.long

    def edge(self, when: float, *, left: bool, long: bool) -> Edge | None:
        """Find the rows around a moment.

        Args:
            when: the moment.
            left: whether it begins a window: in a gap a window begins after it, and ends before it.
            long: whether the long rows may be used.

        Returns:
            None without any row.
        """
        newest = self.newest
        if newest is None:
            return None
        key = (when, left, long)
        edge = self._edges.get(key)
        if edge is None:
            # Rules ask for the same few moments between two ticks.
            if len(self._edges) >= _EDGES:
                self._edges.clear()
            edge = self._edges[key] = self._found(newest, when, left=left, long=long)
        return edge

    def _found(self, newest: Row, when: float, *, left: bool, long: bool) -> Edge:
        if when >= self.newest_at:
            return _exact(newest, self.newest_at)
        ring = self.covering(when, long=long)
        times, rows, is_long = ring.times, ring.rows, ring is self.long
        place = bisect_right(times, when)
        after, after_at = (rows[place], times[place]) if place < len(times) else (newest, self.newest_at)
        if place == 0:
            complete = len(times) < ring.size if is_long else after_at <= self.first_at
            if not complete:  # older rows are gone: what is left begins here
                return _exact(after, after_at, long=is_long)
            return Edge(when, None, float("-inf"), after, after_at, is_long)
        before, before_at = rows[place - 1], times[place - 1]
        usual = max(ring.step, before_at - times[place - 2]) if place > 1 else ring.step
        gap = after_at - before_at > max(self.retention.gap, _GAP * usual)
        if before_at == when or gap:
            skip = left and before_at < when
            return _exact(*((after, after_at) if skip else (before, before_at)), long=is_long)
        return Edge(when, before, before_at, after, after_at, is_long)

    def between(self, start: float, end: float, *, long: bool) -> tuple[Sequence[float], Sequence[Row], bool]:
        """The rows in `(start, end]` of the one ring that covers the window, the newest row included."""
        if self.newest is None or self.newest_at <= start:
            return (), (), False
        ring = self.covering(start, long=long)
        low, high = bisect_right(ring.times, start), bisect_right(ring.times, end)
        times, rows, is_long = ring.times[low:high], ring.rows[low:high], ring is self.long
        if not is_long and self.newest_at <= end and (not times or times[-1] < self.newest_at):
            times.append(self.newest_at)
            rows.append(self.newest)
        return times, rows, is_long


def _widened(row: Row, by: Row) -> Row:
    if len(row) >= len(by):
        return row
    return memoryview(row.tobytes() + by[len(row) :].tobytes()).cast("d")


def _exact(row: Row, at: float, *, long: bool = False) -> Edge:
    return Edge(at, row, at, row, at, long)

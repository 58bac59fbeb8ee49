"""Persistence of windows over restarts: rows of the rings, for the series that rules and objectives read."""

from __future__ import annotations

import heapq
import math
import struct
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from resilience.core.clock import Instant
from resilience.core.log import log
from resilience.core.ports import Labels, Put
from resilience.core.rows import Moment, NewerRow, Unread, decode, encode, read_rows
from resilience.core.slices import breathing
from resilience.errors import ConfigError
from resilience.signals.registry import InstrumentRegistry
from resilience.signals.revived import CellShape
from resilience.signals.series import Row, Series
from resilience.signals.table import Table
from resilience.signals.written import WrittenSeries

__all__ = ["COLUMNS", "ROWS", "PersistedWindows"]

COLUMNS: Final = "windows.columns"
"""Name of the table that describes columns; a key is a table of signals and the position of the first column in its rows."""

ROWS: Final = "windows.rows"
"""Name of the table of rows; a key is a table of signals and a Unix timestamp."""

_COLUMNS_ROW = {
    "name": str,
    "values": [str],
    "signature": str,
    "cumulative": bool,
    "width": int,
    "series": [([(str, str)], int, int)],
    "birth": Moment,
    "zero": float,
}
_HEAD = struct.Struct("<BBI")  # version, flags, and a checksum: a number shows no damage
_VERSION = 1
_BEGINS = 1  # a flag: the first row of a process, which no earlier one leads up to
_BIRTHS = 50  # label sets that are taken in at one tick, so that no tick is long
_WIDEST = 10_000  # columns of a label set; more is damage


class _Block(NamedTuple):
    """Adjacent columns of one label set, and their position in stored rows."""

    place: int
    column: int
    series: tuple[Series, ...]
    shape: CellShape
    birth: float
    zero: float


class _Stored(NamedTuple):
    """Stored row: monotonic time, key, True if it is the first of a process, and its values by position."""

    at: float
    key: str
    begins: bool
    values: array[float]


class PersistedWindows:
    """Rows of the rings of a registry of signals.

    A row is stored when a ring of at least the second resolution takes it and something in it has changed, and it is
    removed when no ring holds it any more. Counters of a new process begin at zero; in the store they go on from what
    an earlier process counted, and in memory what was counted before lies below zero, so that a window over a restart
    is a difference of two rows like any other.

    Args:
        signals: the registry.
    """

    tables: tuple[str, ...] = (COLUMNS, ROWS)

    def __init__(self, signals: InstrumentRegistry) -> None:
        self._signals = signals
        self._seen: dict[int, Sequence[Labels]] = {}
        self._streams = {name: _Stream(name, *place) for name, place in signals.tables.items()}
        self._began = signals.last_tick.monotonic
        self._restored = False

    def flush(self) -> None:
        """Have the next `puts` store the newest row, whether or not a ring takes it."""
        for stream in self._streams.values():
            stream.flush()

    def puts(self, *, everything: bool = False) -> Iterator[Put]:
        """Yield the rows that have changed since the last call.

        Args:
            everything: whether all rows are wanted.
        """
        signals = self._signals
        epoch = signals.source.epoch
        due = [stream for stream in self._streams.values() if stream.is_due() or everything]
        if due:
            self._take_in(epoch)
            self._sweep()
        for stream in due:
            yield from stream.puts(epoch, everything=everything)

    def restore(
        self, rows: Mapping[str, Mapping[str, bytes]], now: Instant, *, down_at: float
    ) -> dict[str, Unread]:
        """Take up what another process left.

        Args:
            rows: what `puts` yielded, by table and key.
            now: when this process begins.
            down_at: Unix time at which the other process was last seen.

        Returns:
            the rows that cannot be used, by table.
        """
        epoch = now.wall - now.monotonic
        blocks: dict[str, dict[int, dict[str, Any]]] = {name: {} for name in self._streams}
        stored: dict[str, list[_Stored]] = {name: [] for name in self._streams}

        def take_block(key: str, row: bytes) -> None:
            name, _, place = key.rpartition("/")
            found = decode(row, _COLUMNS_ROW)
            if not 0 < found["width"] <= _WIDEST or not all(
                0 <= first < stop <= found["width"] for _, first, stop in found["series"]
            ):
                raise ConfigError("series must lie within the width of their label set")
            blocks[name][int(place)] = found

        def take_row(key: str, row: bytes) -> None:
            name, _, wall = key.rpartition("/")
            if not math.isfinite(float(wall)):
                raise ConfigError(f"a time must be finite, got {wall}")
            stored[name].append(_stored(float(wall) - epoch, key, row))

        unread = {
            COLUMNS: read_rows(COLUMNS, rows.get(COLUMNS, {}), take_block),
            ROWS: read_rows(ROWS, rows.get(ROWS, {}), take_row),
        }
        end = min(down_at, now.wall) - epoch
        for name, stream in self._streams.items():
            stream.restore(self._signals, blocks[name], sorted(stored[name]), epoch, end)
        self._signals.revived.sort_selections()
        lost = any(each.damaged or each.newer for each in unread.values())
        if self._signals.windowed and (lost or (down_at < now.wall and not any(stored.values()))):
            # Counts of an earlier process are missing, so that windows are only known from now on.
            self._signals.known_since = now.monotonic
            log(__name__).warning("windows_not_restored", reason="damaged rows" if lost else "no rows")
        return unread

    def _take_in(self, epoch: float) -> None:
        """Add the new series that rules and objectives read."""
        left = _BIRTHS
        for selection in list(self._signals.windowed):
            labels = selection.labels
            if self._seen.get(id(selection)) is labels:
                continue
            complete = True
            for part in selection.parts:
                for stream in self._streams.values():
                    if stream.table is part.table:
                        taken, whole = stream.take_in(self._signals, part.series, left, epoch)
                        left -= taken
                        complete = complete and whole
            if complete:
                self._seen[id(selection)] = labels
            if left <= 0:
                return

    def _sweep(self) -> None:
        """Drop what an earlier process had and this one has not used, once no window reaches back to it."""
        age = self._signals.last_tick.monotonic - self._began
        if age > self._signals.retention.reach:
            self._signals.revived.drop_unused(kept=age > self._signals.retention.cap)


class _Stream:
    """The rows of one table of signals."""

    def __init__(self, name: str, table: Table, writer: WrittenSeries | None) -> None:
        self.table = table
        self._name = name
        self._writer = writer
        self._blocks: dict[int, _Block] = {}
        self._of: dict[Series, int] = {}
        self._width = 0
        self._free: dict[int, list[int]] = {}
        self._columns: list[int] = []
        self._read: Callable[[Row], Sequence[float]] | None = None
        self._offsets = array("d")
        self._slots: list[float | None] = []
        self._expiring: list[tuple[float, str]] = []
        self._new: list[int] = []  # places whose description is to be stored, or to be removed
        self._last: tuple[float, bytes, float] | None = (
            None  # time, values and expiry of the last row that was due
        )
        self._newest: tuple[str, float] | None = None  # key and expiry of the newest row that was stored
        self._stored: bytes | None = None
        self._begins = True
        self._forgotten = table.forgotten

    # -- what is stored -----------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Have the newest row stored."""
        self._slots = []

    def is_due(self) -> bool:
        """True if a ring has taken a row since the last call of `puts`."""
        self.table.seal()
        at = self.table.rings.newest_at
        return math.isfinite(at) and self._slots != self._slots_of(at)

    def take_in(
        self, signals: InstrumentRegistry, series: Sequence[Series], most: int, epoch: float
    ) -> tuple[int, bool]:
        """Take in series that are new, at most so many label sets; return how many, and whether that was all."""
        taken, complete = 0, True
        for one in series:
            if one in self._of or one.dropped:
                continue
            if taken >= most or one.birth >= self.table.rings.newest_at:
                complete = False
                continue
            found = signals.revived.shape_of(one) if self._writer is None else _single(one)
            if found is not None:
                column, every, shape = found
                free = self._free.get(shape.width)
                place = free.pop() if free else self._width
                # Times of rows are stored to the millisecond; a series that is written begins just before its first.
                birth = round(every[0].birth + epoch, 3) - (0.0 if self._writer is None else 0.0005)
                self._enter(_Block(place, column, every, shape, birth, every[0].zero))
                self._new.append(place)
                taken += 1
        return taken, complete

    def puts(self, epoch: float, *, everything: bool) -> Iterator[Put]:
        """Yield what is to be stored of the newest row, and the removal of rows that no ring holds any more."""
        self._leave_dropped()
        new, self._new = self._new, []
        for place in list(self._blocks) if everything else dict.fromkeys(new):
            block = self._blocks.get(place)
            yield Put(COLUMNS, f"{self._name}/{place}", None if block is None else _described(block))
        rings = self.table.rings
        at, row = rings.newest_at, rings.newest
        if row is None:
            return
        if everything:
            yield from self._all_rows(epoch)
        slots = self._slots_of(at)
        fresh = [
            ring
            for ring, slot, before in zip(
                self.table.persisted, slots, self._slots or [None] * len(slots), strict=False
            )
            if slot != before
        ]
        expiry = at + max((ring.step * ring.size for ring in fresh), default=0.0)
        self._slots = slots
        values = self._packed(row)
        if values != self._stored or everything:
            if self._last is not None and self._last[1] == self._stored and not everything:
                yield from self._put(*self._last, epoch)  # the last row before this change
            yield from self._put(at, values, expiry, epoch)
        self._last = at, values, expiry
        while self._expiring and self._expiring[0][0] < at:
            yield Put(ROWS, heapq.heappop(self._expiring)[1], None)

    def _put(self, at: float, values: bytes, expiry: float, epoch: float) -> Iterator[Put]:
        key = f"{self._name}/{at + epoch:.3f}"
        if self._newest is not None:
            if self._newest[0] == key:
                return
            # The newest row is kept at any age, because its values hold until the next row.
            heapq.heappush(self._expiring, (self._newest[1], self._newest[0]))
        self._newest, self._stored = (key, expiry), values
        yield Put(ROWS, key, _encoded(values, begins=self._begins))
        self._begins = False

    def _all_rows(self, epoch: float) -> Iterator[Put]:
        """Yield all rows that the rings hold, as they are on the way to the store of another generation."""
        found: dict[float, tuple[float, Row]] = {}
        for ring in self.table.rings.coarse:
            for at, row in zip(list(ring.times), list(ring.rows), strict=True):
                expiry = at + ring.step * ring.size
                found[at] = max(expiry, found[at][0]) if at in found else expiry, row
        self._expiring, self._newest, self._begins = [], None, True
        for at in sorted(found):
            expiry, row = found[at]
            yield from self._put(at, self._packed(row), expiry, epoch)

    def _slots_of(self, at: float) -> list[float | None]:
        return [at // ring.step for ring in self.table.persisted]

    def _packed(self, row: Row) -> bytes:
        """Return the values of a row by their places, counters as they go on from an earlier process."""
        if self._read is None:
            self._columns = [0] * self._width
            for block in self._blocks.values():
                for number in range(block.shape.width):
                    self._columns[block.place + number] = block.column + number
            self._read = itemgetter(*self._columns, 0, 0)  # more than one, so that it returns a tuple
        if not self._columns:
            return b""
        if len(row) <= max(self._columns):
            return array("d", [row[each] if each < len(row) else 0.0 for each in self._columns]).tobytes()
        values = array("d", self._read(row)[:-2])
        if any(self._offsets):
            values = array("d", map(float.__add__, values, self._offsets))
        return values.tobytes()

    # -- columns ------------------------------------------------------------------------------------------------

    def _enter(self, block: _Block) -> None:
        self._blocks[block.place] = block
        for one in block.series:
            self._of[one] = block.place
        self._width = max(self._width, block.place + block.shape.width)
        self._offsets.extend([0.0] * (self._width - len(self._offsets)))
        self._read = None

    def _leave_dropped(self) -> None:
        if self._forgotten == self.table.forgotten:
            return
        self._forgotten = self.table.forgotten
        for place, block in list(self._blocks.items()):
            if block.series[0].dropped:
                del self._blocks[place]
                for one in block.series:
                    self._of.pop(one, None)
                self._free.setdefault(block.shape.width, []).append(place)
                for number in range(block.shape.width):
                    self._offsets[place + number] = 0.0
                self._read = None
                self._new.append(place)

    # -- what is restored ---------------------------------------------------------------------------------------

    def restore(
        self,
        signals: InstrumentRegistry,
        blocks: Mapping[int, Mapping[str, Any]],
        stored: Sequence[_Stored],
        epoch: float,
        end: float,
    ) -> None:
        """Begin the series of an earlier process, and put its rows into the rings."""
        began = self.table.time
        kept = [each for each in stored if each.at <= began]
        # Rows of a time that has not come, and what no row has values of, are of no use.
        self._expiring = [(-math.inf, each.key) for each in stored[len(kept) :]]
        self._new = list(blocks)
        if not kept:
            return
        last = kept[-1]
        for place, found in sorted(blocks.items()):
            birth, width = found["birth"] - epoch, found["width"]
            if birth >= last.at or place + width > len(last.values) or place < self._width:
                continue
            self._new.remove(place)
            shape = CellShape(
                found["name"],
                tuple(found["values"]),
                found["signature"],
                found["cumulative"],
                width,
                tuple((tuple(map(tuple, labels)), *span) for labels, *span in found["series"]),
            )
            column, series = self._begin(signals, shape, birth)
            self._enter(_Block(place, column, series, shape, found["birth"], found["zero"]))
            if shape.cumulative:
                before = last.values[place : place + width]
                self._offsets[place : place + width] = before
                for one, (_, first, stop) in zip(series, shape.series, strict=True):
                    one.zero = one.origin = found["zero"] - sum(before[first:stop])
        self._expire(kept)
        rows = [(each.at, each.begins, self._row(each.values)) for each in breathing(kept)]
        self.table.prepend(lambda step, reach: _filled(rows, step, max(end, last.at), reach))
        # Where a process began, nothing was before; elsewhere older rows are gone.
        self.table.rings.first_at = kept[0].at if kept[0].begins else -math.inf

    def _begin(
        self, signals: InstrumentRegistry, shape: CellShape, birth: float
    ) -> tuple[int, tuple[Series, ...]]:
        if self._writer is None:
            return signals.revived.revive(shape, birth)
        labels = shape.series[0][0]
        series = self._writer.known(labels) or self._writer.revive(labels, birth)
        series.birth = series.since = birth
        return series.first, (series,)

    def _row(self, values: array[float]) -> Row:
        """Return values in the columns of this process, counters below zero."""
        row = array("d", bytes(8 * len(self.table.values)))
        for block in self._blocks.values():
            place, width = block.place, block.shape.width
            if place + width <= len(values):
                found = values[place : place + width]
                if block.shape.cumulative:
                    found = array("d", map(float.__sub__, found, self._offsets[place : place + width]))
                row[block.column : block.column + width] = found
        return memoryview(row.tobytes()).cast("d")

    def _expire(self, kept: Sequence[_Stored]) -> None:
        """Note when the rows in the store are no longer needed."""
        slots: dict[float, float] = {}
        for each in kept:
            expiry = each.at
            for ring in (*self.table.rings.coarse, self.table.rings.long):
                if slots.get(ring.step) != each.at // ring.step:
                    slots[ring.step] = each.at // ring.step
                    expiry = max(expiry, each.at + ring.step * ring.size)
            heapq.heappush(self._expiring, (expiry, each.key))


def _described(block: _Block) -> bytes:
    return encode({**block.shape._asdict(), "birth": max(0.0, block.birth), "zero": block.zero})


def _single(series: Series) -> tuple[int, tuple[Series, ...], CellShape]:
    shape = CellShape("", (), "", series.cumulative, 1, ((series.labels, 0, 1),))
    return series.first, (series,), shape


def _encoded(values: bytes, *, begins: bool) -> bytes:
    flags = _BEGINS if begins else 0
    return _HEAD.pack(_VERSION, flags, zlib.crc32(values, flags)) + values


def _stored(at: float, key: str, row: bytes) -> _Stored:
    """Return a row that was stored.

    Raises:
        NewerRow: a newer release wrote it.
        ConfigError: it is damaged.
    """
    if len(row) < _HEAD.size:
        raise ConfigError("row must be a head and numbers of eight bytes")
    version, flags, checksum = _HEAD.unpack_from(row)
    if zlib.crc32(row[_HEAD.size :], flags) != checksum:
        raise ConfigError("row must have the checksum that it says")
    if version > _VERSION:
        raise NewerRow(f"version {version}, and this release knows {_VERSION}")
    values = array("d")
    values.frombytes(row[_HEAD.size :])
    return _Stored(at, key, bool(flags & _BEGINS), values)


def _filled(
    rows: Sequence[tuple[float, bool, Row]], step: float, end: float, reach: float
) -> list[tuple[float, Row]]:
    """Return the rows that a ring of a step would hold at the end: those that were the same as the one before included."""
    found: list[tuple[float, Row]] = []
    pairs = list(zip(rows, (*rows[1:], (end, False, None)), strict=True))
    for (at, _, row), following in breathing(pairs):
        times = [at]
        if following[2] is None or (not following[1] and following[2] == row):
            first = max(at + step, end - reach)
            times += [
                first + number * step for number in range(max(0, math.ceil((following[0] - first) / step)))
            ]
        for time in times:
            if time >= end - reach and (not found or time // step != found[-1][0] // step):
                found.append((time, row))
    if rows and (not found or found[-1][0] < rows[-1][0]):
        found.append((rows[-1][0], rows[-1][2]))
    return found

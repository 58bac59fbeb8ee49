"""Interned selections: matched once, then extended by each new series alone."""

from __future__ import annotations

import threading
import weakref
from bisect import bisect_left
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import accumulate, islice
from operator import itemgetter
from typing import NamedTuple

from resilience.core.matchers import predicate
from resilience.core.ports import Labels, Matcher
from resilience.core.slices import breathe, breathing
from resilience.signals.postings import Postings, hints
from resilience.signals.series import Row, Series
from resilience.signals.table import Table
from resilience.signals.watchers import Handle, Watchers

__all__ = ["LiveSelection", "Part", "SelectionIndex"]

Reader = Callable[[Row], Sequence[float]]

_BATCH = 1024  # series that a selection takes in before others have their turn


def _reader(series: Sequence[Series], *, long: bool) -> Reader:
    """Compile the reading of many series from one row."""
    if long or all(one.stop - one.first == 1 for one in series):
        columns = [one.position if long else one.first for one in series]
        if len(columns) == 1:
            column = columns[0]
            return lambda row: (row[column],)
        return itemgetter(*columns)
    # Buckets of one histogram follow each other, each one column longer: one accumulate reads them all.
    runs: list[list[int]] = []
    for one in breathing(series):
        if runs and runs[-1][0] == one.first and runs[-1][1] == one.stop - 1:
            runs[-1][1] = one.stop
        else:
            runs.append([one.first, one.stop, one.stop - one.first - 1])
    if len(runs) == len(series):
        spans = [(first, stop) for first, stop, _ in runs]
        return lambda row: [sum(row[first:stop]) for first, stop in spans]

    def read(row: Row) -> list[float]:
        values: list[float] = []
        for first, stop, skip in runs:
            # A short slice would misalign everything behind it.
            if stop > len(row):
                raise IndexError(stop)
            values.extend(islice(accumulate(row[first:stop]), skip, None))
        return values

    return read


class Origins(NamedTuple):
    """Where series begin: times, values at these, and the latest time of each and all before it."""

    times: Sequence[float]
    values: Sequence[float]
    latest: Sequence[float]


class Part:
    """The series of a selection that live in one table, in the order of their birth."""

    def __init__(self, table: Table, members: Sequence[tuple[int, Series]]) -> None:
        self.table = table
        self.indices: Sequence[int] = [index for index, _ in members]
        self.series: list[Series] = [one for _, one in members]
        self.cumulative: bool = all(one.cumulative for one in self.series)
        self._kept = False
        self._kept_looked = 0
        self._origins: dict[bool, Origins] = {}
        self._readers: dict[tuple[int, bool], Reader] = {}

    def extended(self, members: Sequence[tuple[int, Series]]) -> Part:
        """Return the part that has these series too; what is known of the others is not worked out again."""
        new = Part(self.table, members)
        whole = Part(self.table, ())
        whole.indices = [*self.indices, *new.indices]
        whole.series = [*self.series, *new.series]
        whole.cumulative = self.cumulative and new.cumulative
        if (known := self._origins.get(False)) is not None:
            times, values, latest = new.origins(long=False)
            later = [max(known.latest[-1], time) for time in latest]
            whole._origins[False] = Origins(
                [*known.times, *times], [*known.values, *values], [*known.latest, *later]
            )
        return whole

    @property
    def kept(self) -> bool:
        """Whether all of them are in the long rows."""
        if not self._kept and self._kept_looked != self.table.kept:
            self._kept_looked = self.table.kept
            self._kept = all(one.position >= 0 for one in self.series)
        return self._kept

    def older(self, when: float, *, long: bool) -> int:
        """How many of the series, from the first, were all there before `when`."""
        latest = self.origins(long=long).latest
        return len(latest) if latest[-1] < when else bisect_left(latest, when)

    def origins(self, *, long: bool) -> Origins:
        """Where the series begin, in the rings or in the long rows; only for those that are kept there."""
        origins = self._origins.get(long)
        if origins is None:
            times = [one.since if long else one.birth for one in self.series]
            values = [one.origin if long else one.zero for one in self.series]
            origins = self._origins[long] = Origins(times, values, list(accumulate(times, max)))
        return origins

    def read(self, row: Row, count: int, *, long: bool) -> Sequence[float]:
        """The values of the first `count` series in a row that has them."""
        if not count:
            return ()
        reader = self._readers.get((count, long))
        if reader is None:
            if len(self._readers) > 8:  # noqa: PLR2004  a few edges are in use at a time; each moves with births
                self._readers.clear()
            reader = self._readers[count, long] = _reader(self.series[:count], long=long)
        return reader(row)


class LiveSelection:
    """The series that some matchers mean; what PromQL holds on to.

    Args:
        matchers: what all of them must match.
    """

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self.matchers: tuple[Matcher, ...] = tuple(matchers)
        self.kept_rows = 0
        self._tests = tuple((one.label, predicate(one)) for one in matchers)
        self._members: list[tuple[Table, Series]] = []
        self._labels: list[Labels] = []
        self._parts: tuple[Part, ...] = ()
        self._new: list[tuple[Table, Series]] = []
        self._shrunk = False
        self._lock = threading.Lock()

    @property
    def labels(self) -> Sequence[Labels]:
        """Their label sets; another object exactly when the set has changed."""
        self._refresh()
        return self._labels

    @property
    def parts(self) -> tuple[Part, ...]:
        """The same series by table."""
        self._refresh()
        return self._parts

    def matches(self, labels: Labels) -> bool:
        """Whether all matchers match a label set."""
        values = dict(labels)
        return all(test(values.get(label, "")) for label, test in self._tests)

    def begin(self, members: Sequence[tuple[Table, Series]]) -> None:
        """Take the series that were there first; some may have been born since."""
        with self._lock:
            self._new = [*members, *self._new]

    def grow(self, table: Table, series: Series) -> None:
        """Take a series that matches; it shows at the next look."""
        with self._lock:  # series are born in other threads too, also while somebody looks
            self._new.append((table, series))

    def sort(self) -> None:
        """Put the series into the order of their births again: some are older than was known."""
        with self._lock:
            every = [*self._members, *self._new]
            self._members, self._labels, self._parts = [], [], ()
            self._new = sorted(every, key=lambda member: member[1].birth)

    def shrink(self) -> None:
        """Look for dropped series at the next look."""
        self._shrunk = True

    def _refresh(self) -> None:
        while self._new or self._shrunk:
            with self._lock:
                self._catch_up()
            breathe()  # who looks in between goes on with it

    def _catch_up(self) -> None:
        """Forget what was dropped, and take in some of what is new."""
        if self._shrunk:
            self._shrunk = False
            left = [member for member in self._members if not member[1].dropped]
            if len(left) < len(self._members):
                self._members, self._labels, self._parts = [], [], ()
                self._new = [*left, *self._new]
        fresh, self._new = self._new[:_BATCH], self._new[_BATCH:]
        members = [member for member in fresh if not member[1].dropped]
        if members:
            self._extend(members)

    def _extend(self, members: Sequence[tuple[Table, Series]]) -> None:
        """Take in more members; the lists are new ones, since others may hold the old."""
        tables = {id(part.table): part for part in self._parts}
        more: dict[int, list[tuple[int, Series]]] = {}
        for index, (table, series) in enumerate(members, len(self._members)):
            tables.setdefault(id(table), Part(table, ()))
            more.setdefault(id(table), []).append((index, series))
        for key, fresh in more.items():
            tables[key] = tables[key].extended(fresh)
        self._members = [*self._members, *members]
        self._labels = [*self._labels, *(series.labels for _, series in members)]
        self._parts = tuple(tables.values())


class SelectionIndex:
    """All series by name and label values, and the selections that a new one may belong to.

    A selection looks only at the series that have the most selective of its label values, and a new series is shown
    only to selections that ask for one of its own. So neither cost grows with the product of rules and series.
    """

    def __init__(self) -> None:
        # Series may be born in any thread.
        self.lock: AbstractContextManager[object] = threading.RLock()
        self._postings = Postings()
        self._interned: weakref.WeakValueDictionary[tuple[Matcher, ...], LiveSelection] = (
            weakref.WeakValueDictionary()
        )
        self._watchers: Watchers[LiveSelection] = Watchers()

    def select(self, matchers: Sequence[Matcher]) -> LiveSelection:
        """Return the one selection of these matchers.

        Raises:
            QueryError: a regular expression is not one of RE2.
        """
        key = tuple(matchers)
        selection = self._interned.get(key)
        if selection is None:
            made = self._selected(key)
            with self.lock:
                selection = self._interned.setdefault(key, made)
        return selection

    def add(self, table: Table, series: Series) -> None:
        """Show a new series to the selections that it belongs to."""
        labels = dict(series.labels)
        with self.lock:
            self._postings.add(table, series)
            rows = 0
            for selection in self._watchers.of(labels):
                if selection.matches(series.labels):
                    selection.grow(table, series)
                    rows = max(rows, selection.kept_rows)
            if rows:
                table.keep((series,), rows)

    def drop(self, table: Table, series: Series) -> None:
        """Take a series out of all selections."""
        labels = dict(series.labels)
        with self.lock:
            table.forget(series)
            self._postings.drop(series)
            for selection in self._watchers.of(labels):
                selection.shrink()

    def sort(self) -> None:
        """Put the series of every selection into the order of their births again."""
        with self.lock:
            for selection in list(self._interned.values()):
                selection.sort()

    def keep(self, selection: LiveSelection, rows: int) -> None:
        """Keep the series of a selection, and those to come, in the long rows."""
        with self.lock:
            selection.kept_rows = max(selection.kept_rows, rows)
            for part in selection.parts:
                part.table.keep(part.series, selection.kept_rows)

    def _selected(self, matchers: tuple[Matcher, ...]) -> LiveSelection:
        selection = LiveSelection(matchers)
        name = next((one.value for one in matchers if one.label == "__name__" and one.op == "="), "")
        wanted = hints(matchers)
        with self.lock:
            present = self._postings.candidates(name, wanted)
            handle = self._watchers.handle(name, wanted)
            # Finalizers run newest first: the set forgets the selection before it is asked whether it is empty.
            weakref.finalize(selection, self._unwatch, handle).atexit = False
            self._watchers.add(selection, handle)
        selection.begin([one for one in breathing(present) if selection.matches(one[1].labels)])
        return selection

    def _unwatch(self, handle: Handle) -> None:
        with self.lock:
            self._watchers.clean(handle)

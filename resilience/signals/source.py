"""The rings as PromQL reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from resilience.core.ports import Matcher, Samples
from resilience.core.slices import breathe
from resilience.signals.rings import Edge
from resilience.signals.selection import LiveSelection, Part, SelectionIndex
from resilience.signals.series import Row, is_stale

__all__ = ["LiveSource"]


class LiveSource:
    """Implements `core.ports.SampleSource` over the live windows; times are the monotonic clock's seconds.

    Args:
        index: the series there are.
        epoch: tells what leads from monotonic to Unix time.
    """

    def __init__(self, index: SelectionIndex, epoch: Callable[[], float]) -> None:
        self._index = index
        self._epoch = epoch

    @property
    def epoch(self) -> float:
        """What to add to this source's times to get Unix time, as of the last tick."""
        return self._epoch()

    def select(self, matchers: Sequence[Matcher]) -> LiveSelection:
        """Return the series that all matchers mean, kept up to date.

        Raises:
            QueryError: a regular expression is not one of RE2.
        """
        return self._index.select(matchers)

    def at(
        self, selection: LiveSelection, when: float, lookback: float
    ) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
        """The newest sample of each series in `(when - lookback, when]`; in coarse rings lookback is their step."""
        parts = selection.parts
        if len(parts) == 1:
            return _part_at(parts[0], when, lookback)
        found = [_part_at(part, when, lookback) for part in parts]
        return (
            [index for indices, _, _ in found for index in indices],
            [value for _, values, _ in found for value in values],
            [time for _, _, times in found for time in times],
        )

    def samples(self, selection: LiveSelection, start: float, end: float) -> Sequence[Samples]:
        """All samples of the ring that covers `(start, end]`; a counter born in it begins with its zero."""
        found: list[Samples] = [_NONE] * len(selection.labels)
        for part in selection.parts:
            for index, samples in zip(part.indices, _part_samples(part, start, end), strict=True):
                found[index] = samples
        return found

    def increase(
        self, selection: LiveSelection, start: float, end: float
    ) -> tuple[Sequence[int], Sequence[float]] | None:
        """How much each counter grew between two interpolated edges; None when one of them is not a counter.

        A counter that was born in the window grew from zero. Windows that begin in a gap begin after it.
        """
        parts = selection.parts
        if not all(part.cumulative for part in parts):
            return None
        if len(parts) == 1:
            return _part_increase(parts[0], start, end)
        found = [_part_increase(part, start, end) for part in parts]
        return (
            [index for indices, _ in found for index in indices],
            [value for _, values in found for value in values],
        )

    def grown(self, selection: LiveSelection, start: float) -> Sequence[float]:
        """How much each counter grew since `start`, up to this very moment, what no tick has sampled yet included.

        Args:
            selection: counters; growth of anything else is no use to anybody.
            start: monotonic seconds.
        """
        found = [0.0] * len(selection.labels)
        for part in selection.parts:
            edge = part.table.edge(start, left=True, long=part.kept)
            old = part.origins(long=False).values if edge is None else _values(part, edge)
            for index, series, before in zip(part.indices, part.series, old, strict=True):
                found[index] = series.value(part.table.values) - before
        return found


_NONE = Samples((), ())


def _part_at(
    part: Part, when: float, lookback: float
) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
    part.table.seal()
    found = part.table.rings.latest(when, lookback, long=part.kept)
    if found is None:
        return (), (), ()
    at, row, long = found
    count = part.older(at, long=long)
    values = part.read(row, count, long=long)
    indices = part.indices if count == len(part.indices) else part.indices[:count]
    if not part.cumulative:
        gone = [place for place, value in enumerate(values) if value != value and is_stale(value)]  # noqa: PLR0124
        if gone:
            left = sorted(set(range(count)).difference(gone))
            return [indices[place] for place in left], [values[place] for place in left], [at] * len(left)
    return indices, values, [at] * count


def _part_samples(part: Part, start: float, end: float) -> list[Samples]:
    part.table.seal()
    times, rows, long = part.table.rings.between(start, end, long=part.kept)
    table = []
    for at, row in zip(times, rows, strict=True):
        breathe()
        table.append(part.read(row, part.older(at, long=long), long=long))
    found = []
    for place, series in enumerate(part.series):
        breathe()
        since = series.since if long else series.birth
        seen = [
            (at, row[place]) for at, row in zip(times, table, strict=True) if place < len(row) and at > since
        ]
        if series.cumulative:
            if seen and start < series.birth <= end:
                seen.insert(0, (series.birth, series.zero))
        else:
            seen = [(at, value) for at, value in seen if not is_stale(value)]
        found.append(Samples([at for at, _ in seen], [value for _, value in seen]))
    while table:  # to free it at once takes long
        table.pop()
        breathe()
    return found


def _part_increase(part: Part, start: float, end: float) -> tuple[Sequence[int], Sequence[float]]:
    left = part.table.edge(start, left=True, long=part.kept)
    right = part.table.edge(end, left=False, long=part.kept)
    if left is None or right is None or right.at <= left.at:
        return (), ()
    part.origins(long=False)
    breathe()
    ending = _values(part, right)
    breathe()
    beginning = _values(part, left)
    breathe()
    born = part.older(right.at, long=False)
    indices = part.indices if born == len(part.indices) else part.indices[:born]
    return indices, [new - old for new, old in zip(ending[:born], beginning, strict=False)]


def _values(part: Part, edge: Edge) -> Sequence[float]:
    """The values of all counters at an edge; before their birth what they count from."""
    count = 0 if edge.before is None else part.older(edge.before_at, long=edge.long)
    known = _between(part, edge, edge.before, count) if edge.before is not None else ()
    return known if count == len(part.series) else [*known, *_beginning(part, edge, count)]


def _between(part: Part, edge: Edge, before: Row, count: int) -> Sequence[float]:
    """The first `count` series, which are in both rows."""
    values = part.read(before, count, long=edge.long)
    if edge.after is before:
        return values
    share = (edge.at - edge.before_at) / (edge.after_at - edge.before_at)
    breathe()
    after = part.read(edge.after, count, long=edge.long)
    breathe()
    return [old + (new - old) * share for old, new in zip(values, after, strict=True)]


def _beginning(part: Part, edge: Edge, count: int) -> Sequence[float]:
    """The series from `count` on, which began after the row before the edge: they grow from their origin."""
    times, origins, _ = part.origins(long=edge.long)
    found = list(origins[count:])
    if min(times[count:]) >= edge.at:
        return found
    for place, series in enumerate(part.series[count:]):
        since, origin = times[count + place], found[place]
        if since < edge.at and since < edge.after_at:
            new = edge.after[series.position] if edge.long else series.value(edge.after)
            found[place] = origin + (new - origin) * (edge.at - since) / (edge.after_at - since)
    return found

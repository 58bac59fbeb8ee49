"""Samples in memory: for tests, files of rules and what is imported."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence

from resilience.core.matchers import predicate
from resilience.core.ports import Labels, Matcher, Samples
from resilience.core.validate import number, shown
from resilience.errors import ConfigError
from resilience.promql.labels import NAME
from resilience.signals.series import STALE, is_stale

__all__ = ["MemorySelection", "MemorySource"]


class _Stored:
    """The samples of one series, in the order of their times."""

    __slots__ = ("times", "values")

    def __init__(self) -> None:
        self.times: list[float] = []
        self.values: list[float] = []

    def put(self, time: float, value: float) -> None:
        if not self.times or time > self.times[-1]:
            self.times.append(time)
            self.values.append(value)
            return
        place = bisect_left(self.times, time)
        if self.times[place] == time:
            self.values[place] = value
        else:
            self.times.insert(place, time)
            self.values.insert(place, value)


class MemorySelection:
    """The series of a `MemorySource` that some matchers mean."""

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self._tests = [(matcher.label, predicate(matcher)) for matcher in matchers]
        self.labels: Sequence[Labels] = ()
        self.stored: list[_Stored] = []

    def offer(self, labels: Labels, stored: _Stored) -> None:
        """Take a series in if it matches."""
        values = dict(labels)
        if all(test(values.get(label, "")) for label, test in self._tests):
            self.labels = [*self.labels, labels]
            self.stored.append(stored)


class MemorySource:
    """Implements `core.ports.SampleSource` and `SampleSink` over lists.

    Args:
        epoch: what to add to its times to get Unix time; default 0: they are Unix times.

    Example:
        >>> source = MemorySource()
        >>> source.add("up", [(0, 1), (60, 0)], job="api")
        >>> source.add({"__name__": "up", "job": "web"}, [(0, 1)])
    """

    def __init__(self, *, epoch: float = 0.0) -> None:
        self._epoch = number("epoch", epoch)
        self._series: dict[Labels, _Stored] = {}
        self._selections: dict[tuple[Matcher, ...], MemorySelection] = {}
        self._owned: dict[str, set[Labels]] = {}

    @property
    def epoch(self) -> float:
        """What leads from this source's times to Unix time."""
        return self._epoch

    def add(
        self, series: str | Mapping[str, str] | Labels, samples: Iterable[tuple[float, float]], **labels: str
    ) -> None:
        """Add samples to a series, which is made when it is not there.

        Args:
            series: the metric's name, or all labels.
            samples: (time, value) in any order; a time, kept to the microsecond, that is there already gets the new
                value; `STALE` as a value ends the series for now.
            labels: further labels.

        Raises:
            ConfigError: a time is not a finite number, or a label is not text.
        """
        given = {NAME: series} if isinstance(series, str) else dict(series)
        given.update(labels)
        if not all(isinstance(part, str) for pair in given.items() for part in pair):
            raise ConfigError(f"labels must be text, got {shown(given)}")
        stored = self._stored(tuple(sorted((label, value) for label, value in given.items() if value)))
        for time, value in samples:
            stored.put(round(number("time", time), 6), float(value))

    def _stored(self, labels: Labels) -> _Stored:
        stored = self._series.get(labels)
        if stored is None:
            stored = self._series[labels] = _Stored()
            for selection in self._selections.values():
                selection.offer(labels, stored)
        return stored

    def write(self, owner: str, at: float, series: Sequence[tuple[Labels, float]]) -> None:
        """Write what `owner` has found at `at`; what it wrote last and did not find again becomes stale."""
        for labels, value in series:
            self._stored(labels).put(at, value)
        found = {labels for labels, _ in series}
        for labels in self._owned.get(owner, set()) - found:
            self._stored(labels).put(at, STALE)
        self._owned[owner] = found

    def select(self, matchers: Sequence[Matcher]) -> MemorySelection:
        """Return the series that all matchers mean, kept up to date.

        Raises:
            QueryError: a regular expression is not one of RE2.
        """
        key = tuple(matchers)
        selection = self._selections.get(key)
        if selection is None:
            selection = self._selections[key] = MemorySelection(key)
            for labels, stored in self._series.items():
                selection.offer(labels, stored)
        return selection

    def at(
        self, selection: MemorySelection, when: float, lookback: float
    ) -> tuple[Sequence[int], Sequence[float], Sequence[float]]:
        """The newest sample of each series in `(when - lookback, when]`."""
        oldest = when - lookback
        indices: list[int] = []
        values: list[float] = []
        times: list[float] = []
        for index, stored in enumerate(selection.stored):
            place = bisect_right(stored.times, when) - 1
            if place < 0 or stored.times[place] <= oldest:
                continue
            value = stored.values[place]
            if not (math.isnan(value) and is_stale(value)):
                indices.append(index)
                values.append(value)
                times.append(stored.times[place])
        return indices, values, times

    def samples(self, selection: MemorySelection, start: float, end: float) -> Sequence[Samples]:
        """All samples in `(start, end]` of each series."""
        return [_between(stored, start, end, bisect_right) for stored in selection.stored]

    def increase(self, selection: MemorySelection, start: float, end: float) -> None:
        """None: growth is worked out from the samples, as Prometheus does."""


def _between(stored: _Stored, start: float, end: float, place: Callable[..., int]) -> Samples:
    first, last = place(stored.times, start), place(stored.times, end)
    times, values = stored.times[first:last], stored.values[first:last]
    if any(math.isnan(value) and is_stale(value) for value in values):
        kept = [(time, value) for time, value in zip(times, values, strict=True) if not is_stale(value)]
        return Samples([time for time, _ in kept], [value for _, value in kept])
    return Samples(times, values)

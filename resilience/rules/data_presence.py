"""Presence of data: the label sets that the selectors of a rule find, indexed for many lookups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from resilience import promql
from resilience.core.ports import Labels, SampleSource
from resilience.core.slices import breathe, breathing
from resilience.promql.labels import NAME

__all__ = ["DataPresence", "LabelIndex"]

_Values: TypeAlias = dict[tuple[str, ...], set[tuple[str, ...]]]


class LabelIndex:
    """Label sets, indexed to find those that do not contradict others.

    Two label sets contradict each other if a label that both have differs. The metric's name is not compared.

    Args:
        series: the label sets.

    Example:
        >>> index = LabelIndex([(("job", "api"), ("pod", "a"))])
        >>> index.agrees({"job": "api", "severity": "page"}), index.agrees({"job": "web"})
        (True, False)
    """

    def __init__(self, series: Sequence[Labels]) -> None:
        self._series = series
        self._by_names: dict[frozenset[str], _Values] = {}

    def __bool__(self) -> bool:
        return bool(self._series)

    def agrees(self, labels: Mapping[str, str]) -> bool:
        """Return True if one of the label sets does not contradict these labels."""
        names = frozenset(labels)
        values = self._by_names.get(names)
        if values is None:
            values = self._by_names[names] = self._values(names)
        return any(tuple(labels[name] for name in shared) in found for shared, found in values.items())

    def _values(self, names: frozenset[str]) -> _Values:
        """Divide the label sets by those of their names that are among `names`."""
        values: _Values = {}
        for series in breathing(self._series):
            shared = [(name, value) for name, value in series if name in names and name != NAME]
            key = tuple(name for name, _ in shared)
            values.setdefault(key, set()).add(tuple(value for _, value in shared))
        return values


class DataPresence:
    """Presence of data for the elements of one rule at one time.

    The selections are read once, at the first call.

    Args:
        selectors: the selectors of the rule.
        source: the source of samples.
        at: the time of the evaluation, in seconds of the source.
        lookback: seconds for which a selector accepts an old sample, unless its own window is longer.

    Example:
        >>> source = promql.MemorySource()
        >>> source.add("up", [(0, 1)], job="api")
        >>> present = DataPresence(promql.parse("up").selectors, source, at=10.0, lookback=300.0)
        >>> present({"job": "api", "severity": "page"}), present({"job": "web"})
        (True, False)
    """

    def __init__(
        self,
        selectors: Sequence[promql.SelectorUse],
        source: SampleSource[Any],
        at: float,
        lookback: float,
    ) -> None:
        self._selectors = selectors
        self._source = source
        self._at = at
        self._lookback = lookback
        self._index: LabelIndex | None = None

    def __call__(self, labels: Mapping[str, str]) -> bool:
        """Return True if a series with a sample does not contradict the labels, or if there is no selector."""
        if not self._selectors:
            return True
        if self._index is None:
            self._index = LabelIndex(self._found())
        return self._index.agrees(labels)

    def _found(self) -> list[Labels]:
        found: list[Labels] = []
        for use in self._selectors:
            selection = self._source.select(use.matchers)
            known = selection.labels
            present, _, _ = self._source.at(selection, self._at, max(use.window, self._lookback))
            breathe()
            found.extend(known[index] for index in breathing(present))
        return found

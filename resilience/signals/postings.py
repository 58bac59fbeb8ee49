"""Posting index from (metric name, label, value) to series, and the sets of values that matchers require."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from resilience.core.ports import Matcher
from resilience.signals.series import Series
from resilience.signals.table import Table

__all__ = ["Hint", "Postings", "hints"]

_Members: TypeAlias = dict[Series, Table]

_PLAIN = re.compile(r"[A-Za-z0-9_/ ,:@=-]*")
_ALTERNATIVES = re.compile(r"[A-Za-z0-9_/ ,:@=-]+(?:\|[A-Za-z0-9_/ ,:@=-]+)*")


class Hint(NamedTuple):
    """The values that a label of a matching series can have.

    Args:
        label: name of the label.
        values: the values, or one prefix.
        prefix: True if the value only begins like that.
    """

    label: str
    values: tuple[str, ...]
    prefix: bool = False


def hints(matchers: Sequence[Matcher]) -> list[Hint]:
    """Return what matchers say about the values of labels, except for the metric's name.

    Example:
        >>> hints([Matcher("code", "=~", "500|503"), Matcher("route", "=~", "/api/.*"), Matcher("job", "!=", "a")])
        [Hint(label='code', values=('500', '503'), prefix=False), Hint(label='route', values=('/api/',), prefix=True)]
    """
    found = []
    for one in matchers:
        if one.label == "__name__" or not one.value:
            continue
        if one.op == "=":
            found.append(Hint(one.label, (one.value,)))
        elif one.op == "=~" and _ALTERNATIVES.fullmatch(one.value):
            found.append(Hint(one.label, tuple(dict.fromkeys(one.value.split("|")))))
        elif one.op == "=~" and "|" not in one.value and (prefix := _prefix(one.value)):
            found.append(Hint(one.label, (prefix,), prefix=True))
    return found


def _prefix(pattern: str) -> str:
    """Return the text that all matches of a regular expression without alternatives begin with."""
    plain = _PLAIN.match(pattern)
    prefix = "" if plain is None else plain.group()
    # A quantifier may allow none of the character before it.
    return prefix[:-1] if pattern[len(prefix) : len(prefix) + 1] in {"*", "?", "{"} else prefix


class _Values:
    """The series of one metric by the value of one label."""

    def __init__(self) -> None:
        self.members: dict[str, _Members] = {}
        self._sorted: list[str] | None = None

    def add(self, value: str, series: Series, table: Table) -> None:
        members = self.members.get(value)
        if members is None:
            members = self.members[value] = {}
            self._sorted = None
        members[series] = table

    def drop(self, value: str, series: Series) -> None:
        members = self.members.get(value)
        if members is not None:
            members.pop(series, None)
            if not members:
                del self.members[value]
                self._sorted = None

    def find(self, hint: Hint) -> list[_Members]:
        if not hint.prefix:
            return [self.members[value] for value in hint.values if value in self.members]
        if self._sorted is None:
            self._sorted = sorted(self.members)
        (prefix,), found = hint.values, []
        for place in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            if not self._sorted[place].startswith(prefix):
                break
            found.append(self.members[self._sorted[place]])
        return found


class Postings:
    """Series by metric name, and by the values of the labels that selections use."""

    def __init__(self) -> None:
        self._series: dict[str, _Members] = {}
        self._values: dict[str, dict[str, _Values]] = {}

    def add(self, table: Table, series: Series) -> None:
        """Take a series in."""
        labels = dict(series.labels)
        name = labels["__name__"]
        self._series.setdefault(name, {})[series] = table
        for label, values in self._values.get(name, {}).items():
            if label in labels:
                values.add(labels[label], series, table)

    def drop(self, series: Series) -> None:
        """Take a series out."""
        labels = dict(series.labels)
        name = labels["__name__"]
        self._series.get(name, {}).pop(series, None)
        for label, values in self._values.get(name, {}).items():
            if label in labels:
                values.drop(labels[label], series)

    def candidates(self, name: str, wanted: Sequence[Hint]) -> list[tuple[Table, Series]]:
        """Return the series that may match, found by the most selective hint, in the order of their birth.

        Args:
            name: the metric's name, or "" for any.
            wanted: what is known of the values of labels.
        """
        if not name:
            return [(table, one) for pool in self._series.values() for one, table in pool.items()]
        pool = self._series.get(name, {})
        best, size = [pool], len(pool)
        for hint in wanted:
            found = self._of_label(name, hint.label).find(hint)
            if (count := sum(map(len, found))) < size:
                best, size = found, count
        members = [(table, one) for each in best for one, table in each.items()]
        return sorted(members, key=_birth) if len(best) > 1 else members

    def _of_label(self, name: str, label: str) -> _Values:
        """Return the index of one label, made at the first request."""
        by_label = self._values.setdefault(name, {})
        values = by_label.get(label)
        if values is None:
            values = by_label[label] = _Values()
            for series, value in self._labelled(name, label):
                values.add(value, series, self._series[name][series])
        return values

    def _labelled(self, name: str, label: str) -> Iterator[tuple[Series, str]]:
        for series in self._series.get(name, {}):
            for key, value in series.labels:
                if key == label:
                    yield series, value


def _birth(member: tuple[Table, Series]) -> float:
    return member[1].birth

"""Reads what an objective counts: how much since the last look, and in any window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from resilience import promql
from resilience.core.duration import format_duration
from resilience.core.ports import Labels, Matcher, SampleSource
from resilience.promql import nodes
from resilience.promql.sums import total as summed
from resilience.slo.bucket_bounds import Buckets
from resilience.slo.measure import Condition, Events
from resilience.slo.query import WINDOW

__all__ = ["ConditionMeter", "EventMeter", "counts_exactly"]

_FOR_EVER = 1e12  # seconds: a counter that rests is as good as a new one


class EventMeter:
    """Counts the events of an indicator.

    Args:
        source: where they are recorded.
        events: what is counted.
        since: the source's time from which on it counts.
    """

    def __init__(self, source: SampleSource[Any], events: Events, since: float) -> None:
        self._source = source
        self._events = events
        self._total = _growth(source, events.total, since)
        self._part = _growth(source, events.good if events.bad is None else events.bad, since)
        self._queries: dict[str, tuple[promql.Query, promql.Query]] = {}
        read = events.good if events.bad is None else events.bad
        self._buckets = Buckets(source, read) if events.buckets is not None else None

    def read(self, at: float) -> tuple[float, float]:
        """Return bad and all events since the last reading."""
        total, part = self._total.read(at), self._part.read(at)
        if total and not part and self.missing(at):
            return 0.0, 0.0
        part = min(part, total)
        return (total - part if self._events.bad is None else part), total

    def within(self, window: float, at: float) -> tuple[float, float]:
        """Return bad and all events of a window of seconds."""
        total, part = self._total.within(window, at), self._part.within(window, at)
        if total is None or part is None:
            return self._queried(window, at)
        if total and not part and self.missing(at):
            return 0.0, 0.0
        part = min(part, total)
        return (total - part if self._events.bad is None else part), total

    def missing(self, at: float) -> str:
        """Return the reason why nothing can be counted, a bucket bound that does not exist; empty without one."""
        return "" if self._buckets is None else self._buckets.missing(at)

    def _queried(self, window: float, at: float) -> tuple[float, float]:
        length = format_duration(window)
        queries = self._queries.get(length)
        if queries is None:
            queries = self._queries[length] = (
                promql.compile(self._events.bad_in(length), self._source),
                promql.compile(self._events.total_in(length), self._source),
            )
        bad, total = (_count(query(at)) for query in queries)
        return min(bad, total), total


class _CounterGrowth:
    """How much counters grow from reading to reading, to the last event, however irregular the readings are."""

    def __init__(self, source: SampleSource[Any], matchers: Sequence[Matcher], since: float) -> None:
        self._source = source
        self._selection = source.select(matchers)
        self._labels: Sequence[Labels] = ()
        self._indices: Sequence[int] = ()
        self._values: Sequence[float] = ()
        self.read(since)

    def read(self, at: float) -> float:
        indices, values, _ = self._source.at(self._selection, at, _FOR_EVER)
        labels, before = self._selection.labels, self._values
        if labels is not self._labels or indices != self._indices:
            known = {self._labels[index]: value for index, value in zip(self._indices, before, strict=True)}
            before = [known.get(labels[index], 0.0) for index in indices]
            self._labels, self._indices = labels, list(indices)
        self._values = values
        # A counter that is lower than it was began anew.
        return math.fsum(
            value - earlier if value >= earlier else value
            for value, earlier in zip(values, before, strict=True)
        )

    def within(self, window: float, at: float) -> float | None:
        """Return the growth in a window, as `sum(increase())` does for less; None where one is no counter."""
        found = self._source.increase(self._selection, round(at - window, 6), at)
        return None if found is None else _positive(summed(found[1]))


class _WindowGrowth:
    """How much an expression counts between readings, where it is more than a sum of counters."""

    def __init__(self, source: SampleSource[Any], template: str, since: float) -> None:
        self._source = source
        self._template = template
        self._since = since

    def read(self, at: float) -> float:
        elapsed, self._since = at - self._since, at
        if elapsed <= 0:
            return 0.0
        query = self._template.replace(WINDOW, f"{elapsed:.6f}")
        return _count(promql.evaluate(query, self._source, at))

    def within(self, window: float, at: float) -> None:
        """Return None: only a query can say."""


def counts_exactly(events: Events) -> bool:
    """Return True if both counts of an indicator are sums of counters, which are the same read at once or in parts."""
    return all(
        _counters(text) is not None
        for text in (events.total, events.good if events.bad is None else events.bad)
    )


def _growth(source: SampleSource[Any], template: str | None, since: float) -> _CounterGrowth | _WindowGrowth:
    matchers = _counters(template)
    if matchers is not None:
        return _CounterGrowth(source, matchers, since)
    return _WindowGrowth(source, template or "vector(0)", since)


def _counters(template: str | None) -> Sequence[Matcher] | None:
    """Return the matchers of the counters whose increase a template sums up; None where it is more than that."""
    match promql.parse((template or "vector(0)").replace(WINDOW, "1m")).node:
        case nodes.Aggregate(
            operator="sum",
            by=True,
            labels=labels,
            expression=nodes.Call(
                function="increase",
                arguments=(nodes.Range(offset=0.0, anchor=None, selector=nodes.Selector(matchers=matchers)),),
            ),
        ) if not labels:
            return matchers
    return None


class ConditionMeter:
    """Looks at the figure of an indicator.

    Args:
        source: where it is recorded.
        condition: what is looked at.
        window: seconds of the slice that it is worked out over.
    """

    def __init__(self, source: SampleSource[Any], condition: Condition, window: float) -> None:
        self._condition = condition
        self._query = promql.compile(condition.value_in(format_duration(window)), source)

    def good(self, at: float) -> bool | None:
        """Say whether it is good; None where there is nothing to look at."""
        value = _single(self._query(at))
        return None if value is None else self._condition.good(value)


def _count(value: promql.Value) -> float:
    """Return a result as a count; zero where it cannot be one."""
    found = _single(value)
    return 0.0 if found is None else _positive(found)


def _positive(count: float) -> float:
    return count if 0 < count < math.inf else 0.0


def _single(value: promql.Value) -> float | None:
    """The only figure of a result; None where there is none, or none that is a number."""
    if isinstance(value, promql.Scalar):
        found = value.value
    elif isinstance(value, promql.Vector) and value.values:
        found = value.values[0]
    else:
        return None
    return found if found == found else None  # noqa: PLR0124  NaN

"""Reads what an objective counts: how much since the last look, and in any window."""

from __future__ import annotations

from typing import Any

from resilience import promql
from resilience.core.duration import format_duration
from resilience.core.ports import SampleSource
from resilience.slo.measure import Condition, Events

__all__ = ["ConditionMeter", "EventMeter"]

_NEAR = 1e-5  # of a count: how far from whole the edges of a window may leave it


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
        self._since = since
        self._queries: dict[str, tuple[promql.Query, promql.Query]] = {}

    def read(self, at: float) -> tuple[float, float]:
        """Return bad and all events since the last reading."""
        elapsed = at - self._since
        if elapsed <= 0:
            return 0.0, 0.0
        self._since = at
        bad, total = self._read(f"{elapsed:.6f}", at)
        return _whole(bad), _whole(total)

    def within(self, window: float, at: float) -> tuple[float, float]:
        """Return bad and all events of a window of seconds."""
        return self._read(format_duration(window), at)

    def _read(self, window: str, at: float) -> tuple[float, float]:
        queries = self._queries.get(window)
        if queries is None:
            if len(self._queries) >= 64:  # noqa: PLR2004  ticks that come late, each by another while
                self._queries.clear()
            queries = self._queries[window] = (
                promql.compile(self._events.bad_in(window), self._source),
                promql.compile(self._events.total_in(window), self._source),
            )
        bad, total = (max(0.0, _single(query(at)) or 0.0) for query in queries)
        return min(bad, total), total


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


def _whole(count: float) -> float:
    nearest = round(count)
    return float(nearest) if abs(count - nearest) <= _NEAR * max(1.0, count) else count


def _single(value: promql.Value) -> float | None:
    """The only figure of a result; None where there is none, or none that is a number."""
    if isinstance(value, promql.Scalar):
        found = value.value
    elif isinstance(value, promql.Vector) and value.values:
        found = value.values[0]
    else:
        return None
    return found if found == found else None  # noqa: PLR0124  NaN

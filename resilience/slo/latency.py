"""How many requests of a service took how long, over time: what a heat map shows."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.duration import format_duration
from resilience.errors import ConfigError
from resilience.promql import Series
from resilience.promql.show import quote
from resilience.signals import Signals

__all__ = ["LatencyHistory", "latency_query", "plain_latency"]

_EVERY = 60.0
_CELL = 3 * 3600.0
_PERIOD = 30 * 86_400.0
_COLUMNS = 60  # more than a chart of a page's width can show

_Cell: TypeAlias = tuple[float, dict[str, float]]
"""Its beginning in monotonic seconds, and the requests at most so long, by the label `le`."""


class LatencyHistory:
    """Keeps 30 days of how long requests took, in cells of three hours.

    Args:
        signals: where requests are counted.
    """

    def __init__(self, signals: Signals) -> None:
        self._query = promql.compile(
            "sum by (service, le) (http_request_duration_seconds_bucket)", signals.source
        )
        self._before: dict[tuple[str, str], float] = {}
        self._cells: dict[str, deque[_Cell]] = {}
        self._due = -math.inf

    def tick(self, now: Instant) -> None:
        """Take in what was counted, once a minute."""
        if now.monotonic < self._due:
            return
        self._due = now.monotonic + _EVERY
        found = self._query(now.monotonic)
        if not isinstance(found, promql.Vector):
            return
        start = now.monotonic // _CELL * _CELL
        for labels, value in zip(found.labels, found.values, strict=True):
            said = dict(labels)
            key = said.get("service", ""), said.get("le", "")
            before = self._before.get(key, 0.0)
            self._before[key] = value
            # A counter that is lower than it was began anew.
            if grown := value - before if value >= before else value:
                cell = self._cell(key[0], start)
                cell[key[1]] = cell.get(key[1], 0.0) + grown

    def since(self, service: str, now: Instant) -> float | None:
        """Return the Unix time from which on there is anything of a service, None for nothing."""
        cells = self._cells.get(service)
        return cells[0][0] + now.wall - now.monotonic if cells else None

    def plain(self, service: str, start: float, now: Instant) -> dict[str, Any]:
        """Return what is known of a service as `plain_latency` does.

        Args:
            service: its name.
            start: Unix seconds from which on; cells are whole.
            now: this moment.
        """
        shift = now.wall - now.monotonic
        cells = [each for each in self._cells.get(service, ()) if each[0] + _CELL + shift > start]
        if not cells:
            return plain_latency([])
        width = _CELL * math.ceil((cells[-1][0] - cells[0][0] + _CELL) / _CELL / _COLUMNS)
        columns: dict[float, dict[str, float]] = {}
        for begin, counts in cells:
            end = min(cells[0][0] + ((begin - cells[0][0]) // width + 1) * width, now.monotonic)
            column = columns.setdefault(end, {})
            for bound, count in counts.items():
                column[bound] = column.get(bound, 0.0) + count
        bounds = dict.fromkeys(itertools.chain.from_iterable(columns.values()))
        times = list(columns)
        found = (
            Series((("le", bound),), times, [columns[at].get(bound, 0.0) for at in times]) for bound in bounds
        )
        return plain_latency(found, shift)

    def snapshot(self, now: Instant) -> dict[str, Any]:
        """Put it into plain data, by wall time."""
        shift = now.wall - now.monotonic
        return {
            service: [[round(start + shift, 3), counts] for start, counts in cells]
            for service, cells in self._cells.items()
        }

    def restore(self, saved: Mapping[str, Any], now: Instant) -> None:
        """Take up what another process left.

        Raises:
            ConfigError: it is not such data.
        """
        shift = now.wall - now.monotonic
        try:
            for service, cells in saved.items():
                older = [
                    (float(wall) - shift, {str(bound): float(count) for bound, count in counts.items()})
                    for wall, counts in cells
                ]
                kept = [each for each in older if each[0] > now.monotonic - _PERIOD]
                self._cells[str(service)] = deque([*kept, *self._cells.get(service, ())])
        except (AttributeError, TypeError, ValueError) as error:
            raise ConfigError(f"the saved latency cannot be read: {error!r}") from error

    def _cell(self, service: str, start: float) -> dict[str, float]:
        cells = self._cells.setdefault(service, deque())
        if not cells or cells[-1][0] + _CELL <= start:
            cells.append((start, {}))
            while cells[0][0] < start - _PERIOD:
                cells.popleft()
        return cells[-1][1]


def latency_query(service: str, step: float) -> str:
    """Return PromQL that counts a service's requests by bucket of their duration, cumulatively.

    Args:
        service: whose requests.
        step: seconds that are counted.

    Example:
        >>> latency_query("shop", 300)
        'sum by (le) (increase(http_request_duration_seconds_bucket{service="shop"}[5m]))'
    """
    selector = f"http_request_duration_seconds_bucket{{service={quote(service)}}}[{format_duration(step)}]"
    return f"sum by (le) (increase({selector}))"


def plain_latency(series: Iterable[Series], shift: float = 0.0) -> dict[str, Any]:
    """Return the counts of each bucket by itself as plain data.

    Args:
        series: what `latency_query` comes to over a range.
        shift: seconds from their time to Unix time.

    Returns:
        `times` (ends of the steps), `bounds` (upper bounds in seconds, null for none), `counts` (by bucket, then by
        step).

    Example:
        >>> fast, all_ = Series((("le", "0.1"),), [60.0], [3.0]), Series((("le", "+Inf"),), [60.0], [5.0])
        >>> plain_latency([all_, fast])
        {'times': [60.0], 'bounds': [0.1, None], 'counts': [[3.0], [2.0]]}
    """
    found = sorted((float(dict(each.labels)["le"]), each) for each in series)
    times = sorted({at for _, each in found for at in each.times})
    below = dict.fromkeys(times, 0.0)
    counts = []
    for _, each in found:
        cumulative = dict(zip(each.times, each.values, strict=True))
        # Extrapolation may leave a bucket a trifle under the one below it.
        counts.append([round(max(0.0, cumulative.get(at, below[at]) - below[at]), 3) for at in times])
        below = {at: max(below[at], cumulative.get(at, 0.0)) for at in times}
    return {
        "times": [at + shift for at in times],
        "bounds": [None if bound == float("inf") else bound for bound, _ in found],
        "counts": counts,
    }

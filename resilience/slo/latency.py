"""How many requests of a service took how long, over time: what a heat map shows."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from resilience import promql
from resilience.core.clock import Instant
from resilience.core.duration import format_duration
from resilience.core.ports import Put
from resilience.core.rows import Unread, decode, encode, read_rows
from resilience.promql import Series
from resilience.promql.show import quote
from resilience.signals import Signals

__all__ = ["CELL", "LATENCY_TABLE", "LatencyHistory", "latency_query", "plain_latency"]

LATENCY_TABLE: Final = "latency"
"""Table of the rows; a key is a service and the number of a cell."""

_ROW = {"counts": {str: float}}

_EVERY = 60.0
CELL = 3 * 3600.0
"""Seconds of a cell."""

_PERIOD = 30 * 86_400.0
_COLUMNS = 60  # more than a chart of a page's width can show

_Cell: TypeAlias = tuple[int, dict[str, float]]
"""Its number, in lengths since 1970, and the requests at most so long, by the label `le`."""


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
        self._changed: set[tuple[str, int]] = set()

    def tick(self, now: Instant) -> None:
        """Take in what was counted, once a minute."""
        if now.monotonic < self._due:
            return
        self._due = now.monotonic + _EVERY
        found = self._query(now.monotonic)
        if not isinstance(found, promql.Vector):
            return
        number = math.floor(now.wall / CELL)
        for labels, value in zip(found.labels, found.values, strict=True):
            said = dict(labels)
            key = said.get("service", ""), said.get("le", "")
            before = self._before.get(key, 0.0)
            self._before[key] = value
            # A counter that is lower than it was began anew.
            if grown := value - before if value >= before else value:
                cell = self._cell(key[0], number)
                cell[key[1]] = cell.get(key[1], 0.0) + grown

    def since(self, service: str) -> float | None:
        """Return the Unix time from which on there is anything of a service, None for nothing."""
        cells = self._cells.get(service)
        return cells[0][0] * CELL if cells else None

    def plain(self, service: str, start: float, now: Instant) -> dict[str, Any]:
        """Return what is known of a service as `plain_latency` does.

        Args:
            service: its name.
            start: Unix seconds from which on; cells are whole.
            now: this moment.
        """
        cells = [each for each in self._cells.get(service, ()) if (each[0] + 1) * CELL > start]
        if not cells:
            return plain_latency([])
        first, last = cells[0][0], cells[-1][0]
        width = math.ceil((last - first + 1) / _COLUMNS)
        columns: dict[float, dict[str, float]] = {}
        for number, counts in cells:
            end = min((first + ((number - first) // width + 1) * width) * CELL, now.wall)
            column = columns.setdefault(end, {})
            for bound, count in counts.items():
                column[bound] = column.get(bound, 0.0) + count
        bounds = dict.fromkeys(itertools.chain.from_iterable(columns.values()))
        times = list(columns)
        found = (
            Series((("le", bound),), times, [columns[at].get(bound, 0.0) for at in times]) for bound in bounds
        )
        return plain_latency(found)

    def puts(self, *, everything: bool = False) -> Iterator[Put]:
        """Yield the rows of cells that have changed since the last call.

        Args:
            everything: whether all rows are wanted.
        """
        changed, self._changed = self._changed, set()
        known = {
            (service, number): counts for service, cells in self._cells.items() for number, counts in cells
        }
        for service, number in changed.union(known) if everything else changed:
            counts = known.get((service, number))
            row = None if counts is None else encode({"counts": counts})
            yield Put(LATENCY_TABLE, f"{service}/{number}", row)

    def restore(self, rows: Mapping[str, bytes], now: Instant) -> Unread:
        """Take up what another process left; what was counted here since stays.

        Args:
            rows: what `puts` yielded, by key.
            now: this moment.

        Returns:
            the rows that cannot be used.
        """
        older: dict[str, dict[int, dict[str, float]]] = {}
        oldest = math.floor((now.wall - _PERIOD) / CELL)

        def take(key: str, row: bytes) -> None:
            service, _, number = key.rpartition("/")
            counts = decode(row, _ROW)["counts"]
            for bound in counts:
                float(bound)
            if int(number) >= oldest:
                older.setdefault(service, {})[int(number)] = counts
            else:
                self._changed.add((service, int(number)))

        unread = read_rows(LATENCY_TABLE, rows, take)
        for service, cells in older.items():
            for number, counts in self._cells.get(service, ()):
                known = cells.setdefault(number, {})
                for bound, count in counts.items():
                    known[bound] = known.get(bound, 0.0) + count
                self._changed.add((service, number))
            self._cells[service] = deque(sorted(cells.items()))
        return unread

    def _cell(self, service: str, number: int) -> dict[str, float]:
        cells = self._cells.setdefault(service, deque())
        if not cells or cells[-1][0] < number:
            cells.append((number, {}))
            while (cells[0][0] + 1) * CELL < number * CELL - _PERIOD:
                self._changed.add((service, cells.popleft()[0]))
        self._changed.add((service, cells[-1][0]))
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

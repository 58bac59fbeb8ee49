"""Traffic, errors, latency and heat over time: PromQL over the live windows, asked once and then point by point."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from resilience import promql
from resilience.reliability import Reliability
from resilience_middleware.console.view import View

__all__ = ["Chart", "Charts", "charts_for", "quoted"]

_SLICE: Final = 0.005  # seconds that the event loop is kept at a time
_BUDGETS: Final = "budgets"
_VERSIONS: Final = "versions"
_MARKERS: Final = 12  # of deployments, the newest: more cannot be told apart


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Args:
        id: names it on the page and in links.
        title: for people.
        unit: `rate`, `ratio`, `seconds`, or `heat` for rates by bucket; empty for what is no chart of its own: budgets
            are drawn beside their objectives, versions as markers in all charts.
        queries: PromQL by what it is called; where `by` is set, by the label's values.
        by: label that tells the series of a query apart; empty where each query is one series.
    """

    id: str
    title: str
    unit: str
    queries: Mapping[str, str]
    by: str = ""


def charts_for(view: View, *, prefix: str = "") -> Sequence[Chart]:
    """Return the charts of a view.

    Args:
        view: service and time.
        prefix: put before the names of all signals.

    Example:
        >>> charts_for(View(window="15m"))[0].queries["success"]
        'sum(rate(http_requests_total{verdict="success"}[1m]))'
    """
    service = "" if not view.service else f"service={quoted(view.service)}"
    requests, durations = f"{prefix}http_requests_total", f"{prefix}http_request_duration_seconds_bucket"

    def rate(metric: str, *matchers: str) -> str:
        chosen = ",".join(each for each in (service, *matchers) if each)
        return f"rate({metric}{{{chosen}}}[{view.rate_window}])"

    failed = f"sum({rate(requests, 'verdict=' + quoted('failure'))})"
    judged = f"sum({rate(requests, 'verdict=~' + quoted('success|failure'))})"
    buckets = f"sum by (le) ({rate(durations)})"
    return (
        Chart(
            "traffic",
            "Traffic",
            "rate",
            {
                verdict: f"sum({rate(requests, 'verdict=' + quoted(verdict))})"
                for verdict in ("success", "failure", "rejected")
            },
        ),
        Chart("errors", "Errors", "ratio", {"errors": f"({failed} or vector(0)) / {judged}"}),
        Chart(
            "latency",
            "Latency",
            "seconds",
            {f"p{each * 100:g}": f"histogram_quantile({each}, {buckets})" for each in (0.5, 0.9, 0.99)},
        ),
        Chart("heat", "Requests by latency", "heat", {"le": buckets}, by="le"),
        Chart(
            _BUDGETS,
            "Error budget left",
            "",
            {"slo": f"{prefix}slo_error_budget_remaining_ratio{{{service}}}"},
            by="slo",
        ),
        Chart(
            _VERSIONS,
            "Deployments",
            "",
            {"version": f"sum by (version) ({prefix}deployment_info{{{service}}})"},
            by="version",
        ),
    )


class Charts:
    """The points of one view's charts, kept up to date.

    Args:
        rel: whose signals.
        view: service and time.
    """

    def __init__(self, rel: Reliability, view: View) -> None:
        self.charts: Sequence[Chart] = charts_for(view, prefix=rel.signals.prefix)
        self.drawn: Sequence[Chart] = [chart for chart in self.charts if chart.unit]
        self._rel = rel
        self._step = view.step
        self._points = round(view.seconds / view.step)
        engine = promql.Engine(rel.signals.source)
        self._engine = engine
        self._queries = [
            (chart, name, engine.compile(query))
            for chart in self.charts
            for name, query in chart.queries.items()
        ]
        self._times: deque[float] = deque(maxlen=self._points)
        self._values: deque[dict[str, dict[str, float]]] = deque(maxlen=self._points)
        self._filling = asyncio.Lock()

    @property
    def newest(self) -> float | None:
        """When the last full point is, on the monotonic clock; None while there is none."""
        return self._times[-1] if self._times else None

    async def catch_up(self) -> None:
        """Ask for the points that are due, in slices between which the event loop has its turn."""
        async with self._filling:
            step = self._step
            newest = math.floor(self._now / step) * step
            oldest = newest - (self._points - 1) * step
            at = max(oldest, self._times[-1] + step) if self._times else oldest
            began = time.perf_counter()
            while at <= newest + step / 2:
                self._times.append(at)
                self._values.append(self._ask(at))
                at = self._times[-1] + step
                if time.perf_counter() - began > _SLICE:
                    await asyncio.sleep(0)
                    began = time.perf_counter()

    def now(self) -> dict[str, Any]:
        """Return the newest figure of every series: `{"t": ..., "charts": {"traffic": {"success": 40.0}}}`."""
        at = self._now
        self._engine.forget()  # this moment may have been asked for before its samples were all there
        values = self._ask(at)
        return {"t": self._unix(at), "charts": _rounded({chart.id: values[chart.id] for chart in self.drawn})}

    def points(self) -> dict[str, Any]:
        """Return all points: `{"t": [...], "charts": {"traffic": {"success": [40.0, None]}}, "markers": [...]}`."""
        found: dict[str, dict[str, list[float | None]]] = {}
        for chart in self.drawn:
            names = {name: None for values in self._values for name in values[chart.id]}
            found[chart.id] = {name: self._past(chart.id, name) for name in names}
            if chart.unit == "heat":
                found[chart.id] = _used(found[chart.id])
        return {
            "t": [self._unix(at) for at in self._times],
            "charts": found,
            "markers": [{"t": at, "text": version} for at, version in self.deployments()],
        }

    def budget(self, slo_id: str) -> list[float | None]:
        """Return what was left of an objective's budget at each point."""
        return self._past(_BUDGETS, slo_id)

    def deployments(self) -> list[tuple[float, str]]:
        """Return when which version was there first, in Unix seconds; what was there from the first point on came earlier."""
        found, seen = [], set(self._values[0][_VERSIONS]) if self._values else set()
        for at, values in zip(self._times, self._values, strict=True):
            new = values[_VERSIONS].keys() - seen
            seen |= new
            found += [(self._unix(at), version) for version in sorted(new)]
        return found[-_MARKERS:]

    def markers(self) -> list[tuple[float, str]]:
        """Return how far from the left of the charts each version came, from 0 to 1."""
        if not self._times:
            return []
        first, last = self._unix(self._times[0]), self._unix(self._times[-1])
        return [((at - first) / max(self._step, last - first), version) for at, version in self.deployments()]

    def _past(self, chart: str, name: str) -> list[float | None]:
        return [_digits(values[chart].get(name)) for values in self._values]

    @property
    def _now(self) -> float:
        return self._rel.signals.last_tick.monotonic

    def _unix(self, at: float) -> float:
        return round(at + self._rel.signals.source.epoch, 1)

    def _ask(self, at: float) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {chart.id: {} for chart in self.charts}
        for chart, name, query in self._queries:
            result = query(at)
            if not isinstance(result, promql.Vector):
                continue
            for labels, value in zip(result.labels, result.values, strict=True):
                if math.isfinite(value):
                    found[chart.id][dict(labels).get(chart.by, "") if chart.by else name] = value
        for chart in self.charts:
            if chart.unit == "heat":
                found[chart.id] = _apart(found[chart.id])
        return found


def _apart(cumulative: Mapping[str, float]) -> dict[str, float]:
    """What each bucket alone counts; the buckets of a histogram count what is below, too."""
    found, below = {}, 0.0
    for bound in sorted(cumulative, key=float):
        found[bound] = max(0.0, cumulative[bound] - below)
        below = cumulative[bound]
    return found


def _used(rows: dict[str, list[float | None]]) -> dict[str, list[float | None]]:
    """The buckets from the lowest to the highest in which anything was."""
    bounds = sorted(rows, key=float)
    used = [at for at, bound in enumerate(bounds) if any(rows[bound])]
    return {bound: rows[bound] for bound in bounds[used[0] : used[-1] + 1]} if used else {}


def _rounded(values: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    return {chart: {name: _digits(value) for name, value in each.items()} for chart, each in values.items()}


def _digits(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def quoted(text: str) -> str:
    """A string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'

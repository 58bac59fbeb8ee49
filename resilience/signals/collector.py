"""Figures observed by name, and what they come to over any window: count, rate, mean, extremes, percentiles."""

from __future__ import annotations

import math
import sys
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from resilience.core.options import named_options
from resilience.core.ports import Labels, Matcher
from resilience.core.validate import number, shown
from resilience.errors import ConfigError
from resilience.signals.extremes import Extremes
from resilience.signals.instruments import Histogram, HistogramSeries
from resilience.signals.registry import InstrumentRegistry

__all__ = ["FINE_BUCKETS", "AggregatedMetrics", "MetricsCollector", "PerformanceMetrics"]

# ISO 3's R10 preferred numbers: a percentile that is interpolated in one is off by a quarter of itself at most.
FINE_BUCKETS = tuple(
    float(f"{digits}e{power}")
    for power in range(-3, 4)
    for digits in (1, 1.25, 1.6, 2, 2.5, 3.15, 4, 5, 6.3, 8)
)

_PRUNE_FROM = 1000  # label sets; series that were dropped meanwhile are forgotten then


@dataclass(frozen=True, slots=True)
class PerformanceMetrics:
    """What was observed in one window; everything but `count` and `rate` is NaN when nothing was.

    Args:
        labels: of the series, or what several have in common.
        window: seconds.
        count: observations.
        rate: observations per second.
        mean: their mean.
        min: the smallest, give or take what lies within a step of the window's beginning.
        max: the largest, likewise.
        p50: the median; this and the other percentiles are interpolated within a bucket, as PromQL's
            `histogram_quantile` does, and never beyond `min` and `max`.
        p90: nine tenths are not above it.
        p95: 19 in 20 are not above it.
        p99: 99 in 100 are not above it.
    """

    labels: Mapping[str, str]
    window: float
    count: int
    rate: float
    mean: float
    min: float
    max: float
    p50: float
    p90: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class AggregatedMetrics:
    """One figure over one window: all label sets `merged`, and each by itself."""

    name: str
    window: float
    merged: PerformanceMetrics
    by_labels: tuple[PerformanceMetrics, ...]


@named_options
class MetricsCollector:
    """Takes figures by name and labels, and answers what they came to.

    Each name is a histogram of the signals, so rules and exporters see it too.

    Args:
        signals: where to.
        buckets: upper bounds of the histograms that it declares; default ten to the decade from 0.001 to 8000.

    Example:
        >>> collector = MetricsCollector(InstrumentRegistry())
        >>> for value in (0.2, 0.3, 0.4):
        ...     collector.observe("ttfa_seconds", value, model="small")
        >>> merged = collector.aggregate("ttfa_seconds", window=300).merged
        >>> merged.count, round(merged.mean, 3), merged.min, merged.max
        (3, 0.3, 0.2, 0.4)
    """

    def __init__(self, signals: InstrumentRegistry, *, buckets: Sequence[float] = FINE_BUCKETS) -> None:
        self._signals = signals
        self._buckets = tuple(buckets)
        self._extremes: dict[HistogramSeries, Extremes] = {}
        self._prune_at = _PRUNE_FROM

    def observe(self, name: str, value: float, /, **labels: str) -> None:
        """Take one figure.

        Args:
            name: the figure's name, with the unit at the end; the first use declares its labels.
            value: zero or more; what is not is refused and counted.
            labels: label values.

        Raises:
            ConfigError: the name has other labels, or is no histogram.
        """
        histogram = self._signals.find(name)
        if histogram is None:
            histogram = self._signals.histogram(name, labels=sorted(labels), buckets=self._buckets)
        if not isinstance(histogram, Histogram) or labels.keys() != set(histogram.labels):
            message = f"{name} is a {histogram.kind} with labels {histogram.labels}, got {tuple(labels)}"
            raise ConfigError(message)
        series = histogram[tuple(labels[label] for label in histogram.labels)]
        series.observe(value)
        if isinstance(value, int | float) and 0 <= value <= sys.float_info.max:
            now = self._signals.clock.monotonic()
            with self._signals.lock:
                self._extremes_of(series).add(now, value)

    def aggregate(self, name: str, window: float = 300.0, **labels: str) -> AggregatedMetrics:
        """Say what a histogram's observations of the last `window` seconds came to.

        Args:
            name: any histogram of these signals.
            window: seconds; beyond what the rings reach back, see `Signals.retain`.
            labels: only series with these label values.

        Raises:
            ConfigError: there is no such histogram, or the window is not above zero.
        """
        number("window", window, above=0)
        histogram = self._signals.find(name)
        if not isinstance(histogram, Histogram):
            message = f"name must be one of a histogram that is declared, got {shown(name)}"
            raise ConfigError(message)
        start = self._signals.clock.monotonic() - window
        wanted = [Matcher(label, "=", value) for label, value in labels.items()]
        sums = self._grown(f"{histogram.name}_sum", wanted, start)
        buckets = self._grown(f"{histogram.name}_bucket", wanted, start)
        size = len(histogram.buckets) + 1
        figures: list[_Figures] = []
        for place, (base, total) in enumerate(sums):
            # A series' buckets follow each other, in the order in which the series were born.
            cumulated = [count for _, count in buckets[place * size : (place + 1) * size]]
            series = histogram.get(tuple(dict(base)[label] for label in histogram.labels))
            extremes = self._extremes.get(series) if series is not None else None
            figures.append(_Figures(base, total, cumulated, extremes.since(start) if extremes else None))
        merged = _Figures(
            tuple(labels.items()),
            math.fsum(one.total for one in figures),
            [math.fsum(column) for column in zip(*(one.cumulated for one in figures), strict=True)],
            _outer([one.range(histogram.buckets) for one in figures if one.count]),
        )
        return AggregatedMetrics(
            name,
            window,
            merged.metrics(histogram.buckets, window),
            tuple(one.metrics(histogram.buckets, window) for one in figures if one.count),
        )

    def _extremes_of(self, series: HistogramSeries) -> Extremes:
        known = self._extremes.get(series)
        if known is None:
            if len(self._extremes) >= self._prune_at:
                self._extremes = {one: extremes for one, extremes in self._extremes.items() if one.series}
                self._prune_at = 2 * len(self._extremes) + _PRUNE_FROM
            known = self._extremes[series] = Extremes(self._signals.retention.rings)
        return known

    def _grown(self, name: str, matchers: Sequence[Matcher], start: float) -> list[tuple[Labels, float]]:
        source = self._signals.source
        selection = source.select([Matcher("__name__", "=", name), *matchers])
        return list(zip(selection.labels, source.grown(selection, start), strict=True))


@dataclass(frozen=True, slots=True)
class _Figures:
    """What one window holds: the sum, the cumulated bucket counts, and the extremes where they are known."""

    labels: Labels
    total: float
    cumulated: Sequence[float]
    known_range: tuple[float, float] | None

    @property
    def count(self) -> float:
        return self.cumulated[-1] if self.cumulated else 0.0

    def range(self, bounds: Sequence[float]) -> tuple[float, float]:
        """The extremes, or the bounds of the outermost buckets that hold anything."""
        if self.known_range is not None:
            return self.known_range
        first = bisect_left(self.cumulated, 1e-9)
        last = bisect_left(self.cumulated, self.count - 1e-9)
        return (bounds[first - 1] if first else 0.0), bounds[min(last, len(bounds) - 1)]

    def metrics(self, bounds: Sequence[float], window: float) -> PerformanceMetrics:
        labels = {label: value for label, value in self.labels if label != "__name__"}
        count = self.count
        if count <= 0:
            return PerformanceMetrics(labels, window, 0, 0.0, *(math.nan,) * 7)
        low, high = self.range(bounds)

        def percentile(share: float) -> float:
            rank = share * count
            place = bisect_left(self.cumulated, rank)
            if place >= len(bounds):
                return high
            begin = bounds[place - 1] if place else 0.0
            before = self.cumulated[place - 1] if place else 0.0
            inside = (rank - before) / (self.cumulated[place] - before)
            return min(max(begin + (bounds[place] - begin) * inside, low), high)

        return PerformanceMetrics(
            labels,
            window,
            round(count),
            count / window,
            self.total / count,
            low,
            high,
            percentile(0.5),
            percentile(0.9),
            percentile(0.95),
            percentile(0.99),
        )


def _outer(ranges: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    """The smallest beginning and the largest end."""
    found = list(ranges)
    if not found:
        return None
    return min(low for low, _ in found), max(high for _, high in found)

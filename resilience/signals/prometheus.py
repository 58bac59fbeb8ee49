"""A `prometheus_client` registry, sampled along with the tick: rules see what the application has already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from resilience.core.clock import Instant
from resilience.core.ports import Labels
from resilience.core.validate import number
from resilience.errors import MissingExtra
from resilience.signals.registry import InstrumentRegistry

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

__all__ = ["RegistrySampler"]

_GROWING = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
}


class RegistrySampler:
    """Copies the metrics of a registry into the signals; names that the signals have themselves are left alone.

    A counter's growth shows from the second sampling on: what it counted before the first, nobody knows when.

    Args:
        signals: where to.
        registry: whose metrics; prometheus_client's global one when not given.
        interval: seconds between samplings, default 5: a registry is read as a whole, which takes its time.

    Raises:
        ConfigError: `interval` is not above zero.
        MissingExtra: prometheus_client is not installed.

    Example:
        >>> from prometheus_client import CollectorRegistry, Gauge
        >>> from resilience.core.clock import ManualClock
        >>> from resilience.core.ports import Matcher
        >>> registry, clock = CollectorRegistry(), ManualClock()
        >>> Gauge("queue_depth", "Jobs waiting.", registry=registry).set(3)
        >>> signals = InstrumentRegistry(clock)
        >>> sampler = RegistrySampler(signals, registry)
        >>> clock.shift(1); signals.tick(clock.now())
        >>> depth = signals.source.select([Matcher("__name__", "=", "queue_depth")])
        >>> signals.source.at(depth, clock.monotonic(), 300)[1]
        (3.0,)
    """

    def __init__(
        self, signals: InstrumentRegistry, registry: Collector | None = None, *, interval: float = 5.0
    ) -> None:
        if registry is None:
            try:
                from prometheus_client import REGISTRY  # noqa: PLC0415  an extra
            except ImportError:
                raise MissingExtra("prometheus_client", "prometheus") from None
            registry = REGISTRY
        self._signals = signals
        self._registry = registry
        self._interval = number("interval", interval, above=0)
        self._due = float("-inf")
        self._owner = f"prometheus_client {id(registry)}"
        signals.on_tick(self._sample)

    def _sample(self, now: Instant) -> None:
        if now.monotonic < self._due:
            return
        self._due = now.monotonic + self._interval
        counters: list[tuple[Labels, float]] = []
        others: list[tuple[Labels, float]] = []
        for family in self._registry.collect():
            if self._signals.declares(family.name) or self._signals.declares(f"{family.name}_total"):
                continue
            growing = _GROWING.get(family.type, ())
            for sample in family.samples:
                if sample.name.endswith("_created"):
                    continue
                labels = self._signals.labelled((("__name__", sample.name), *sample.labels.items()))
                kind = counters if growing and sample.name.endswith(growing) else others
                kind.append((labels, float(sample.value)))
        self._signals.counted_elsewhere.write(self._owner, now.monotonic, counters)
        self._signals.write(self._owner, now.monotonic, others)

"""What a Prometheus server scrapes: the signals as a custom Collector of prometheus_client.

The hot path never touches prometheus_client, whose `labels(...).inc()` costs a microsecond and more; a scrape reads the
cumulative figures where they lie.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from resilience.core.external_labels import NO_LABELS, ExternalLabels
from resilience.errors import MissingExtra
from resilience.signals import Family, Signals

try:
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector
except ImportError as _error:
    raise MissingExtra("prometheus_client", "prometheus") from _error

__all__ = ["SignalsCollector", "render"]

_BAD_VERSION: Final = re.compile(r"version=(?![0-9]{1,4}(?:\.[0-9]{1,4}){0,3}[ \t]*(?:[;,]|$))")
_SUFFIXES = {"counter": "_total", "info": "_info"}


class SignalsCollector(Collector):
    """The instruments of a `Signals` as metric families of prometheus_client.

    Args:
        signals: what is shown.
        external: labels for series that lack them.

    Example:
        >>> signals = Signals()
        >>> signals.counter("orders_total", "Orders taken.").bind().inc(3)
        >>> registry = CollectorRegistry()
        >>> registry.register(SignalsCollector(signals))
        >>> registry.get_sample_value("orders_total")
        3.0
    """

    def __init__(self, signals: Signals, external: ExternalLabels = NO_LABELS) -> None:
        self._signals = signals
        self._external = external

    def describe(self) -> Iterable[Metric]:
        """Nothing: instruments are declared as the service goes on, and are read at each scrape."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Read every instrument once."""
        for family in self._signals.collect():
            if family.samples:
                yield _metric(family, self._external)


def render(registries: Iterable[Collector], accept: str = "") -> tuple[bytes, str]:
    """Write metrics in the format that a scraper accepts.

    Args:
        registries: collectors and registries; each is asked once.
        accept: the request's `Accept` header; OpenMetrics where it asks for it, else Prometheus' text.

    Returns:
        the body, and its content type.
    """
    # prometheus_client fails on such a version, and repeats it in its answer.
    encode, content_type = choose_encoder("" if _BAD_VERSION.search(accept) else accept)
    return encode(_Joined(registries)), content_type


class _Joined(CollectorRegistry):
    """Several registries as one; the first to show a name has it, since a scrape with a name twice is refused."""

    def __init__(self, registries: Iterable[Collector]) -> None:
        super().__init__(auto_describe=False)
        self._registries = tuple(registries)

    def collect(self) -> Iterator[Metric]:
        seen: set[str] = set()
        for registry in self._registries:
            for metric in registry.collect():
                if metric.name not in seen:
                    seen.add(metric.name)
                    yield metric


def _metric(family: Family, external: ExternalLabels) -> Metric:
    kind, name = family.kind, family.name
    if suffix := _SUFFIXES.get(kind):
        # prometheus_client names such a family without the suffix that its samples must carry.
        kind, name = (kind, name.removesuffix(suffix)) if name.endswith(suffix) else ("unknown", name)
    metric = Metric(name, family.help or family.name, kind)
    for sample_name, labels, value in family.samples:
        metric.add_sample(sample_name, dict(external.of(dict(labels))), value)
    return metric

"""Metrics of configuration reloads, by the names that Prometheus servers give theirs."""

from __future__ import annotations

from typing import Any

from resilience.reload import Reload, Reloader
from resilience.signals import Signals

__all__ = ["record_reloads"]


def record_reloads(reloader: Reloader[Any], signals: Signals) -> None:
    """Record every reload; the configuration that a service starts with counts as the first.

    Signals: `reliability_config_last_reload_successful` (1 or 0) and
    `reliability_config_last_reload_success_timestamp_seconds` (Unix seconds).

    Args:
        reloader: reports each reload.
        signals: where the two gauges are declared.
    """
    successful = signals.gauge(
        "reliability_config_last_reload_successful", "1 if the last reload of the configuration succeeded."
    ).bind()
    timestamp = signals.gauge(
        "reliability_config_last_reload_success_timestamp_seconds",
        "Unix time of the last successful reload of the configuration.",
    ).bind()

    def record(reload: Reload) -> None:
        successful.set(float(reload.error is None))
        if reload.error is None:
            timestamp.set(reload.at)

    record(Reload(signals.clock.time()))
    reloader.events.subscribe(record)

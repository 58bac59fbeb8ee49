"""What looks at the service from outside: its probes, by the signals that they write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from resilience_middleware.console.look import Look

__all__ = ["probes"]

_MOST: Final = 100


def probes(look: Look) -> Mapping[str, Any]:
    """Say how each probe went last, and how long it took."""
    watch = look.watch
    prefix = watch.rel.signals.prefix
    took = {_key(labels): value for labels, value in watch.ask(f"{prefix}probe_duration_seconds")}
    found = [
        {
            "check": labels.get("check", ""),
            "location": labels.get("location", ""),
            "status": "healthy" if value >= 1 else "unhealthy",
            "took": took.get(_key(labels)),
        }
        for labels, value in watch.ask(f"{prefix}probe_success")
        if look.view.covers(labels.get("service", watch.rel.service))
    ]
    found.sort(key=lambda each: (each["status"] == "healthy", each["check"], each["location"]))
    return {"probes": found[:_MOST], "left_out": max(0, len(found) - _MOST), "worker": watch.worker}


def _key(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset((name, value) for name, value in labels.items() if name != "__name__")

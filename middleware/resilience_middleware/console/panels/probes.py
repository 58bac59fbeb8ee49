"""What looks at the service from outside: its probes, by the signals that they write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from resilience_middleware.console.look import Look, Room

__all__ = ["probes", "seen", "series"]

_SHOWN: Final = 10  # beside the other panels


def probes(look: Look) -> Mapping[str, Any]:
    """Say how each probe went last, and how long it took."""
    watch, room = look.watch, Room(look)
    durations = watch.ask(f"{watch.rel.signals.prefix}probe_duration_seconds")
    took = {series(labels): value for labels, value in durations}
    found = [
        {
            "check": labels.get("check", ""),
            "location": labels.get("location", ""),
            "status": "healthy" if value >= 1 else "unhealthy",
            "took": took.get(series(labels)),
        }
        for labels, value in seen(look)
    ]
    found.sort(key=lambda each: (each["status"] == "healthy", each["check"], each["location"]))
    return {"probes": room.cut("probes", found, _SHOWN), "worker": watch.worker, **room.told}


def seen(look: Look) -> list[tuple[dict[str, str], float]]:
    """Return the labels of every probe of the service that is looked at, and whether it succeeded: 1 or 0."""
    watch = look.watch
    found = watch.ask(f"{watch.rel.signals.prefix}probe_success")
    return [each for each in found if look.view.covers(each[0].get("service", watch.rel.service))]


def series(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return what tells a probe from others, whichever of its signals the labels are from."""
    return frozenset((name, value) for name, value in labels.items() if name != "__name__")

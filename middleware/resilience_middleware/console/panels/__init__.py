"""The panels: each says as plain data what it shows, and a template of its name shows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final, TypeAlias

from resilience_middleware.console.look import Look
from resilience_middleware.console.panels.alerts import alerts
from resilience_middleware.console.panels.events import events
from resilience_middleware.console.panels.health import health
from resilience_middleware.console.panels.overall import overall
from resilience_middleware.console.panels.policies import policies
from resilience_middleware.console.panels.probes import probes
from resilience_middleware.console.panels.slos import slos

__all__ = ["PANELS", "Panel", "read_panels"]

Panel: TypeAlias = Callable[[Look], Mapping[str, Any]]

PANELS: Final[Mapping[str, Panel]] = {
    "overall": overall,
    "alerts": alerts,
    "slos": slos,
    "policies": policies,
    "health": health,
    "probes": probes,
    "events": events,
}
"""All panels by name."""


async def read_panels(look: Look) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name and the data of each panel that a view shows; the event loop has its turn before each."""
    look = look.with_alerts()
    for name, panel in PANELS.items():
        if look.view.shows(name):
            await asyncio.sleep(0)
            yield name, panel(look)

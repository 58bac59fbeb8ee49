"""The panels of the console, with many objectives and many alerts."""

from __future__ import annotations

import time

from growth.alerts import service, silence
from growth.harness import Cost, Stretches, curve, uncollected
from resilience import Reliability
from resilience.core.clock import ManualClock
from resilience_middleware.console.hub import Hub
from resilience_middleware.console.render import Renderer
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

ROUNDS = 5


@curve("panels of objectives", 4, stretch=0.005)
async def panels_of_objectives(size: int) -> Cost:
    """The page that shows all panels, beside as many objectives, after each of a few ticks."""
    rel, clock = service(0, slos=size)
    await rel._restore()
    return await shown(rel, clock)


@curve("panels of alerts", 20, stretch=0.005)
async def panels_of_alerts(size: int) -> Cost:
    """The page that shows all panels, beside as many firing alerts and 500 silences."""
    rel, clock = service(size)
    await rel._restore()
    silence(rel, clock)
    return await shown(rel, clock)


async def shown(rel: Reliability, clock: ManualClock) -> Cost:
    hub = Hub(rel, Watch(rel), Renderer())
    for _ in range(3):
        clock.shift(1)
        await rel.tick()
    await hub.show(View())  # templates are compiled at the first page
    stretches, seconds = Stretches(), 0.0
    with uncollected():
        for _ in range(ROUNDS):
            clock.shift(1)
            await rel.tick()
            began = time.process_time()
            await stretches.of(hub.show(View()))
            seconds += time.process_time() - began
    return Cost(seconds / ROUNDS, stretches.longest)

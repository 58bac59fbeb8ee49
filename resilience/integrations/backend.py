"""Objectives that a Prometheus judges: its figures, again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.ports import Clock
from resilience.core.validate import number
from resilience.errors import IntegrationError, QueryError
from resilience.slo.figures import Figures
from resilience.slo.measure import Weighted
from resilience.slo.objective import SLO

__all__ = ["FiguresSource", "PrometheusBackend"]


class FiguresSource(Protocol):
    """Who has figures: a `PrometheusIntegration`."""

    async def figures(self, slo: SLO) -> Figures:
        """Count the events of an objective."""

    async def close(self) -> None:
        """Close the connections."""


class PrometheusBackend:
    """Hands the figures of objectives whose backend is `prometheus` to who judges them.

    While the server cannot be asked, the last figures stand.

    Args:
        source: the server.
        slos: the objectives as they are now; those of another backend, and composites, are passed over.
        observe: takes an objective's id and figures: `SLOManager.observe`.
        interval: seconds between looks, above 0; 60 by default.
        clock: where time comes from.

    Raises:
        ConfigError: the interval is not above 0.
    """

    def __init__(
        self,
        source: FiguresSource,
        slos: Callable[[], Iterable[SLO]],
        observe: Callable[[str, Figures], object],
        *,
        interval: float = 60.0,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._source = source
        self._slos = slos
        self._observe = observe
        self._interval = number("interval", interval, above=0)
        self._clock = clock

    async def run(self) -> None:
        """Look for ever; cancel it to stop."""
        try:
            while True:
                await self.look()
                await self._clock.sleep(self._interval)
        finally:
            await self._source.close()

    async def look(self) -> None:
        """Ask for the figures of each objective once."""
        for slo in list(self._slos()):
            if slo.backend != "prometheus" or isinstance(slo.measure, Weighted):
                continue
            try:
                self._observe(slo.id, await self._source.figures(slo))
            except (IntegrationError, QueryError) as error:
                log(__name__).warning("figures_missing", slo=slo.id, error=str(error))

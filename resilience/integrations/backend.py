"""Objectives that a Prometheus judges: its figures, again and again."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Protocol

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.log import log
from resilience.core.ports import Clock
from resilience.core.validate import number
from resilience.errors import ResilienceError
from resilience.slo.figures import Figures
from resilience.slo.ledger import Bucket, Ledger
from resilience.slo.measure import Weighted
from resilience.slo.objective import SLO

__all__ = ["FiguresSource", "PrometheusBackend"]


class FiguresSource(Protocol):
    """Who has figures: a `PrometheusIntegration`."""

    async def figures(self, slo: SLO) -> Figures:
        """Count the events of an objective."""

    async def history(self, slo: SLO, *, start: float, end: float, step: float) -> list[Bucket]:
        """Count them step by step."""

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
        self._histories: dict[str, tuple[float, list[Bucket]]] = {}

    async def run(self) -> None:
        """Look for ever; cancel it to stop."""
        try:
            while True:
                await self.look()
                await self._clock.sleep(self._interval)
        finally:
            await self._source.close()

    async def look(self) -> None:
        """Query the figures of each objective once.

        Raises:
            ExceptionGroup: the unforeseen errors of some objectives; the others have their figures.
        """
        unforeseen = []
        for slo in list(self._slos()):
            if slo.backend != "prometheus" or isinstance(slo.measure, Weighted):
                continue
            try:
                figures = await self._source.figures(slo)
                self._observe(slo.id, replace(figures, history=await self._history(slo)))
            except ResilienceError as error:
                log(__name__).warning("figures_missing", slo=slo.id, error=str(error))
            except Exception as error:  # noqa: BLE001  one objective must not keep the others from their figures
                unforeseen.append(error)
        if unforeseen:
            raise ExceptionGroup("figures", unforeseen)

    async def _history(self, slo: SLO) -> list[Bucket]:
        """What was counted bucket by bucket, asked for once in a bucket's time."""
        due, history = self._histories.get(slo.id, (-math.inf, []))
        now = self._clock.monotonic()
        if now >= due:
            step, end = Ledger(slo.reach).step, self._clock.time()
            start = end - slo.window if slo.calendar is None else slo.calendar.around(end)[0]
            try:
                history = await self._source.history(slo, start=min(start, end - step), end=end, step=step)
            except ResilienceError as error:
                log(__name__).warning("history_missing", slo=slo.id, error=str(error))
            self._histories[slo.id] = now + step, history
        return history

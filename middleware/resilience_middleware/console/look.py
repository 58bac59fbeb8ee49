"""What a panel is made of: who is watched, what of it somebody wants to see, and what it was like until now."""

from __future__ import annotations

from typing import NamedTuple

from resilience_middleware.console.charts import Charts
from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

__all__ = ["Look"]


class Look(NamedTuple):
    """One look at a service."""

    watch: Watch
    view: View
    charts: Charts

    @property
    def own(self) -> bool:
        """Whether what this worker itself has (policies, checks) is wanted: it all belongs to the worker's service."""
        return self.view.covers(self.watch.rel.service)

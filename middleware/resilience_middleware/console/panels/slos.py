"""The objectives: what was promised, what was kept, what is left and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from resilience.core.duration import format_duration
from resilience.core.humanize import exhausted_in
from resilience.slo import SLO
from resilience_middleware.console.look import Look, Room

__all__ = ["slos"]

_WORST: Final = {"breached": 0, "at_risk": 1}
_SHOWN: Final = 15  # beside the other panels


def slos(look: Look) -> Mapping[str, Any]:
    """Say how each objective stands, the worst first."""
    manager, room = look.watch.rel.slos, Room(look)
    standings = manager.standings()
    found = sorted(
        (slo for slo in manager.slos.values() if look.view.covers(slo.service)),
        key=lambda slo: _WORST.get(standings[slo.id], len(_WORST)),
    )
    return {
        "slos": [_row(look, slo) for slo in room.cut("slos", found, _SHOWN)],
        "worker": look.watch.worker,
        **room.told,
    }


def _row(look: Look, slo: SLO) -> dict[str, Any]:
    manager = look.watch.rel.slos
    budget = manager.error_budget(slo.id)
    status = manager.status(slo.id)
    left = budget.time_to_exhaustion()
    remaining = None if budget.remaining is None else float(budget.remaining)
    return {
        "id": slo.id,
        "name": slo.name,
        "service": slo.service,
        "owner": slo.owner,
        "runbook": slo.runbook,
        "period": format_duration(slo.window),
        "status": status.status,
        "target": float(status.target),
        "actual": None if status.current is None else float(status.current),
        "remaining": remaining,
        "course": [*look.charts.budget(slo.id), remaining],
        "budget_status": budget.status,
        "exhausted_in": exhausted_in(None if left is None else float(left), budget.status),
        "burn_rates": [
            {
                "name": each.alert.name,
                "window": format_duration(each.alert.window),
                "rate": None if each.long is None else float(each.long),
                "factor": float(each.alert.factor),
                "firing": each.firing,
            }
            for each in manager.check_burn_rate_alerts(slo.id)
        ],
    }

"""The checks, as they were last seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from resilience.core.ports import Status
from resilience_middleware.console.look import Look, Room

__all__ = ["health"]

_SHOWN: Final = 10  # beside the other panels
_WORST: Final = {Status.UNHEALTHY: 0, Status.UNKNOWN: 1, Status.DEGRADED: 2}


def health(look: Look) -> Mapping[str, Any]:
    """Say how the checks of this worker were when somebody looked last, the worst first."""
    report, room = look.watch.health, Room(look)
    checks = [] if report is None or not look.own else list(report.checks.items())
    checks.sort(key=lambda each: _WORST.get(each[1].status, len(_WORST)))
    return {
        "overall": None if report is None else report.overall.value,
        "checks": [
            {
                "name": name,
                "status": check.status.value,
                "detail": check.detail,
                "latency": check.latency,
                "checked": check.checked,
                "critical": check.critical,
            }
            for name, check in room.cut("checks", checks, _SHOWN)
        ],
        "own": look.own,
        "worker": look.watch.worker,
        **room.told,
    }

"""The checks, as they were last seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience_middleware.console.look import Look

__all__ = ["health"]


def health(look: Look) -> Mapping[str, Any]:
    """Say how the checks of this worker were when somebody looked last."""
    report = look.watch.health
    return {
        "overall": None if report is None else report.overall.value,
        "checks": []
        if report is None or not look.own
        else [
            {
                "name": name,
                "status": check.status.value,
                "detail": check.detail,
                "latency": check.latency,
                "checked": check.checked,
                "critical": check.critical,
            }
            for name, check in report.checks.items()
        ],
        "own": look.own,
        "worker": look.watch.worker,
    }

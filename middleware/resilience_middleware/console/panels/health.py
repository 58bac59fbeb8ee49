"""The checks, as they were last seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

__all__ = ["health"]


def health(watch: Watch, view: View) -> Mapping[str, Any]:  # noqa: ARG001  checks are of this worker
    """Say how the checks of this worker were when somebody looked last."""
    report = watch.health
    return {
        "overall": None if report is None else report.overall.value,
        "checks": []
        if report is None
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
        "worker": watch.worker,
    }

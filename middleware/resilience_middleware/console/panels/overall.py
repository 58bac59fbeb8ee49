"""The first line: is something wrong, and does somebody know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resilience_middleware.console.view import View
from resilience_middleware.console.watch import Watch

__all__ = ["overall"]


def overall(watch: Watch, view: View) -> Mapping[str, Any]:
    """Say how the service is, and who is paged."""
    rel = watch.rel
    firing = [
        each for each in rel.alerts.active_alerts(service=view.service or None) if each.silenced_by is None
    ]
    critical = [each for each in firing if each.alert.labels.get("severity") in {"critical", "page"}]
    statuses = {
        slo_id: rel.slos.status(slo_id).status
        for slo_id, slo in rel.slos.slos.items()
        if view.service in {"", slo.service}
    }
    missed = [slo_id for slo_id, status in statuses.items() if status in {"breached", "at_risk"}]
    failures = rel.rules.failures()
    if critical or any(statuses[slo_id] == "breached" for slo_id in missed):
        level = "critical"
    elif firing or missed or failures or not rel.ready:
        level = "warning"
    else:
        level = "good"
    return {
        "service": rel.service,
        "level": level,
        "headline": _headline(len(firing), len(missed), ready=rel.ready),
        "paged": sorted({channel for each in firing for channel in each.told}),
        "acknowledged": sorted({each.alert.acknowledged_by for each in firing if each.alert.acknowledged_by}),
        "failures": [{"group": group, "rule": rule, "error": error} for group, rule, error in failures],
        "missing": rel.describe()["not"],
        "worker": watch.worker,
    }


def _headline(firing: int, missed: int, *, ready: bool) -> str:
    found = []
    if firing:
        found.append("1 alert fires" if firing == 1 else f"{firing} alerts fire")
    if missed:
        found.append(
            "1 objective is missed or at risk"
            if missed == 1
            else f"{missed} objectives are missed or at risk"
        )
    if not ready:
        found.append("takes no requests: it starts or stops")
    return "; ".join(found) or "All is well"

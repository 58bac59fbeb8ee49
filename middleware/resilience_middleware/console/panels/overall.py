"""The first line: is something wrong, and does somebody know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from resilience.alerting.active import states_in_words
from resilience.reliability import Reliability
from resilience_middleware.console.look import Look

__all__ = ["overall"]

_MISSED_TICKS: Final = 5
_FEW: Final = 5  # failing rules and people that are named
_SLACK: Final = 3.0  # seconds: a machine under load is late, and nothing is wrong with the tick


def overall(look: Look) -> Mapping[str, Any]:
    """Say how the service is, and who is paged."""
    rel, view = look.watch.rel, look.view
    active = look.alerts
    firing = [each for each in active if each.state == "firing"]
    muted = states_in_words(each.state for each in active if each.state != "firing")
    critical = [each for each in firing if each.alert.labels.get("severity") in {"critical", "page"}]
    statuses = {
        slo_id: status
        for slo_id, status in rel.slos.standings().items()
        if view.covers(rel.slos.slos[slo_id].service)
    }
    missed = [slo_id for slo_id, status in statuses.items() if status in {"breached", "at_risk"}]
    failures = rel.rules.failures()
    stands_since = _stands_since(rel)
    failed = _failed_ticks(look)
    reload_error = None if rel.reloader.last is None else rel.reloader.last.error
    if (
        critical
        or failed
        or stands_since is not None
        or any(statuses[slo_id] == "breached" for slo_id in missed)
    ):
        level = "critical"
    elif firing or missed or failures or reload_error is not None or not rel.ready:
        level = "warning"
    else:
        level = "good"
    return {
        "service": rel.service,
        "level": level,
        "firing": len(firing),
        "missed": len(missed),
        "headline": _headline(
            len(firing), len(missed), muted=muted, ready=rel.ready, ticks=not failed and stands_since is None
        ),
        "paged": sorted({channel for each in firing for channel in each.told}),
        "acknowledged": sorted({each.alert.acknowledged_by for each in firing if each.alert.acknowledged_by})[
            :_FEW
        ],
        "failures": [
            {"group": group, "rule": rule, "error": error} for group, rule, error in failures[:_FEW]
        ],
        "more_failures": max(0, len(failures) - _FEW),
        "reload_error": reload_error,
        "missing": rel.describe()["not"],
        "stands_since": stands_since,
        "failed_ticks": failed,
        "worker": look.watch.worker,
    }


def _stands_since(rel: Reliability) -> float | None:
    """When the figures were last brought up to date, in Unix seconds; None while they are."""
    last = rel.signals.last_tick
    late = rel.clock.monotonic() - last.monotonic
    return last.wall if rel.running and late > _MISSED_TICKS * rel.interval + _SLACK else None


def _failed_ticks(look: Look) -> int:
    """How many ticks of the last minute failed; the signal is counted up to a fraction."""
    name = f"{look.watch.rel.signals.prefix}resilience_tick_failures_total"
    return round(sum(value for _, value in look.watch.ask(f"increase({name}[1m])")))


def _headline(firing: int, missed: int, *, muted: str, ready: bool, ticks: bool) -> str:
    found = []
    if not ticks:
        found.append("Nothing is judged any more")
    if firing:
        found.append(
            ("1 alert fires" if firing == 1 else f"{firing:,} alerts fire") + (muted and f" ({muted})")
        )
    if missed:
        found.append(
            "1 objective is missed or at risk"
            if missed == 1
            else f"{missed} objectives are missed or at risk"
        )
    if not ready:
        found.append("takes no requests: it starts or stops")
    if muted and not firing:
        found.append(f"alerts: {muted}")
    return "; ".join(found) or "All is well"

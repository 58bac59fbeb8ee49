"""Objectives as plain data, as the endpoints and the CLI show them."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from resilience.core.duration import format_duration
from resilience.rules import Alert
from resilience.slo.budget import Forecast
from resilience.slo.budget_actions import InForce
from resilience.slo.figures import BurnRateState
from resilience.slo.ledger import Bucket
from resilience.slo.manager import SLOManager
from resilience.slo.objective import SLO

__all__ = ["plain_action", "plain_history", "plain_slo", "plain_slos"]


def plain_slos(manager: SLOManager, slos: Iterable[SLO]) -> list[dict[str, Any]]:
    """Return objectives with their budgets and alerts; ratios are 0 to 1, durations are seconds.

    Args:
        manager: the manager that judges them.
        slos: objectives of the manager.
    """
    firing = manager.alerts_by_slo()
    return [_plain(manager, slo, firing.get(slo.id, ())) for slo in slos]


def plain_slo(manager: SLOManager, slo: SLO) -> dict[str, Any]:
    """Return one objective; see `plain_slos`."""
    return plain_slos(manager, (slo,))[0]


def _plain(manager: SLOManager, slo: SLO, firing: Iterable[Alert]) -> dict[str, Any]:
    budget, status = manager.error_budget(slo.id), manager.status(slo.id)
    return {
        "id": slo.id,
        "name": slo.name,
        "service": slo.service,
        "owner": slo.owner or None,
        "tier": slo.tier,
        "indicator": slo.sli.kind,
        "target": float(status.target),
        "window": slo.window,
        "calendar": None if slo.calendar is None else slo.calendar.unit,
        "status": status.status,
        "current": _figure(status.current),
        "budget": {
            "status": budget.status,
            "conclusive": slo.conclusive(budget.bad, budget.total),
            "bad": float(budget.bad),
            "total": float(budget.total),
            "allowed": float(budget.allowed),
            "consumed": _figure(budget.consumed),
            "remaining": _figure(budget.remaining),
            "burn_rates": {
                format_duration(window): _figure(rate) for window, rate in budget.burn_rates.items()
            },
            "burn_rates_unknown": {
                format_duration(window): reason for window, reason in budget.unknown.items()
            },
            "time_to_exhaustion": _figure(budget.time_to_exhaustion()),
            "forecast": None if budget.forecast is None else _forecast(budget.forecast),
        },
        "burn_rate_alerts": [_state(each) for each in manager.check_burn_rate_alerts(slo.id)],
        "firing": [
            {"id": alert.fingerprint, "labels": dict(alert.labels), "annotations": dict(alert.annotations)}
            for alert in firing
            if alert.labels.get("service") == slo.service
        ],
    }


def plain_action(action: InForce) -> dict[str, Any]:
    """One action of an error budget policy that is in force, since when (Unix seconds), and why."""
    consequence = action.consequence
    return {
        "action": consequence.action,
        "condition": consequence.condition,
        "slo": consequence.slo,
        "remaining": float(consequence.remaining),
        "since": action.since,
    }


def plain_history(buckets: Iterable[Bucket], step: float) -> dict[str, Any]:
    """What was counted: the beginning of each stretch of `step` seconds in Unix time, bad events, all events."""
    return {"step": step, "buckets": [[each.start, each.bad, each.total] for each in buckets]}


def _state(state: BurnRateState) -> dict[str, Any]:
    alert = state.alert
    return {
        "name": alert.name,
        "severity": alert.severity,
        "factor": float(alert.factor),
        "window": alert.window,
        "short_window": alert.short_window,
        "burn_rate": _figure(state.long),
        "short_burn_rate": _figure(state.short),
        "firing": state.firing,
    }


def _forecast(forecast: Forecast) -> dict[str, Any]:
    return {
        "window": forecast.window,
        "exhaustion": _figure(forecast.exhaustion),
        "earliest": _figure(forecast.earliest),
        "latest": _figure(forecast.latest),
    }


def _figure(value: Decimal | None) -> float | None:
    return None if value is None else float(value)

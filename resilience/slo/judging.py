"""Status of an objective, and the states of its burn-rate alerts, from its error budget."""

from __future__ import annotations

from collections.abc import Container
from decimal import Decimal

from resilience.slo.budget import BudgetStatus, ErrorBudget, SLOStatus
from resilience.slo.figures import BurnRateState
from resilience.slo.objective import SLO

__all__ = ["burn_rate_states", "slo_status"]


def burn_rate_states(slo: SLO, budget: ErrorBudget, alerting: Container[str] = ()) -> list[BurnRateState]:
    """Return the state of every burn-rate alert of an objective.

    Args:
        slo: the objective.
        budget: its error budget, with the burn rates of all windows of its alerts.
        alerting: names of the alerts that are firing by their rules.
    """
    rates = budget.burn_rates
    return [
        BurnRateState(alert, rates[alert.window], rates[alert.short_window], alert.name in alerting)
        for alert in slo.burn_rates
    ]


def slo_status(slo: SLO, budget: ErrorBudget, *, burning: bool) -> SLOStatus:
    """Return the status of an objective.

    Args:
        slo: the objective.
        budget: its error budget.
        burning: True if a burn-rate alert of the objective is firing.
    """
    current, target = budget.sli, Decimal(slo.target)
    if current is None:
        word = "no_data"
    elif current < target:
        word = "breached"
    elif burning or budget.status != BudgetStatus.HEALTHY:
        word = "at_risk"
    else:
        word = "meeting"
    return SLOStatus(slo.id, current, target, word)

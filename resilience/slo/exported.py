"""Series of an error budget that a process exports, and that its rules read."""

from __future__ import annotations

from collections.abc import Iterator

from resilience.core.ports import Labels
from resilience.slo.budget import ErrorBudget
from resilience.slo.objective import SLO

__all__ = ["EXPORTED", "period_series"]

EXPORTED = ("slo_error_budget_remaining_ratio", "slo_period_events", "slo_period_bad_events")
"""Names of the series that `period_series` returns."""


def period_series(slo: SLO, budget: ErrorBudget) -> Iterator[tuple[Labels, float]]:
    """Yield the remaining ratio of a budget and the counts of its period; nothing without events.

    Args:
        slo: the objective, for the labels `slo` and `service`.
        budget: its error budget.
    """
    if (remaining := budget.remaining) is not None:
        for name, value in zip(EXPORTED, (remaining, budget.total, budget.bad), strict=True):
            yield (("__name__", name), ("service", slo.service), ("slo", slo.id)), float(value)

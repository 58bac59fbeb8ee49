"""Service level objectives and their error budgets, in exact arithmetic."""

from resilience.slo.budget import ErrorBudget
from resilience.slo.manager import SLOManager
from resilience.slo.objective import SLO

__all__ = ["SLO", "ErrorBudget", "SLOManager"]

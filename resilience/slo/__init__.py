"""Service level objectives and their error budgets, in exact arithmetic."""

from resilience.slo.alerting import Alerting, ExhaustionAlert
from resilience.slo.budget import ErrorBudget, Forecast, SLOStatus
from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.compile import compile_rules
from resilience.slo.exclusions import Exclusion
from resilience.slo.figures import BurnRateState, Figures
from resilience.slo.manager import SLOManager
from resilience.slo.objective import SLO
from resilience.slo.period import Calendar
from resilience.slo.sli import (
    Availability,
    Composite,
    Correctness,
    EventRatio,
    Freshness,
    Latency,
    Ratio,
    Threshold,
    Throughput,
    Uptime,
)

__all__ = [
    "SLO",
    "Alerting",
    "Availability",
    "BurnRateAlert",
    "BurnRateState",
    "Calendar",
    "Composite",
    "Correctness",
    "ErrorBudget",
    "EventRatio",
    "ExhaustionAlert",
    "Exclusion",
    "Figures",
    "Forecast",
    "Freshness",
    "Latency",
    "Ratio",
    "SLOManager",
    "SLOStatus",
    "Threshold",
    "Throughput",
    "Uptime",
    "compile_rules",
]

"""Whether the service and what it needs are well: checks, groups, and what follows for the whole."""

from resilience.core.ports import CheckResult, Status
from resilience.health.breakers import BreakerCheck
from resilience.health.budgets import BudgetCheck
from resilience.health.format import HEALTH_JSON, health_json, plain
from resilience.health.registry import LIVENESS, READINESS, STARTUP, HealthRegistry
from resilience.health.report import CheckReport, HealthReport, HealthTransition

__all__ = [
    "HEALTH_JSON",
    "LIVENESS",
    "READINESS",
    "STARTUP",
    "BreakerCheck",
    "BudgetCheck",
    "CheckReport",
    "CheckResult",
    "HealthRegistry",
    "HealthReport",
    "HealthTransition",
    "Status",
    "health_json",
    "plain",
]

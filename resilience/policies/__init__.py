"""The guards: one file for each policy, and what composes them."""

from resilience.core.window import CountWindow, TimeWindow
from resilience.policies.adaptive_limiter import AdaptiveLimiter
from resilience.policies.backoff import Constant, Exponential, Fibonacci, Linear
from resilience.policies.budget import RatioBudget, RetryBudget, TokenBudget
from resilience.policies.bulkhead import Bulkhead
from resilience.policies.changes import Update
from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.coalesce import Coalesce
from resilience.policies.event_log import EventLog
from resilience.policies.fallback import Fallback
from resilience.policies.fault_injection import FaultInjection
from resilience.policies.hedge import Hedge
from resilience.policies.keyed import Keyed
from resilience.policies.load_shedder import LoadShedder
from resilience.policies.outlier import OutlierEjection
from resilience.policies.pipeline import Pipeline
from resilience.policies.presets import API_CALLS, DATABASE, EXTERNAL_SERVICES, Preset
from resilience.policies.rate_limiter import RateLimiter
from resilience.policies.registry import Registry
from resilience.policies.retry import Retry
from resilience.policies.throttle import AdaptiveThrottle
from resilience.policies.timeout import Timeout

__all__ = [
    "API_CALLS",
    "DATABASE",
    "EXTERNAL_SERVICES",
    "AdaptiveLimiter",
    "AdaptiveThrottle",
    "Bulkhead",
    "CircuitBreaker",
    "Coalesce",
    "Constant",
    "CountWindow",
    "EventLog",
    "Exponential",
    "Fallback",
    "FaultInjection",
    "Fibonacci",
    "Hedge",
    "Keyed",
    "Linear",
    "LoadShedder",
    "OutlierEjection",
    "Pipeline",
    "Preset",
    "RateLimiter",
    "RatioBudget",
    "Registry",
    "Retry",
    "RetryBudget",
    "TimeWindow",
    "Timeout",
    "TokenBudget",
    "Update",
]

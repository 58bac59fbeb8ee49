"""The guards: one file for each policy."""

from resilience.policies.circuit_breaker import CircuitBreaker
from resilience.policies.pipeline import Pipeline
from resilience.policies.retry import Retry
from resilience.policies.timeout import Timeout

__all__ = ["CircuitBreaker", "Pipeline", "Retry", "Timeout"]

"""Circuit breakers as a check."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from resilience.core.ports import CheckResult, Status
from resilience.core.validate import callback
from resilience.policies.breaker_events import BreakerState
from resilience.policies.circuit_breaker import CircuitBreaker

__all__ = ["BreakerCheck"]

_REFUSING: Final = {BreakerState.OPEN, BreakerState.FORCED_OPEN}


class BreakerCheck:
    """Unhealthy while a breaker refuses calls, degraded while one tries whether it may let them through again.

    Args:
        policies: returns policies by their path; those that are no breakers are passed over: `registry.policies`.

    Raises:
        ConfigError: it is no function.

    Example:
        >>> import asyncio
        >>> pay = CircuitBreaker(name="pay")
        >>> check = BreakerCheck(lambda: [("pay", pay)])
        >>> pay.open()
        >>> asyncio.run(check.check()).detail
        'pay is open'
    """

    outside: Final = True  # a breaker opens because of what it calls

    def __init__(self, policies: Callable[[], Iterable[tuple[str, object]]]) -> None:
        self._policies = callback("policies", policies)

    async def check(self) -> CheckResult:
        """Look at every breaker."""
        states = {
            path: policy.state for path, policy in self._policies() if isinstance(policy, CircuitBreaker)
        }
        refusing = [path for path, state in states.items() if state in _REFUSING]
        trying = [path for path, state in states.items() if state is BreakerState.HALF_OPEN]
        status = Status.UNHEALTHY if refusing else Status.DEGRADED if trying else Status.HEALTHY
        detail = ", ".join(f"{path} is {states[path]}" for path in (*refusing, *trying))
        return CheckResult(status, detail, {"open": float(len(refusing)), "breakers": float(len(states))})

"""Keep asyncio services up, and know whether they are: guards, indicators, SLOs and alerts in the process.

Names are imported when they are first used, so that `import resilience` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resilience.core.verdict import Verdict
    from resilience.errors import (
        BulkheadFull,
        CircuitOpen,
        ConfigError,
        LimitReached,
        LoadShed,
        QueryError,
        RateLimited,
        Rejected,
        ResilienceError,
        TimeoutExceeded,
    )
    from resilience.policies import (
        API_CALLS,
        DATABASE,
        EXTERNAL_SERVICES,
        AdaptiveLimiter,
        AdaptiveThrottle,
        Bulkhead,
        CircuitBreaker,
        Coalesce,
        Fallback,
        FaultInjection,
        Hedge,
        Keyed,
        LoadShedder,
        OutlierEjection,
        Pipeline,
        RateLimiter,
        Registry,
        Retry,
        Timeout,
        Update,
    )
    from resilience.reliability import Reliability, default
    from resilience.rules import AlertRule
    from resilience.slo import SLO

__version__ = "0.1.0.dev0"

__all__ = [
    "API_CALLS",
    "DATABASE",
    "EXTERNAL_SERVICES",
    "SLO",
    "AdaptiveLimiter",
    "AdaptiveThrottle",
    "AlertRule",
    "Bulkhead",
    "BulkheadFull",
    "CircuitBreaker",
    "CircuitOpen",
    "Coalesce",
    "ConfigError",
    "Fallback",
    "FaultInjection",
    "Hedge",
    "Keyed",
    "LimitReached",
    "LoadShed",
    "LoadShedder",
    "OutlierEjection",
    "Pipeline",
    "QueryError",
    "RateLimited",
    "RateLimiter",
    "Registry",
    "Rejected",
    "Reliability",
    "ResilienceError",
    "Retry",
    "Timeout",
    "TimeoutExceeded",
    "Update",
    "Verdict",
    "default",
]

_HOMES = {
    "resilience.core.verdict": ("Verdict",),
    "resilience.errors": (
        "BulkheadFull",
        "CircuitOpen",
        "ConfigError",
        "LimitReached",
        "LoadShed",
        "QueryError",
        "RateLimited",
        "Rejected",
        "ResilienceError",
        "TimeoutExceeded",
    ),
    "resilience.reliability": ("Reliability", "default"),
    "resilience.rules": ("AlertRule",),
    "resilience.slo": ("SLO",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        message = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(message)
    value = getattr(import_module(_HOME_OF.get(name, "resilience.policies")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

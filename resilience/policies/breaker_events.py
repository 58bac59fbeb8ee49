"""What a circuit breaker says of itself: its states, its events, its statistics."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["BreakerState", "BreakerStatistics", "BreakerTransition", "ThresholdReached"]


class BreakerState(enum.StrEnum):
    """What a breaker does with a call."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    METRICS_ONLY = "metrics_only"


@dataclass(frozen=True, slots=True)
class BreakerTransition:
    """A breaker went from one state to another.

    Args:
        name: name of the breaker.
        previous: the state it left.
        state: the state it is in.
        at: monotonic seconds.
        reason: `failure_rate`, `failures`, `slow_call_rate`, `consecutive_failures`, `waited` (the open duration is over),
            `recovered`, `probe_timeout` or `manual`.
        failure_rate: of the window that decided, 0..1.
        slow_call_rate: of the same window, 0..1.
    """

    name: str
    previous: BreakerState
    state: BreakerState
    at: float
    reason: str
    failure_rate: float
    slow_call_rate: float


@dataclass(frozen=True, slots=True)
class ThresholdReached:
    """A breaker that is `metrics_only` would have opened; told once until `reset()` or another state.

    Args:
        name: name of the breaker.
        at: monotonic seconds.
        reason: `failure_rate`, `failures`, `slow_call_rate` or `consecutive_failures`.
        failure_rate: of the window, 0..1.
        slow_call_rate: of the window, 0..1.
    """

    name: str
    at: float
    reason: str
    failure_rate: float
    slow_call_rate: float


@dataclass(frozen=True, slots=True)
class BreakerStatistics:
    """What a breaker knows at one moment.

    Args:
        name: name of the breaker.
        state: its state.
        calls: calls that the current window holds (the probes, while half open).
        failures: failed ones of these.
        slow_calls: slow ones of these.
        failure_rate: failures / calls, 0 for an empty window.
        slow_call_rate: slow_calls / calls, 0 for an empty window.
        consecutive_failures: failures since the last success.
        probes: probes in flight while half open.
        rejected: calls refused (in `observe` mode: that would have been) since the last `reset()`.
        opened: how often it opened since the last `reset()`.
        retry_after: seconds until it lets a probe through, or None when it is not open.
    """

    name: str
    state: BreakerState
    calls: int
    failures: int
    slow_calls: int
    failure_rate: float
    slow_call_rate: float
    consecutive_failures: int
    probes: int
    rejected: int
    opened: int
    retry_after: float | None

"""The one event that all guards share: a call that was refused."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CallRejected"]


@dataclass(frozen=True, slots=True)
class CallRejected:
    """A guard refused a call, or would have.

    Args:
        name: name of the guard.
        kind: what it is: `circuit_breaker`, `bulkhead`, ...
        reason: why, in one or two words: `open`, `half_open`, `full`, `waited`, ...
        at: monotonic seconds.
        retry_after: seconds after which another try makes sense, or None when nobody knows.
        observed: True in `observe` mode: the call went on.
    """

    name: str
    kind: str
    reason: str
    at: float
    retry_after: float | None = None
    observed: bool = False

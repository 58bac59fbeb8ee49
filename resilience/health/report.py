"""What a look at everything found, and what follows for the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from resilience.core.ports import Status

__all__ = ["CheckReport", "HealthReport", "HealthTransition", "overall"]

_SEVERITY: Final = {Status.HEALTHY: 0, Status.DEGRADED: 1, Status.UNKNOWN: 2, Status.UNHEALTHY: 3}


@dataclass(frozen=True, slots=True)
class CheckReport:
    """One check, as it was last seen.

    Args:
        status: what it counts as, hysteresis included.
        detail: a line for people; of the last look, which hysteresis may not have followed yet.
        latency: seconds that the last look took, repeats included; None before the first.
        checked: Unix seconds of the end of the last look.
        last_success: Unix seconds of the last look that did not fail.
        observed: figures of the last look, by name with the unit in it.
        critical: whether the whole is unhealthy where this is.
    """

    status: Status = Status.UNKNOWN
    detail: str = "nobody has looked yet"
    latency: float | None = None
    checked: float | None = None
    last_success: float | None = None
    observed: Mapping[str, float] = field(default_factory=dict)
    critical: bool = True


@dataclass(frozen=True, slots=True)
class HealthReport:
    """All checks that were asked for, by name, and what they make together."""

    overall: Status
    checks: Mapping[str, CheckReport]


@dataclass(frozen=True, slots=True)
class HealthTransition:
    """A check went from one status to another.

    Args:
        check: its name.
        previous: the status it had.
        status: the status it has.
        at: Unix seconds.
        detail: a line for people.
    """

    check: str
    previous: Status
    status: Status
    at: float
    detail: str


def overall(checks: Iterable[CheckReport]) -> Status:
    """Return what checks make together: the worst of them, where one that is not critical degrades at most.

    From best to worst: healthy, degraded, unknown, unhealthy. Of no checks the whole is healthy.

    Example:
        >>> overall([CheckReport(Status.HEALTHY), CheckReport(Status.UNHEALTHY, critical=False)]).value
        'degraded'
    """
    worst = Status.HEALTHY
    for check in checks:
        status = check.status
        if not check.critical and status is not Status.HEALTHY:
            status = Status.DEGRADED
        worst = max(worst, status, key=_SEVERITY.__getitem__)
    return worst

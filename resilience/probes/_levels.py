"""Two thresholds that make a figure a status."""

from __future__ import annotations

from dataclasses import dataclass

from resilience.core.ports import Status
from resilience.core.validate import number
from resilience.errors import ConfigError

__all__ = ["Ceiling", "Floor", "slowness"]


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The more the worse.

    Args:
        degraded: degraded above it.
        unhealthy: unhealthy above it.

    Raises:
        ConfigError: one is negative, or they stand the wrong way round.

    Example:
        >>> [Ceiling(0.85, 0.95).status(used).value for used in (0.5, 0.9, 0.99)]
        ['healthy', 'degraded', 'unhealthy']
    """

    degraded: float
    unhealthy: float

    def __post_init__(self) -> None:
        number("degraded_above", self.degraded, low=0)
        number("unhealthy_above", self.unhealthy, low=0)
        if self.degraded > self.unhealthy:
            message = f"degraded_above must be at most unhealthy_above, got {self.degraded:g} and {self.unhealthy:g}"
            raise ConfigError(message)

    def status(self, figure: float) -> Status:
        """Judge a figure."""
        if figure > self.unhealthy:
            return Status.UNHEALTHY
        return Status.DEGRADED if figure > self.degraded else Status.HEALTHY


@dataclass(frozen=True, slots=True)
class Floor:
    """The less the worse.

    Args:
        degraded: degraded below it.
        unhealthy: unhealthy below it.

    Raises:
        ConfigError: one is negative, or they stand the wrong way round.
    """

    degraded: float
    unhealthy: float

    def __post_init__(self) -> None:
        number("degraded_below", self.degraded, low=0)
        number("unhealthy_below", self.unhealthy, low=0)
        if self.degraded < self.unhealthy:
            message = f"degraded_below must be at least unhealthy_below, got {self.degraded:g} and {self.unhealthy:g}"
            raise ConfigError(message)

    def status(self, figure: float) -> Status:
        """Judge a figure."""
        if figure < self.unhealthy:
            return Status.UNHEALTHY
        return Status.DEGRADED if figure < self.degraded else Status.HEALTHY


def slowness(degraded_above: float | None, seconds: float) -> Status:
    """Judge how long an answer took, where that matters.

    Args:
        degraded_above: seconds; None when any time will do.
        seconds: how long it took.
    """
    return Status.HEALTHY if degraded_above is None or seconds <= degraded_above else Status.DEGRADED

"""How late the event loop is."""

from __future__ import annotations

from typing import Final

from resilience.core.clock import SYSTEM_CLOCK
from resilience.core.options import named_options
from resilience.core.ports import CheckResult, Clock
from resilience.probes._levels import Ceiling

__all__ = ["LoopLagProbe"]

_NAP: Final = 0.01  # long enough to go through the loop's timers, as any task's sleep does


@named_options
class LoopLagProbe:
    """Sleeps a moment, and sees how much too late it wakes.

    Args:
        degraded_above: seconds above which the loop is degraded; 0.1 by default, from which on people notice.
        unhealthy_above: the same for unhealthy; 1 by default, the timeout of a Kubernetes probe.
        clock: where time comes from.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> asyncio.run(LoopLagProbe(degraded_above=5, unhealthy_above=5).check()).status
        <Status.HEALTHY: 'healthy'>
    """

    outside: Final = False

    def __init__(
        self, *, degraded_above: float = 0.1, unhealthy_above: float = 1.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self._levels = Ceiling(degraded_above, unhealthy_above)
        self._clock = clock

    async def check(self) -> CheckResult:
        """Sleep once."""
        due = self._clock.monotonic() + _NAP
        await self._clock.sleep(_NAP)
        lag = max(0.0, self._clock.monotonic() - due)
        return CheckResult(self._levels.status(lag), f"{lag * 1000:.0f} ms late", {"lag_seconds": lag})

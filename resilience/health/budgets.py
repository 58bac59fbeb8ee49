"""Error budgets as a check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, SupportsFloat

from resilience.core.humanize import percent
from resilience.core.ports import CheckResult, Status
from resilience.core.validate import callback, number

__all__ = ["BudgetCheck"]


class BudgetCheck:
    """Unhealthy once an error budget is spent, degraded when little is left of one.

    Args:
        remaining: returns the share that is left of each budget by the objective's name: 1 is all, 0 nothing, below it is overspent;
            None where there is nothing to say yet.
        degraded_below: the share below which it is degraded; 0.1 by default.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> import asyncio
        >>> asyncio.run(BudgetCheck(lambda: {"ok": 0.05}).check()).detail
        'ok: 5% left'
    """

    outside: Final = True  # what users see depends on everything

    def __init__(
        self, remaining: Callable[[], Mapping[str, SupportsFloat | None]], *, degraded_below: float = 0.1
    ) -> None:
        self._remaining = callback("remaining", remaining)
        self._low = number("degraded_below", degraded_below, low=0, high=1)

    async def check(self) -> CheckResult:
        """Look at every budget."""
        left = {name: float(share) for name, share in self._remaining().items() if share is not None}
        low = {name: share for name, share in left.items() if share <= 0 or share < self._low}
        spent = any(share <= 0 for share in low.values())
        status = Status.UNHEALTHY if spent else Status.DEGRADED if low else Status.HEALTHY
        detail = ", ".join(f"{name}: {percent(share)} left" for name, share in low.items())
        return CheckResult(status, detail, {f"{name}_left_ratio": share for name, share in left.items()})

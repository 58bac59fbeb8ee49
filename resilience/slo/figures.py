"""What an objective is judged by, at one moment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from resilience.core.validate import shown
from resilience.errors import IntegrationError
from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.ledger import Bucket

__all__ = ["BurnRateState", "Figures"]


@dataclass(frozen=True, slots=True)
class BurnRateState:
    """Snapshot of one burn-rate alert.

    Args:
        alert: the alert.
        long: burn rate in its long window, None without events.
        short: burn rate in its short window, None without events.
        alerting: True if its rule is firing, which it may do while the burn rates are not known.
    """

    alert: BurnRateAlert
    long: Decimal | None
    short: Decimal | None
    alerting: bool = False

    @property
    def firing(self) -> bool:
        """True if its rule is firing, or both windows burn faster than its factor."""
        return self.alerting or all(
            rate is not None and rate > self.alert.factor for rate in (self.long, self.short)
        )


@dataclass(frozen=True, slots=True)
class Figures:
    """What another server says of an objective.

    Args:
        bad: bad events in the period.
        total: all events in the period.
        windows: (bad, all) by window in seconds.
        history: what was counted in the period, oldest first, by Unix time; as old as it may be.

    Raises:
        IntegrationError: a count is infinite, not a number or below zero, or there are more bad events than events.
    """

    bad: float
    total: float
    windows: Mapping[float, tuple[float, float]]
    history: Sequence[Bucket] = ()

    def __post_init__(self) -> None:
        buckets = ((each.bad, each.total) for each in self.history)
        for bad, total in ((self.bad, self.total), *self.windows.values(), *buckets):
            if not 0 <= bad <= total < math.inf:
                raise IntegrationError(
                    f"a count must be finite, and bad events between 0 and all of them, got {shown(bad)} of {shown(total)}"
                )

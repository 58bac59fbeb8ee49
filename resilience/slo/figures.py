"""What an objective is judged by, at one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from resilience.slo.burn_rate import BurnRateAlert
from resilience.slo.ledger import Bucket

__all__ = ["BurnRateState", "Figures"]


@dataclass(frozen=True, slots=True)
class BurnRateState:
    """One burn-rate alert as it stands: it fires while both windows burn faster than its factor.

    Args:
        alert: the alert.
        long: burn rate in its long window, None without events.
        short: burn rate in its short window, None without events.
    """

    alert: BurnRateAlert
    long: Decimal | None
    short: Decimal | None

    @property
    def firing(self) -> bool:
        """Whether both windows are over its factor."""
        return all(rate is not None and rate > self.alert.factor for rate in (self.long, self.short))


@dataclass(frozen=True, slots=True)
class Figures:
    """What another server says of an objective.

    Args:
        bad: bad events in the period.
        total: all events in the period.
        windows: (bad, all) by window in seconds.
        history: what was counted in the period, oldest first, by Unix time; as old as it may be.
    """

    bad: float
    total: float
    windows: Mapping[float, tuple[float, float]]
    history: Sequence[Bucket] = ()

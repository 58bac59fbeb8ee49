"""How much a service matters: floors for its targets, and who is told of what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal

from resilience.slo.burn_rate import DEFAULTS, BurnRateAlert

__all__ = ["TIERS", "Tier"]


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier.

    Args:
        floor: the lowest target that an objective of the tier may have.
        alerts: its default burn-rate alerts, for 30 days.
    """

    floor: Decimal
    alerts: tuple[BurnRateAlert, ...]


def _pages(count: int) -> tuple[BurnRateAlert, ...]:
    """The defaults, of which only the first few page."""
    return tuple(
        replace(alert, severity="critical" if rank < count else "warning")
        for rank, alert in enumerate(DEFAULTS)
    )


TIERS: Mapping[int, Tier] = {
    0: Tier(Decimal("0.999"), _pages(2)),
    1: Tier(Decimal("0.995"), _pages(2)),
    2: Tier(Decimal("0.99"), _pages(1)),
    3: Tier(Decimal("0.95"), _pages(0)),
}
"""From what the business stands on to what may wait until the morning: in tier 3 nobody is woken."""

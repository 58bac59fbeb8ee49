"""What an objective alerts on: burn rates, and how much of the budget is gone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from resilience.core.options import named_options
from resilience.core.validate import integer, number, text
from resilience.errors import ConfigError
from resilience.slo.burn_rate import BurnRateAlert

__all__ = ["DEFAULT_EXHAUSTION", "Alerting", "ExhaustionAlert"]


@named_options
@dataclass(frozen=True, slots=True)
class ExhaustionAlert:
    """Alerts once so much of the budget is gone.

    Args:
        consumed: share of the budget, above 0 and at most 1.
        severity: the label `severity`.

    Raises:
        ConfigError: an option is out of its range.
    """

    consumed: Decimal
    severity: str

    def __post_init__(self) -> None:
        number("consumed", float(self.consumed), above=0, high=1)
        object.__setattr__(self, "consumed", Decimal(str(self.consumed)))
        text("severity", self.severity)


DEFAULT_EXHAUSTION = (
    ExhaustionAlert(Decimal("0.5"), "info"),
    ExhaustionAlert(Decimal("0.75"), "info"),
    ExhaustionAlert(Decimal("0.9"), "warning"),
    ExhaustionAlert(Decimal(1), "warning"),
)
"""The page is the business of burn rates: a budget that is spent makes a ticket, see `explanations`."""


@named_options
@dataclass(frozen=True, slots=True)
class Alerting:
    """The alerts of one objective.

    Args:
        burn_rates: None for the defaults of its tier, scaled to its period; what is given here must be reachable.
        exhaustion: alerts on the budget that is gone.
        min_events: events that a long window must hold for a burn-rate alert; 0 for no such bound.
        min_failures: bad events that it must hold, and the period before anything follows from what they spent; 2 by
            default: one failure alone wakes nobody.
        period_events: events that the period must hold before anything follows from what is spent of its budget, be it
            an alert, an action or a closed gate; `min_events` when not given.

    Raises:
        ConfigError: an option is out of its range, or two burn-rate alerts have one name.
    """

    burn_rates: tuple[BurnRateAlert, ...] | None = None
    exhaustion: tuple[ExhaustionAlert, ...] = DEFAULT_EXHAUSTION
    min_events: int = 0
    min_failures: int = 2
    period_events: int | None = None

    def __post_init__(self) -> None:
        integer("min_events", self.min_events, low=0)
        integer("min_failures", self.min_failures, low=0)
        if self.period_events is not None:
            integer("period_events", self.period_events, low=0)
        if self.burn_rates is not None:
            object.__setattr__(self, "burn_rates", tuple(self.burn_rates))
        names = [alert.name for alert in self.burn_rates or ()]
        if len(set(names)) < len(names):
            message = f"burn_rates must have different names, got {', '.join(names)}"
            raise ConfigError(message)
        object.__setattr__(self, "exhaustion", tuple(self.exhaustion))

"""How fast a budget burns, and the alerts on it: multiwindow, multi-burn-rate.

Source: SRE Workbook, chapter 5, "Alerting on SLOs".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

from resilience.core.duration import format_duration
from resilience.core.log import log
from resilience.core.options import named_options
from resilience.core.validate import number, shown, text
from resilience.errors import ConfigError

__all__ = ["DEFAULTS", "BurnRateAlert", "burn_factor", "default_alerts", "detection_time", "reset_time"]

_SHORT = 12  # the short window is a twelfth of the long one, as in the Workbook


@named_options
@dataclass(frozen=True, slots=True)
class BurnRateAlert:
    """Alerts while the budget burns faster than `factor` times its even pace, in a long and in a short window.

    The long window says that it matters, the short one that it goes on.

    Args:
        name: unique among the alerts of its objective.
        factor: multiple of the even pace, at least 1; given as a share of the budget, see `burn_factor`.
        window: seconds of the long window, at least 60.
        short_window: seconds of the short one; a twelfth of the long one when not given.
        severity: the label `severity`.
        for_: seconds for which both must be so; 0 by default: the windows are the wait.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> BurnRateAlert("fast", "14.4", window=3600).short_window
        300.0
    """

    name: str
    factor: Decimal
    window: float
    short_window: float = 0.0
    severity: str = "critical"
    for_: float = 0.0

    def __post_init__(self) -> None:
        text("name", self.name)
        factor = Decimal(str(self.factor))
        if not factor.is_finite() or factor < 1:
            message = f"factor must be a number of at least 1 (the even pace), got {shown(self.factor)}"
            raise ConfigError(message)
        object.__setattr__(self, "factor", factor)
        object.__setattr__(self, "window", number("window", self.window, low=60))
        short = number("short_window", self.short_window or self.window / _SHORT, above=0, high=self.window)
        object.__setattr__(self, "short_window", short)
        text("severity", self.severity)
        number("for_", self.for_, low=0)

    def reachable(self, budget: Decimal) -> bool:
        """Whether there can be so many errors: with everything failing the burn rate is 1 / budget."""
        return self.factor * budget < 1

    def threshold(self, budget: Decimal) -> Decimal:
        """The share of bad events above which it alerts."""
        return self.factor * budget


def burn_factor(share: Decimal, window: float, period: float) -> Decimal:
    """Return the burn rate that spends a share of a period's budget in a window: share x period / window.

    Args:
        share: of the budget, above 0.
        window: seconds.
        period: seconds of the objective's period.

    Example:
        >>> burn_factor(Decimal("0.02"), window=3600, period=30 * 86_400)
        Decimal('14.4')
    """
    return (share * Decimal(str(period)) / Decimal(str(window))).normalize()


def detection_time(alert: BurnRateAlert, budget: Decimal, errors: Decimal) -> Decimal | None:
    """Return how long errors that begin in clean traffic must last until the alert fires; None for never.

    Args:
        alert: the alert.
        budget: 1 - target.
        errors: share of bad events from the beginning on.

    Returns:
        seconds: window x factor x budget / errors.

    Example:
        >>> detection_time(DEFAULTS[0], Decimal("0.001"), Decimal(1))
        Decimal('51.84')
    """
    threshold = alert.threshold(budget)
    return None if threshold >= errors else Decimal(str(alert.window)).normalize() * threshold / errors


def reset_time(alert: BurnRateAlert, budget: Decimal, errors: Decimal) -> Decimal | None:
    """Return how long after the end of such errors, once the short window was full of them, the alert resolves.

    Args:
        alert: the alert.
        budget: 1 - target.
        errors: share of bad events until the end.

    Returns:
        seconds: short window x (1 - factor x budget / errors); None where the alert never fires.
    """
    threshold = alert.threshold(budget)
    if threshold >= errors:
        return None
    return Decimal(str(alert.short_window)) * (1 - threshold / errors)


DEFAULTS = (
    BurnRateAlert("fast", Decimal("14.4"), window=3600, severity="critical"),
    BurnRateAlert("slow", Decimal(6), window=21_600, severity="critical"),
    BurnRateAlert("gradual", Decimal(3), window=86_400, severity="warning"),
    BurnRateAlert("chronic", Decimal(1), window=259_200, severity="warning"),
)
"""The Workbook's four, for 30 days: two that page, two that make a ticket."""

_PERIOD = 30 * 86_400.0


def default_alerts(
    slo_id: str, budget: Decimal, period: float, alerts: Iterable[BurnRateAlert] = DEFAULTS
) -> tuple[BurnRateAlert, ...]:
    """Return the default alerts for an objective.

    Each spends the same share of the budget in its window as it does in 30 days, and is never under the even pace.
    Those that could never fire, and those whose window is not shorter than the period, are left out with a warning.

    Args:
        slo_id: for the warning.
        budget: 1 - target.
        period: seconds.
        alerts: what to scale.

    Example:
        >>> [str(alert.factor) for alert in default_alerts("ok", Decimal("0.001"), 28 * 86_400)]
        ['13.44', '5.6', '2.8', '1']
    """
    kept = []
    for alert in alerts:
        share = alert.factor * Decimal(str(alert.window)) / Decimal(str(_PERIOD))
        scaled = replace(alert, factor=max(Decimal(1), burn_factor(share, alert.window, period)))
        if alert.window >= period:
            reason = f"its window of {format_duration(alert.window)} is not shorter than the period"
        elif not scaled.reachable(budget):
            reason = f"{scaled.factor}x of a budget of {budget} cannot be reached"
        else:
            kept.append(scaled)
            continue
        log(__name__).warning("burn_rate_alert_left_out", slo=slo_id, alert=alert.name, reason=reason)
    return tuple(kept)

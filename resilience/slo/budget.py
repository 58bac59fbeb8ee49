"""What is left of a promise, how fast it goes, and when it will be gone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

__all__ = ["BudgetStatus", "ErrorBudget", "Forecast", "SLOStatus"]

_WARNING, _CRITICAL = Decimal("0.75"), Decimal("0.9")
_Z = 1.959964  # 97.5% of the normal distribution: two-sided 95%


class BudgetStatus:
    """The words for how much of a budget is left."""

    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"
    EXHAUSTED = "exhausted"
    NO_DATA = "no_data"


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of the exhaustion of a budget at the pace of a recent window, with its uncertainty.

    Args:
        window: seconds that it is drawn from.
        exhaustion: seconds from now; None if not within a period at this pace.
        earliest: by the upper bound of the 95% interval of the share of bad events (Wilson score).
        latest: by its lower bound; None if not within a period.
    """

    window: float
    exhaustion: Decimal | None
    earliest: Decimal | None
    latest: Decimal | None


@dataclass(frozen=True, slots=True)
class SLOStatus:
    """Whether a promise is kept.

    Args:
        slo_id: the objective's id.
        current: the share of good events in the period, None without events.
        target: the share that was promised.
        status: `meeting`, `at_risk` (met, but the budget is nearly gone or burns too fast), `breached` or `no_data`.
    """

    slo_id: str
    current: Decimal | None
    target: Decimal
    status: str


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """The error budget of one objective over one period.

    With `b = 1 - target`: consumed = bad / (b x total), remaining = 1 - consumed (negative once overspent), and the
    burn rate of a window is its (bad / total) / b (SRE Workbook, chapter 5).

    Args:
        budget: the share of events that may be bad, `1 - target`, above 0.
        bad: bad events in the period.
        total: judged events in the period; zero means that there is nothing to say.
        period: seconds that the budget is for.
        burn_rates: by window in seconds; None without events in it, or if it is not known.
        unknown: why a burn rate is not known, by window in seconds.
        recent: (window, bad events, all events) that the forecast is drawn from, None without one.

    Example:
        >>> spent = ErrorBudget(Decimal("0.001"), bad=5, total=10_000)
        >>> spent.consumed, spent.remaining, spent.status
        (Decimal('0.5'), Decimal('0.5'), 'healthy')
    """

    budget: Decimal
    bad: float | Decimal
    total: float | Decimal
    period: float = 2_592_000.0
    burn_rates: Mapping[float, Decimal | None] = field(default_factory=dict)
    unknown: Mapping[float, str] = field(default_factory=dict, kw_only=True)
    recent: tuple[float, float, float] | None = None

    @property
    def allowed(self) -> Decimal:
        """How many events may be bad."""
        return self.budget * exact(self.total)

    @property
    def consumed(self) -> Decimal | None:
        """The share of the budget that is spent; above 1 once overspent, None without events."""
        return exact(self.bad) / self.allowed if self.total else None

    @property
    def consumption(self) -> Decimal | None:
        """What is spent, as a percentage."""
        consumed = self.consumed
        return None if consumed is None else 100 * consumed

    @property
    def remaining(self) -> Decimal | None:
        """The share of the budget that is left; negative once overspent, None without events."""
        consumed = self.consumed
        return None if consumed is None else 1 - consumed

    @property
    def sli(self) -> Decimal | None:
        """The share of good events; None without events."""
        return 1 - exact(self.bad) / exact(self.total) if self.total else None

    @property
    def status(self) -> str:
        """`healthy`, `warning` (from 75% spent), `critical` (from 90%), `exhausted` or `no_data`."""
        consumed = self.consumed
        if consumed is None:
            return BudgetStatus.NO_DATA
        if consumed >= 1:
            return BudgetStatus.EXHAUSTED
        if consumed >= _CRITICAL:
            return BudgetStatus.CRITICAL
        return BudgetStatus.WARNING if consumed >= _WARNING else BudgetStatus.HEALTHY

    @property
    def burn_rate(self) -> Decimal | None:
        """The burn rate of the shortest window that had events; None where none had."""
        known = (self.burn_rates[window] for window in sorted(self.burn_rates))
        return next((rate for rate in known if rate is not None), None)

    def time_to_exhaustion(self, burn_rate: Decimal | None = None) -> Decimal | None:
        """Return the time until the budget is exhausted at a burn rate: max(0, remaining) x period / burn.

        Args:
            burn_rate: that of the forecast's window when not given.

        Returns:
            seconds; None if the budget is not exhausted within a period, because older bad events leave it before then,
            and None without events or without a burn rate.

        Example:
            >>> budget = ErrorBudget(Decimal("0.001"), bad=0, total=1)
            >>> budget.time_to_exhaustion(Decimal("14.4")), budget.time_to_exhaustion(Decimal("0.1"))  # 50 h
            (Decimal('180000'), None)
        """
        if burn_rate is None:
            burn_rate = self.recent and burn(self.recent[1], self.recent[2], self.budget)
        remaining = self.remaining
        if remaining is None or not burn_rate:
            return None
        period = exact(self.period)
        seconds = max(Decimal(0), remaining) * period / burn_rate
        return seconds.quantize(Decimal(1)) if seconds <= period else None

    @property
    def forecast(self) -> Forecast | None:
        """When it will be gone at the recent pace; None where there is nothing to draw on."""
        if self.recent is None or self.remaining is None or not self.recent[2]:
            return None
        window, bad, total = self.recent
        low, high = _wilson(bad, total)
        return Forecast(
            window,
            self.time_to_exhaustion(burn(bad, total, self.budget)),
            self.time_to_exhaustion(exact(high) / self.budget),
            self.time_to_exhaustion(exact(low) / self.budget),
        )


def exact(figure: float | Decimal) -> Decimal:
    """Return a figure as the decimal that it is written as; whole floats without a fraction."""
    if isinstance(figure, Decimal):
        return figure
    return Decimal(int(figure)) if float(figure).is_integer() else Decimal(str(figure))


def burn(bad: float | Decimal, total: float | Decimal, budget: Decimal) -> Decimal | None:
    """Return the burn rate of a window, (bad / total) / budget; None without events."""
    return exact(bad) / (exact(total) * budget) if total else None


def _wilson(bad: float, total: float) -> tuple[float, float]:
    """The Wilson score interval of a share: it holds for few events and for none that are bad."""
    share, weight = min(1.0, max(0.0, bad / total)), _Z * _Z / total
    centre = share + weight / 2
    spread = _Z * math.sqrt(share * (1 - share) / total + weight / (4 * total))
    # With nothing bad the lower bound is zero, and float dust must not be taken for a pace.
    low = 0.0 if share == 0 else max(0.0, (centre - spread) / (1 + weight))
    return low, min(1.0, (centre + spread) / (1 + weight))

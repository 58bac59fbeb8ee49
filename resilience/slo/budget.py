"""What is left of a promise."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

__all__ = ["ErrorBudget"]


@dataclass(frozen=True, slots=True)
class ErrorBudget:
    """The error budget of one objective over one period.

    With `b = 1 - target`: consumed = bad / (b x total), remaining = 1 - consumed (negative once overspent), and the
    burn rate of a window is its (bad / total) / b (SRE Workbook, chapter 5).

    Args:
        budget: the share of events that may be bad, `1 - target`, above 0.
        bad: bad events in the period.
        total: judged events in the period; zero means that there is nothing to say.

    Example:
        >>> spent = ErrorBudget(Decimal("0.001"), bad=5, total=10_000)
        >>> spent.consumed, spent.remaining
        (Decimal('0.5'), Decimal('0.5'))
    """

    budget: Decimal
    bad: float
    total: float

    @property
    def allowed(self) -> Decimal:
        """How many events may be bad."""
        return self.budget * Decimal(str(self.total))

    @property
    def consumed(self) -> Decimal | None:
        """The share of the budget that is spent; above 1 once overspent, None without events."""
        return Decimal(str(self.bad)) / self.allowed if self.total else None

    @property
    def remaining(self) -> Decimal | None:
        """The share of the budget that is left; negative once overspent, None without events."""
        consumed = self.consumed
        return None if consumed is None else 1 - consumed

    @property
    def sli(self) -> Decimal | None:
        """The share of good events; None without events."""
        return 1 - Decimal(str(self.bad)) / Decimal(str(self.total)) if self.total else None

"""What an indicator comes to: events that are counted, a condition that holds or not, or others' ratios."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias

from resilience.slo.query import WINDOW

__all__ = ["Condition", "Events", "Measure", "Weighted"]


@dataclass(frozen=True, slots=True)
class Events:
    """Events, some of them bad.

    Args:
        total: template that counts all events in a window.
        bad: template that counts bad ones; finding nothing means none.
        good: template that counts good ones instead.
        buckets: template that counts the events of all buckets, if `bad` or `good` reads some of a histogram. If it finds
            events and the part none, a bucket bound does not exist, and nothing is counted.
    """

    total: str
    bad: str | None = None
    good: str | None = None
    # Not what is counted: stored budgets are recognized by the representation of the rest.
    buckets: str | None = field(default=None, repr=False, compare=False)

    def bad_in(self, window: str) -> str:
        """PromQL of the bad events; nothing where there are no events.

        Args:
            window: as PromQL writes it.
        """
        total = self.total_in(window)
        if self.bad is None:
            return f"({total} - {self._some(self.good or '', window)})"
        return self._some(self.bad, window)

    def total_in(self, window: str) -> str:
        """PromQL of all events; nothing if a bucket bound does not exist."""
        total = self.total.replace(WINDOW, window)
        if self.buckets is None:
            return total
        part = (self.good if self.bad is None else self.bad) or ""
        mistake = f"{self.buckets} unless {part}".replace(WINDOW, window)
        return f"({total} unless ({mistake}))"

    def ratio_in(self, window: str) -> str:
        """PromQL of the share of bad events: a ratio of sums."""
        total = self.total_in(window)
        if self.bad is None:
            ratio = f"1 - {self._some(self.good or '', window)} / {total}"
        else:
            ratio = f"{self._some(self.bad, window)} / {total}"
        # Both counts are extrapolated: float dust must not make the difference at a threshold.
        return f"round({ratio}, 1e-12)"

    def _some(self, template: str, window: str) -> str:
        """A count that is zero where all there is are events of the other sort."""
        return f"({template.replace(WINDOW, window)} or 0 * {self.total_in(window)})"


@dataclass(frozen=True, slots=True)
class Condition:
    """A figure that is good or not, slice by slice.

    Args:
        value: template of the figure over a slice.
        comparison: how a good figure stands to the threshold.
        threshold: in the figure's unit.
    """

    value: str
    comparison: Literal["<=", ">="]
    threshold: float

    def value_in(self, window: str) -> str:
        """PromQL of the figure over a window."""
        return self.value.replace(WINDOW, window)

    def good(self, value: float) -> bool:
        """Whether a figure is good."""
        return value <= self.threshold if self.comparison == "<=" else value >= self.threshold


@dataclass(frozen=True, slots=True)
class Weighted:
    """The weighted mean of other objectives' ratios.

    Args:
        weights: by id of the objective, above 0.
    """

    weights: Mapping[str, Decimal]


Measure: TypeAlias = Events | Condition | Weighted

"""Intervals: between what the values of an expression can lie."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["ANY", "MIRRORED", "NOTHING", "Bounds"]

MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "==": "==", "!=": "!="}
"""What a comparison becomes when its sides change places."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Everything from `low` to `high`. NaN, which may come of anything, is not spoken of.

    Arithmetic takes ends as reached: what comes of it is never too narrow.

    Args:
        low: the lower end.
        high: the upper end; below `low` where there can be no value at all.
        low_open: whether `low` is left out.
        high_open: whether `high` is left out.

    Example:
        >>> ratio = Bounds(0, 1)
        >>> ratio * Bounds(100, 100), Bounds(1, 1) - ratio
        (Bounds(low=0.0, high=100, low_open=False, high_open=False), Bounds(low=0, high=1, low_open=False, high_open=False))
        >>> ratio.can(">", Bounds(1.44, 1.44)), ratio.where(">", Bounds(0.5, 0.5))
        (False, Bounds(low=0.5, high=1, low_open=True, high_open=False))
    """

    low: float = -math.inf
    high: float = math.inf
    low_open: bool = False
    high_open: bool = False

    @property
    def empty(self) -> bool:
        """Whether nothing lies between."""
        return self.low > self.high or (self.low == self.high and (self.low_open or self.high_open))

    def __contains__(self, value: float) -> bool:
        above = value > self.low or (value == self.low and not self.low_open)
        return above and (value < self.high or (value == self.high and not self.high_open))

    def __and__(self, other: Bounds) -> Bounds:
        low, low_open = max((self.low, self.low_open), (other.low, other.low_open))
        high, not_open = min((self.high, not self.high_open), (other.high, not other.high_open))
        return Bounds(low, high, low_open, not not_open)

    def __or__(self, other: Bounds) -> Bounds:
        if self.empty or other.empty:
            return other if self.empty else self
        low, low_open = min((self.low, self.low_open), (other.low, other.low_open))
        high, not_open = max((self.high, not self.high_open), (other.high, not other.high_open))
        return Bounds(low, high, low_open, not not_open)

    def __add__(self, other: Bounds) -> Bounds:
        return _between([self.low + other.low, self.high + other.high], self, other)

    def __neg__(self) -> Bounds:
        return Bounds(-self.high, -self.low, self.high_open, self.low_open)

    def __sub__(self, other: Bounds) -> Bounds:
        return self + -other

    def __mul__(self, other: Bounds) -> Bounds:
        ends = [
            # An infinite value times 0 is NaN, which no bounds speak of; for all others it is 0.
            one * another if one and another else 0.0
            for one in (self.low, self.high)
            for another in (other.low, other.high)
        ]
        return _between(ends, self, other)

    def __truediv__(self, other: Bounds) -> Bounds:
        if other.low < 0 <= other.high:
            return ANY
        ends = [1 / end if end else math.inf for end in (other.high, other.low)]
        return self * Bounds(ends[0], ends[1]) if not other.empty else NOTHING

    def mapped(self, function: Callable[[float], float]) -> Bounds:
        """What a function that never falls makes of a value in these bounds."""
        if self.empty:
            return NOTHING
        try:
            return Bounds(function(self.low), function(self.high))
        except (ValueError, OverflowError):
            return ANY

    def where(self, sign: str, other: Bounds) -> Bounds:
        """What remains of these values where a comparison with a value in other bounds holds."""
        if other.empty:
            return NOTHING
        if math.isnan(self.low) or math.isnan(other.low):
            return self if sign == "!=" else NOTHING
        match sign:
            case ">" | ">=":
                return self & Bounds(low=other.low, low_open=other.low_open or sign == ">")
            case "<" | "<=":
                return self & Bounds(high=other.high, high_open=other.high_open or sign == "<")
            case "==":
                return self & other
        alone = self.low == self.high == other.low == other.high
        return NOTHING if alone else self

    def can(self, sign: str, other: Bounds) -> bool:
        """Whether a comparison can hold between a value in these bounds and one in others."""
        return not self.where(sign, other).empty and not other.where(MIRRORED[sign], self).empty

    def seen_from(self, other: Bounds) -> str:
        """Say in words which end is in the way of reaching other bounds."""
        if self.low == self.high:
            return f"always {self.low:.6g}"
        if other.low >= self.high:
            return f"{'below' if self.high_open else 'at most'} {self.high:.6g}"
        return f"{'above' if self.low_open else 'at least'} {self.low:.6g}"


ANY = Bounds()
NOTHING = Bounds(math.inf, -math.inf)


def _between(ends: list[float], *operands: Bounds) -> Bounds:
    if any(operand.empty for operand in operands):
        return NOTHING
    return ANY if any(math.isnan(end) for end in ends) else Bounds(min(ends), max(ends))

"""The smallest and the largest value in a window, which no histogram knows."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from resilience.signals.retention import Resolution

__all__ = ["Extremes"]


class _Slots:
    """The extremes of each step of one resolution, the newest last."""

    __slots__ = ("slots", "step")

    def __init__(self, resolution: Resolution) -> None:
        self.step = resolution.step
        self.slots: deque[tuple[float, float, float]] = deque(maxlen=resolution.rows)

    def add(self, at: float, low: float, high: float) -> None:
        begin = at - at % self.step
        if self.slots and self.slots[-1][0] >= begin:
            begin, known_low, known_high = self.slots.pop()
            low, high = min(low, known_low), max(high, known_high)
        self.slots.append((begin, low, high))


class Extremes:
    """Minimum and maximum over sliding windows, to a step of the resolution that covers the window.

    Args:
        resolutions: finest first, as in `Retention.rings`.

    Example:
        >>> extremes = Extremes([Resolution(1, 60), Resolution(60, 60)])
        >>> for second, value in enumerate([5.0, 1.0, 3.0]):
        ...     extremes.add(second, value)
        >>> extremes.since(0.5), extremes.since(2)
        ((1.0, 5.0), (3.0, 3.0))
    """

    __slots__ = ("_levels",)

    def __init__(self, resolutions: Sequence[Resolution]) -> None:
        self._levels = tuple(_Slots(resolution) for resolution in resolutions)

    def add(self, at: float, value: float) -> None:
        """Take a value; one with an earlier time than the newest counts as of that."""
        for level in self._levels:
            level.add(at, value, value)

    def since(self, start: float) -> tuple[float, float] | None:
        """The smallest and largest value since `start`, give or take a step; None without any."""
        for level in self._levels:
            if not level.slots:
                return None
            if level.slots[0][0] <= start or len(level.slots) < (level.slots.maxlen or 0):
                break
        found = [(low, high) for begin, low, high in level.slots if begin + level.step > start]
        if not found:
            return None
        return min(low for low, _ in found), max(high for _, high in found)

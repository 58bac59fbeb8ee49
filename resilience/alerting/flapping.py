"""Flapping: an alert that comes and goes is held as firing until it has made up its mind."""

from __future__ import annotations

from collections import deque

from resilience.core.options import named_options
from resilience.core.validate import integer, number

__all__ = ["FlapDetector"]


@named_options
class FlapDetector:
    """Counts how often each alert changed of late.

    An alert that changed `changes` times within `window` is flapping: for its receivers it keeps firing, and is
    resolved once that no longer holds. Nothing is lost by it: one 'firing' and one 'resolved' instead of many.

    Args:
        changes: firings and resolutions within the window that make an alert flap, 2 or more; 6, three rounds, by
            default.
        window: seconds, above 0; 15 minutes by default.

    Raises:
        ConfigError: an option is out of range.

    Example:
        >>> flaps = FlapDetector(changes=3, window=60)
        >>> for second in (0, 10, 20):
        ...     flaps.changed("a", second)
        >>> flaps.flapping("a", 30), flaps.flapping("a", 61)
        (True, False)
    """

    def __init__(self, *, changes: int = 6, window: float = 900.0) -> None:
        self._limit = integer("changes", changes, low=2)
        self._window = number("window", window, above=0)
        self._changes: dict[str, deque[float]] = {}

    def changed(self, fingerprint: str, now: float) -> None:
        """Note that an alert fired or was resolved at monotonic time `now`."""
        times = self._changes.get(fingerprint)
        if times is None:
            times = self._changes[fingerprint] = deque(maxlen=self._limit)
        times.append(now)

    def flapping(self, fingerprint: str, now: float) -> bool:
        """Say whether an alert flaps at monotonic time `now`."""
        times = self._changes.get(fingerprint)
        return times is not None and len(times) == self._limit and now - times[0] <= self._window

    def adopt(self, other: FlapDetector) -> None:
        """Take over what another detector has seen."""
        if other is not self:
            self._changes = {name: deque(times, self._limit) for name, times in other._changes.items()}

    def forget(self, now: float) -> None:
        """Drop the alerts that have been quiet for the whole window."""
        quiet = [name for name, times in self._changes.items() if now - times[-1] > self._window]
        for name in quiet:
            del self._changes[name]

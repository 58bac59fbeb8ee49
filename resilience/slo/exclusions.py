"""Times that do not count: planned maintenance."""

from __future__ import annotations

from dataclasses import dataclass

from resilience.core.validate import number
from resilience.errors import ConfigError

__all__ = ["Exclusion"]


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A stretch of time, once or again and again, whose events leave the budget alone and page nobody.

    Args:
        start: Unix seconds at which it begins, for the first time where it is repeated.
        duration: seconds, above 0.
        every: seconds from one beginning to the next, not less than `duration`; None for once.
        reason: for people.

    Raises:
        ConfigError: an option is out of its range.

    Example:
        >>> nightly = Exclusion(0, duration=600, every=86_400, reason="backup")
        >>> nightly.covers(86_400 + 599), nightly.covers(86_400 + 600)
        (True, False)
    """

    start: float
    duration: float
    every: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        number("start", self.start)
        number("duration", self.duration, above=0)
        if self.every is not None and number("every", self.every) < self.duration:
            message = f"every must be at least the duration of {self.duration:g} s, got {self.every!r}"
            raise ConfigError(message)

    def covers(self, at: float) -> bool:
        """Say whether a moment, in Unix seconds, is within it."""
        since = at - self.start
        if self.every is not None and since >= 0:
            since %= self.every
        return 0 <= since < self.duration

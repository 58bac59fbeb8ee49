"""Times that do not count: planned maintenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from resilience.core.validate import number
from resilience.errors import ConfigError

__all__ = ["Exclusion", "excluded"]


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

    def stretches(self, start: float, end: float) -> Iterator[tuple[float, float]]:
        """Yield what is excluded of a stretch of time, in Unix seconds, by beginning and end.

        Example:
            >>> list(Exclusion(0, duration=600, every=86_400).stretches(300, 86_500))
            [(300, 600.0), (86400.0, 86500)]
        """
        begin = float(self.start)
        if self.every is not None and start > begin:
            begin += (start - begin) // self.every * self.every
        while begin < end:
            if begin + self.duration > start:
                yield max(begin, start), min(begin + self.duration, end)
            if self.every is None:
                return
            begin += self.every


def excluded(exclusions: Iterable[Exclusion], start: float, end: float) -> list[tuple[float, float]]:
    """Return what several exclusions leave out of a stretch of time; no moment twice.

    Example:
        >>> excluded([Exclusion(0, duration=60), Exclusion(30, duration=60), Exclusion(200, duration=9)], 10, 300)
        [(10, 90.0), (200.0, 209.0)]
    """
    found: list[tuple[float, float]] = []
    for begin, finish in sorted(each for one in exclusions for each in one.stretches(start, end)):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], finish)
        else:
            found.append((begin, finish))
    return found

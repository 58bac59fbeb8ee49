"""Times that do not count: planned maintenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from resilience.core.options import named_options
from resilience.core.validate import number, shown
from resilience.errors import ConfigError
from resilience.slo.period import DAY, zone

__all__ = ["Exclusion", "excluded"]

_YEARS = 100 * 366 * DAY  # more than any plan, and little enough for dates


@named_options
@dataclass(frozen=True, slots=True)
class Exclusion:
    """A stretch of time, once or again and again, whose events leave the budget alone and page nobody.

    Whole days are those of the time zone: what begins at 02:00 every 7 d does so when clocks were changed, too, and a
    window of one day ends at the same time of the next. Everything shorter is as long as it says. A beginning that clocks
    skip comes as much later, of one that they show twice the first counts (as RFC 5545 has it).

    Args:
        start: Unix seconds at which it begins, for the first time where it is repeated.
        duration: seconds, above 0.
        every: seconds from one beginning to the next, not less than `duration`; None for once.
        reason: for people.
        time_zone: name in the IANA database; UTC by default.

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
    time_zone: str = "UTC"
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_zone", zone(self.time_zone))
        number("start", self.start, low=-_YEARS, high=10 * _YEARS)
        number("duration", self.duration, above=0, high=_YEARS)
        if self.every is not None and number("every", self.every, high=_YEARS) < self.duration:
            message = f"every must be at least the duration of {self.duration:g} s, got {shown(self.every)}"
            raise ConfigError(message)

    def covers(self, at: float) -> bool:
        """Say whether a moment, in Unix seconds, is within it."""
        for begin, end in self._from(at):
            if begin > at:
                return False
            if at < end:
                return True
        return False

    def stretches(self, start: float, end: float) -> Iterator[tuple[float, float]]:
        """Yield what is excluded of a stretch of time, in Unix seconds, by beginning and end.

        Example:
            >>> list(Exclusion(0, duration=600, every=86_400).stretches(300, 86_500))
            [(300, 600.0), (86400.0, 86500)]
        """
        for begin, finish in self._from(start):
            if begin >= end:
                return
            if finish > start:
                yield max(begin, start), min(finish, end)

    def _from(self, at: float) -> Iterator[tuple[float, float]]:
        """Yield its times by beginning and end, from no later than the one that a moment is in."""
        start = float(self.start)
        if self.every is None:
            yield start, self._later(start, self.duration)
            return
        # One more, for clocks that were put forward since the first.
        count = max(0, int((at - start) // self.every) - 1)
        while True:
            begin = self._later(start, count * self.every)
            yield begin, self._later(begin, self.duration)
            count += 1

    def _later(self, at: float, seconds: float) -> float:
        days, rest = divmod(seconds, DAY)
        if rest or not days:
            return at + seconds
        return (datetime.fromtimestamp(at, self._zone) + timedelta(days)).timestamp()


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

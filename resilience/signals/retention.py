"""How much of the past the live windows keep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from resilience.core.duration import format_duration
from resilience.core.options import named_options
from resilience.core.validate import integer, number, shown
from resilience.errors import ConfigError

__all__ = ["Resolution", "Retention"]

_DAY = 86_400.0


class Resolution(NamedTuple):
    """One ring: a row every `step` seconds, `rows` of them."""

    step: float
    rows: int


_LADDER = (
    Resolution(1, 66),
    Resolution(5, 66),
    Resolution(30, 66),
    Resolution(60, 66),
    Resolution(120, 66),
    Resolution(360, 66),
)


@named_options
@dataclass(frozen=True, slots=True)
class Retention:
    """Rings of falling resolution for every series, and one of long rows for the series that a rule asks for.

    Args:
        rings: finest first; the default answers windows of 10 s to 6 h with a left edge within 1/60 of the window.
        long_step: seconds between long rows, default one hour; at most half of what the rings reach back.
        cap: the longest window that a rule or an SLO may ask for, in seconds, default 35 days.
        gap: seconds without a tick after which the time between counts as unobserved (a suspended process, a
            blocked loop) and nothing is interpolated across it, default 30; 2.5 times the usual distance of the
            ring's rows where that is longer.

    Raises:
        ConfigError: a figure is out of range, or the rings are not ordered.

    Example:
        >>> round(Retention().reach / 3600, 1)
        6.5
    """

    rings: tuple[Resolution, ...] = _LADDER
    long_step: float = 3600.0
    cap: float = 35 * _DAY
    gap: float = 30.0

    def __post_init__(self) -> None:
        rings = tuple(
            Resolution(number("rings: step", step, above=0), integer("rings: rows", rows, low=2))
            for step, rows in self.rings
        )
        if not rings or any(a.step >= b.step for a, b in pairwise(rings)):
            message = f"rings must be resolutions with growing steps, got {shown(self.rings)}"
            raise ConfigError(message)
        object.__setattr__(self, "rings", rings)
        number("long_step", self.long_step, low=rings[-1].step, high=self.reach / 2)
        number("cap", self.cap, above=0)
        number("gap", self.gap, above=0)

    @property
    def reach(self) -> float:
        """The longest window, in seconds, that is answered for every series."""
        return max(step * (rows - 1) for step, rows in self.rings)

    def long_rows(self, seconds: float) -> int:
        """How many long rows a window needs.

        Args:
            seconds: length of the window.

        Raises:
            ConfigError: it is longer than the cap.
        """
        number("window", seconds, above=0)
        if seconds > self.cap:
            message = (
                f"a window of {format_duration(seconds)} is more than is kept: the cap is"
                f" {format_duration(self.cap)} (Retention(cap=...))"
            )
            raise ConfigError(message)
        return math.ceil(seconds / self.long_step) + 2

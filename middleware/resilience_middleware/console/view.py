"""What of a service somebody looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlencode

from resilience.core.duration import format_duration, parse_duration
from resilience.core.validate import choice

__all__ = ["WINDOWS", "View"]

WINDOWS: Final = {"5m": 5.0, "15m": 15.0, "1h": 30.0, "6h": 180.0}
"""The stretches of time that charts can show, and the seconds between their points."""

_LONGEST_NAME: Final = 200


@dataclass(frozen=True, slots=True)
class View:
    """One choice of service and time.

    Args:
        service: only what is about this service; empty for all.
        window: how far charts reach back: `5m`, `15m`, `1h` (default) or `6h`.

    Raises:
        ConfigError: there is no such window.

    Example:
        >>> View(service="shop", window="15m").query
        'service=shop&window=15m'
    """

    service: str = ""
    window: str = "1h"

    def __post_init__(self) -> None:
        choice("window", self.window, WINDOWS)

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read it from a query string.

        Raises:
            ConfigError: it names no window that there is.
        """
        return cls(query.get("service", "")[:_LONGEST_NAME], query.get("window", "1h"))

    def covers(self, service: str) -> bool:
        """Whether what is about a service is wanted."""
        return self.service in {"", service}

    @property
    def seconds(self) -> float:
        """How far charts reach back."""
        return parse_duration(self.window)

    @property
    def step(self) -> float:
        """Seconds between two points of a chart."""
        return WINDOWS[self.window]

    @property
    def rate_window(self) -> str:
        """What rates are taken over: four points, at least half a minute."""
        return format_duration(max(30.0, 4 * self.step))

    @property
    def query(self) -> str:
        """It as a query string, for links that lead here."""
        return urlencode({"service": self.service, "window": self.window})

"""What of a service somebody looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import urlencode

from resilience.core.duration import format_duration, parse_duration
from resilience.core.validate import choice, integer

__all__ = ["PARTS", "WINDOWS", "View"]

WINDOWS: Final = {"5m": 5.0, "15m": 15.0, "1h": 30.0, "6h": 180.0}
"""The stretches of time that charts can show, and the seconds between their points."""

PARTS: Final = ("alerts", "slos", "policies", "health", "probes", "events")
"""The panels that have a page of their own, for all that the one page has no room for."""

_LONGEST_NAME: Final = 200
_MOST_PAGES: Final = 1000


@dataclass(frozen=True, slots=True)
class View:
    """One choice of service and time, and of what is shown of it.

    Args:
        service: only what is about this service; empty for all.
        window: how far charts reach back: `5m`, `15m`, `1h` (default) or `6h`.
        part: the one panel that is shown, from end to end; empty for the beginnings of all.
        page: which page of it, from 1 to 1000.

    Raises:
        ConfigError: there is no such window, part or page.

    Example:
        >>> View(service="shop", window="15m").query
        'service=shop&window=15m'
        >>> View(part="alerts", page=2).address
        'service=&window=1h&part=alerts&page=2'
    """

    service: str = ""
    window: str = "1h"
    part: str = ""
    page: int = 1

    def __post_init__(self) -> None:
        choice("window", self.window, WINDOWS)
        choice("part", self.part, ("", *PARTS))
        integer("page", self.page, high=_MOST_PAGES)

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read it from a query string; what cannot be meant is as usual: links are typed by people."""
        window, part, page = query.get("window", ""), query.get("part", ""), query.get("page", "")
        return cls(
            query.get("service", "")[:_LONGEST_NAME],
            window if window in WINDOWS else "1h",
            part if part in PARTS else "",
            int(page) if page in map(str, range(1, _MOST_PAGES + 1)) else 1,
        )

    @property
    def whole(self) -> Self:
        """The same service and time, with the beginnings of all panels."""
        return replace(self, part="", page=1)

    def covers(self, service: str) -> bool:
        """Whether what is about a service is wanted."""
        return self.service in {"", service}

    def shows(self, panel: str) -> bool:
        """Whether a panel is shown; the state of the whole always is."""
        return self.part in {"", panel} or panel not in PARTS

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
        """Service and time as a query string, for links that lead to other pages."""
        return urlencode({"service": self.service, "window": self.window})

    @property
    def address(self) -> str:
        """All of it as a query string, for links that lead here."""
        return (
            f"{self.query}&{urlencode({'part': self.part, 'page': self.page})}" if self.part else self.query
        )

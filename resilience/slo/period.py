"""The period that an objective is judged over: rolling, or a piece of the calendar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resilience.core.options import named_options
from resilience.core.validate import choice, shown, text
from resilience.errors import ConfigError

__all__ = ["DAY", "UNITS", "Calendar"]

DAY = 86_400.0

UNITS: Mapping[str, float] = {"week": 7 * DAY, "month": 30 * DAY, "quarter": 90 * DAY}
"""The pieces of the calendar, and the seconds that stand for them in the arithmetic of burn rates."""

_MONTHS = {"month": 1, "quarter": 3}
_LONGEST = {"week": 7 * DAY, "month": 31 * DAY, "quarter": 92 * DAY}
_CLOCKS = 3600.0  # that clocks may be put back by in between


@named_options
@dataclass(frozen=True, slots=True)
class Calendar:
    """A week (from Monday), month or quarter of a time zone; the budget is whole again at its beginning.

    Args:
        unit: `week`, `month` or `quarter`.
        time_zone: name in the IANA database.

    Raises:
        ConfigError: there is no such unit or zone.

    Example:
        >>> start, end = Calendar("month", "Europe/Berlin").around(1_700_000_000)
        >>> datetime.fromtimestamp(start, ZoneInfo("Europe/Berlin")).isoformat(), (end - start) / DAY
        ('2023-11-01T00:00:00+01:00', 30.0)
    """

    unit: str
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        choice("calendar", self.unit, UNITS)
        zone(self.time_zone)

    @property
    def seconds(self) -> float:
        """The length that stands for it where burn rates are worked out."""
        return UNITS[self.unit]

    @property
    def longest(self) -> float:
        """The seconds of the longest there is: as long must be kept what was counted."""
        return _LONGEST[self.unit] + _CLOCKS

    def around(self, at: float) -> tuple[float, float]:
        """Return the beginning and the end of the piece that a moment is in.

        Args:
            at: Unix seconds.

        Returns:
            Unix seconds; their distance follows the calendar, with the hours that clocks are changed by.
        """
        midnight = datetime.fromtimestamp(at, zone(self.time_zone)).replace(
            hour=0, minute=0, second=0, microsecond=0, fold=0
        )
        if self.unit == "week":
            start = midnight - timedelta(days=midnight.weekday())
            return start.timestamp(), (start + timedelta(days=7)).timestamp()
        months = _MONTHS[self.unit]
        first = (midnight.month - 1) // months * months
        start = midnight.replace(month=first + 1, day=1)
        year, month = divmod(start.year * 12 + first + months, 12)
        return start.timestamp(), start.replace(year=year, month=month + 1).timestamp()


def zone(name: object) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return ZoneInfo(text("time_zone", name))
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        if isinstance(error, ConfigError):
            raise
        message = f"time_zone must be a name of the IANA database such as Europe/Berlin, got {shown(name)}"
        raise ConfigError(message) from error

"""Recurring times: nights, weekends, maintenance windows; Alertmanager's time intervals."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from resilience.core.options import named_options
from resilience.core.validate import shown
from resilience.errors import ConfigError

__all__ = ["TimeInterval", "TimeIntervals", "time_intervals_from_config"]

# Alertmanager's week begins on Sunday.
_WEEKDAYS = {name.lower(): (day + 1) % 7 for day, name in enumerate(calendar.day_name)}
_MONTHS = {name.lower(): month for month, name in enumerate(calendar.month_name) if name}
_OPTIONS = ("times", "weekdays", "days_of_month", "months", "years", "location")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})")
_DAY_MINUTES = 1440
_LONGEST_MONTH = 31

Range = tuple[int, int]


def _refuse(option: str, allowed: str, value: object) -> ConfigError:
    return ConfigError(f"{option} must be {allowed}, got {shown(value)}")


def _list(option: str, value: object) -> Sequence[object]:
    if isinstance(value, list | tuple):
        return value
    if isinstance(value, str | int):
        return [value]
    raise _refuse(option, "a list", value)


def _minutes(option: str, value: object) -> int:
    found = _CLOCK.fullmatch(value) if isinstance(value, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found and int(found[2]) < 60 else -1  # noqa: PLR2004  minutes
    if not 0 <= minutes <= _DAY_MINUTES:
        raise _refuse(option, "a time of day from 00:00 to 24:00 in quotes", value)
    return minutes


def _times(option: str, value: object) -> Range:
    if not isinstance(value, Mapping) or set(value) != {"start_time", "end_time"}:
        raise _refuse(option, "a mapping of start_time and end_time", value)
    start, end = _minutes(option, value["start_time"]), _minutes(option, value["end_time"])
    if start >= end:
        raise _refuse(
            option, "a range within one day, start_time before end_time (a night is two ranges)", value
        )
    return start, end


def _range(option: str, value: object, names: Mapping[str, int], low: int, high: int) -> Range:
    allowed = f"{low}..{high}" + (" or a name" if names else "") + ", or a range of two such as first:last"
    ends = []
    for part in str(value).lower().split(":"):
        try:
            ends.append(names[part] if part in names else int(part))
        except ValueError:
            raise _refuse(option, allowed, value) from None
    start, end = (ends * 2)[:2]
    # Days counted from the month's end are negative: 1:-1 is the whole month, and 20:-20 is empty even in one of 31 days.
    ordered = start <= end if (start < 0) == (end < 0) else 0 < start <= _LONGEST_MONTH + 1 + end
    if len(ends) > 2 or not (low <= start <= high and low <= end <= high and ordered):  # noqa: PLR2004  two ends
        raise _refuse(option, allowed, value)
    return start, end


def _location(option: str, value: object) -> tzinfo | None:
    """Return a time zone by its name; as in Go's `time.LoadLocation`, `Local` is the machine's and an empty name is UTC."""
    if value == "Local":
        return None
    try:
        return ZoneInfo("UTC" if value == "" else str(value))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise _refuse(option, "an IANA time zone such as Europe/Berlin, or Local", value) from None


@named_options
@dataclass(frozen=True)
class TimeInterval:
    """Times that meet all that is given; what is not given holds always.

    Args:
        times: minutes of the day, start included, end not.
        weekdays: 0 Sunday to 6 Saturday, both ends included.
        days_of_month: 1..31, or -31..-1 from the month's end; both ends included, cut at the month's length.
        months: 1..12, both ends included.
        years: both ends included.
        location: the time zone in which all of it is read; None for the local time of the machine.

    Example:
        >>> [night] = time_intervals_from_config({"nights": [{"times": [{"start_time": "00:00", "end_time": "06:00"}]}]})["nights"].intervals
        >>> night.contains(1_700_000_000), night.contains(1_700_010_000)  # 22:13 and 01:00 UTC
        (False, True)
    """

    times: tuple[Range, ...] = ()
    weekdays: tuple[Range, ...] = ()
    days_of_month: tuple[Range, ...] = ()
    months: tuple[Range, ...] = ()
    years: tuple[Range, ...] = ()
    location: tzinfo | None = field(default_factory=lambda: ZoneInfo("UTC"))

    @classmethod
    def from_config(cls, setting: object, option: str = "time interval") -> TimeInterval:
        """Read one interval in Alertmanager's form: weekdays and months by name, `location` an IANA zone.

        Raises:
            ConfigError: something of it cannot be read.
        """
        if not isinstance(setting, Mapping) or (unknown := set(setting) - set(_OPTIONS)):
            if isinstance(setting, Mapping):
                raise _refuse(option, f"made of {', '.join(_OPTIONS)}", sorted(map(str, unknown)))
            raise _refuse(option, f"a mapping of {', '.join(_OPTIONS)}", setting)

        def ranges(name: str, names: Mapping[str, int], low: int, high: int) -> tuple[Range, ...]:
            values = _list(f"{option} {name}", setting.get(name) or ())
            return tuple(_range(f"{option} {name}", value, names, low, high) for value in values)

        days = ranges("days_of_month", {}, -31, 31)
        if any(0 in pair for pair in days):
            raise _refuse(f"{option} days_of_month", "1..31 or -31..-1", 0)
        return cls(
            times=tuple(
                _times(f"{option} times", each) for each in _list(option, setting.get("times") or ())
            ),
            weekdays=ranges("weekdays", _WEEKDAYS, 0, 6),
            days_of_month=days,
            months=ranges("months", _MONTHS, 1, 12),
            years=ranges("years", {}, 1970, 9999),
            location=_location(f"{option} location", setting.get("location", "UTC")),
        )

    def contains(self, wall: float) -> bool:
        """Say whether a moment of Unix time is within the interval."""
        at = datetime.fromtimestamp(wall, self.location)
        month_days = calendar.monthrange(at.year, at.month)[1]

        def day(value: int) -> int:
            return value if value > 0 else month_days + 1 + value

        minute = at.hour * 60 + at.minute
        return (
            (not self.times or any(start <= minute < end for start, end in self.times))
            and (
                not self.days_of_month
                or any(day(low) <= at.day <= day(high) for low, high in self.days_of_month)
            )
            and _within(self.weekdays, at.isoweekday() % 7)
            and _within(self.months, at.month)
            and _within(self.years, at.year)
        )


def _within(ranges: Sequence[Range], value: int) -> bool:
    return not ranges or any(start <= value <= end for start, end in ranges)


@dataclass(frozen=True)
class TimeIntervals:
    """Intervals under one name: a moment is meant when any of them contains it."""

    name: str
    intervals: tuple[TimeInterval, ...]

    def contains(self, wall: float) -> bool:
        """Say whether a moment of Unix time is within one of the intervals."""
        return any(interval.contains(wall) for interval in self.intervals)


def time_intervals_from_config(setting: object) -> dict[str, TimeIntervals]:
    """Read `time_intervals`: lists of intervals by name, or Alertmanager's list of `{name, time_intervals}`.

    Raises:
        ConfigError: something of it cannot be read.
    """
    named: Iterable[tuple[object, object]]
    if isinstance(setting, Mapping):
        named = setting.items()
    elif isinstance(setting, list) and all(isinstance(one, Mapping) and "name" in one for one in setting):
        named = [(one["name"], one.get("time_intervals") or []) for one in setting]
    else:
        raise _refuse("time_intervals", "a mapping of names to lists of intervals", setting)
    found: dict[str, TimeIntervals] = {}
    for name, intervals in named:
        option = f"time interval {name!r}"
        if not isinstance(intervals, list):
            raise _refuse(option, "a list of intervals", intervals)
        parts = tuple(TimeInterval.from_config(each, option) for each in intervals)
        found[str(name)] = TimeIntervals(str(name), parts)
    return found

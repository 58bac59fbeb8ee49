"""One event that an application reports for an objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from resilience.core.validate import shown
from resilience.errors import ConfigError
from resilience.signals.recorded import recorded_duration, recorded_success, recorded_timestamp

__all__ = ["Event"]

_FIELDS = ("success", "duration", "timestamp")


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an objective, with validated fields.

    Args:
        success: True if the event was good.
        duration: seconds that the event took.
        timestamp: Unix seconds at which the event ended; None for now. An aware datetime is converted.

    Raises:
        ConfigError: `success` is not a bool, `duration` is no number of at least 0, or `timestamp` is no timestamp.
    """

    success: bool
    duration: float = 0.0
    timestamp: Any = None

    def __post_init__(self) -> None:
        recorded_success(self.success)
        object.__setattr__(self, "duration", recorded_duration(self.duration))
        object.__setattr__(self, "timestamp", recorded_timestamp(self.timestamp))

    @classmethod
    def of(
        cls,
        outcome: bool | Mapping[str, object],  # noqa: FBT001  a bool, or a mapping that holds it
        duration: float | None = None,
        timestamp: float | datetime | None = None,
    ) -> Event:
        """Make an event of its outcome, or of a mapping of its fields.

        Args:
            outcome: True if the event was good; or a mapping with `success` and, optionally, `duration` and `timestamp`.
            duration: seconds, where the mapping has none; 0 by default.
            timestamp: Unix seconds or a datetime, where the mapping has none.

        Raises:
            ConfigError: a field is missing, unknown, given twice or invalid.

        Example:
            >>> Event.of({"success": False, "duration": 0.15})
            Event(success=False, duration=0.15, timestamp=None)
        """
        given = {"duration": duration, "timestamp": timestamp}
        fields: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
        if not isinstance(outcome, Mapping):
            return cls(outcome, **fields)
        for name in outcome:
            if name not in _FIELDS or name in fields:
                problem = "given twice" if name in fields else f"unknown; there are: {', '.join(_FIELDS)}"
                raise ConfigError(f"field {shown(name)} of an event is {problem}")
        if "success" not in outcome:
            raise ConfigError(f"an event must have the field 'success', got {shown(dict(outcome))}")
        fields.update(outcome)
        return cls(**fields)
